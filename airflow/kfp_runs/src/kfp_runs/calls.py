"""The requests of the REST API v2beta1, when they are sent again, and how their answers are read.

A ``Call`` is a request that has no server yet: the client sends it, waiting or not, by the same rules.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from kfp_runs.answers import Experiment, Experiments, Health, NewRun, Pipeline, Pipelines, Run, Runs, Version, Versions
from kfp_runs.errors import Conflict, NotFound, Rejected, ServerError, Unauthorized, Unavailable
from kfp_runs.server import Server

BASE = "/apis/v2beta1"
_BUSY = frozenset({429, 500, 502, 503, 504})
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 20.0  # seconds
_LONGEST_MESSAGE = 400  # characters
_NO_MESSAGE = "Internal Server Error"  # what `details` says of every 500

Answer = TypeVar("Answer")


class Nothing(msgspec.Struct, frozen=True):
    """An answer that says only that it was done."""


class NodeLog(msgspec.Struct, frozen=True):
    """A log as the server gives it: text, or ``{"error_message": …}`` with status 200 where there is none."""

    text: str


class _NoLog(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    error_message: str
    error_details: str = ""


class _Detail(msgspec.Struct, frozen=True):
    message: str = ""


class _Refusal(msgspec.Struct, frozen=True):
    message: str = ""
    error_message: str = ""
    details: list[_Detail] | None = None


@dataclass(frozen=True)
class Call(Generic[Answer]):
    """One request.

    Attributes:
        method: HTTP method.
        path: Path below the root of the API.
        answer: Type of the answer.
        query: Query parameters; empty ones are left out.
        body: JSON body; None sends none.
        package: File name and bytes of a compiled pipeline to upload.
        repeatable: Whether it may be sent again when nobody knows if the first one arrived.
    """

    method: str
    path: str
    answer: type[Answer]
    query: Mapping[str, str | int] = field(default_factory=dict)
    body: NewRun | Mapping[str, object] | None = None
    package: tuple[str, bytes] | None = None
    repeatable: bool = True

    def request(self, server: Server) -> httpx.Request:
        """The request as it goes to the server, with the token of this moment."""
        headers = server.headers()
        content = None
        if self.body is not None:
            content = msgspec.json.encode(self.body)
            headers["Content-Type"] = "application/json"
        return httpx.Request(
            self.method,
            server.url + self.path,
            params={name: value for name, value in self.query.items() if value != ""},
            content=content,
            files={"uploadfile": self.package} if self.package else None,
            headers=headers,
            extensions={"timeout": httpx.Timeout(server.timeout, connect=min(server.timeout, 10.0)).as_dict()},
        )


def health() -> Call[Health]:
    """Whether the server answers, and its version."""
    return Call("GET", f"{BASE}/healthz", Health)


def get_run(run_id: str) -> Call[Run]:
    """One run with its nodes."""
    return Call("GET", f"{BASE}/runs/{quote(run_id)}", Run)


def list_runs(namespace: str, page_size: int) -> Call[Runs]:
    """The newest runs, newest first."""
    query: dict[str, str | int] = {"page_size": page_size, "sort_by": "created_at desc", "namespace": namespace}
    return Call("GET", f"{BASE}/runs", Runs, query)


def create_run(new: NewRun) -> Call[Run]:
    """A new run. Never repeated blindly: the same id twice leaves a second workflow running."""
    return Call("POST", f"{BASE}/runs", Run, body=new, repeatable=False)


def terminate_run(run_id: str) -> Call[Nothing]:
    """Stop a run."""
    return Call("POST", f"{BASE}/runs/{quote(run_id)}:terminate", Nothing, body={})


def retry_run(run_id: str) -> Call[Nothing]:
    """Let a failed run go on, keeping the tasks that succeeded."""
    return Call("POST", f"{BASE}/runs/{quote(run_id)}:retry", Nothing, body={}, repeatable=False)


def node_log(run_id: str, pod: str) -> Call[NodeLog]:
    """The log of one pod of a run, from the pod or else from the archive; some servers answer 500 where it is gone."""
    path = f"/apis/v1alpha1/runs/{quote(run_id)}/nodes/{quote(pod)}/log"
    return Call("GET", path, NodeLog, repeatable=False)


def pipeline_by_name(name: str, namespace: str) -> Call[Pipeline]:
    """A pipeline by its name."""
    return Call("GET", f"{BASE}/pipelines/names/{quote(name, safe='')}", Pipeline, {"namespace": namespace})


def get_pipeline(pipeline_id: str) -> Call[Pipeline]:
    """A pipeline by its id."""
    return Call("GET", f"{BASE}/pipelines/{quote(pipeline_id)}", Pipeline)


def list_pipelines(namespace: str) -> Call[Pipelines]:
    """The pipelines, newest first."""
    query: dict[str, str | int] = {"namespace": namespace, "page_size": 200, "sort_by": "created_at desc"}
    return Call("GET", f"{BASE}/pipelines", Pipelines, query)


def list_versions(pipeline_id: str) -> Call[Versions]:
    """The versions of a pipeline, newest first."""
    query: dict[str, str | int] = {"page_size": 200, "sort_by": "created_at desc"}
    return Call("GET", f"{BASE}/pipelines/{pipeline_id}/versions", Versions, query)


def create_experiment(name: str, namespace: str) -> Call[Experiment]:
    """A new experiment; 409 when there is one of that name."""
    body = {"display_name": name} | ({"namespace": namespace} if namespace else {})
    return Call("POST", f"{BASE}/experiments", Experiment, body=body)


def find_experiment(name: str, namespace: str) -> Call[Experiments]:
    """The experiments of that name."""
    predicate = {"key": "display_name", "operation": "EQUALS", "string_value": name}
    named = msgspec.json.encode({"predicates": [predicate]}).decode()
    query: dict[str, str | int] = {"namespace": namespace, "page_size": 10, "filter": named}
    return Call("GET", f"{BASE}/experiments", Experiments, query)


def delete_experiment(experiment_id: str) -> Call[Nothing]:
    """An experiment goes; its runs stay."""
    return Call("DELETE", f"{BASE}/experiments/{quote(experiment_id)}", Nothing)


def upload_pipeline(name: str, namespace: str, package: tuple[str, bytes]) -> Call[Pipeline]:
    """A new pipeline with its first version; 409 when there is one of that name."""
    query: dict[str, str | int] = {"name": name, "display_name": name, "namespace": namespace}
    return Call("POST", f"{BASE}/pipelines/upload", Pipeline, query, package=package, repeatable=False)


def upload_version(pipeline_id: str, name: str, package: tuple[str, bytes]) -> Call[Version]:
    """A new version of a pipeline; 409 when there is one of that name."""
    query: dict[str, str | int] = {"pipelineid": pipeline_id, "name": name, "display_name": name}
    return Call("POST", f"{BASE}/pipelines/upload_version", Version, query, package=package, repeatable=False)


def pause_before_next(
    call: Call[Answer], outcome: httpx.Response | httpx.TransportError, attempt: int, attempts: int
) -> float | None:
    """Seconds to wait before the call is sent again; None when its outcome stands.

    Sent again are calls that met a busy server or a broken line, and calls answered with 401, since a renewed token is
    read for each. Where nobody knows whether the call arrived, only a repeatable one is.

    Args:
        call: What was sent.
        outcome: What came back.
        attempt: How often it was sent, from 1.
        attempts: How often it may be sent.
    """
    if attempt >= attempts:
        return None
    if isinstance(outcome, httpx.TransportError):
        never_arrived = isinstance(outcome, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        again = call.repeatable or never_arrived
    else:
        refused_unseen = outcome.status_code in {401, 429}
        again = refused_unseen or (call.repeatable and is_busy(outcome))
    if not again:
        return None
    longest = min(_FIRST_PAUSE * 2 ** (attempt - 1), _LONGEST_PAUSE)
    return random.uniform(longest / 2, longest)  # noqa: S311 - jitter is no secret


def is_busy(response: httpx.Response) -> bool:
    """Whether the server may answer better later; it answers 500 to a pipeline that it cannot read, too."""
    return response.status_code in _BUSY and "invalidinputerror" not in _words(response).lower()


def read_answer(server: Server, call: Call[Answer], outcome: httpx.Response | httpx.TransportError) -> Answer:
    """The answer, if it is a good one.

    Raises:
        ServerError: The one that fits the status, with the server's own words.
    """
    if isinstance(outcome, httpx.TransportError):
        raise Unavailable(
            f"Kubeflow Pipelines at {server.url} did not answer {call.method} {call.path}: "
            f"{type(outcome).__name__} {outcome}".rstrip()
        )
    if not outcome.is_success:
        error = _error_class(outcome)
        raise error(
            f"{call.method} {call.path} at {server.url} was answered with {outcome.status_code}: {_words(outcome)}"
        )
    if issubclass(call.answer, NodeLog):
        return call.answer(_log_text(call, outcome))
    try:
        return msgspec.json.decode(outcome.content or b"{}", type=call.answer)
    except msgspec.DecodeError:
        raise Unauthorized(
            f"{outcome.request.url} answered with a page and not as Kubeflow Pipelines does; "
            "check the host, and whether a sign-in page stands before it."
        ) from None


def _error_class(response: httpx.Response) -> type[ServerError]:
    status = response.status_code
    if status in {401, 403} or 300 <= status < 400:  # a sign-in page redirects
        return Unauthorized
    if status == 404:
        return NotFound
    if status == 409:
        return Conflict
    if status in _BUSY and not is_busy(response):
        return Rejected
    return Rejected if status in {400, 405, 413, 415, 422} else Unavailable


def _log_text(call: Call[Answer], response: httpx.Response) -> str:
    """The log.

    Raises:
        NotFound: The server says, with status 200, that there is none.
    """
    try:
        refusal = msgspec.json.decode(response.content, type=_NoLog)
    except msgspec.DecodeError:
        return response.text
    raise NotFound(f"{call.path}: {refusal.error_message[:_LONGEST_MESSAGE]}")


def _words(response: httpx.Response) -> str:
    """The server's own words: the innermost sentence, which it wraps in those of its call stack."""
    if 300 <= response.status_code < 400:
        return "it sends to a sign-in page; give a bearer token"
    try:
        refusal = msgspec.json.decode(response.content, type=_Refusal)
    except msgspec.DecodeError:
        text = response.text
    else:
        details = [one.message for one in refusal.details or [] if one.message not in ("", _NO_MESSAGE)]
        text = details[0] if details else refusal.message or refusal.error_message
    return " ".join(text.split())[:_LONGEST_MESSAGE].rstrip(".") or response.reason_phrase
