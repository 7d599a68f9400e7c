"""A server that answers as a recorded Kubeflow Pipelines API server did, and that can be told to misbehave.

A run lives through recorded answers: each look at it moves it one answer on, and it stays at the last. Its
times are moved to now, its id and name are those that the client chose. The recordings lie in ``kfp_api``;
pipelines were not recorded and are made up here, in the form of the API's description.
"""

import json
import re
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

RECORDED = Path(__file__).resolve().parents[1] / "kfp_api"
FAILED_POD = "fails-bg5hj-system-container-impl-2567477270"

SUCCEEDS = ("run_pending", "run_running", "run_running_tasks", "run_succeeded")
FAILS = ("run_pending", "run_running", "run_failed")
NEVER_ENDS = ("run_pending", "run_running_tasks")
NEVER_STARTS = ("run_pending",)
AFTER_RETRY = ("run_retried", "run_succeeded")
AFTER_TERMINATE = ("run_canceled",)

_TIME = re.compile(r"\b(2026-\d\d-\d\dT\d\d:\d\d:\d\d)Z")


@dataclass
class Fault:
    """A request that goes wrong: ``what`` is a status, ``drop``, ``drop after`` (once it is done) or ``hang``.

    ``after`` such requests go well before it.
    """

    method: str
    path: str
    what: int | str
    after: int = 0


@dataclass
class Run:
    """A run and the answers that lie ahead of it."""

    body: dict[str, Any]
    ahead: list[str]
    created: datetime
    state: str = ""
    age: timedelta = timedelta()


@dataclass
class Server:
    """What the server knows and was asked.

    Attributes:
        life: Answers that a new run will give.
        after_retry: Answers of a run after ``:retry``.
        after_terminate: Answers of a run after ``:terminate``.
        pipelines: Name of each pipeline and the parameters that it takes; one that is uploaded takes any.
        token: Bearer token that is asked for; empty for none.
        changes: Values laid over the answers about runs, such as a state that does not exist yet.
        asked: Method and path of each request.
        created: Bodies of the runs that were created; the same id twice stands here twice, for it is two workflows.
        create_seconds: How long a POST of a run takes before the run can be seen, as on a real server.
        retried: Whether the pods that fail belong to tasks that may be retried, which have other names.
    """

    url: str = ""
    life: tuple[str, ...] = SUCCEEDS
    after_retry: tuple[str, ...] = AFTER_RETRY
    after_terminate: tuple[str, ...] = AFTER_TERMINATE
    pipelines: dict[str, list[str]] = field(default_factory=lambda: {"fails": ["rows"], "seam": ["rows", "parts"]})
    token: str = ""
    changes: dict[str, Any] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    created: list[dict[str, Any]] = field(default_factory=list)
    uploads: list[str] = field(default_factory=list)
    experiments: list[dict[str, Any]] = field(default_factory=list)
    runs: dict[str, Run] = field(default_factory=dict)
    create_seconds: float = 0.0
    retried: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)

    def fault(self, method: str, path: str, *what: int | str, after: int = 0) -> None:
        """Let the next requests whose path holds ``path`` go wrong, one by one, once ``after`` have gone well."""
        self.faults += [Fault(method, path, one, after if not number else 0) for number, one in enumerate(what)]

    def count(self, method: str, end: str) -> int:
        """How often a path with this end was asked for."""
        return sum(asked.startswith(method + " ") and asked.endswith(end) for asked in self.asked)

    def wait_until_asked(self, times: int, method: str, end: str, seconds: float = 60) -> None:
        """Wait until a path was asked for so often."""
        until = time.monotonic() + seconds
        while self.count(method, end) < times:
            assert time.monotonic() < until, f"{method} …{end} was asked only {self.count(method, end)} times"
            time.sleep(0.02)

    def take_fault(self, method: str, path: str) -> Fault | None:
        """The fault that the next such request meets."""
        with self.lock:
            for one in self.faults:
                if one.method == method and one.path in path:
                    if one.after:
                        one.after -= 1
                        return None
                    self.faults.remove(one)
                    return one
        return None

    def answer(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        """Status and answer of a request."""
        if (method, path) == ("POST", "/apis/v2beta1/runs"):
            time.sleep(self.create_seconds)
        with self.lock:
            if path.startswith("/apis/v1alpha1/runs/"):
                return self._log(path)
            rest = path.removeprefix("/apis/v2beta1/")
            if rest == "healthz":
                return recorded("healthz")
            if rest.startswith("runs"):
                return self._runs(method, rest, body)
            if rest.startswith("experiments"):
                return self._experiments(method, rest, body)
            if rest.startswith("pipelines"):
                return self._pipelines(method, rest, query)
            return 404, {"code": 5, "message": "Not Found"}

    def _runs(self, method: str, rest: str, body: dict[str, Any]) -> tuple[int, Any]:
        run_id, _, verb = rest.removeprefix("runs").removeprefix("/").partition(":")
        if not run_id and method == "GET":
            return 200, {"runs": [self._told(run, run.ahead[0])[1] for run in reversed(self.runs.values())]}
        if not run_id:
            return self._create(body)
        run = self.runs.get(run_id)
        if run is None:
            status, answer = recorded("run_unknown")
            return status, json.loads(json.dumps(answer).replace("00000000-0000-0000-0000-000000000000", run_id))
        if verb == "terminate":
            if run.state not in {"FAILED", "SUCCEEDED", "CANCELED"}:
                run.ahead = list(self.after_terminate)
            return recorded("run_terminate")
        if verb == "retry":
            run.ahead = list(self.after_retry)
            return recorded("run_retry")
        if len(run.ahead) > 1:
            return self._told(run, run.ahead.pop(0))
        return self._told(run, run.ahead[0])

    def _create(self, body: dict[str, Any]) -> tuple[int, Any]:
        self.created.append(body)
        if body["run_id"] in self.runs:
            return recorded("run_create_same_id_again")
        known = self.pipelines[body["pipeline_version_reference"]["pipeline_id"].removeprefix("id-of-")]
        if known and set(body["runtime_config"]["parameters"]) - set(known):
            return recorded("run_bad_parameter")
        run = Run(body, list(self.life), datetime.now(UTC))
        self.runs[body["run_id"]] = run
        return self._told(run, "run_create_with_id")

    def _told(self, run: Run, name: str) -> tuple[int, Any]:
        status, answer = recorded(name)
        start = datetime.fromisoformat(answer["created_at"])
        shift = run.created - run.age - start

        def moved(found: re.Match[str]) -> str:
            return f"{datetime.fromisoformat(found[1] + '+00:00') + shift:%Y-%m-%dT%H:%M:%SZ}"

        text = _TIME.sub(moved, json.dumps(answer).replace(answer["run_id"], run.body["run_id"]))
        told = json.loads(text) | {
            "display_name": run.body["display_name"],
            "runtime_config": run.body["runtime_config"],
            **self.changes,
        }
        run.state = told["state"]
        return status, told

    def _experiments(self, method: str, rest: str, body: dict[str, Any]) -> tuple[int, Any]:
        status, listed = recorded("experiment_list")
        if method == "DELETE":
            gone = [one for one in self.experiments if one["experiment_id"] == rest.partition("/")[2]]
            self.experiments = [one for one in self.experiments if one not in gone]
            return (200, {}) if gone else (404, {"code": 5, "message": "Experiment not found"})
        listed["experiments"] += self.experiments
        if method == "GET":
            return status, listed
        if body["display_name"] in {one["display_name"] for one in listed["experiments"]}:
            return recorded("experiment_create_duplicate")
        status, made = recorded("experiment_create")
        made |= body
        if self.experiments:  # ids are unique
            made["experiment_id"] = str(uuid.uuid4())
        self.experiments.append(made)
        return status, made

    def _log(self, path: str) -> tuple[int, Any]:
        pod = FAILED_POD.replace("-system-", "-retry-system-") if self.retried else FAILED_POD
        if unquote(path).endswith(f"/nodes/{pod}/log"):
            return 200, (RECORDED / "node_log.txt").read_text(encoding="utf-8")
        return recorded("node_log_unknown_pod")

    def _pipelines(self, method: str, rest: str, query: dict[str, str]) -> tuple[int, Any]:
        parts = rest.split("/")
        if parts[1:2] == ["upload"]:
            if query["name"] in self.pipelines:
                return _exists(query["name"])
            self.pipelines[query["name"]] = []
            return 200, _pipeline(query["name"])
        if parts[1:2] == ["upload_version"]:
            if query["name"] in self.uploads:
                return _exists(query["name"])
            self.uploads.append(query["name"])
            return 200, {"pipeline_id": query["pipelineid"], "pipeline_version_id": f"id-of-{query['name']}"}
        if parts[1:2] == ["names"]:
            name = unquote(parts[2])
            if name not in self.pipelines:
                return 404, {"code": 5, "message": f"ResourceNotFoundError: Pipeline {name} not found"}
            return 200, _pipeline(name)
        if parts[-1] == "versions":
            name = parts[1].removeprefix("id-of-")
            versions = [_version(name, upload, []) for upload in reversed(self.uploads)]
            return 200, {"pipeline_versions": [*versions, _version(name, f"{name} 1", self.pipelines[name])]}
        assert method == "GET", rest
        return 200, {"pipelines": [_pipeline(name) for name in self.pipelines]}


def recorded(name: str) -> tuple[int, Any]:
    """Status and response of a recorded exchange."""
    exchange = json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))
    return exchange["status"], exchange["response"]


def _exists(name: str) -> tuple[int, Any]:
    return 409, {
        "code": 6,
        "message": f"Already exist error: The name {name} already exists. Please specify a new name",
    }


def _pipeline(name: str) -> dict[str, Any]:
    return {"pipeline_id": f"id-of-{name}", "name": name, "display_name": name}


def _version(pipeline: str, name: str, parameters: list[str]) -> dict[str, Any]:
    declared = {parameter: {"parameterType": "STRING"} for parameter in parameters}
    if "parts" in declared:
        declared["parts"] = {"parameterType": "NUMBER_INTEGER", "defaultValue": 2}  # type: ignore[dict-item]
    return {
        "pipeline_id": f"id-of-{pipeline}",
        "pipeline_version_id": f"id-of-{name}",
        "name": name,
        "display_name": name,
        "pipeline_spec": {"root": {"inputDefinitions": {"parameters": declared}}},
    }


@contextmanager
def serving() -> Iterator[Server]:
    """A server on a free port of this machine."""
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def do_DELETE(self) -> None:
            self._answer()

        def _answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            server.asked.append(f"{self.command} {parts.path}")
            fault = server.take_fault(self.command, parts.path)
            if fault and fault.what == "hang":
                time.sleep(3)
            if fault and fault.what in {"drop", "hang"}:
                self.close_connection = True
                return
            if fault and isinstance(fault.what, int):
                self._send(fault.what, {"code": 13, "message": "Internal Server Error"})
                return
            if server.token and self.headers.get("Authorization") != f"Bearer {server.token}":
                self._send(401, {"code": 16, "message": "Unauthenticated: token has expired"})
                return
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            is_json = self.headers.get("Content-Type") == "application/json"
            answer = server.answer(self.command, parts.path, query, json.loads(content) if is_json else {})
            if fault:  # drop after
                self.close_connection = True
                return
            self._send(*answer)

        def _send(self, status: int, answer: Any) -> None:
            text = answer if isinstance(answer, str) else json.dumps(answer)
            data = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if isinstance(answer, str) else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
