"""Stages in their own images: the whole training on this machine, and the deploy stage as a pod of the cluster.

The store is the cluster's MinIO, and each stage comes with the user that the setup Job made for it.
"""

import base64
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet
import pytest
import yaml

from components.container import image_variable
from components.credit.book.documents import read_json
from components.credit.book.manifest import Manifest
from components.credit.book.store import Access, Store
from components.credit.errors import StoreError
from components.credit.release.registry import champion
from components.deploy.cluster import Cluster
from pipelines.stages import TRAINING_STAGES
from tests.e2e.conftest import ROOT, USERS
from tests.e2e.kubectl import NAMESPACE, Kubectl, say, until
from tests.e2e.models import Candidate
from tests.e2e.test_rollout_on_cluster import answering

QUIPU = (sys.executable, "-m", "pipelines.commandline")
AS_OF = "2026-06-30"
SMALL = """
search: {folds: 3, forest_candidates: 2, xgboost_candidates: 3}
limits: {least_bads: 20}
"""
Quipu = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def address(installed: Kubectl) -> Iterator[str]:
    """Where the cluster's MinIO is reached from this machine."""
    with installed.forwarded("minio", 9000) as address:
        yield address


@pytest.fixture(scope="module")
def quipu(
    built: Callable[[str], str], address: str, keys: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Quipu:
    """Runs ``quipu`` in a folder of its own; a stage finds its secrets as its pod would, and no other's."""
    folder = tmp_path_factory.mktemp("workplace")
    (folder / "small.yaml").write_text(SMALL)
    secrets = {f"store-{user}": {"access_key": user, "secret_key": f"{user}-secret"}
               for user in USERS}  # fmt: skip
    secrets |= {"pseudonym-key": {"pseudonym.key": "ab" * 32}}
    secrets |= {"signing-key": {"signing.pem": keys[0]}, "verify-key": {"verify.pem": keys[1]}}
    for name, entries in secrets.items():
        (folder / "secrets" / name).mkdir(parents=True)
        for entry, value in entries.items():
            (folder / "secrets" / name / entry).write_text(value)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("QUIPU_")}
    environment = kept | {image_variable(stage): built(stage) for stage in TRAINING_STAGES} | {
        "PYTHONPATH": str(ROOT), "COLUMNS": "200", "QUIPU_STORE_ENDPOINT": address, "QUIPU_VERIFY_KEY": keys[1],
        "QUIPU_STORE_ACCESS_KEY": "root-user", "QUIPU_STORE_SECRET_KEY": "only-for-these-tests",
        "QUIPU_SECRETS": str(folder / "secrets"),
    }  # fmt: skip

    def call(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([*QUIPU, *arguments], cwd=folder, env=environment | more, capture_output=True, text=True,
                              timeout=400, check=False)  # fmt: skip

    call.folder = folder  # type: ignore[attr-defined]
    made = call("generate", "--borrowers", "1500", "--seed", "7", "--as-of", AS_OF, "--out", "book")
    assert made.returncode == 0, made.stderr
    return call


def train(quipu: Quipu, data: str, out: str, **more: str) -> "subprocess.CompletedProcess[str]":
    order = ("--data", data, "--as-of", AS_OF, "--config", "small.yaml", "--out", out)
    return quipu("run", "--runner", "container", *order, **more)


def test_the_whole_training_runs_in_containers_each_stage_with_its_own_user(quipu: Quipu, address: str) -> None:
    ended = train(quipu, "book", "done")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    summary = read_json(str(quipu.folder / "done" / "summary.json"))  # type: ignore[attr-defined]
    pointer = champion(Store(Access(address, "deploy", "deploy-secret")))
    assert pointer is not None
    assert pointer.version == summary["version"]
    say(
        "  in containers: " + ", ".join(f"{name} {stage['seconds']:.1f} s" for name, stage in summary["stages"].items())
    )


def test_a_stage_that_fails_quickly_is_seen_to_fail_with_its_sentence(quipu: Quipu) -> None:
    (quipu.folder / "empty").mkdir()  # type: ignore[attr-defined]
    ended = train(quipu, "empty", "failed")
    assert ended.returncode == 1
    assert "ingest failed: " in ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("writer", "dataset", "readers"),
    [
        ("ingest", "raw", {"validate"}),
        ("validate", "clean", {"feature"}),
        ("validate", "quarantine", set()),
        ("feature", "features", {"train", "evaluate", "score", "monitor"}),
        ("score", "scores", {"score"}),
    ],
)
def test_a_dataset_is_written_by_its_stage_and_read_by_those_that_need_it(
    address: str, tmp_path: Path, writer: str, dataset: str, readers: set[str]
) -> None:
    def store(user: str) -> Store:
        return Store(Access(address, user, f"{user}-secret"))

    def published(user: str) -> Manifest:
        return store(user).publish(dataset, AS_OF, tmp_path, inputs={}, code="e2e", notes={})

    (tmp_path / "loans").mkdir()
    pyarrow.parquet.write_table(pyarrow.table({dataset: [1, 2]}), tmp_path / "loans" / "part-00000.parquet")
    for user in {*USERS} - {writer}:
        with pytest.raises(StoreError, match="The store refused access to"):
            published(user)
    manifest = published(writer)
    assert published(writer) == manifest, "a stage that is tried again finds what it wrote"
    able = set()
    for user in USERS:
        with contextlib.suppress(StoreError):
            assert store(user).table(manifest, "loans").to_table().num_rows == 2
            able.add(user)
    assert able == readers


def test_a_stage_may_not_write_what_is_anothers(quipu: Quipu) -> None:
    stolen = quipu.folder / "secrets" / "store-validate"  # type: ignore[attr-defined]
    own = {file: file.read_text() for file in stolen.iterdir()}
    try:
        for file in stolen.iterdir():
            file.write_text((stolen.with_name("store-train") / file.name).read_text())
        ended = train(quipu, "book", "refused")
    finally:
        for file, text in own.items():
            file.write_text(text)
    assert ended.returncode == 1
    assert "validate failed: The store refused access to " in ended.stderr


def test_an_image_that_is_not_there_is_named(quipu: Quipu) -> None:
    ended = train(quipu, "book", "imageless", **{image_variable("ingest"): "localhost/quipu/ingest:none"})
    assert ended.returncode == 1
    assert "ingest failed: The image localhost/quipu/ingest:none did not start" in ended.stderr


def deploy_pod(images: dict[str, str], arguments: list[str], command: list[str]) -> dict[str, Any]:
    """The deploy stage's pod, with what its compiled spec asks for."""
    _, platform = yaml.safe_load_all((ROOT / "pipelines" / "training.yaml").read_text())
    asked = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-deploy"]
    variables: list[dict[str, Any]] = []
    for kind, reference, key in (
        ("configMapAsEnv", "configMap", "configMapKey"),
        ("secretAsEnv", "secret", "secretKey"),
    ):
        for source in asked[kind]:
            for entry in source["keyToEnv"]:
                chosen = {"name": source[f"{reference}Name"], "key": entry[key], "optional": source["optional"]}
                variables.append({"name": entry["envVar"], "valueFrom": {f"{reference}KeyRef": chosen}})
    container = {
        "name": "main",
        "image": images["quipu/deploy"],
        "command": command,
        "args": arguments,
        "env": variables,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}, {"name": "given", "mountPath": "/given"}],
    }
    number = int(asked["securityContext"]["runAsUser"])
    spec = {
        "restartPolicy": "Never",
        "serviceAccountName": "quipu-runner",
        "securityContext": {"runAsNonRoot": True, "runAsUser": number, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "scratch", "emptyDir": {}}, {"name": "given", "configMap": {"name": "given"}}],
    }
    labels = {"pipelines.kubeflow.org/v2_component": "true"}
    metadata = {"name": "deploy", "namespace": NAMESPACE, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def executor_input(model: Candidate) -> str:
    """What KFP's launcher gives the deploy stage."""

    def artifact(name: str, kind: str, place: str) -> dict[str, Any]:
        one = {"name": name, "type": {"schemaTitle": f"system.{kind}", "schemaVersion": "0.0.1"}, "uri": place}
        return {"artifacts": [one | {"metadata": {}}]}

    given = {"champion": artifact("champion", "Model", "/tmp/champion"),
             "decision": artifact("decision", "Artifact", "/given/decision")}  # fmt: skip
    parameters = {"target": "kubernetes", "code": "e2e", "run": model.version}
    outputs = {"artifacts": {"release": artifact("release", "Artifact", "/tmp/release")}, "outputFile": "/tmp/output"}
    return json.dumps({"inputs": {"artifacts": given, "parameterValues": parameters}, "outputs": outputs})


def test_the_deploy_stage_rolls_out_from_its_own_pod_with_no_more_than_its_role(
    installed: Kubectl, images: dict[str, str], keys: tuple[str, str], cluster: Cluster, make: Callable[..., Candidate]
) -> None:
    model, (slot, _) = make(50), answering(cluster)
    files = {path.name: base64.b64encode(path.read_bytes()).decode() for path in model.folder.iterdir()}
    given = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "given", "namespace": NAMESPACE}}
    signing = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "signing-key", "namespace": NAMESPACE}}
    installed.apply(given | {"binaryData": files, "data": {"decision": msgspec.json.encode(model.decision).decode()}})
    installed.apply(signing | {"stringData": {"signing.pem": keys[0]}})
    spec, _ = yaml.safe_load_all((ROOT / "pipelines" / "training.yaml").read_text())
    task = spec["deploymentSpec"]["executors"]["exec-deploy"]["container"]
    arguments = [part.replace("{{$}}", executor_input(model)) for part in task["args"]]
    # The launcher lays artifacts into folders; a ConfigMap's entries are links, of which a model may have none.
    laid = (
        "mkdir /tmp/champion; cd /given; for f in *; do [ $f = decision ] || cp -L $f /tmp/champion/; done; cd /tmp; "
    )
    shell, flags, script, *rest = task["command"]
    installed.apply(deploy_pod(images, arguments, [shell, flags, laid + script, *rest]))
    try:
        until(
            lambda: installed.get("pod", "deploy")["status"]["phase"] in ("Succeeded", "Failed"), "the stage's end", 180
        )
        log = installed("logs", "deploy")
        assert installed.get("pod", "deploy")["status"]["phase"] == "Succeeded", log
    finally:
        installed("delete", "pod/deploy", "configmap/given", "--ignore-not-found")
    assert '"stage": "deploy", "state": "done"' in log
    assert answering(cluster)[1] == model.version
    assert answering(cluster)[0] != slot


def test_the_command_line_rolls_the_cluster_back(
    quipu: Quipu, kubeconfig: Path, cluster: Cluster, address: str
) -> None:
    before = champion(Store(Access(address, "deploy", "deploy-secret")))
    assert before is not None
    user = {"QUIPU_STORE_ACCESS_KEY": "deploy", "QUIPU_STORE_SECRET_KEY": "deploy-secret"}
    order = ("models", "rollback", "--by", "Rosa Quispe", "--target", "kubernetes")
    ended = quipu(*order, KUBECONFIG=str(kubeconfig), **user)
    assert ended.returncode == 0, ended.stderr
    assert f"Model {before.previous} answers again, instead of {before.version}." in ended.stdout
    assert answering(cluster)[1] == before.previous
