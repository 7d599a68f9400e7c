"""What the command line answers at once."""

import subprocess
import sys
import tomllib

import pytest

from components.credit.book.store import Access
from components.credit.release.signing import new_key_pair
from pipelines.run import store_environment
from tests.pipelines.conftest import ROOT, environment

# Each takes from a tenth of a second to seconds to import.
SLOW = {"duckdb", "kfp", "kubernetes", "numpy", "pandas", "pyarrow", "sklearn", "xgboost"}


def modules_of(*arguments: str, **variables: str) -> tuple[set[str], str]:
    """The top-level modules that a command imports, and what it prints."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pipelines.commandline", *arguments],
        env=environment() | variables, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert "pipelines" in imported, "the list of modules is empty"
    return imported, done.stdout


@pytest.mark.parametrize("verb", [(), ("run",), ("models",), ("models", "rollback"), ("keys", "new")], ids=" ".join)
def test_help_needs_no_library_that_takes_long_to_import(verb: tuple[str, ...]) -> None:
    imported, printed = modules_of(*verb, "--help")
    assert "Usage:" in printed
    assert not imported & SLOW
    assert "rich" not in imported


def test_the_version_is_the_projects() -> None:
    imported, printed = modules_of("--version")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert printed == f"quipu {project['version']}\n"
    assert not imported & SLOW


def test_the_models_are_listed_without_loading_any(access: Access) -> None:
    _, public = new_key_pair()
    imported, printed = modules_of("models", "list", **store_environment(access), QUIPU_VERIFY_KEY=public)
    assert "Version" in printed
    assert not imported & SLOW
