"""The deploy stage on a real cluster, with a real MinIO and the scorer from its image.

The tests go on from what the ones before them left, as releases do; each names the models that it needs.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from components.credit.book.store import Access, Store
from components.credit.errors import ClusterError, QuipuError
from components.credit.progress import Progress
from components.credit.release.registry import champion, fetch
from components.credit.release.signing import new_key_pair
from components.deploy import rollout
from components.deploy.cluster import LIVE, SLOTS, Claim, Cluster, Pointing
from components.deploy.promotion import roll_back
from components.deploy.release import release
from components.deploy.trial import request, trial_rows
from tests.e2e.conftest import overlay
from tests.e2e.kubectl import NAMESPACE, Kubectl, say, until
from tests.e2e.models import Candidate

Make = Callable[..., Candidate]
Keys = tuple[str, str]


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch, kubeconfig: Path, keys: Keys) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    monkeypatch.setenv("QUIPU_SIGNING_KEY", keys[0])
    monkeypatch.setattr(rollout, "_PATIENCE_SECONDS", 4.0)


def deploy(model: Candidate, store: Store) -> dict[str, Any]:
    return dict(
        release(str(model.folder), model.decision, "kubernetes", "e2e", model.version, store, Progress("deploy"))
    )


def answering(cluster: Cluster) -> tuple[str, str]:
    """Slot and version that answer borrowers; nobody has a claim."""
    pointing = cluster.pointing(LIVE)
    assert pointing.claim is None
    assert pointing.slot is not None
    return pointing.slot, cluster.side(pointing.slot).version


@contextmanager
def load(kubectl: Kubectl, images: dict[str, str], model: Candidate) -> Iterator[dict[str, Any]]:
    """Requests without a pause; what they saw is there at the end."""
    script = (Path(__file__).parent / "load.py").read_text()
    secure = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "load",
        "image": images["quipu/scorer"],
        "command": ["python", "-c", script],
        "env": [{"name": "BODY", "value": request(model.scorer, trial_rows(model.scorer)).decode()}],
        "securityContext": secure,
        "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "scratch", "emptyDir": {}}],
    }
    metadata = {"name": "load", "namespace": NAMESPACE}
    kubectl("delete", "pod", "load", "--ignore-not-found")
    kubectl.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    seen: dict[str, Any] = {}
    try:
        kubectl("wait", "--for=condition=Ready", "pod/load", "--timeout=60s")
        yield seen
        kubectl("exec", "load", "--", "touch", "/tmp/stop")
        kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/load", "--timeout=60s")
        seen |= json.loads(kubectl("logs", "load").strip().splitlines()[-1])
        say(f"  load: {seen['requests']} requests, failures {seen['failures']}, versions {set(seen['versions'])}")
    finally:
        kubectl("delete", "pod", "load", "--ignore-not-found")


def test_the_first_model_is_deployed_from_nothing(cluster: Cluster, store: Store, make: Make, keys: Keys) -> None:
    model = make(1)
    assert deploy(model, store)["previous"] is None
    assert answering(cluster) == ("green", model.version)
    pointer = champion(store)
    assert pointer is not None
    assert pointer.version == model.version
    fetch(store, model.version, keys[1])


def test_a_switch_and_a_rollback_under_load_fail_no_request(
    cluster: Cluster, installed: Kubectl, images: dict[str, str], store: Store, make: Make, keys: Keys
) -> None:
    first, second = make(1), make(2)
    with load(installed, images, first) as seen:
        deploy(second, store)
        assert answering(cluster) == ("blue", second.version)
        until(lambda: f"answered by {second.version}" in installed("logs", "load"), "an answer of the second")
        started = time.monotonic()
        roll_back("Rosa Quispe", "e2e", keys[1], store, Progress("rollback"), cluster)
        say(f"  rollback took {time.monotonic() - started:.1f} s")
        assert answering(cluster) == ("green", first.version)
    assert seen["failures"] == []
    assert seen["versions"][0] == first.version
    assert second.version in seen["versions"]
    pointer = champion(store)
    assert pointer is not None
    assert (pointer.version, pointer.previous) == (first.version, second.version)


def test_a_pod_killed_under_load_fails_no_request(
    cluster: Cluster, installed: Kubectl, images: dict[str, str], make: Make
) -> None:
    slot, _ = answering(cluster)
    installed("scale", f"deployment/scorer-{slot}", "--replicas=2")
    until(lambda: cluster.side(slot).ready, "two pods")
    pods = installed("get", "pods", "-l", f"quipu.pe/slot={slot}", "-o", "name").split()
    with load(installed, images, make(1)) as seen:
        installed("delete", pods[0], "--wait=true")
        until(lambda: cluster.side(slot).ready, "two pods again")
    installed("scale", f"deployment/scorer-{slot}", "--replicas=1")
    assert seen["failures"] == []


def test_the_manifests_applied_again_undo_nothing(
    cluster: Cluster, installed: Kubectl, images: dict[str, str], store: Store
) -> None:
    before = answering(cluster)
    sides = [cluster.side(slot).generation for slot in SLOTS]
    installed("apply", "--server-side", "--force-conflicts", "--filename", "-", given=overlay("dev", images))
    assert answering(cluster) == before
    assert [cluster.side(slot).generation for slot in SLOTS] == sides


def test_a_forged_model_is_refused_and_the_live_side_answers_on(
    cluster: Cluster, store: Store, make: Make, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, pointer = answering(cluster), champion(store)
    monkeypatch.setenv("QUIPU_SIGNING_KEY", new_key_pair()[0])
    with pytest.raises(ClusterError, match="does not verify with QUIPU_VERIFY_KEY"):
        deploy(make(3), store)
    assert answering(cluster) == before
    assert champion(store) == pointer
    assert pointer is not None
    assert cluster.side(_other(before[0])).version == pointer.previous, "the resting side serves again what it did"


def test_an_image_that_cannot_be_pulled_is_named(
    cluster: Cluster, installed: Kubectl, store: Store, make: Make
) -> None:
    before = answering(cluster)
    resting = f"scorer-{_other(before[0])}"
    image = installed.get("deployment", resting)["spec"]["template"]["spec"]["containers"][0]["image"]
    installed("set", "image", f"deployment/{resting}", "scorer=registry.local:5000/quipu/none:1")
    try:
        with pytest.raises(ClusterError, match=r"The image registry.local:5000/quipu/none:1 of .* cannot be pulled"):
            deploy(make(4), store)
        assert answering(cluster) == before
    finally:
        installed("set", "image", f"deployment/{resting}", f"scorer={image}")


def test_a_full_quota_is_named(cluster: Cluster, installed: Kubectl, store: Store, make: Make) -> None:
    before = answering(cluster)
    metadata = {"name": "full", "namespace": NAMESPACE}
    installed.apply(
        {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": {"pods": "1"}}}
    )
    try:
        until(lambda: installed.get("resourcequota", "full").get("status", {}).get("used"), "the quota's count")
        with pytest.raises(ClusterError, match=f"The quota of namespace {NAMESPACE} has no room for scorer-"):
            deploy(make(4), store)
        assert answering(cluster) == before
    finally:
        installed("delete", "resourcequota", "full")


class Killed(BaseException):
    """The process is gone: nothing is tidied up."""


def kills(at: int) -> tuple[type[Cluster], type[Store]]:
    """A cluster and a store that let the deploy stage die instead of its change number ``at``."""
    done = iter(range(100))

    def step() -> None:
        if next(done) == at:
            raise Killed

    class DyingCluster(Cluster):
        def serve(self, slot: str, version: str, replicas: int) -> None:
            step()
            super().serve(slot, version, replicas)

        def point(
            self, service: str, slot: str, resource_version: str | None = None, claim: Claim | None = None
        ) -> Pointing | None:
            step()
            return super().point(service, slot, resource_version, claim)

    class DyingStore(Store):
        def move_pointer(self, bucket: str, key: str, data: bytes, tag: str | None) -> bool:
            step()
            return super().move_pointer(bucket, key, data, tag)

    return DyingCluster, DyingStore


STEPS = ("claim", "start", "preview", "switch", "pointer")


@pytest.mark.parametrize("at", range(len(STEPS)), ids=STEPS)
def test_a_deploy_stage_killed_at_any_step_ends_right_when_run_again(
    cluster: Cluster, store: Store, make: Make, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    model, (slot, version) = make(10 + at), answering(cluster)
    killed_cluster, killed_store = kills(at)
    with monkeypatch.context() as patched:
        patched.setattr("components.deploy.release.Cluster", killed_cluster)
        with pytest.raises(Killed):
            deploy(model, killed_store(store.access))
    live = cluster.pointing(LIVE).slot
    assert cluster.side(live or "").ready, "who answers borrowers is whole at every moment"
    assert cluster.side(live or "").version in (version, model.version)
    deploy(model, store)
    assert answering(cluster) == (_other(slot), model.version)
    pointer = champion(store)
    assert pointer is not None
    assert (pointer.version, pointer.previous) == (model.version, version)


def test_of_two_rollouts_at_once_the_second_is_told_to_wait(cluster: Cluster, store: Store, make: Make) -> None:
    model, other, before = make(20), make(21), answering(cluster)
    killed_cluster, killed_store = kills(2)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("components.deploy.release.Cluster", killed_cluster)
        with pytest.raises(Killed):
            deploy(model, killed_store(store.access))
    with pytest.raises(ClusterError, match=f"Model {model.version} is being rolled out since"):
        deploy(other, store)
    deploy(model, store)
    assert answering(cluster) == (_other(before[0]), model.version)


def test_a_rolling_update_changes_the_answering_side_in_place(cluster: Cluster, store: Store, make: Make) -> None:
    model, before = make(30, "rolling"), answering(cluster)
    deploy(model, store)
    assert answering(cluster) == (before[0], model.version)


def test_a_token_that_expires_is_read_again(
    cluster: Cluster, kubeconfig: Path, store: Store, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = kubeconfig.with_name("token")
    good = token.read_text()
    try:
        token.write_text("expired")
        late = Cluster()
        with pytest.raises(QuipuError, match="does not take the stage's token"):
            late.side("blue")
        token.write_text(good)
        assert late.side("blue").slot == "blue"
    finally:
        token.write_text(good)


def test_a_wrong_credential_of_the_store_is_named(cluster: Cluster, store: Store, make: Make) -> None:
    before = answering(cluster)
    wrong = Store(Access(store.access.endpoint, "deploy", "wrong"))
    with pytest.raises(QuipuError, match="The store refused access to quipu-models"):
        deploy(make(40), wrong)
    assert answering(cluster) == before


def _other(slot: str) -> str:
    return SLOTS[1 - SLOTS.index(slot)]
