"""Stand-ins for what Airflow hands to an operator, and the connection that it finds."""

import json
from typing import Any

import pytest


def connect(monkeypatch: pytest.MonkeyPatch, url: str, **fields: object) -> None:
    """Let the connection ``kfp_default`` name a server."""
    connection = {"conn_type": "kfp", "host": url, "extra": {"timeout": 1, "ui_url": "http://kfp.test", **fields}}
    monkeypatch.setenv("AIRFLOW_CONN_KFP_DEFAULT", json.dumps(connection))


class Store(dict[str, Any]):
    """What a task instance keeps between its tries."""

    def set(self, key: str, value: object) -> None:
        self[key] = value


class TaskInstance:
    """The part of a task instance that the operators use."""

    def __init__(self, run_id: str) -> None:
        self.dag_id, self.run_id, self.task_id, self.map_index = "lending", run_id, "train", -1
        self.stats_tags: dict[str, str] = {}
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: object) -> None:
        self.pushed[key] = value


class Events(dict[Any, Any]):
    """Accessor of outlet events: one for each asset, made when it is asked for."""

    def __missing__(self, asset: Any) -> Any:
        event = self[asset] = type("Event", (), {"extra": {}})()
        return event
