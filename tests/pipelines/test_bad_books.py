"""Books that are hard to learn from, through whole runs: each works, or says in one sentence why not."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipelines.conftest import Outcome

MAPPING = """
lender: Cooperativa de prueba
currency: PEN
time_zone: America/Lima
as_of: 2024-06-30
sources: {requests: {files: requests.csv}}
tables:
  applications:
    - source: requests
      columns:
        application_id: number
        borrower_id: number
        event_time: decided
        decided_at: decided
        amount: amount
        outcome: {column: outcome, codes: {"0": good, "1": bad}}
attributes:
  savings: {column: savings, type: number, en: Savings, es: Ahorros}
absent: [borrowers, loans, repayments, bureau, transactions]
config:
  split: {embargo_days: 0}
  search: {folds: 2, forest_candidates: 1, xgboost_candidates: 1}
"""
Run = Callable[..., Outcome]


@pytest.fixture
def run(quipu: Callable[..., Outcome]) -> Run:
    """Runs over a book of 800 requests with so great a share of bads, decided on one day or over a year."""

    def call(name: str, bad_share: float, days: int, config: str = "") -> Outcome:
        rng = random.Random(9)
        folder = Path(quipu.folder) / f"book-{name}"  # type: ignore[attr-defined]
        folder.mkdir()
        lines = ["number,decided,amount,savings,outcome"]
        for number in range(800):
            bad = rng.random() < bad_share
            day = number * days // 800
            decided = f"2023-{1 + day // 28:02}-{1 + day % 28:02}"
            lines.append(f"{number},{decided},{rng.randrange(500, 9000)},{rng.gauss(-bad, 1):.3f},{bad:d}")
        (folder / "requests.csv").write_text("\n".join(lines))
        (folder / "mapping.yaml").write_text(MAPPING)
        (folder / "config.yaml").write_text(config)
        place = f"book-{name}"
        return quipu(
            "run", "--mapping", f"{place}/mapping.yaml", "--data", place, "--config", f"{place}/config.yaml",
            "--out", f"{place}/run",
        )  # fmt: skip

    return call


def test_a_bad_rate_of_sixty_per_cent_works(run: Run, quipu: Callable[..., Outcome]) -> None:
    outcome = run("sixty", 0.6, 300)
    assert outcome.code == 0, outcome.output + outcome.errors
    folder = Path(quipu.folder) / "book-sixty" / "run"  # type: ignore[attr-defined]
    summary = json.loads((folder / "summary.json").read_text())
    assert 0.5 < summary["models"][summary["champion"]]["bad_rate"] < 0.7
    assert "so the target cannot be studied" in (folder / "report.html").read_text()


def test_a_date_of_one_value_is_refused_in_one_sentence(run: Run) -> None:
    outcome = run("day", 0.3, 1)
    assert outcome.code == 1
    assert "All applications with a known outcome were decided on 2023-01-01" in " ".join(outcome.errors.split())
    assert "split.kind to random" in " ".join(outcome.errors.split())
    assert "Traceback" not in outcome.errors


def test_thirty_bads_are_refused_in_one_sentence_that_says_what_to_set(run: Run) -> None:
    outcome = run("thirty", 30 / 800, 300)
    assert outcome.code == 1
    said = " ".join(outcome.errors.split())
    assert "bads in" in said
    assert "limits.least_bads asks for 50" in said
    assert "Traceback" not in outcome.errors


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("/proc/run", "/proc/run cannot be written (No such file or directory); give another folder with --out."),
        ("a-file/run", "a-file/run cannot be written (Not a directory); give another folder with --out."),
    ],
)
def test_a_folder_that_cannot_be_written_is_refused_before_anything_runs(
    quipu: Callable[..., Outcome], out: str, words: str
) -> None:
    (Path(quipu.folder) / "a-file").write_text("")  # type: ignore[attr-defined]
    outcome = quipu("run", "--out", out)
    assert outcome.code == 1
    assert words in " ".join(outcome.errors.split())
    assert "Traceback" not in outcome.errors
