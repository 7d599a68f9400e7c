"""The promotion of a registered model: somebody approved it, and the champion pointer moves to it.

The approval is written to the audit log before the pointer moves, so that no champion stands without one. A promotion
that was killed and is run again ends as if it had not been; where the pointer points there already, nothing is done.
"""

import datetime

from components.credit.book.store import Store
from components.credit.errors import InputError
from components.credit.progress import Progress
from components.credit.release.registry import champion, fetch, manifest_of, promote, version_of_run
from components.deploy.approval import Approval, record
from components.deploy.cluster import Cluster
from components.deploy.release import KUBERNETES, REGISTRY, TARGETS, Release, check_target, released
from components.deploy.rollout import roll_out


def promote_run(
    training_run: str,
    approved_by: str,
    as_of: str,
    code: str,
    target: str,
    verify_key: str,
    store: Store,
    progress: Progress,
) -> Release:
    """Make the model that a training run registered the champion.

    Args:
        training_run: Id of the training run.
        approved_by: Who approved.
        as_of: As-of day, YYYY-MM-DD.
        code: Revision of the code.
        target: Where the scorer runs; ``local`` means that it follows the pointer by itself, ``kubernetes`` that it
            is rolled out there first.
        verify_key: Public key as PEM.
        store: The store.
        progress: Told of each step.

    Returns:
        As ``release``.

    Raises:
        InputError: The target is unknown, nobody approved, or the id of the run is not one.
        ModelRefused: The run registered no model, or one that does not verify.
        StoreError: The store is away.
        ClusterError: As ``roll_out``.
    """
    check_target(target, tuple(name for name in TARGETS if name != REGISTRY))
    cluster = Cluster() if target == KUBERNETES else None
    progress.report("looking the model up", share=0.2)
    version = version_of_run(store, training_run)
    return promote_version(version, approved_by, as_of, code, verify_key, store, progress, cluster, training_run)


def promote_version(
    version: str,
    approved_by: str,
    as_of: str,
    code: str,
    verify_key: str,
    store: Store,
    progress: Progress,
    cluster: Cluster | None = None,
    training_run: str = "",
) -> Release:
    """Make a registered version the champion; arguments and errors as in ``promote_run``, and the cluster to roll it
    out on, if the scorer runs on one.
    """
    if not approved_by.strip() or approved_by == "None":  # Airflow's template for a name that is not there
        raise InputError("Nobody is named as having approved the model; say who did.")
    package, scorer = fetch(store, version, verify_key)
    standing = champion(store)
    if standing is None or standing.version != version:
        now = datetime.datetime.now(datetime.UTC)
        previous = standing.version if standing else None
        record(store, Approval(version, previous, training_run, approved_by.strip(), as_of, code, now))
    if cluster:
        roll_out(cluster, scorer, package.decision.release.strategy, standing, progress)
    return released(package, promote(store, version, manifest_of(store, version)).previous)


def roll_back(
    approved_by: str, code: str, verify_key: str, store: Store, progress: Progress, cluster: Cluster | None
) -> Release:
    """Let the champion before this one answer again; where it is still at hand on the cluster, that takes seconds.

    Args:
        approved_by: Who goes back.
        code: Revision of the code.
        verify_key: Public key as PEM.
        store: The store.
        progress: Told of each step.
        cluster: Where the scorer runs, if it runs on one.

    Returns:
        As ``release``.

    Raises:
        InputError: There was no champion before.
        ModelRefused: It does not verify any more.
        StoreError: The store is away.
        ClusterError: As ``roll_out``.
    """
    standing = champion(store)
    if standing is None or standing.previous is None:
        raise InputError(
            "The registry knows no champion before this one, so there is none to go back to; release another model."
        )
    as_of = datetime.datetime.now(datetime.UTC).date().isoformat()
    return promote_version(standing.previous, approved_by, as_of, code, verify_key, store, progress, cluster)
