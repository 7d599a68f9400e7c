"""The part of Kubeflow Pipelines' REST API v2beta1 that its clients need to run pipelines, over this machine.

A client that starts, watches, stops and retries runs on a cluster does the same here, and is answered alike
(``tests/kfp_api`` holds the answers of a real server). The pipelines are those that are compiled beside this module.
The server listens on the loopback only and asks for the bearer token that lies in its folder, since who may start
runs may read what their user reads.
"""

import hmac
import json
import re
import secrets
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from components.credit.book.documents import read_json, write_json
from components.credit.errors import InputError
from pipelines.kubeflow_page import page
from pipelines.kubeflow_pipelines import CompiledPipeline, compiled_pipelines
from pipelines.kubeflow_runs import CannotGoOn, Run, RunExists, Runs
from pipelines.revision import code_revision

_SPECS = Path(__file__).parent
_V2, _V1 = "/apis/v2beta1/", "/apis/v1alpha1/"
_OPEN = ("/", f"{_V2}healthz")  # to whoever is on this machine
_LARGEST_BODY = 1 << 20  # bytes
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
# gRPC's codes and the status that each has over HTTP.
_STATUS = {3: 400, 5: 404, 6: 409, 13: 500, 16: 401}
_INVALID, _UNKNOWN, _EXISTS, _INTERNAL, _UNAUTHENTICATED = _STATUS


class Refused(Exception):
    """A request that is answered with an error.

    Args:
        code: gRPC's code.
        message: What is wrong.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@contextmanager
def serving(folder: Path, environment: dict[str, str], port: int) -> Iterator[ThreadingHTTPServer]:
    """A server on the loopback for as long as the context lasts; its runs end with it and go on with the next one.

    Args:
        folder: Holds runs, experiments and ``token``.
        environment: Where tasks find the store and the keys.
        port: Port; 0 is any free one.

    Raises:
        InputError: The port is taken.
    """
    folder.mkdir(parents=True, exist_ok=True)
    token = folder / "token"
    if not token.exists():
        token.touch(mode=0o600)
        token.write_text(secrets.token_urlsafe(32), encoding="utf-8")
    with ExitStack() as stack:
        runs = Runs(folder / "runs", environment)
        stack.callback(runs.close)
        answers = Answers(folder, runs)
        try:
            server = ThreadingHTTPServer(("127.0.0.1", port), _handler(answers, token.read_text(encoding="utf-8")))
        except OSError as error:
            raise InputError(f"The port {port} cannot be used ({error.strerror}); give another with --port.") from error
        stack.callback(server.server_close)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        stack.callback(thread.join)
        stack.callback(server.shutdown)
        yield server


class Answers:
    """What the server answers, apart from HTTP.

    Args:
        folder: Holds the experiments.
        runs: The runs.
    """

    def __init__(self, folder: Path, runs: Runs) -> None:
        self._runs = runs
        self._folder = folder / "runs"
        self._pipelines = {pipeline.pipeline_id: pipeline for pipeline in compiled_pipelines(_SPECS)}
        self._experiments_file = folder / "experiments.json"
        self._experiments: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        if self._experiments_file.exists():
            self._experiments = read_json(str(self._experiments_file))
        else:
            self._add_experiment("Default")
        self._routes: list[tuple[str, re.Pattern[str], Callable[..., Any]]] = [
            ("GET", re.compile("/"), self._page),
            ("GET", re.compile(f"{_V2}healthz"), self._health),
            ("GET", re.compile(f"{_V2}experiments"), self._list_experiments),
            ("POST", re.compile(f"{_V2}experiments"), self._create_experiment),
            ("DELETE", re.compile(f"{_V2}experiments/([^/]+)"), self._delete_experiment),
            ("GET", re.compile(f"{_V2}pipelines"), self._list_pipelines),
            ("GET", re.compile(f"{_V2}pipelines/names/([^/]+)"), self._pipeline_by_name),
            ("GET", re.compile(f"{_V2}pipelines/([^/]+)"), self._pipeline),
            ("GET", re.compile(f"{_V2}pipelines/([^/]+)/versions"), self._list_versions),
            ("GET", re.compile(f"{_V2}runs"), self._list_runs),
            ("POST", re.compile(f"{_V2}runs"), self._create_run),
            ("GET", re.compile(f"{_V2}runs/([^/:]+)"), self._run),
            ("POST", re.compile(f"{_V2}runs/([^/:]+):terminate"), self._terminate),
            ("POST", re.compile(f"{_V2}runs/([^/:]+):retry"), self._retry),
            ("GET", re.compile(f"{_V1}runs/([^/]+)/nodes/([^/]+)/log"), self._node_log),
        ]

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Mapping[str, Any]) -> Any:
        """The answer to a request: text, or what becomes JSON.

        Raises:
            Refused: The request cannot be fulfilled.
        """
        for known, pattern, route in self._routes:
            found = pattern.fullmatch(path)
            if found and known == method:
                return route(*map(unquote, found.groups()), query=query, body=body)
        raise Refused(_UNKNOWN, "Not Found")

    def _page(self, **_: Any) -> Any:
        return page([self._told(run) for run in self._runs.newest_first()], self._folder)

    def _health(self, **_: Any) -> Any:
        return {"commit_sha": code_revision(), "tag_name": "quipu", "multi_user": False, "pipeline_store": "database"}

    def _list_experiments(self, query: Mapping[str, str], **_: Any) -> Any:
        return {"experiments": _matching(self._experiments, query), "total_size": len(self._experiments)}

    def _create_experiment(self, body: Mapping[str, Any], **_: Any) -> Any:
        name = str(body.get("display_name") or "")
        if not name:
            raise Refused(_INVALID, "Experiment's display_name is empty. Please specify a valid name")
        with self._lock:
            if name in {one["display_name"] for one in self._experiments}:
                raise Refused(_EXISTS, f"Failed to create a new experiment. The name {name} already exists.")
            return self._add_experiment(name)

    def _delete_experiment(self, experiment_id: str, **_: Any) -> Any:
        with self._lock:
            kept = [one for one in self._experiments if one["experiment_id"] != experiment_id]
            if len(kept) == len(self._experiments):
                raise Refused(_UNKNOWN, f"ResourceNotFoundError: Experiment {experiment_id} not found")
            if self._experiments[0] not in kept:
                raise Refused(_INVALID, "Invalid input error: the default experiment cannot be deleted")
            self._experiments = kept
            write_json(str(self._experiments_file), kept)
        return {}

    def _add_experiment(self, name: str) -> dict[str, Any]:
        made = {
            "experiment_id": str(uuid.uuid4()),
            "display_name": name,
            "created_at": _time(datetime.now(UTC)),
            "storage_state": "AVAILABLE",
        }
        self._experiments.append(made)
        write_json(str(self._experiments_file), self._experiments)
        return made

    def _list_pipelines(self, query: Mapping[str, str], **_: Any) -> Any:
        pipelines = [one.told for one in self._pipelines.values()]
        return {"pipelines": _matching(pipelines, query), "total_size": len(pipelines)}

    def _pipeline_by_name(self, name: str, **_: Any) -> Any:
        for one in self._pipelines.values():
            if one.name == name:
                return one.told
        raise Refused(_UNKNOWN, f"ResourceNotFoundError: Pipeline {name} not found")

    def _pipeline(self, pipeline_id: str, **_: Any) -> Any:
        return self._known(pipeline_id).told

    def _list_versions(self, pipeline_id: str, **_: Any) -> Any:
        return {"pipeline_versions": [self._known(pipeline_id).told_version], "total_size": 1}

    def _known(self, pipeline_id: str) -> CompiledPipeline:
        if pipeline_id not in self._pipelines:
            raise Refused(_UNKNOWN, f"ResourceNotFoundError: Pipeline {pipeline_id} not found")
        return self._pipelines[pipeline_id]

    def _list_runs(self, query: Mapping[str, str], **_: Any) -> Any:
        runs = [self._told(run) for run in self._runs.newest_first()]
        wanted = query.get("experiment_id")
        runs = [run for run in runs if wanted in (None, run["experiment_id"])]
        return {"runs": _matching(runs, query), "total_size": len(runs)}

    def _create_run(self, body: Mapping[str, Any], **_: Any) -> Any:
        reference = body.get("pipeline_version_reference") or {}
        if not reference.get("pipeline_id"):
            raise Refused(_INVALID, "Invalid input error: the run names no pipeline; an inline one is not run here")
        one = self._known(str(reference["pipeline_id"]))
        version = reference.get("pipeline_version_id")
        if version not in (None, one.version_id):
            raise Refused(_UNKNOWN, f"ResourceNotFoundError: PipelineVersion {version} not found")
        given = (body.get("runtime_config") or {}).get("parameters") or {}
        if unknown := one.unknown_parameters(given):
            raise Refused(
                _INVALID,
                f"Invalid input error: parameter(s) provided are not required by pipeline: {', '.join(unknown)}",
            )
        if missing := one.missing_parameters(given):
            raise Refused(_INVALID, f"Invalid input error: parameter(s) required by pipeline: {', '.join(missing)}")
        try:
            run_id = str(uuid.UUID(str(body.get("run_id") or uuid.uuid4())))
        except ValueError:
            raise Refused(_INVALID, "Invalid input error: run_id is not a UUID") from None
        request = {"experiment_id": self._experiments[0]["experiment_id"], **body}
        try:
            return self._told(self._runs.create(run_id, one.spec, request))
        except RunExists:
            # A real server answers so too, with 500, and leaves a second workflow running; here there is none.
            raise Refused(_INTERNAL, f"Failed to store run: Duplicate entry '{run_id}' for key 'PRIMARY'") from None

    def _run(self, run_id: str, **_: Any) -> Any:
        return self._told(self._found(run_id))

    def _terminate(self, run_id: str, **_: Any) -> Any:
        self._runs.terminate(self._found(run_id))
        return {}

    def _retry(self, run_id: str, **_: Any) -> Any:
        run = self._found(run_id)
        try:
            self._runs.retry(run)
        except CannotGoOn:
            raise Refused(_INVALID, f"Invalid input error: a run that is {run.state} cannot be retried") from None
        return {}

    def _node_log(self, run_id: str, node: str, **_: Any) -> Any:
        run = self._found(run_id)
        for task in self._runs.tasks(run):
            if _node(run, task) == node:
                return self._runs.task_log(run, task)
        raise Refused(_INTERNAL, f"Failed to read logs: pod {node} not found")

    def _found(self, run_id: str) -> Run:
        run = self._runs.find(run_id)
        if run is None:
            raise Refused(_UNKNOWN, f"ResourceNotFoundError: Run {run_id} not found")
        return run

    def _told(self, run: Run) -> dict[str, Any]:
        tasks = self._runs.tasks(run)
        failed = [task for task, state in tasks.items() if state == "FAILED"]
        error = None
        if run.state == "FAILED" and not failed:
            error = {"code": _INTERNAL, "message": self._runs.last_words(run)}
        names = [(task, task, state) for task, state in tasks.items()] + [
            (task, "executor", "FAILED") for task in failed
        ]
        return {
            "experiment_id": run.request["experiment_id"],
            "run_id": run.run_id,
            "display_name": run.request.get("display_name", ""),
            "description": run.request.get("description", ""),
            "storage_state": "AVAILABLE",
            "pipeline_version_reference": run.request["pipeline_version_reference"],
            "runtime_config": run.request.get("runtime_config") or {},
            "created_at": _time(run.created_at),
            "scheduled_at": _time(run.created_at),
            "finished_at": _time(run.finished_at or _NEVER),
            "state": run.state,
            "error": error,
            "run_details": {
                "task_details": [
                    {
                        "run_id": run.run_id,
                        "task_id": str(uuid.uuid5(uuid.UUID(run.run_id), f"{task}/{name}")),
                        "display_name": name,
                        "state": state,
                        "child_tasks": [{"pod_name": _node(run, task)}],
                    }
                    for task, name, state in names
                ]
            },
            "state_history": [{"update_time": _time(moment), "state": state} for moment, state in run.history],
        }


def _matching(items: list[dict[str, Any]], query: Mapping[str, str]) -> list[dict[str, Any]]:
    """The items that the query's filter lets through; only EQUALS is known."""
    try:
        predicates = json.loads(query.get("filter") or "{}").get("predicates") or []
        wanted = {one["key"]: one["string_value"] for one in predicates if one["operation"] == "EQUALS"}
    except (ValueError, KeyError, AttributeError, TypeError):
        raise Refused(_INVALID, "Invalid input error: the filter is not one of predicates") from None
    if len(wanted) < len(predicates):
        raise Refused(_INVALID, "Invalid input error: the filter knows the operation EQUALS only")
    return [item for item in items if all(item.get(key) == value for key, value in wanted.items())]


def _node(run: Run, task: str) -> str:
    """Name of a task's node, under which its log is asked for."""
    return f"{run.run_id.partition('-')[0]}-{task}"


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _handler(answers: Answers, token: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def do_DELETE(self) -> None:
            self._answer()

        def _answer(self) -> None:
            try:
                body, parts = self._body(), urlsplit(self.path)
                bearer = self.headers.get("Authorization", "").encode()
                if parts.path not in _OPEN and not hmac.compare_digest(bearer, f"Bearer {token}".encode()):
                    raise Refused(_UNAUTHENTICATED, "Unauthenticated: the bearer token is missing or wrong")
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                self._send(200, answers.answer(self.command, parts.path, query, body))
            except Refused as refused:
                details = [{"@type": "type.googleapis.com/google.rpc.Status", **_error(refused)}]
                self._send(_STATUS[refused.code], _error(refused) | {"details": details})

        def _body(self) -> dict[str, Any]:
            length = int(self.headers.get("Content-Length") or 0)
            if length > _LARGEST_BODY:
                self.close_connection = True
                raise Refused(_INVALID, f"Invalid input error: the request is larger than {_LARGEST_BODY} bytes")
            try:
                body = json.loads(self.rfile.read(length) or b"{}")
            except ValueError:
                body = None
            if not isinstance(body, dict):
                raise Refused(_INVALID, "Invalid input error: the request is not a JSON object")
            return body

        def _send(self, status: int, answer: Any) -> None:
            kind, text = "application/json", answer
            if isinstance(answer, str):
                kind = "text/html" if self.path == "/" else "text/plain"
            else:
                text = json.dumps(answer)
            content = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Keep the terminal free."""

    return Handler


def _error(refused: Refused) -> dict[str, Any]:
    return {"code": refused.code, "message": refused.message}
