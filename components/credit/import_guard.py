"""Blocks imports of pandas, scikit-learn and scipy (seconds and 90 MB) that numba and pyarrow would trigger.

numba and pyarrow import these where they are installed, and use them only for their own users.
"""

import sys
from types import ModuleType

_BLOCKED = ("pandas", "sklearn", "scipy", "cffi")


class _Blocked:
    """An import hook that says of the blocked packages that they are not installed, and of others nothing."""

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> None:
        """Refuse a blocked package.

        Raises:
            ModuleNotFoundError: The package is a blocked one.
        """
        if name in _BLOCKED:
            raise ModuleNotFoundError(f"this process blocks the import of {name}", name=name)


def block_imports() -> None:
    """Block them in this process from now on, and the administration of stores, which minio imports for its users."""
    sys.meta_path.insert(0, _Blocked)
    # It imports cryptography, which takes a tenth of the scorer's start.
    administration = ModuleType("minio.minioadmin")
    administration.__dict__["MinioAdmin"] = None
    sys.modules["minio.minioadmin"] = administration
