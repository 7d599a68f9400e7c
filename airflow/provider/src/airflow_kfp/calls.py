"""The requests of the REST API v2beta1 that we make, and how its answers are read.

A ``Call`` is a request that has no server yet: the hook sends it, waiting or not, by the same rules.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from airflow_kfp.endpoint import Endpoint
from airflow_kfp.errors import (
    KfpConflict,
    KfpError,
    KfpNotFound,
    KfpRejected,
    KfpUnauthorized,
    KfpUnavailable,
)

BASE = "/apis/v2beta1"
_BUSY = frozenset({429, 502, 503, 504})
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 20.0  # seconds


@dataclass(frozen=True)
class Call:
    """One request.

    Attributes:
        method: HTTP method.
        path: Path below the root of the API.
        query: Query parameters; empty ones are left out.
        body: JSON body.
        package: File name and bytes of a compiled pipeline to upload.
        repeatable: Whether it may be sent again when nobody knows if the first one arrived.
    """

    method: str
    path: str
    query: Mapping[str, str | int] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    package: tuple[str, bytes] | None = None
    repeatable: bool = True

    def request(self, endpoint: Endpoint) -> httpx.Request:
        """The request as it goes to the server, with the token of this moment."""
        return httpx.Request(
            self.method,
            endpoint.url + self.path,
            params={name: value for name, value in self.query.items() if value != ""},
            json=self.body,
            files={"uploadfile": self.package} if self.package else None,
            headers=endpoint.headers(),
            extensions={"timeout": httpx.Timeout(endpoint.timeout, connect=min(endpoint.timeout, 10.0)).as_dict()},
        )


def health() -> Call:
    """Whether the server answers, and its version."""
    return Call("GET", f"{BASE}/healthz")


def get_run(run_id: str) -> Call:
    """One run with its tasks."""
    return Call("GET", f"{BASE}/runs/{quote(run_id)}")


def create_run(body: Mapping[str, Any]) -> Call:
    """A new run. Never repeated blindly: the same id twice leaves a second workflow running."""
    return Call("POST", f"{BASE}/runs", body=body, repeatable=False)


def terminate_run(run_id: str) -> Call:
    """Stop a run."""
    return Call("POST", f"{BASE}/runs/{quote(run_id)}:terminate", body={})


def retry_run(run_id: str) -> Call:
    """Let a failed run go on, keeping the tasks that succeeded."""
    return Call("POST", f"{BASE}/runs/{quote(run_id)}:retry", body={}, repeatable=False)


def node_log(run_id: str, pod: str) -> Call:
    """The log of one pod of a run, from the pod or else from the archive."""
    return Call("GET", f"/apis/v1alpha1/runs/{quote(run_id)}/nodes/{quote(pod)}/log")


def pipeline_by_name(name: str, namespace: str) -> Call:
    """A pipeline by its name."""
    return Call("GET", f"{BASE}/pipelines/names/{quote(name, safe='')}", {"namespace": namespace})


def list_pipelines(namespace: str) -> Call:
    """The pipelines, newest first."""
    return Call("GET", f"{BASE}/pipelines", {"namespace": namespace, "page_size": 200, "sort_by": "created_at desc"})


def list_versions(pipeline_id: str) -> Call:
    """The versions of a pipeline, newest first."""
    return Call("GET", f"{BASE}/pipelines/{pipeline_id}/versions", {"page_size": 200, "sort_by": "created_at desc"})


def create_experiment(name: str, namespace: str) -> Call:
    """A new experiment; 409 when there is one of that name."""
    body = {"display_name": name} | ({"namespace": namespace} if namespace else {})
    return Call("POST", f"{BASE}/experiments", body=body)


def find_experiment(name: str, namespace: str) -> Call:
    """The experiments of that name."""
    predicate = {"key": "display_name", "operation": "EQUALS", "string_value": name}
    query: dict[str, str | int] = {
        "namespace": namespace,
        "page_size": 10,
        "filter": json.dumps({"predicates": [predicate]}),
    }
    return Call("GET", f"{BASE}/experiments", query)


def upload_pipeline(name: str, namespace: str, package: tuple[str, bytes]) -> Call:
    """A new pipeline with its first version."""
    query = {"name": name, "display_name": name, "namespace": namespace}
    return Call("POST", f"{BASE}/pipelines/upload", query, package=package, repeatable=False)


def upload_version(pipeline_id: str, name: str, package: tuple[str, bytes]) -> Call:
    """A new version of a pipeline."""
    query = {"pipelineid": pipeline_id, "name": name, "display_name": name}
    return Call("POST", f"{BASE}/pipelines/upload_version", query, package=package, repeatable=False)


def pause_before_next(
    call: Call, outcome: httpx.Response | httpx.TransportError, attempt: int, attempts: int
) -> float | None:
    """Seconds to wait before the call is sent again; None when its outcome stands.

    Sent again are calls that met a busy server or a broken line, and calls answered with 401, since a
    renewed token is read for each. Where nobody knows whether the call arrived, only a repeatable one is.

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
        again = refused_unseen or (outcome.status_code in _BUSY and call.repeatable)
    if not again:
        return None
    longest = min(_FIRST_PAUSE * 2 ** (attempt - 1), _LONGEST_PAUSE)
    return random.uniform(longest / 2, longest)  # noqa: S311 - jitter is no secret


def read_answer(endpoint: Endpoint, call: Call, outcome: httpx.Response | httpx.TransportError) -> httpx.Response:
    """The response if it is a good one.

    Raises:
        KfpError: The one that fits the status, with the server's own words.
    """
    if isinstance(outcome, httpx.TransportError):
        raise KfpUnavailable(
            f"Kubeflow Pipelines at {endpoint.url} (connection '{endpoint.conn_id}') did not answer "
            f"{call.method} {call.path}: {type(outcome).__name__} {outcome}".rstrip()
        )
    if outcome.is_success:
        return outcome
    message = _server_message(outcome)
    where = f"{call.method} {call.path} at {endpoint.url} was answered with {outcome.status_code}: {message}"
    raise _error_class(outcome.status_code, message)(where)


def _error_class(status: int, message: str) -> type[KfpError]:
    if status in {401, 403} or 300 <= status < 400:  # a sign-in page redirects
        return KfpUnauthorized
    if status == 404:
        return KfpNotFound
    if status == 409:
        return KfpConflict
    # The server answers 500 to a pipeline that it cannot read; no retry helps there.
    if "invalidinputerror" in message.lower() or status in {400, 405, 413, 415, 422}:
        return KfpRejected
    return KfpUnavailable


def _server_message(response: httpx.Response) -> str:
    """The innermost sentence of an error: the server wraps it in its call stack's words."""
    try:
        answer = response.json()
    except ValueError:
        return response.text.strip()[:300] or response.reason_phrase
    if not isinstance(answer, dict):
        return str(answer)[:300]
    details = [str(detail.get("message", "")) for detail in answer.get("details") or [] if isinstance(detail, dict)]
    said = next((detail for detail in details if detail and detail != "Internal Server Error"), "")
    return (said or str(answer.get("message") or answer.get("error_message") or answer))[:1000]
