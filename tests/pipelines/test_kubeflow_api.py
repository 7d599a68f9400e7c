"""``quipu serve-pipelines`` as a client of Kubeflow Pipelines meets it, held against a real server's answers."""

import json
import os
import re
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipelines.portfolio.generate import generate
from tests.pipelines.conftest import QUIPU, ROOT, environment
from tests.processes import processes_of

RECORDED = ROOT / "tests" / "kfp_api"
SECONDS = 120  # that a condition may take on a busy machine


def recorded(name: str) -> tuple[int, dict[str, Any]]:
    exchange = json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))
    return exchange["status"], exchange["response"]


def eventually(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError("it never came true")


@dataclass
class Server:
    """A running server and a client of it."""

    process: "subprocess.Popen[str]"
    folder: Path
    client: httpx.Client

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        response = self.client.request(method, path, json=body)
        is_json = response.headers["Content-Type"].startswith("application/json")
        return response.status_code, response.json() if is_json else response.text

    def run(self, run_id: str) -> dict[str, Any]:
        status, run = self.ask("GET", f"/apis/v2beta1/runs/{run_id}")
        assert status == 200
        return run

    def tasks(self, run_id: str) -> dict[str, str]:
        return {one["display_name"]: one["state"] for one in self.run(run_id)["run_details"]["task_details"]}

    def body(self, run_id: str, **parameters: str) -> dict[str, Any]:
        _, pipeline = self.ask("GET", "/apis/v2beta1/pipelines/names/quipu-training")
        return {
            "run_id": run_id,
            "display_name": "october",
            "pipeline_version_reference": {"pipeline_id": pipeline["pipeline_id"]},
            "runtime_config": {"parameters": parameters},
        }

    def start(self, **parameters: str) -> str:
        status, run = self.ask("POST", "/apis/v2beta1/runs", self.body(str(uuid.uuid4()), **parameters))
        assert status == 200, run
        return str(run["run_id"])

    def executed(self, run_id: str) -> list[str]:
        log = (self.folder / "runs" / run_id / "log" / "pipeline.log").read_text(encoding="utf-8")
        return re.findall(r"Executing task \S*?'(\S+?)'", log)


@contextmanager
def serving(folder: Path, workplace: Path) -> Iterator[Server]:
    process = subprocess.Popen(
        [*QUIPU, "serve-pipelines", "--folder", str(folder), "--port", "0"],
        cwd=workplace,
        env=environment() | {"PYTHONUNBUFFERED": "1", "COLUMNS": "300"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        address = line.split("is on ")[1].split(";")[0]
        headers = {"Authorization": "Bearer " + (folder / "token").read_text()}
        with httpx.Client(base_url=address, headers=headers, timeout=30) as client:
            yield Server(process, folder, client)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("api")
    (folder / "config.yaml").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def server(workplace: Path) -> Iterator[Server]:
    with serving(workplace / "api", workplace) as running:
        yield running
    assert processes_of(workplace) == [], "nothing is left running"


@pytest.fixture(scope="module")
def parameters(workplace: Path) -> dict[str, str]:
    generate(200, 7, date(2026, 6, 30), workplace / "portfolio", lambda _: None)
    return {
        "source": str(workplace / "portfolio"),
        "mapping": str(ROOT / "pipelines" / "mappings" / "portfolio.yaml"),
        "config": str(workplace / "config.yaml"),
        "as_of": "2026-06-30",
        "code": "tests",
    }


def test_what_cannot_be_is_answered_as_a_real_server_does(server: Server, parameters: dict[str, str]) -> None:
    assert server.ask("GET", "/apis/v2beta1/healthz")[0] == recorded("healthz")[0]
    unknown = str(uuid.UUID(int=0))
    for path in (f"runs/{unknown}", "pipelines/names/quipu-trainin", f"pipelines/{unknown}/versions"):
        status, answer = server.ask("GET", f"/apis/v2beta1/{path}")
        assert (status, answer["code"]) == (404, recorded("run_unknown")[1]["code"])
    body = server.body(unknown, **parameters, nope="1")
    status, answer = server.ask("POST", "/apis/v2beta1/runs", body)
    expected, refusal = recorded("run_bad_parameter")
    assert (status, answer["code"]) == (expected, refusal["code"])
    assert answer["details"][0]["message"].endswith(refusal["details"][0]["message"])
    del body["runtime_config"]["parameters"]["nope"]
    for wrong in ({"run_id": "../../elsewhere"}, {"pipeline_version_reference": {}}, {"runtime_config": {}}):
        status, answer = server.ask("POST", "/apis/v2beta1/runs", body | wrong)
        assert (status, answer["code"]) == (400, 3)
    assert server.ask("GET", "/apis/v2beta1/runs")[1]["runs"] == []


def test_experiments_are_kept_by_name(server: Server) -> None:
    made = {"display_name": "monthly"}
    assert server.ask("POST", "/apis/v2beta1/experiments", made)[0] == 200
    status, answer = server.ask("POST", "/apis/v2beta1/experiments", made)
    assert (status, answer["code"]) == (409, recorded("experiment_create_duplicate")[1]["code"])
    predicate = {"key": "display_name", "operation": "EQUALS", "string_value": "monthly"}
    query = json.dumps({"predicates": [predicate]})
    _, found = server.ask("GET", f"/apis/v2beta1/experiments?filter={query}")
    assert [one["display_name"] for one in found["experiments"]] == ["monthly"]
    place = f"/apis/v2beta1/experiments/{found['experiments'][0]['experiment_id']}"
    assert [server.ask("DELETE", place)[0] for _ in range(2)] == [200, 404]
    listed = server.ask("GET", "/apis/v2beta1/experiments")[1]["experiments"]
    assert [one["display_name"] for one in listed] == ["Default"]
    assert server.ask("DELETE", f"/apis/v2beta1/experiments/{listed[0]['experiment_id']}")[0] == 400


def test_nobody_without_the_token_starts_or_sees_a_run(server: Server) -> None:
    for method, path in (("GET", "runs"), ("POST", "runs"), ("GET", "pipelines")):
        for token in ({}, {"Authorization": "Bearer wrong"}):
            address = f"{server.client.base_url}/apis/v2beta1/{path}"
            assert httpx.request(method, address, headers=token).status_code == 401
    assert (server.folder / "token").stat().st_mode & 0o077 == 0


def test_a_failure_names_its_task_and_the_log_its_reason(server: Server, parameters: dict[str, str]) -> None:
    run_id = server.start(**parameters | {"config": "missing.yaml"})
    eventually(lambda: server.run(run_id)["state"] == "FAILED")
    assert server.tasks(run_id) == {"ingest": "FAILED", "executor": "FAILED"}
    (node,) = {one["child_tasks"][0]["pod_name"] for one in server.run(run_id)["run_details"]["task_details"]}
    status, log = server.ask("GET", f"/apis/v1alpha1/runs/{run_id}/nodes/{node}/log")
    assert status == 200
    assert log.rstrip().splitlines()[-1] == "components.credit.errors.InputError: missing.yaml does not exist."
    assert server.ask("GET", f"/apis/v1alpha1/runs/{run_id}/nodes/other/log")[0] == 500
    page = httpx.get(server.client.base_url)
    assert page.headers["Content-Type"].startswith("text/html")
    assert f'id="/runs/details/{run_id}"' in page.text, "a run's link leads to it"
    assert "FAILED" in page.text
    assert str(parameters["source"]) not in page.text


def test_a_stopped_run_leaves_no_process_and_goes_on_with_a_retry(server: Server, parameters: dict[str, str]) -> None:
    run_id = server.start(**parameters)
    status, answer = server.ask("POST", "/apis/v2beta1/runs", server.body(run_id, **parameters))
    expected, refusal = recorded("run_create_same_id_again")
    assert (status, answer["code"]) == (expected, refusal["code"])
    assert "Duplicate entry" in answer["message"]
    assert server.ask("POST", f"/apis/v2beta1/runs/{run_id}:retry")[0] == 400, "it is under way"

    eventually(lambda: "validate" in server.tasks(run_id))
    assert server.ask("POST", f"/apis/v2beta1/runs/{run_id}:terminate") == recorded("run_terminate")
    eventually(lambda: server.run(run_id)["state"] == "CANCELED")
    assert processes_of(server.folder / "runs") == []
    assert [one["state"] for one in server.run(run_id)["state_history"]][-2:] == ["CANCELING", "CANCELED"]

    assert server.ask("POST", f"/apis/v2beta1/runs/{run_id}:retry") == recorded("run_retry")
    eventually(lambda: len(server.executed(run_id)) == 3)
    assert server.executed(run_id) == ["ingest", "validate", "validate"]
    server.ask("POST", f"/apis/v2beta1/runs/{run_id}:terminate")
    assert len(server.ask("GET", "/apis/v2beta1/runs")[1]["runs"]) == len(list((server.folder / "runs").iterdir()))


def test_a_run_goes_on_when_a_server_that_was_killed_starts_again(workplace: Path, parameters: dict[str, str]) -> None:
    folder = workplace / "killed"
    with serving(folder, workplace) as first:
        run_id = first.start(**parameters)
        eventually(lambda: "validate" in first.tasks(run_id))
        first.process.kill()
        first.process.wait()
    eventually(lambda: processes_of(folder / "runs") == [])
    with serving(folder, workplace) as second:
        eventually(lambda: len(second.executed(run_id)) == 3)
        assert second.executed(run_id) == ["ingest", "validate", "validate"]
        assert second.run(run_id)["state"] == "RUNNING"
    for line in processes_of(folder):  # the killed server could not end its store
        os.kill(int(line.split()[0]), signal.SIGKILL)
