"""What a run in containers needs of this machine, and what each container gets; the runs themselves are in e2e."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from components.credit.errors import InputError
from pipelines import container
from pipelines.container import built_image, container_environment, in_containers
from pipelines.stages import TRAINING_STAGES

ROOT = Path(__file__).parents[2]


def test_without_podman_and_docker_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ENGINE", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="Neither podman nor docker is installed; install one, or run without"):
        container_environment({}, TRAINING_STAGES)


def test_an_image_that_was_not_built_is_named_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ENGINE", "podman")
    monkeypatch.setattr(container, "_BUILT", tmp_path / "images.json")
    (tmp_path / "images.json").write_text(json.dumps({"ingest": {"reference": "localhost/quipu/ingest:1"}}))
    assert built_image("quipu.invalid/ingest:latest") == "localhost/quipu/ingest:1"
    assert built_image("registry.example.org/quipu/ingest@sha256:12") == "registry.example.org/quipu/ingest@sha256:12"
    with pytest.raises(InputError, match="The image of the stage validate was not built; run 'make images' first"):
        container_environment({}, TRAINING_STAGES)


def test_each_task_runs_in_its_own_image_and_asks_for_its_own_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for stage in TRAINING_STAGES:
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


@pytest.mark.parametrize(
    ("says", "reasons"),
    [
        (
            '{"stage": "feature", "state": "failed", "reason": "The table loans has no part 3."}',
            ["The table loans has"],
        ),
        ('{"stage": "plan", "state": "failed", "reason": "No champion."}', ["No champion", "Its container ended with"]),
        ("", ["Its container ended with exit code 7 before it could say why"]),
    ],
)
def test_the_reason_of_a_failed_task_is_given_once(tmp_path: Path, says: str, reasons: list[str]) -> None:
    engine, events = tmp_path / "podman", tmp_path / "progress.jsonl"
    engine.write_text(f"#!/bin/sh\n[ -z '{says}' ] || echo '{says}' >> {events}\nexit 7\n")
    engine.chmod(0o755)
    given = {"QUIPU_CONTAINER_ENGINE": str(engine), "QUIPU_CONTAINER_VOLUMES": "{}", "QUIPU_PROGRESS_FILE": str(events)}
    command = [sys.executable, "-m", "pipelines.container", "feature-for-model", "quipu/feature:1", "{}", "python3"]
    ended = subprocess.run(command, cwd=ROOT, env=os.environ | given, capture_output=True, check=False)
    assert ended.returncode != 0
    failed = [event for event in map(json.loads, events.read_text().splitlines()) if event["state"] == "failed"]
    assert len(failed) == len(reasons)
    for event, reason in zip(failed, reasons, strict=True):
        assert event["reason"].startswith(reason)
