"""Runs over real credit data, where they lie beside the project."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipelines.conftest import Outcome

FLAT = {"gmsc": 0.84, "taiwan": 0.76, "german": 0.72, "hmeq": 0.90, "heloc": 0.77}


def run_over(quipu: Callable[..., Outcome], mapping: str, data: Path, *more: str) -> dict:
    outcome = quipu("run", "--mapping", mapping, "--data", str(data), "--out", mapping, *more)
    assert outcome.code == 0, outcome.output + outcome.errors
    return json.loads((Path(quipu.folder) / mapping / "summary.json").read_text())  # type: ignore[attr-defined]


def test_superlender_reaches_its_floor_out_of_time(quipu: Callable[..., Outcome], shared_data: Path) -> None:
    summary = run_over(quipu, "superlender", shared_data / "superlender_ng")
    assert summary["models"][summary["champion"]]["auc"] >= 0.70
    lines = {
        "borrowers": ("traindemographics.csv", 1),
        "loans": ("trainprevloans.csv", 1),
        "applications": ("trainperf.csv", 1),
    }
    for table, (file, header) in lines.items():
        written = len((shared_data / "superlender_ng" / file).read_text().splitlines()) - header
        assert summary["rows"][table]["in"] == written
    for counts in summary["rows"].values():
        assert counts["in"] == counts["clean"] + counts["quarantined"]


@pytest.mark.parametrize("mapping", ["german", "hmeq", "heloc"])
def test_a_flat_set_needs_no_code_of_its_own(mapping: str, quipu: Callable[..., Outcome], shared_data: Path) -> None:
    summary = run_over(quipu, mapping, shared_data / mapping, "--config", "small.yaml")
    assert summary["models"][summary["champion"]]["auc"] >= FLAT[mapping]
    page = (Path(quipu.folder) / mapping / "report.html").read_text()  # type: ignore[attr-defined]
    assert "random" in page, "a set without dates says that its split is random"
