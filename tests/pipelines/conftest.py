"""Whole runs through the command line, as a user would make them."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.credit.book.store import LANDING_BUCKET, Store
from pipelines.embedded import embedded_store
from pipelines.keys import key_environment
from pipelines.processes import running_pipeline
from pipelines.run import store_environment

QUIPU = (sys.executable, "-m", "pipelines.commandline")
ROOT = Path(__file__).resolve().parents[2]
# Small enough for a test, large enough for a champion.
SMALL = """
search: {folds: 3, forest_candidates: 2, xgboost_candidates: 3}
limits: {least_bads: 20}
"""


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    output: str
    errors: str


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("QUIPU_")}
    return kept | {"PYTHONPATH": str(ROOT), "COLUMNS": "80"}


@pytest.fixture(scope="session")
def quipu(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Outcome]:
    """Runs ``quipu`` with these arguments in a folder of its own (one for the session, so that keys are kept)."""
    folder = tmp_path_factory.mktemp("workplace")
    (folder / "small.yaml").write_text(SMALL)

    def call(*arguments: str, timeout: float = 400) -> Outcome:
        done = subprocess.run(
            [*QUIPU, *arguments], cwd=folder, env=environment(), capture_output=True, text=True, timeout=timeout
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    call.folder = folder  # type: ignore[attr-defined]
    return call


@pytest.fixture(scope="session")
def portfolio(quipu: Callable[..., Outcome]) -> Path:
    """A small synthetic portfolio."""
    made = quipu("generate", "--borrowers", "2000", "--seed", "7", "--as-of", "2026-06-30", "--out", "portfolio")
    assert made.code == 0, made.errors
    return Path(quipu.folder) / "portfolio"  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def finished(quipu: Callable[..., Outcome], portfolio: Path) -> tuple[Path, Outcome]:
    """A finished run over the small portfolio: its folder and what it printed."""
    outcome = quipu("run", "--data", str(portfolio), "--as-of", "2026-06-30", "--config", "small.yaml", "--out", "done")
    assert outcome.code == 0, outcome.output + outcome.errors
    folder = Path(quipu.folder) / "done"  # type: ignore[attr-defined]
    assert (folder.parent / "runs" / "latest").resolve() == folder.resolve(), "the last run is the latest"
    return folder, outcome


@contextmanager
def after(run: Path, name: str, portfolio: Path, folder: Path) -> Iterator[tuple[Path, Store]]:
    """The artifacts of another pipeline, run once over the store and the mapping of a finished run; and that store."""
    with embedded_store(run / "store") as access:
        store = Store(access)
        landed = {key.partition("/")[0]: f"s3://{LANDING_BUCKET}/{key}" for key in store.keys(LANDING_BUCKET, "")}
        parameters = {
            "source": str(portfolio),
            "mapping": landed["mappings"],
            "config": landed["configurations"],
            "as_of": "2026-06-30",
            "code": "test",
        }
        keys = key_environment(run.parent / "runs" / "keys")
        where = store_environment(access) | keys | {"PYTHONPATH": str(ROOT)}
        with running_pipeline(name, folder, parameters, where) as process:
            assert process.wait(timeout=400) == 0, (folder / "log" / "pipeline.log").read_text()[-3000:]
        (artifacts,) = (folder / "pipeline").glob(f"quipu-{name}-*")
        yield artifacts, store
