"""``python -m components.score``: the scorer as the environment configures it.

QUIPU_STORE_*        access to the store (see ``components.credit.store``)
QUIPU_VERIFY_KEY     public key of the models' signatures, as PEM (or QUIPU_VERIFY_KEY_FILE)
QUIPU_SCORER_HOST    address to listen on, 127.0.0.1 if not set
QUIPU_SCORER_PORT    port to listen on, 8080 if not set
QUIPU_SCORER_POLL    seconds between two looks at the champion pointer, 5 if not set
"""

import os
import sys

from components.credit.errors import InputError, QuipuError


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

    try:
        serve(
            access_from_environment(),
            secret("QUIPU_VERIFY_KEY"),
            os.environ.get("QUIPU_SCORER_HOST", "127.0.0.1"),
            int(_number("QUIPU_SCORER_PORT", "8080")),
            _number("QUIPU_SCORER_POLL", "5"),
        )
    except QuipuError as error:
        sys.exit(str(error))


def _number(name: str, default: str) -> float:
    value = os.environ.get(name, default)
    try:
        return float(value)
    except ValueError as error:
        raise InputError(f"{name} is '{value}'; give a number.") from error


if __name__ == "__main__":
    main()
