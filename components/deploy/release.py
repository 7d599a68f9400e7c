"""The release of a champion: signed, registered, approved where that is asked for, rolled out, pointed to.

Every step may be done again: a version that is registered is left as it is, and a pointer that points there already is
not moved. A release that was killed at any point and is run again ends as if it had not been.
"""

import datetime
from pathlib import Path

from msgspec import Struct, structs

from components.credit.book.store import MODEL_BUCKET, Store
from components.credit.errors import InputError
from components.credit.models.scorer import Scorer, load
from components.credit.progress import Progress
from components.credit.release.decision import Decision
from components.credit.release.registry import Package, champion, name_run, promote, register
from components.credit.settings import secret
from components.deploy.approval import Approval, approver, record
from components.deploy.cluster import Cluster
from components.deploy.rollout import roll_out

REGISTRY, KUBERNETES = "registry", "kubernetes"
TARGETS = ("local", REGISTRY, KUBERNETES)


class Release(Struct, frozen=True, forbid_unknown_fields=True):
    """What a release or a promotion hands on.

    Args:
        version: The model.
        family: Its family.
        address: Its address in the registry.
        previous: The version that the champion pointer held before, or holds still where the model is to wait; None
            where there was none.
    """

    version: str
    family: str
    address: str
    previous: str | None


def release(
    model_folder: str,
    decision: Decision,
    target: str,
    code: str,
    run: str,
    store: Store,
    progress: Progress,
) -> Release:
    """Sign a model, put it in the registry and, unless it is to stay there, let it answer and move the pointer to it.

    Args:
        model_folder: Folder of the model that won.
        decision: The decision that chose it.
        target: Where the scorer runs; ``local`` means that it follows the pointer by itself, ``registry`` that the
            model waits there until it is promoted, ``kubernetes`` that it is rolled out on a cluster.
        code: Revision of the code.
        run: Id of the run that made the model.
        store: The store.
        progress: Told of each step.

    Raises:
        InputError: The target is unknown, the decision is about another model, or QUIPU_SIGNING_KEY is missing or
            no Ed25519 key.
        ModelRefused: The folder holds no model that loads, or the run has registered another one before.
        StoreError: The store is away.
        GateStopped: The configuration asks for an approval that nobody has given yet.
        ClusterError: As ``roll_out``.
    """
    check_target(target, TARGETS)
    cluster = Cluster() if target == KUBERNETES else None
    scorer = load(model_folder)
    package = _package(scorer, decision, code, run)
    progress.report(f"registering {package.version}", share=0.2)
    manifest = register(store, Path(model_folder), package, secret("QUIPU_SIGNING_KEY"))
    name_run(store, run, package.version)
    standing = champion(store)
    if target == REGISTRY:
        return released(package, standing.version if standing else None)
    if decision.release.approval:
        by, now = approver(store, package.version), datetime.datetime.now(datetime.UTC)
        if standing is None or standing.version != package.version:
            previous = standing.version if standing else None
            record(store, Approval(package.version, previous, run, by, package.as_of, code, now))
    if cluster:
        roll_out(cluster, scorer, decision.release.strategy, standing, progress)
    progress.report("moving the champion pointer", share=0.8)
    return released(package, promote(store, package.version, manifest).previous)


def check_target(target: str, known: tuple[str, ...]) -> None:
    """Refuse a target that is not among those known.

    Raises:
        InputError: It is not.
    """
    if target not in known:
        raise InputError(f"The deploy target '{target}' is not known; use one of: {', '.join(known)}.")


def released(package: Package, previous: str | None) -> Release:
    """The release of a model, after a champion ``previous``."""
    return Release(package.version, package.family, f"s3://{MODEL_BUCKET}/models/{package.version}", previous)


def _package(scorer: Scorer, decision: Decision, code: str, run: str) -> Package:
    """What the manifest says of the model.

    Raises:
        InputError: The decision is not about this model.
    """
    version = scorer.version()
    figures = decision.models.get(scorer.family)
    if decision.champion.version != version or figures is None or figures.version != version:
        raise InputError(f"The decision does not name model {version} as champion; run the evaluate stage again.")
    return Package(
        version=version,
        family=scorer.family,
        as_of=decision.data.as_of,
        code=code,
        data=decision.data.features,
        metrics={
            name: float(value) for name, value in structs.asdict(figures).items() if isinstance(value, int | float)
        },
        decision=decision,
        run=run,
    )
