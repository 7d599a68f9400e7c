"""A scorer in a process of its own, for as long as a context lasts."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3

from components.credit.errors import QuipuError
from pipelines.processes import ended

_READY_SECONDS = 60


class ScorerFailed(QuipuError):
    """The scorer did not start, or refused an application; the text says why."""


@contextmanager
def running_scorer(environment: dict[str, str], port: int, log: Path) -> Iterator[str]:
    """The address of a scorer that serves the champion of the store that ``environment`` names.

    Raises:
        ScorerFailed: It ended, or did not get ready.
    """
    listening = {"QUIPU_SCORER_HOST": "127.0.0.1", "QUIPU_SCORER_PORT": str(port)}
    address = f"http://127.0.0.1:{port}"
    with log.open("wb") as opened:
        scorer = subprocess.Popen(
            [sys.executable, "-m", "components.scorer"],
            stdout=opened,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=os.environ | environment | listening,
            start_new_session=True,
        )
        with ended(scorer):
            _wait_until_ready(scorer, address, log)
            yield address


def ask(address: str, body: bytes) -> dict[str, Any]:
    """The scorer's answer to an application.

    Raises:
        ScorerFailed: It refused.
    """
    response = urllib3.request("POST", f"{address}/v1/score", body=body, headers={"content-type": "application/json"})
    answer: dict[str, Any] = json.loads(response.data)
    if response.status != 200:
        raise ScorerFailed(f"The scorer refused the application: {answer.get('error', response.status)}")
    return answer


def _wait_until_ready(scorer: "subprocess.Popen[bytes]", address: str, log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    http = urllib3.PoolManager(timeout=2, retries=False)
    while time.monotonic() < deadline and scorer.poll() is None:
        try:
            if http.request("GET", f"{address}/v2/health/ready").status == 200:
                return
        except urllib3.exceptions.HTTPError:
            pass
        time.sleep(0.05)
    raise ScorerFailed(f"The scorer did not get ready; its log is {log}.")
