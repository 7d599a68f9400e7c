"""Processes that end with their context."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ended(child: "subprocess.Popen[bytes]") -> Iterator[None]:
    """End a process and all that it started when the context ends, however it ends."""
    try:
        yield
    finally:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(child.pid, sign)
                child.wait(timeout=5)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue
        child.wait()
