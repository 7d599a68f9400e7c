"""The monitoring pipeline, once, over the champion of a finished run."""

import json
from pathlib import Path

from tests.pipelines.conftest import Outcome, after


def test_the_champion_is_watched_and_drift_is_told_only_where_there_is_any(
    finished: tuple[Path, Outcome], portfolio: Path, tmp_path: Path
) -> None:
    run, _ = finished
    summary = json.loads((run / "summary.json").read_text())
    with after(run, "monitoring", portfolio, tmp_path) as (artifacts, _):
        findings = json.loads((artifacts / "monitor" / "findings").read_text())
    assert findings["model"] == summary["version"]
    told = [json.loads(line) for line in (tmp_path / "log" / "progress.jsonl").read_text().splitlines()]
    assert ("drift" in {event["stage"] for event in told}) is bool(findings["drift"])
    assert (artifacts / "monitor" / "page").read_text().startswith("#")
