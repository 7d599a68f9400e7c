"""The monitoring pipeline, once, over the champion of a finished run."""

import json
import os
from pathlib import Path

from components.credit.store import LANDING_BUCKET, Store
from pipelines.embedded import embedded_store
from pipelines.keys import key_environment
from pipelines.processes import running_pipeline
from pipelines.run import store_environment
from tests.pipelines.conftest import Outcome


def test_the_champion_is_watched_and_drift_is_told_only_where_there_is_any(
    finished: tuple[Path, Outcome], portfolio: Path, tmp_path: Path
) -> None:
    run, _ = finished
    summary = json.loads((run / "summary.json").read_text())
    with embedded_store(run / "store") as access:
        keys = Store(access).keys(LANDING_BUCKET, "")
        landed = {key.partition("/")[0]: f"s3://{LANDING_BUCKET}/{key}" for key in keys}
        parameters = {
            "source": str(portfolio),
            "mapping": landed["mappings"],
            "config": landed["configurations"],
            "as_of": "2026-06-30",
            "code": "test",
        }
        environment = store_environment(access) | key_environment(run.parent / "runs" / "keys")
        path = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).resolve().parents[2])])}
        with running_pipeline("monitoring", tmp_path, parameters, environment | path) as process:
            assert process.wait(timeout=400) == 0, (tmp_path / "log" / "pipeline.log").read_text()[-3000:]
    (artifacts,) = (tmp_path / "pipeline").glob("quipu-monitoring-*")
    findings = json.loads((artifacts / "monitor" / "findings").read_text())
    assert findings["model"] == summary["version"]
    told = [json.loads(line) for line in (tmp_path / "log" / "progress.jsonl").read_text().splitlines()]
    assert ("drift" in {event["stage"] for event in told}) is bool(findings["drift"])
    assert (artifacts / "monitor" / "page").read_text().startswith("#")
