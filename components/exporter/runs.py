"""Runs and their stages, as Kubeflow Pipelines' REST API v2beta1 lists them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import urllib3

_NEWEST = 100  # runs that are read: two months of a daily and a few monthly pipelines
_WITHIN = ("iteration-", "for-loop-", "condition-")  # what the pipeline's graph adds to its stages
_SECONDS = 8.0  # less than Prometheus waits for a scrape


class ApiAway(Exception):
    """The API server does not answer, or not with runs."""


@dataclass(frozen=True)
class Stage:
    """A stage of a run: its name, state and seconds from start to end (None while it runs)."""

    name: str
    state: str
    seconds: float | None


@dataclass(frozen=True)
class Run:
    """A run.

    Args:
        pipeline: Name of the pipeline.
        state: As the API has it, such as SUCCEEDED.
        created: When it was asked for.
        ended: When it ended; None while it runs.
        stages: Its stages, as far as they were started.
    """

    pipeline: str
    state: str
    created: datetime
    ended: datetime | None
    stages: tuple[Stage, ...]


class Source:
    """The API server.

    Args:
        address: Its URL.
        namespace: Namespace whose runs are read; empty where there is but one.
        token_file: File with a bearer token; empty for none.
    """

    def __init__(self, address: str, namespace: str = "", token_file: str = "") -> None:
        self._address, self._namespace, self._token_file = address.rstrip("/"), namespace, token_file
        self._http = urllib3.PoolManager(timeout=_SECONDS, retries=urllib3.Retry(1, redirect=0))
        self._pipelines: dict[str, str] = {}

    def runs(self) -> list[Run]:
        """The newest runs, the newest first.

        Raises:
            ApiAway: It does not answer.
        """
        query = {"page_size": str(_NEWEST), "sort_by": "created_at desc"}
        if self._namespace:
            query["namespace"] = self._namespace
        listed = self._get(f"/apis/v2beta1/runs?{urlencode(query)}").get("runs", [])
        return [
            Run(
                self._pipeline(run),
                run.get("state", "PENDING"),
                _time(run["created_at"]) or datetime.now(UTC),
                _time(run.get("finished_at", "")),
                stages_of(run.get("run_details", {}).get("task_details", [])),
            )
            for run in listed
        ]

    def _pipeline(self, run: dict[str, Any]) -> str:
        """Name of a run's pipeline: in its specification, or else by the version that it names."""
        specification = run.get("pipeline_spec", {})
        specification = specification.get("pipeline_spec", specification)
        if name := specification.get("pipelineInfo", {}).get("name"):
            return str(name)
        key = run.get("pipeline_version_reference", {}).get("pipeline_id", "")
        if key and key not in self._pipelines:
            found = self._get(f"/apis/v2beta1/pipelines/{key}")
            self._pipelines[key] = found.get("name") or found.get("display_name", "unknown")
        return self._pipelines.get(key, "unknown")

    def _get(self, path: str) -> dict[str, Any]:
        headers = {}
        try:
            if self._token_file:
                headers["authorization"] = f"Bearer {Path(self._token_file).read_text(encoding='utf-8').strip()}"
            answered = self._http.request("GET", f"{self._address}{path}", headers=headers)
            if answered.status != 200:
                raise ApiAway(f"{self._address} answers {answered.status}")
            return dict(msgspec.json.decode(answered.data))
        except (urllib3.exceptions.HTTPError, OSError, msgspec.DecodeError) as error:
            raise ApiAway(f"{self._address} does not answer ({type(error).__name__})") from error


def stages_of(tasks: list[dict[str, Any]]) -> tuple[Stage, ...]:
    """The stages among a run's task details, which name drivers, executors, loops and attempts too."""
    stages = []
    for task in tasks:
        name = task.get("display_name", "")
        workflow = any(pod.get("pod_name", "").startswith(f"{name}-") for pod in task.get("child_tasks", []))
        within = name in ("", "root", "executor") or name.endswith("-driver") or "(" in name or workflow
        if within or name.startswith(_WITHIN) or "state" not in task:
            continue
        start, end = _time(task.get("start_time", "")), _time(task.get("end_time", ""))
        stages.append(Stage(name, task["state"], (end - start).total_seconds() if start and end else None))
    return tuple(stages)


def _time(text: str) -> datetime | None:
    """A moment; None for the API's ways to say that there is none."""
    if not text or text.startswith(("0001-", "1970-01-01")):
        return None
    return datetime.fromisoformat(text)
