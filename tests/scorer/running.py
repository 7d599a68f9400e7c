"""A scorer in a process of its own, as the environment configures it."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from components.credit.book.store import Access

ROOT = Path(__file__).resolve().parents[2]
# What a model of ``models.NUMBERS`` is asked in the Open Inference Protocol.
REQUEST = {"inputs": [{"name": "x", "shape": [1, 5], "datatype": "FP64", "data": [12.0, 0.5, None, 800.0, 2500.0]}]}


class Scorer:
    """A running scorer, its address and the lines of its log."""

    def __init__(self, process: "subprocess.Popen[str]", port: int) -> None:
        self.process, self.port = process, port
        self.lines: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def wait(self, event: str, seconds: float = 120, **facts: object) -> dict[str, Any]:
        """The first line of the log with that event and those facts."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for line in list(self.lines):
                if line["event"] == event and all(line.get(name) == value for name, value in facts.items()):
                    return line
            assert self.process.poll() is None or self._reader.is_alive(), f"ended without {event}: {self.lines}"
            time.sleep(0.02)
        raise AssertionError(f"no {event} {facts} in {self.lines}")

    def version(self) -> str:
        return str(self.http.post("/v2/models/quipu/infer", json=REQUEST).json()["model_version"])


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def start(
    access: Access, verify_key: str, port: int, files: int | None = None, **settings: str
) -> "subprocess.Popen[str]":
    """Start a scorer, which may have so many files open."""
    environment = os.environ | {
        "QUIPU_STORE_ENDPOINT": access.endpoint,
        "QUIPU_STORE_ACCESS_KEY": access.access_key,
        "QUIPU_STORE_SECRET_KEY": access.secret_key,
        "QUIPU_VERIFY_KEY": verify_key,
        "QUIPU_SCORER_PORT": str(port),
        "QUIPU_SCORER_POLL": "0.1",
        "PYTHONPATH": str(ROOT),
        **settings,
    }
    bound = ["prlimit", f"--nofile={files}:{files}"] if files else []
    return subprocess.Popen(
        [*bound, sys.executable, "-m", "components.scorer"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _wait_until_it_listens(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return


@contextmanager
def running(access: Access, verify_key: str, files: int | None = None, **settings: str) -> Iterator[Scorer]:
    port = free_port()
    process = start(access, verify_key, port, files, **settings)
    scorer = Scorer(process, port)
    try:
        scorer.wait("ready")
        _wait_until_it_listens(port)
        yield scorer
    finally:
        scorer.http.close()
        process.terminate()
        try:
            process.wait(40)
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
