"""What the pods of each compiled pipeline get on a cluster."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

PIPELINES = sorted((Path(__file__).parents[2] / "pipelines").glob("*.yaml"))
ACTING = ("ingest", "validate", "evaluate", "deploy", "promote")


def documents(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    spec, platform = yaml.safe_load_all(path.read_text())
    return spec, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def tasks(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    dags = [spec["root"], *spec["components"].values()]
    found = {name: task for dag in dags for name, task in dag.get("dag", {}).get("tasks", {}).items()}
    return {name: task for name, task in found.items() if "executorLabel" in component(spec, task)}


def component(spec: dict[str, Any], task: dict[str, Any]) -> dict[str, Any]:
    return spec["components"][task["componentRef"]["name"]]


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_every_task_has_room_a_time_limit_a_secret_and_no_root(path: Path) -> None:
    spec, platform = documents(path)
    executors = spec["deploymentSpec"]["executors"]
    assert executors.keys() == platform.keys()
    for label, executor in executors.items():
        resources = executor["container"]["resources"]
        assert {"cpuLimit", "cpuRequest", "memoryLimit", "memoryRequest"} <= {
            name.removeprefix("resource").replace("Cpu", "cpu").replace("Memory", "memory") for name in resources
        }, label
        pod = platform[label]
        assert int(pod["activeDeadlineSeconds"]) > 0
        assert pod["securityContext"] == {"runAsGroup": "1000", "runAsNonRoot": True, "runAsUser": "1000"}
        variables = [entry["envVar"] for secret in pod["secretAsEnv"] for entry in secret["keyToEnv"]]
        assert {"QUIPU_STORE_ACCESS_KEY", "QUIPU_STORE_SECRET_KEY"} <= set(variables)
        assert not executor["container"].get("env"), "a secret or an address belongs to the cluster"


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_every_task_is_tried_again_and_what_acts_is_never_cached(path: Path) -> None:
    spec, _ = documents(path)
    for name, task in tasks(spec).items():
        assert task["retryPolicy"]["maxRetryCount"] == 2, name
        assert float(task["retryPolicy"]["backoffFactor"]) == 2.0
        if name.startswith(ACTING):
            assert not task["cachingOptions"].get("enableCache"), name


def test_only_the_stage_that_signs_sees_the_signing_key() -> None:
    _, platform = documents(Path(__file__).parents[2] / "pipelines" / "training.yaml")
    secrets = {label: {secret["secretName"] for secret in pod["secretAsEnv"]} for label, pod in platform.items()}
    assert [label for label, names in secrets.items() if "signing-key" in names] == ["exec-deploy"]
    assert [label for label, names in secrets.items() if "pseudonym-key" in names] == ["exec-ingest"]


def test_a_release_compiles_on_its_digests_and_for_the_nodes_that_it_names(tmp_path: Path) -> None:
    image = "registry.example.org/quipu/ingest@sha256:" + "ab" * 32
    subprocess.run(
        [sys.executable, "-m", "pipelines.compiled", str(tmp_path)],
        env=os.environ | {"QUIPU_IMAGE_INGEST": image, "QUIPU_NODE_SELECTOR": "pool=credit"},
        cwd=PIPELINES[0].parents[1],
        check=True,
        capture_output=True,
    )
    for path in PIPELINES:
        (compiled,) = tmp_path.rglob(path.name)
        spec, platform = documents(compiled)
        selectors = [pod["nodeSelector"]["labels"] for pod in platform.values()]
        assert selectors == [{"pool": "credit"}] * len(platform)
        images = [one["container"]["image"] for one in spec["deploymentSpec"]["executors"].values()]
        assert (image in images) == ("exec-ingest" in platform)
