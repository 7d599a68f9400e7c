"""The way of a model onto a cluster: blue/green by two Deployments and one Service, or pod by pod.

What has been done is read from the cluster and the registry, never remembered: a rollout that was killed anywhere and
is run again ends right. Until the Service moves, nothing that answers borrowers is touched.

Two rollouts at once would fight over the resting side, so the first puts a claim on the Service; a claim that was left
behind by a killed rollout is taken over by the same version at once, and by another one when it is old.
"""

import datetime
import os
import time
from contextlib import suppress

from components.credit.errors import ClusterError, QuipuError
from components.credit.models.scorer import Scorer
from components.credit.progress import Progress
from components.credit.release.registry import Champion
from components.credit.settings import secret
from components.deploy.cluster import LIVE, PREVIEW, SLOTS, Claim, Cluster, Pointing, Side
from components.deploy.trial import compare

_READY_SECONDS = 300.0
_CLAIM_SECONDS = 3 * _READY_SECONDS
_PATIENCE_SECONDS = 20.0  # with a trouble that may pass, such as a registry that is away
_LOOK_SECONDS = 1.0
_TRIES = 5
_INFER = "/v2/models/quipu/infer"


def roll_out(cluster: Cluster, scorer: Scorer, strategy: str, standing: Champion | None, progress: Progress) -> None:
    """Let a registered model answer borrowers; the champion pointer is the caller's to move.

    Args:
        cluster: Where the scorer runs.
        scorer: The model.
        strategy: ``blue_green`` or ``rolling``.
        standing: The champion pointer as it stands: what to go back to where the rollout fails.
        progress: Told of each step.

    Raises:
        ClusterError: The cluster is away or refuses, another rollout is under way, the pods do not get ready, or
            their scores are not the model's.
    """
    version = scorer.version()
    pointing, live = _claimed(cluster, version)
    answering = cluster.side(live)
    # A live side that serves the version already was switched to by a run that was killed.
    slot = live if strategy == "rolling" or answering.version == version else _other(live)
    try:
        progress.report(f"starting {version} on {slot}", share=0.3)
        cluster.serve(slot, version, max(answering.replicas, 1))
        started = _ready(cluster, slot, progress)
        progress.report("comparing its scores", share=0.6)
        service = LIVE if slot == live else PREVIEW
        cluster.point(PREVIEW, slot)
        token = _token()
        compare(scorer, lambda body: cluster.ask(service, _INFER, body, token))
        if cluster.side(slot).generation != started.generation:
            raise ClusterError(f"Somebody changed scorer-{slot} during the rollout; run the stage again.")
        progress.report(f"moving the Service to {slot}", share=0.7)
        if cluster.point(LIVE, slot, pointing.resource_version) is None:
            raise ClusterError(f"Somebody changed the Service {LIVE} during the rollout; run the stage again.")
    except QuipuError:
        with suppress(QuipuError):  # where the cluster is away, the claim stays until the next run
            _withdraw(cluster, pointing, answering, slot, _fallback(standing, slot == live), version)
        raise


def _claimed(cluster: Cluster, version: str) -> tuple[Pointing, str]:
    """The claim on the Service, and the slot that answers; blue before the first rollout.

    Raises:
        ClusterError: Another version is being rolled out.
    """
    for _ in range(_TRIES):
        found, now = cluster.pointing(LIVE), datetime.datetime.now(datetime.UTC)
        held = found.claim
        if held and held.version != version and (now - held.since).total_seconds() < _CLAIM_SECONDS:
            raise ClusterError(
                f"Model {held.version} is being rolled out since {held.since:%H:%M} UTC; wait for its end, or, where "
                f"its run was killed, for {_CLAIM_SECONDS / 60:.0f} minutes, and run the stage again."
            )
        live = found.slot or SLOTS[0]
        claimed = cluster.point(LIVE, live, found.resource_version, Claim(version, now))
        if claimed:
            return claimed, live
    raise ClusterError(f"Others keep changing the Service {LIVE}; run the stage again.")


def _ready(cluster: Cluster, slot: str, progress: Progress) -> Side:
    """The side, once all its pods serve the version.

    Raises:
        ClusterError: They do not get there.
    """
    started, troubled = time.monotonic(), None
    while True:
        side, now = cluster.side(slot), time.monotonic()
        if side.ready:
            return side
        if side.trouble:
            troubled = troubled or now
            progress.report(side.trouble, share=0.4)
            if now - troubled > _PATIENCE_SECONDS:
                raise ClusterError(side.trouble)
        if now - started > _READY_SECONDS:
            raise ClusterError(
                f"The pods of scorer-{slot} did not get ready within {_READY_SECONDS:.0f} s; see 'kubectl describe'."
            )
        time.sleep(_LOOK_SECONDS)


def _withdraw(cluster: Cluster, pointing: Pointing, answering: Side, slot: str, fallback: str, version: str) -> None:
    """Put a side back to what it served before, or to rest, and give up the claim, unless somebody else holds it."""
    standing = cluster.pointing(LIVE)
    if standing.claim != pointing.claim:
        return
    replicas = max(answering.replicas, 1)
    if fallback and fallback != version:
        cluster.serve(slot, fallback, replicas)
    elif slot != answering.slot:
        cluster.serve(slot, "", 0)
    cluster.point(LIVE, answering.slot, standing.resource_version)


def _fallback(standing: Champion | None, in_place: bool) -> str:
    """What the changed side served before: the champion where it answers, the one before where it rests."""
    if standing is None:
        return ""
    return standing.version if in_place else standing.previous or ""


def _other(slot: str) -> str:
    return SLOTS[1 - SLOTS.index(slot)]


def _token() -> str | None:
    """Token that may score, where the scorer asks for one."""
    given = "QUIPU_SCORER_TOKEN" in os.environ or "QUIPU_SCORER_TOKEN_FILE" in os.environ
    return secret("QUIPU_SCORER_TOKEN") if given else None
