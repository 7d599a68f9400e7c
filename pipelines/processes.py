"""Processes that end with their context."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


def end(child: "subprocess.Popen[bytes]") -> None:
    """End a process that leads a session, and all that it started."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, sign)
            child.wait(timeout=5)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    child.wait()


@contextmanager
def ended(child: "subprocess.Popen[bytes]") -> Iterator[None]:
    """End a process and all that it started when the context ends, however it ends."""
    try:
        yield
    finally:
        end(child)


@contextmanager
def running_pipeline(
    name: str, folder: Path, parameters: Mapping[str, object], environment: Mapping[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    """A pipeline that runs on this machine (``pipelines.local``) for as long as the context lasts.

    Args:
        name: Name of its compiled spec, such as ``training``.
        folder: Folder of the run: artifacts go to ``pipeline/``, output to ``log/pipeline.log``, what the tasks tell
            of their progress to ``log/progress.jsonl``.
        parameters: Its parameters.
        environment: Where its tasks find the store and the keys.
    """
    logs, root = (folder / "log").resolve(), (folder / "pipeline").resolve()
    logs.mkdir(exist_ok=True)
    with (logs / "pipeline.log").open("ab") as opened:
        child = subprocess.Popen(
            [sys.executable, "-m", "pipelines.local", name, str(root), json.dumps(parameters)],
            stdout=opened,
            stderr=subprocess.STDOUT,
            stdin=subprocess.PIPE,  # never written to: it closes with this process, and the pipeline ends
            env=os.environ
            | environment
            | {"QUIPU_PROGRESS_FILE": str(logs / "progress.jsonl"), "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
    assert child.stdin is not None
    with child.stdin, ended(child):
        yield child
