"""``python -m components.score``: the scorer as the environment configures it.

QUIPU_STORE_*        access to the store (see ``components.credit.store``)
QUIPU_VERIFY_KEY     public key of the models' signatures, as PEM (or QUIPU_VERIFY_KEY_FILE)
QUIPU_SCORER_*       where it listens, and its limits (see ``components.score.settings``)
QUIPU_AUTH_*         who may ask (see there too)
"""

import sys

from components.credit.errors import QuipuError


class _LeftOut:
    """Keeps out what the scorer does not need, but xgboost and pyarrow import where it is: 3 s and 90 MB."""

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> None:
        """Say that pandas and scikit-learn are not there; of other modules, nothing."""
        if name in ("pandas", "sklearn"):
            raise ModuleNotFoundError(f"the scorer does without {name}", name=name)


def main() -> None:
    """Serve until stopped; a problem is one sentence on standard error and exit code 1."""
    sys.meta_path.insert(0, _LeftOut)

    from components.credit.store import access_from_environment, secret
    from components.score.service import serve
    from components.score.settings import listening_from_environment, pinned_version, poll_seconds

    try:
        access, verify_key = access_from_environment(), secret("QUIPU_VERIFY_KEY")
        serve(access, verify_key, listening_from_environment(), poll_seconds(), pinned_version())
    except QuipuError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
