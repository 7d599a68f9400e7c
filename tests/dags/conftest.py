"""Airflow's own environment for these tests: a home of their own, made once, and a server that replays."""

import atexit
import importlib.metadata
import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
DAGS = HERE.parents[1] / "airflow" / "dags"


def _installed() -> bool:
    try:
        importlib.metadata.distribution("apache-airflow-core")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


if _installed():
    # Airflow reads its settings when it is imported, so they must stand before that.
    HOME = Path(tempfile.mkdtemp(prefix="quipu-airflow-"))
    atexit.register(shutil.rmtree, HOME, ignore_errors=True)
    os.environ |= {
        "AIRFLOW_HOME": str(HOME),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(
            [
                {
                    "name": name,
                    "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
                    "kwargs": {"path": str(path)},
                }
                for name, path in {"quipu": DAGS, "tests": HERE / "bundle"}.items()
            ]
        ),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "AIRFLOW__OPENLINEAGE__DISABLED": "True",
        "AIRFLOW__TRACES__OTEL_ON": "False",
        "NO_PROXY": "127.0.0.1",
    }
    sys.path[:0] = [str(DAGS), str(HERE)]
else:
    # Airflow cannot share the pipeline's environment; test_environment.py tells how to run the others.
    collect_ignore_glob = [
        f"test_{name}*.py"
        for name in ("as_of", "browser", "dag", "hook", "operator", "provider", "recorded", "trigger")
    ]


@pytest.fixture
def kfp(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A replaying API server that the connection ``kfp_default`` names."""
    from kfp_runs import calls, creation
    from replay import serving
    from standins import connect

    monkeypatch.setattr(calls, "_FIRST_PAUSE", 0.02)
    monkeypatch.setattr(creation, "_FIRST_LOOK_PAUSE", 0.02)
    monkeypatch.setattr(creation, "_LOOK_PAUSE", 0.02)
    with serving() as server:
        connect(monkeypatch, server.url)
        yield server


@pytest.fixture
def new_context() -> Callable[..., Any]:
    """Make the context of one task instance; the same store stands for another try of it."""
    from standins import Events, Store, TaskInstance

    def make(run_id: str = "manual__1", store: dict[str, Any] | None = None) -> Any:
        return {
            "ti": TaskInstance(run_id),
            "task_state_store": Store() if store is None else store,
            "outlet_events": Events(),
        }

    return make


@pytest.fixture(scope="session")
def database() -> None:
    """Airflow's metadata database, in SQLite."""
    from airflow.utils.db import initdb

    logging.getLogger("alembic").setLevel(logging.WARNING)
    initdb()
