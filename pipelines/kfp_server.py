"""The REST interface (v2beta1) of a Kubeflow Pipelines server, as far as a submitter needs it.

KFP_ENDPOINT            address of the API server, such as http://ml-pipeline.kubeflow:8888
KFP_TOKEN, KFP_TOKEN_FILE  bearer token, where the server asks for one; the file is read again for each request
KFP_NAMESPACE           namespace of the runs, where Kubeflow has several users
"""

import json
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import urllib3

from components.credit.errors import InputError, QuipuError

_BASE = "/apis/v2beta1"
_TIMEOUT = urllib3.Timeout(connect=10, read=30)
_TRIES = 6
_LONGEST_PAUSE = 20.0
_BUSY = (429, 500, 502, 503, 504)


class ServerRefused(QuipuError):
    """The server is away, refuses, or does not know what it was asked for; the text has its own words."""


@dataclass(frozen=True)
class Server:
    """A server and who we are there.

    Args:
        url: Address without a slash at its end.
        namespace: Namespace of experiments and runs; empty where there is one for all.
    """

    url: str
    namespace: str = ""


def server_from_environment() -> Server:
    """The server that the environment names.

    Raises:
        InputError: KFP_ENDPOINT is not set or no address.
    """
    url = os.environ.get("KFP_ENDPOINT", "").rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise InputError(
            "KFP_ENDPOINT does not name a server; set it to the address of the Kubeflow Pipelines API, such as "
            "http://ml-pipeline.kubeflow:8888."
        )
    return Server(url, os.environ.get("KFP_NAMESPACE", ""))


def call(
    server: Server,
    method: str,
    path: str,
    body: dict[str, Any] | None = None,
    *,
    query: dict[str, str] | None = None,
    upload: tuple[str, bytes] | None = None,
    missing: bool = False,
) -> dict[str, Any] | None:
    """Ask the server, again where it is busy or the line broke.

    What is created is never sent twice where nobody knows whether it arrived: a second POST of a run leaves a second
    workflow running. Such a call fails, and the caller looks before it asks again.

    Args:
        server: The server.
        method: HTTP method.
        path: Path after ``/apis/v2beta1``.
        body: JSON body.
        query: Query of the address.
        upload: Name and content of a file to send instead of a body.
        missing: Whether a 404 is an answer, None, and no failure.

    Raises:
        ServerRefused: There was no good answer.
    """
    url = f"{server.url}{_BASE}{path}" + (f"?{urlencode(query)}" if query else "")
    said = ""
    for attempt in range(_TRIES):
        if attempt:
            longest = min(0.5 * 2**attempt, _LONGEST_PAUSE)
            time.sleep(random.uniform(longest / 2, longest))  # noqa: S311 - jitter is no secret
        try:
            response = _send(method, url, body, upload)
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError):
            said = "no connection"
            continue
        except urllib3.exceptions.HTTPError as error:
            said = f"the line broke ({type(error).__name__})"
            if method == "GET":
                continue
            break
        if response.status < 300:
            return json.loads(response.data or b"{}") or {}
        said = _message(response)
        if response.status == 404 and missing:
            return None
        if response.status == 401 or (response.status in _BUSY and method == "GET"):
            continue  # a renewed token is read for each try
        break
    raise ServerRefused(f"Kubeflow Pipelines at {server.url} did not answer {method} {path} well: {said}.")


def log_of(server: Server, run: str, pod: str) -> list[str]:
    """Lines of a pod's log; none where it is not kept any more."""
    url = f"{server.url}/apis/v1alpha1/runs/{quote(run)}/nodes/{quote(pod)}/log"
    try:
        response = _send("GET", url, None, None)
    except urllib3.exceptions.HTTPError:
        return []
    return response.data.decode(errors="replace").splitlines() if response.status == 200 else []


def _send(
    method: str, url: str, body: dict[str, Any] | None, upload: tuple[str, bytes] | None
) -> urllib3.BaseHTTPResponse:
    headers = {"Accept": "application/json"}
    if token := _token():
        headers["Authorization"] = f"Bearer {token}"
    if upload:
        fields = {"uploadfile": (upload[0], upload[1], "application/x-yaml")}
        return urllib3.request(
            method, url, fields=fields, headers=headers, timeout=_TIMEOUT, retries=False, redirect=False
        )
    return urllib3.request(method, url, json=body, headers=headers, timeout=_TIMEOUT, retries=False, redirect=False)


def _token() -> str:
    path = os.environ.get("KFP_TOKEN_FILE")
    if not path:
        return os.environ.get("KFP_TOKEN", "")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InputError(f"The token file {path} cannot be read ({error.strerror}); see KFP_TOKEN_FILE.") from error


def _message(response: urllib3.BaseHTTPResponse) -> str:
    """The innermost words of a refusal: the server wraps them in those of its call stack."""
    if 300 <= response.status < 400:
        return f"it sends to a sign-in page ({response.status}); set KFP_TOKEN_FILE"
    try:
        answer = json.loads(response.data)
        details = [str(one.get("message", "")) for one in answer.get("details") or []]
        text = next((one for one in details if one), "") or str(answer.get("message") or answer.get("error") or answer)
    except (ValueError, AttributeError):
        text = response.data.decode(errors="replace")
    return f"{response.status}, {' '.join(text.split())[:400].rstrip('.')}"
