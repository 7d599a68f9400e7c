"""kubectl, and what the tests ask of it."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

NAMESPACE = "quipu"


def run(command: list[str], seconds: float = 120, given: str | None = None, **environment: str) -> str:
    """Standard output of a program that must end well in time."""
    ended = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=seconds,
        input=given,
        env=os.environ | environment,
        check=False,
    )
    assert ended.returncode == 0, f"{' '.join(command[:6])}: {ended.stderr or ended.stdout}"
    return ended.stdout


@dataclass(frozen=True)
class Kubectl:
    """kubectl as one user, in the namespace of the tests."""

    kubeconfig: str

    def __call__(self, *arguments: str, seconds: float = 120, given: str | None = None) -> str:
        command = ["kubectl", "--kubeconfig", self.kubeconfig, "--namespace", NAMESPACE, *arguments]
        return run(command, seconds, given)

    def get(self, *arguments: str) -> dict[str, Any]:
        """An object as JSON."""
        return dict(json.loads(self("get", *arguments, "-o", "json")))

    def apply(self, *objects: dict[str, Any]) -> None:
        """Make or change objects."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self("apply", "--server-side", "--force-conflicts", "-f", "-", given=json.dumps(listed))

    @contextmanager
    def forwarded(self, service: str, port: int) -> Iterator[str]:
        """``host:port`` on this machine of a Service's port."""
        command = ["kubectl", "--kubeconfig", self.kubeconfig, "--namespace", NAMESPACE, "port-forward"]
        process = subprocess.Popen(
            [*command, "--address", "127.0.0.1", f"service/{service}", f":{port}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()  # Forwarding from 127.0.0.1:40123 -> 9000
            assert "Forwarding" in line, f"port-forward to {service} did not start"
            drain = threading.Thread(target=process.stdout.read, daemon=True)
            drain.start()
            yield line.split()[2]
        finally:
            process.terminate()
            process.wait(10)
            drain.join(10)
            process.stdout.close()


def until(condition: Callable[[], object], what: str, seconds: float = 90) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"gave up waiting for {what}"
        time.sleep(0.5)


def say(line: str) -> None:
    """A line on the terminal, past pytest's capture, for those who watch."""
    print(line, file=sys.__stderr__, flush=True)
