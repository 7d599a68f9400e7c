"""Runs and their stages, for Prometheus."""

from dataclasses import dataclass
from datetime import UTC, datetime

from kfp_runs import answers, calls
from kfp_runs.client import Client
from kfp_runs.runs import final_state, tasks_of
from kfp_runs.server import Server

_NEWEST = 100  # runs that are read: two months of a daily and a few monthly pipelines
_SECONDS = 4.0  # of one request, which is sent twice at most: less than Prometheus waits for a scrape
_ATTEMPTS = 2


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
        state: As the API has it, such as SUCCEEDED; CANCELED where somebody cancelled it.
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
        server = Server(address.rstrip("/"), namespace, token_path=token_file, timeout=_SECONDS)
        self._client = Client(server, _ATTEMPTS)
        self._pipelines: dict[str, str] = {}

    def runs(self) -> list[Run]:
        """The newest runs, the newest first.

        Raises:
            ServerError: It does not answer, or not with runs.
        """
        listed = self._client.ask(calls.list_runs(self._client.server.namespace, _NEWEST)).runs or []
        return [
            Run(
                self._pipeline(run),
                final_state(run),
                answers.happened(run.created_at) or datetime.now(UTC),
                answers.happened(run.finished_at),
                stages_of(run),
            )
            for run in listed
        ]

    def _pipeline(self, run: answers.Run) -> str:
        """Name of a run's pipeline: in its specification, or else by the version that it names."""
        info = run.pipeline_spec.inner.pipeline_info if run.pipeline_spec else None
        if info and info.name:
            return info.name
        key = run.pipeline_version_reference.pipeline_id if run.pipeline_version_reference else ""
        if key and key not in self._pipelines:
            self._pipelines[key] = self._client.ask(calls.get_pipeline(key)).title or "unknown"
        return self._pipelines.get(key, "unknown")


def stages_of(run: answers.Run) -> tuple[Stage, ...]:
    """The stages of a run that have started, by name."""
    return tuple(Stage(task.name, task.state, task.seconds) for task in tasks_of(run))
