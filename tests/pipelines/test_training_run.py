"""The whole pipeline, once on a small portfolio, and what a run leaves behind."""

import csv
import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipelines.conftest import QUIPU, Outcome, environment
from tests.processes import processes_of

FIGURES = {"auc", "auc_low", "auc_high", "ks", "gini", "brier", "accuracy", "precision", "recall", "f1"}


def test_summary_holds_the_figures_of_all_three_models(finished: tuple[Path, Outcome]) -> None:
    folder, _ = finished
    summary = json.loads((folder / "summary.json").read_text())
    assert set(summary["models"]) == {"scorecard", "random_forest", "xgboost"}
    assert summary["champion"] in summary["models"]
    for figures in summary["models"].values():
        assert set(figures) >= FIGURES
        assert 0.6 < figures["auc"] < 0.95
        assert figures["auc_low"] < figures["auc"] < figures["auc_high"]
        assert figures["gini"] == pytest.approx(2 * figures["auc"] - 1, abs=1e-5)
    assert set(summary["stages"]) == {
        "ingest", "validate", "feature", "train-sklearn", "train-xgboost", "evaluate", "deploy"
    }  # fmt: skip
    assert all(stage["seconds"] > 0 for stage in summary["stages"].values())
    assert Path(folder.parent, summary["report"]).is_file()
    assert Path(folder.parent, summary["model"], "model.json").is_file()


def test_no_row_disappears(finished: tuple[Path, Outcome], portfolio: Path) -> None:
    folder, _ = finished
    rows = json.loads((folder / "summary.json").read_text())["rows"]
    for counts in rows.values():
        assert counts["in"] == counts["clean"] + counts["quarantined"]
    for pattern, table in {"clientes*.csv": "borrowers", "movimientos*.csv": "transactions"}.items():
        written = 0
        for file in portfolio.glob(pattern):
            with file.open(encoding="latin-1", newline="") as opened:
                written += sum(1 for row in csv.reader(opened, delimiter=";") if row) - 1
        assert written > 0
        assert rows[table]["in"] == written
    assert sum(counts["quarantined"] for counts in rows.values()) > 0, "the portfolio has bad rows, to be found"


def test_the_report_needs_nothing_from_outside(finished: tuple[Path, Outcome]) -> None:
    page = (finished[0] / "report.html").read_text(encoding="utf-8")
    assert not re.findall(r'(?:src|href)="https?:', page)
    assert page.count("<svg") >= 6


def test_the_run_ends_with_a_scored_application(finished: tuple[Path, Outcome]) -> None:
    folder, outcome = finished
    assert re.search(r"Probability of bad \d+\.\d% · -?\d+ points · band [A-E]", outcome.output)
    assert "curl -s" in outcome.output
    assert str(folder.name) + "/report.html" in outcome.output


def test_nothing_is_left_running(finished: tuple[Path, Outcome]) -> None:
    assert processes_of(finished[0]) == []


def test_output_without_a_terminal_is_plain_lines(finished: tuple[Path, Outcome]) -> None:
    _, outcome = finished
    assert "\x1b" not in outcome.output
    assert re.search(r"^ingest +done +[\d.]+ s +[\d,]+ rows$", outcome.output, re.MULTILINE)


def test_the_champion_can_be_listed_shown_and_asked(
    finished: tuple[Path, Outcome], quipu: Callable[..., Outcome]
) -> None:
    folder, _ = finished
    summary = json.loads((folder / "summary.json").read_text())
    listed = quipu("models", "list", "--run", "done")
    assert summary["version"] in listed.output, listed.errors
    assert "champion" in listed.output
    shown = quipu("models", "show", "champion", "--run", "done")
    assert summary["version"] in shown.output
    scored = quipu("score", "done/application.json", "--run", "done")
    assert "Probability of bad" in scored.output, scored.errors
    assert (
        scored.output.strip()
        in re.sub(r"\n{2,}.*", "", finished[1].output[finished[1].output.index("Probability") :], flags=re.DOTALL)
        + "\n"
    )


def test_same_inputs_give_the_same_model_and_report(
    finished: tuple[Path, Outcome], quipu: Callable[..., Outcome], portfolio: Path
) -> None:
    folder, _ = finished
    again = quipu("run", "--data", str(portfolio), "--as-of", "2026-06-30", "--config", "small.yaml", "--out", "again")
    assert again.code == 0, again.output + again.errors
    other = folder.parent / "again"
    for file in ("model/model.json", "report.html", "application.json"):
        assert (folder / file).read_bytes() == (other / file).read_bytes(), f"{file} differs"


def test_ctrl_c_leaves_no_process_behind(quipu: Callable[..., Outcome], portfolio: Path) -> None:
    folder = Path(quipu.folder) / "stopped"  # type: ignore[attr-defined]
    running = subprocess.Popen(
        [*QUIPU, "run", "--data", str(portfolio), "--as-of", "2026-06-30", "--out", str(folder)],
        cwd=folder.parent,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_stage(folder, "ingest")
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=30)
    assert running.returncode == 130
    assert "Traceback" not in errors
    assert processes_of(folder) == []
    assert not (folder / "summary.json").exists()


def test_a_store_that_dies_ends_the_run_with_one_sentence(quipu: Callable[..., Outcome], portfolio: Path) -> None:
    folder = Path(quipu.folder) / "storeless"  # type: ignore[attr-defined]
    running = subprocess.Popen(
        [*QUIPU, "run", "--data", str(portfolio), "--as-of", "2026-06-30", "--out", str(folder)],
        cwd=folder.parent,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_stage(folder, "validate")
    server = next(line for line in processes_of(folder) if "weed" in line)
    subprocess.run(["kill", "-9", server.split()[0]], check=True)
    _, errors = running.communicate(timeout=120)
    assert running.returncode == 1
    assert "Traceback" not in errors
    assert "store" in errors
    assert "log" in errors
    assert processes_of(folder) == []


def wait_for_stage(folder: Path, stage: str) -> None:
    events = folder / "log" / "progress.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if events.exists() and f'"stage": "{stage}"' in events.read_text():
            return
        time.sleep(0.05)
    raise AssertionError(f"{stage} never started")
