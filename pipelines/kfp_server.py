"""The Kubeflow Pipelines server that the environment names.

KFP_ENDPOINT               address of the API server, such as http://ml-pipeline.kubeflow:8888
KFP_TOKEN, KFP_TOKEN_FILE  bearer token, where the server asks for one; the file is read again for each request
KFP_NAMESPACE              namespace of the runs, where Kubeflow has several users
KFP_START_SECONDS          seconds that a pod may take to start before its run is ended, 1800 if not set
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from kfp_runs.errors import Rejected, ServerError
from kfp_runs.server import Server

from components.credit.errors import InputError, QuipuError

_START_SECONDS = "1800"


class ServerRefused(QuipuError):
    """The server is away, refuses, or does not know what it was asked for; the text has its own words."""


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
    return Server(
        url,
        namespace=os.environ.get("KFP_NAMESPACE", ""),
        token=os.environ.get("KFP_TOKEN", ""),
        token_path=os.environ.get("KFP_TOKEN_FILE", ""),
    )


def start_seconds() -> float:
    """Seconds that a pod may take to start.

    Raises:
        InputError: KFP_START_SECONDS is no number above 0.
    """
    text = os.environ.get("KFP_START_SECONDS", _START_SECONDS)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise InputError(f"KFP_START_SECONDS is '{text}'; give a number of seconds above 0.")
    return seconds


@contextmanager
def refusals() -> Iterator[None]:
    """Raise what the server answers as an error that the command line shows in one sentence.

    Raises:
        InputError: The request can never succeed as it is.
        ServerRefused: The server is away or refuses.
    """
    try:
        yield
    except Rejected as refused:
        raise InputError(_sentence(refused)) from refused
    except ServerError as refused:
        raise ServerRefused(_sentence(refused)) from refused


def _sentence(refused: ServerError) -> str:
    return f"{str(refused).rstrip('.')}."
