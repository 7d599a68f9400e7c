"""What a run in containers needs of this machine, and what each container gets; the runs themselves are in e2e."""

import json
from pathlib import Path

import pytest
import yaml

from components.credit.errors import InputError
from pipelines import container
from pipelines.container import built_image, container_environment, in_containers
from pipelines.training import STAGES

ROOT = Path(__file__).parents[2]


def test_without_podman_and_docker_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ENGINE", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="Neither podman nor docker is installed; install one, or run without"):
        container_environment({}, STAGES)


def test_an_image_that_was_not_built_is_named_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ENGINE", "podman")
    monkeypatch.setattr(container, "_BUILT", tmp_path / "images.json")
    (tmp_path / "images.json").write_text(json.dumps({"ingest": {"reference": "localhost/quipu/ingest:1"}}))
    assert built_image("quipu.invalid/ingest:latest") == "localhost/quipu/ingest:1"
    assert built_image("registry.example.org/quipu/ingest@sha256:12") == "registry.example.org/quipu/ingest@sha256:12"
    with pytest.raises(InputError, match="The image of the stage validate was not built; run 'make images' first"):
        container_environment({}, STAGES)


def test_each_task_runs_in_its_own_image_and_asks_for_its_own_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for stage in STAGES:
        monkeypatch.setenv(f"QUIPU_IMAGE_{stage.upper().replace('-', '_')}", f"localhost/quipu/{stage}:1")
    spec, platform = yaml.safe_load_all((ROOT / "pipelines" / "training.yaml").read_text())
    in_containers(spec, platform)
    for name, executor in spec["deploymentSpec"]["executors"].items():
        stage, image, places = executor["container"]["command"][3:6]
        assert (f"exec-{stage}", image) == (name, f"localhost/quipu/{stage}:1")
        given = {variable: place for variable, place in json.loads(places).items() if place}
        assert (
            given["QUIPU_STORE_SECRET_KEY"]
            == f"store-{stage.removesuffix('-sklearn').removesuffix('-xgboost')}/secret_key"
        )
        assert ("QUIPU_SIGNING_KEY" in given) == (stage == "deploy")
        assert "QUIPU_SIGNING_KEY" in json.loads(places), "what is another's is taken away"
