"""Where numba finds what was compiled when the image was built: a folder that is only read when the image runs."""

from numba.core.caching import UserProvidedCacheLocator


class KeptCache(UserProvidedCacheLocator):
    """numba's own locator of NUMBA_CACHE_DIR, which would pass over a folder that cannot be written."""

    def ensure_cache_path(self) -> None:
        """Make the folder while the image is built; take it as it is afterwards."""
        try:
            super().ensure_cache_path()
        except OSError:
            return
