"""The promotion of a registered model: somebody approved it, and the champion pointer moves to it.

The approval is written to the audit log before the pointer moves, so that no champion stands without one. A promotion
that was killed and is run again ends as if it had not been; where the pointer points there already, nothing is done.
"""

import datetime

import msgspec
from msgspec import Struct

from components.credit.errors import InputError
from components.credit.progress import Progress
from components.credit.registry import champion, fetch, manifest_of, promote, version_of_run
from components.credit.store import AUDIT_BUCKET, Store
from components.deploy.release import REGISTRY, TARGETS, check_target, released


class Approval(Struct, frozen=True):
    """Who let which model become the champion.

    Args:
        version: The model.
        previous: The champion before it; None where there was none.
        training_run: Run that registered the model; empty where the version itself was named.
        approved_by: Who approved.
        as_of: As-of day of the run that promotes, YYYY-MM-DD.
        code: Revision of the code that promotes.
        at: When, in UTC.
    """

    version: str
    previous: str | None
    training_run: str
    approved_by: str
    as_of: str
    code: str
    at: datetime.datetime


def promote_run(
    training_run: str,
    approved_by: str,
    as_of: str,
    code: str,
    target: str,
    verify_key: str,
    store: Store,
    progress: Progress,
) -> dict[str, str | None]:
    """Make the model that a training run registered the champion.

    Args:
        training_run: Id of the training run.
        approved_by: Who approved.
        as_of: As-of day, YYYY-MM-DD.
        code: Revision of the code.
        target: Where the scorer runs; ``local`` means that it follows the pointer by itself.
        verify_key: Public key as PEM.
        store: The store.
        progress: Told of each step.

    Returns:
        As ``release``.

    Raises:
        InputError: The target is unknown, nobody approved, or the id of the run is not one.
        ModelRefused: The run registered no model, or one that does not verify.
        StoreError: The store is away.
    """
    check_target(target, tuple(name for name in TARGETS if name != REGISTRY))
    progress.report("looking the model up", share=0.2)
    version = version_of_run(store, training_run)
    return promote_version(version, approved_by, as_of, code, verify_key, store, training_run)


def promote_version(
    version: str, approved_by: str, as_of: str, code: str, verify_key: str, store: Store, training_run: str = ""
) -> dict[str, str | None]:
    """Make a registered version the champion; arguments and errors as in ``promote_run``."""
    if not approved_by.strip() or approved_by == "None":  # Airflow's template for a name that is not there
        raise InputError("Nobody is named as having approved the model; say who did.")
    package, _ = fetch(store, version, verify_key)
    standing = champion(store)
    if standing and standing.version == version:
        return released(package, standing.previous)
    now = datetime.datetime.now(datetime.UTC)
    previous = standing.version if standing else None
    approval = Approval(version, previous, training_run, approved_by.strip(), as_of, code, now)
    store.write_once(AUDIT_BUCKET, f"promotions/{now:%Y%m%dT%H%M%S.%fZ}-{version}.json", msgspec.json.encode(approval))
    return released(package, promote(store, version, manifest_of(store, version)).previous)
