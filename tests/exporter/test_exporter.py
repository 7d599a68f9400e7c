"""The exporter against answers of a real API server of Kubeflow Pipelines."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from kfp_runs import calls
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from components.exporter.metrics import RunMetrics
from components.exporter.runs import Source
from tests.dags import replay
from tests.dags.recorded_answers import BUSY, NOT_BUSY, TABLE, Reading

RECORDED = Path(__file__).resolve().parents[1] / "kfp_api"
Sample = dict[tuple[str, ...], float]


def recorded(name: str) -> Any:
    return json.loads((RECORDED / f"{name}.json").read_text())["response"]


@contextmanager
def replaying(answers: dict[str, Any], status: int = 200) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """A server that gives each path its answer; its address, and the paths and tokens that it was asked with."""
    asked: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("authorization", "")))
            body = json.dumps(answers.get(self.path.partition("?")[0], {})).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def scraped(source: Source) -> dict[str, Sample]:
    """What Prometheus would read: by metric, values by labels."""
    registry = CollectorRegistry()
    registry.register(RunMetrics(source))
    found: dict[str, Sample] = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        found[family.name] = {tuple(sample.labels.values()): sample.value for sample in family.samples}
    return found


@pytest.fixture
def runs() -> dict[str, Any]:
    """A cancelled run and a failed one as listed, and one that succeeded."""
    return {"/apis/v2beta1/runs": {"runs": [*recorded("run_list")["runs"], recorded("run_succeeded")]}}


def test_runs_and_stages_are_told_as_the_server_lists_them(runs: dict[str, Any]) -> None:
    with replaying(runs) as (address, asked):
        told = scraped(Source(address, "team-a"))
    assert told["credit_kubeflow_up"] == {(): 1}
    assert told["credit_run_state"] == {("fails", "CANCELED"): 1, ("fails", "FAILED"): 1, ("seam", "SUCCEEDED"): 1}
    assert told["credit_run_last_success_seconds"] == {("fails",): 0, ("seam",): 1795475061}
    assert told["credit_run_failed_stage"] == {("fails", "check"): 1}
    stages = {labels[1] for labels in told["credit_stage_duration_seconds"] if labels[0] == "seam"}
    assert stages == {"ingest", "feature", "evaluate"}
    assert all(0 < value < 600 for value in told["credit_stage_duration_seconds"].values())
    assert "namespace=team-a" in asked[0][0]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[replay.Server]:
    """A server with one run."""
    monkeypatch.setattr(calls, "_FIRST_PAUSE", 0.02)
    with replay.serving() as server:
        body = {"run_id": "11111111-2222-3333-4444-555555555555", "display_name": "one", "runtime_config": {}}
        server.runs[body["run_id"]] = replay.Run(body, ["run_pending"], datetime.now(UTC))
        yield server


@pytest.mark.parametrize("reading", TABLE, ids=lambda reading: reading.case)
def test_the_exporter_reads_an_answer_as_the_table_says(server: replay.Server, reading: Reading) -> None:
    (run,) = server.runs.values()
    run.ahead, server.changes = [reading.answer], reading.changes
    (read,) = Source(server.url).runs()
    assert read.state == reading.state
    assert {stage.name: stage.state for stage in read.stages} == reading.tasks
    told = scraped(Source(server.url))
    assert {state for _, state in told["credit_run_state"]} == {reading.state}
    assert tuple(stage for _, stage in told.get("credit_run_failed_stage", {})) == reading.failed


@pytest.mark.parametrize("status", BUSY + NOT_BUSY)
def test_the_exporter_asks_a_busy_server_again(server: replay.Server, status: int) -> None:
    server.fault("GET", "/runs", status)
    assert scraped(Source(server.url))["credit_kubeflow_up"] == {(): float(status in BUSY)}
    assert server.count("GET", "/runs") == 1 + (status in BUSY)


def test_a_run_of_an_uploaded_pipeline_has_its_name_by_one_more_question(runs: dict[str, Any]) -> None:
    for run in runs["/apis/v2beta1/runs"]["runs"]:
        del run["pipeline_spec"]
        run["pipeline_version_reference"] = {"pipeline_id": "p-1", "pipeline_version_id": "v-1"}
    runs["/apis/v2beta1/pipelines/p-1"] = {"pipeline_id": "p-1", "display_name": "quipu-training"}
    with replaying(runs) as (address, asked):
        told = scraped(Source(address))
    assert ("quipu-training", "FAILED") in told["credit_run_state"]
    assert len([path for path, _ in asked if "pipelines" in path]) == 1


def test_a_token_is_read_again_for_each_scrape(runs: dict[str, Any], tmp_path: Path) -> None:
    token = tmp_path / "token"
    with replaying(runs) as (address, asked):
        source = Source(address, token_file=str(token))
        for value in ("one", "two"):
            token.write_text(value)
            scraped(source)
    assert [given for _, given in asked] == ["Bearer one", "Bearer two"]


def test_an_api_server_that_is_away_or_ill_is_told_and_nothing_else(runs: dict[str, Any]) -> None:
    with replaying(runs, status=500) as (address, _):
        assert scraped(Source(address)) == {"credit_kubeflow_up": {(): 0}}
    assert scraped(Source(address)) == {"credit_kubeflow_up": {(): 0}}
