"""``python -m components.scorer``: the scorer as the environment configures it.

QUIPU_STORE_*        access to the store (see ``components.credit.book.store``)
QUIPU_VERIFY_KEY     public key of the models' signatures, as PEM (or QUIPU_VERIFY_KEY_FILE)
QUIPU_SCORER_*       where it listens, and its limits (see ``components.scorer.settings``)
QUIPU_SPOOL*         where decisions wait for the store (see ``components.scorer.decisions.spool``)
QUIPU_AUTH_*         who may ask (see there too)
"""

import gc
import sys

from components.credit.errors import QuipuError
from components.credit.import_guard import block_imports


def main() -> None:
    """Serve until stopped; a problem is one sentence on standard error and exit code 1."""
    block_imports()
    gc.disable()  # until the service answers: what a start makes stays

    from components.credit.book.store import access_from_environment, secret
    from components.scorer.decisions.spool import spool_from_environment
    from components.scorer.http.server import serve
    from components.scorer.settings import listening_from_environment, pinned_version, poll_seconds

    try:
        access, verify_key = access_from_environment(), secret("QUIPU_VERIFY_KEY")
        spool = spool_from_environment(access.endpoint)
        serve(access, verify_key, listening_from_environment(), spool, poll_seconds(), pinned_version())
    except QuipuError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
