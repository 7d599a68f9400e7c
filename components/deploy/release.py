"""The release of a champion: signed, registered, approved where that is asked for, rolled out, pointed to.

Every step may be done again: a version that is registered is left as it is, and a pointer that points there already is
not moved. A release that was killed at any point and is run again ends as if it had not been.
"""

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.credit.book.store import MODEL_BUCKET, Store
from components.credit.errors import InputError
from components.credit.models.scorer import Scorer, load
from components.credit.progress import Progress
from components.credit.release.registry import Package, champion, name_run, promote, register
from components.credit.settings import secret
from components.deploy.approval import Approval, approver, record
from components.deploy.cluster import Cluster
from components.deploy.rollout import roll_out

REGISTRY, KUBERNETES = "registry", "kubernetes"
TARGETS = ("local", REGISTRY, KUBERNETES)


def release(
    model_folder: str,
    decision: Mapping[str, Any],
    target: str,
    code: str,
    run: str,
    store: Store,
    progress: Progress,
) -> dict[str, str | None]:
    """Sign a model, put it in the registry and, unless it is to stay there, let it answer and move the pointer to it.

    Args:
        model_folder: Folder of the model that won.
        decision: The comparison that chose it, as the evaluate stage wrote it.
        target: Where the scorer runs; ``local`` means that it follows the pointer by itself, ``registry`` that the
            model waits there until it is promoted, ``kubernetes`` that it is rolled out on a cluster.
        code: Revision of the code.
        run: Id of the run that made the model.
        store: The store.
        progress: Told of each step.

    Returns:
        ``version``, ``family``, ``address`` in the registry, and ``previous``, the version that the pointer held
        before (None for the first release), or holds still where the model is to wait.

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
    if decision.get("release", {}).get("approval", False):
        by, now = approver(store, package.version), datetime.datetime.now(datetime.UTC)
        if standing is None or standing.version != package.version:
            previous = standing.version if standing else None
            record(store, Approval(package.version, previous, run, by, package.as_of, code, now))
    if cluster:
        roll_out(cluster, scorer, strategy_of(decision), standing, progress)
    progress.report("moving the champion pointer", share=0.8)
    return released(package, promote(store, package.version, manifest).previous)


def strategy_of(decision: Mapping[str, Any]) -> str:
    """How a model is rolled out, as the configuration said when it was chosen."""
    return str(decision.get("release", {}).get("strategy", "blue_green"))


def check_target(target: str, known: tuple[str, ...]) -> None:
    """Refuse a target that is not among those known.

    Raises:
        InputError: It is not.
    """
    if target not in known:
        raise InputError(f"The deploy target '{target}' is not known; use one of: {', '.join(known)}.")


def released(package: Package, previous: str | None) -> dict[str, str | None]:
    """What a release or a promotion hands on."""
    return {
        "version": package.version,
        "family": package.family,
        "address": f"s3://{MODEL_BUCKET}/models/{package.version}",
        "previous": previous,
    }


def _package(scorer: Scorer, decision: Mapping[str, Any], code: str, run: str) -> Package:
    """What the manifest says of the model.

    Raises:
        InputError: The decision is not about this model.
    """
    version = scorer.version()
    if decision.get("champion", {}).get("version") != version:
        raise InputError(f"The decision does not name model {version} as champion; run the evaluate stage again.")
    figures = decision["models"][scorer.family]
    return Package(
        version=version,
        family=scorer.family,
        as_of=decision["data"]["as_of"],
        code=code,
        data=decision["data"]["features"],
        metrics={name: float(value) for name, value in figures.items() if isinstance(value, int | float)},
        decision=dict(decision),
        run=run,
    )
