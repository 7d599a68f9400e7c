"""Runs of pipelines on this machine as Kubeflow Pipelines keeps them: by id, with a state and a history, in a folder.

``<folder>/<run id>/run.json`` is what is known of a run, written anew at each change; beside it lie its artifacts and
its log. What was under way when the process ended goes on when it starts again, as runs on a cluster go on without the
API server.
"""

import re
import subprocess
import threading
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from pipelines.processes import end, running_pipeline

ENDED = frozenset({"SUCCEEDED", "FAILED", "CANCELED"})

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_EXECUTING = re.compile(r"[\d:.]+ - INFO - Executing task '(.+)'")
_FINISHED = re.compile(r"[\d:.]+ - \w+ - Task '(.+)' finished with status (SUCCESS|FAILURE)")
_TASK_STATES = {"SUCCESS": "SUCCEEDED", "FAILURE": "FAILED"}
_TASK_INDENT = "    "  # by which kfp.local sets off what a task prints


class RunExists(Exception):
    """There is a run of that id already."""


class CannotGoOn(Exception):
    """A run is not in a state from which it can be retried."""


class Run(msgspec.Struct):
    """One run: who asked for what, and where it stands.

    Args:
        run_id: Its id, chosen by the client.
        pipeline: Name of its compiled spec, such as ``training``.
        request: The request that created it.
        created_at: When it was created.
        history: Its states in order, each with the moment at which it began.
    """

    run_id: str
    pipeline: str
    request: dict[str, Any]
    created_at: datetime
    history: list[tuple[datetime, str]]

    @property
    def state(self) -> str:
        """PENDING, RUNNING, CANCELING, SUCCEEDED, FAILED or CANCELED."""
        return self.history[-1][1]

    @property
    def finished_at(self) -> datetime | None:
        """When it ended; None while it has not."""
        return self.history[-1][0] if self.state in ENDED else None


class Runs:
    """The runs in a folder.

    Args:
        folder: Folder that holds them.
        environment: Where their tasks find the store and the keys.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._lock = threading.RLock()
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._closing = False
        folder.mkdir(parents=True, exist_ok=True)
        found = [msgspec.json.decode(path.read_bytes(), type=Run) for path in folder.glob("*/run.json")]
        self._runs = {run.run_id: run for run in sorted(found, key=lambda run: run.created_at)}
        for run in self._runs.values():
            if run.state == "CANCELING":
                self._enter(run, "CANCELED")
            elif run.state not in ENDED:
                self._start(run)

    def create(self, run_id: str, pipeline: str, request: dict[str, Any]) -> Run:
        """Start a run.

        Raises:
            RunExists: There is one of that id.
        """
        with self._lock:
            if run_id in self._runs:
                raise RunExists
            run = Run(run_id, pipeline, request, _now(), [])
            (self._folder / run_id).mkdir(exist_ok=True)
            self._runs[run_id] = run
            self._enter(run, "PENDING")
            self._start(run)
            return run

    def find(self, run_id: str) -> Run | None:
        """A run by its id."""
        return self._runs.get(run_id)

    def newest_first(self) -> list[Run]:
        """All runs."""
        with self._lock:
            return list(reversed(self._runs.values()))

    def terminate(self, run: Run) -> None:
        """End a run and all its processes; one that is over stays as it is."""
        with self._lock:
            if run.state in ENDED or run.state == "CANCELING":
                return
            self._enter(run, "CANCELING")
            child = self._children.get(run.run_id)
        if child is not None:
            end(child)

    def retry(self, run: Run) -> None:
        """Let a run go on that failed or was cancelled; tasks that succeeded are kept.

        Raises:
            CannotGoOn: It is under way, or succeeded.
        """
        with self._lock:
            if run.state not in {"FAILED", "CANCELED"}:
                raise CannotGoOn
            self._enter(run, "PENDING")
            self._start(run)

    def close(self) -> None:
        """End all processes; what was under way goes on when the folder is opened again."""
        with self._lock:
            self._closing = True
            children = list(self._children.values())
        for child in children:
            end(child)
        for thread in list(self._threads.values()):
            thread.join()

    def tasks(self, run: Run) -> dict[str, str]:
        """State of each task that was started, by name: RUNNING, SUCCEEDED or FAILED."""
        states: dict[str, str] = {}
        for line in self._log(run):
            if started := _EXECUTING.fullmatch(line):
                states[started[1]] = "RUNNING"
            elif finished := _FINISHED.fullmatch(line):
                states[finished[1]] = _TASK_STATES[finished[2]]
        if run.state in ENDED:  # the end of what was interrupted, or ran beside others, may be missing in the log
            last = "SUCCEEDED" if run.state == "SUCCEEDED" else "FAILED"
            states = {name: last if state == "RUNNING" else state for name, state in states.items()}
        return states

    def task_log(self, run: Run, task: str) -> str:
        """What a task printed when it was last run; empty where it never was."""
        lines: list[str] = []
        printing = False
        for line in self._log(run):
            if started := _EXECUTING.fullmatch(line):
                printing = started[1] == task
                lines = [] if printing else lines
            elif printing and line.startswith(_TASK_INDENT):
                lines.append(line.removeprefix(_TASK_INDENT))
        return "\n".join(lines)

    def last_words(self, run: Run) -> str:
        """The last line of a run's log."""
        return next((line.strip() for line in reversed(self._log(run)) if line.strip()), "it ended without a word")

    def _start(self, run: Run) -> None:
        thread = threading.Thread(target=self._drive, args=[run], name=run.run_id)
        self._threads[run.run_id] = thread
        thread.start()

    def _drive(self, run: Run) -> None:
        parameters = (run.request.get("runtime_config") or {}).get("parameters") or {}
        with ExitStack() as stack:
            with self._lock:
                if self._closing:
                    return
                if run.state == "CANCELING":
                    self._enter(run, "CANCELED")
                    return
                environment = {**self._environment, "QUIPU_RUN": run.run_id}  # kfp.local gives runs ids of its own
                process = running_pipeline(run.pipeline, self._folder / run.run_id, parameters, environment)
                child = self._children[run.run_id] = stack.enter_context(process)
                self._enter(run, "RUNNING")
            child.wait()
        with self._lock:
            del self._children[run.run_id]
            if run.state == "CANCELING":
                self._enter(run, "CANCELED")
            elif not self._closing:
                self._enter(run, "SUCCEEDED" if child.returncode == 0 else "FAILED")

    def _enter(self, run: Run, state: str) -> None:
        run.history.append((_now(), state))
        written = self._folder / run.run_id / "run.json"
        part = written.with_suffix(".part")
        part.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1))
        part.replace(written)

    def _log(self, run: Run) -> list[str]:
        path = self._folder / run.run_id / "log" / "pipeline.log"
        if not path.exists():
            return []
        return [_COLOUR.sub("", line) for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]


def _now() -> datetime:
    return datetime.now(UTC)
