"""``python -m components.scorer``: the scorer as the environment configures it; ``docs/`` lists the settings."""

import gc
import sys

from components.credit.errors import QuipuError
from components.credit.import_guard import block_imports


def main() -> None:
    """Serve until stopped; a problem is one sentence on standard error and exit code 1."""
    block_imports()
    gc.disable()  # until the service answers: the objects of the start stay

    from components.credit.book.store import access_from_environment
    from components.credit.settings import read_settings, secret
    from components.scorer.decisions.spool import spool_from_environment
    from components.scorer.http.server import serve
    from components.scorer.settings import ScorerSettings, listening

    try:
        access, verify_key = access_from_environment(), secret("QUIPU_VERIFY_KEY")
        settings, spool = read_settings(ScorerSettings), spool_from_environment(access.endpoint)
        serve(access, verify_key, listening(settings), spool, settings.poll, settings.version)
    except QuipuError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
