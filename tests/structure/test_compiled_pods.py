"""What the pods of each compiled pipeline get on a cluster."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.credit.errors import InputError
from pipelines.submission import ordered

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


def test_what_is_compiled_for_a_registry_changes_nothing_that_is_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("components", "pipelines"):
        shutil.copytree(PIPELINES[0].parents[1] / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    image = "registry.example.org/quipu/deploy@sha256:" + "ab" * 32
    program = [sys.executable, "-m", "pipelines.compiled"]
    given = os.environ | {"QUIPU_IMAGE_DEPLOY": image, "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run(program, env=given, cwd=tmp_path, check=True, capture_output=True)
    assert {path: path.read_bytes() for path in before} == before
    compiled = tmp_path / "build" / "compiled"
    assert image in (compiled / "promotion.yaml").read_text()

    order = ("promotion", "", "", None, None, ["training_run=r-1"])
    committed, parameters = ordered(*order)
    monkeypatch.setenv("QUIPU_PIPELINES", str(compiled))
    assert ordered(*order) == (compiled / "promotion.yaml", parameters), "the same order, and so the same run"
    assert committed in PIPELINES
    monkeypatch.setenv("QUIPU_PIPELINES", str(tmp_path / "components"))
    with pytest.raises(InputError, match="where no compiled pipeline is; run 'make compile'"):
        ordered(*order)


def test_the_revision_of_the_code_does_not_follow_the_names_of_images(tmp_path: Path) -> None:
    shutil.copytree(PIPELINES[0].parents[1] / "components", tmp_path / "components")
    shutil.copytree(PIPELINES[0].parents[1] / "pipelines", tmp_path / "pipelines")

    def revision() -> str:
        program = "from pipelines.revision import code_revision; print(code_revision())"
        return subprocess.check_output([sys.executable, "-c", program], cwd=tmp_path, text=True)

    first, spec = revision(), tmp_path / "components" / "ingest" / "component.yaml"
    spec.write_text(spec.read_text().replace("quipu.invalid", "registry.example.org"))
    assert revision() == first
    module = tmp_path / "components" / "ingest" / "rows.py"
    module.write_text(module.read_text() + "# more\n")
    assert revision() != first
