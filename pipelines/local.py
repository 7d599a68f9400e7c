"""Runs a pipeline on this machine with kfp.local, each task in a process or a container of its own."""

import json
import logging
import os
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import yaml
from kfp import components, local

from pipelines.container import ENGINE, in_containers

FOLDER = Path(__file__).parent


def main() -> int:
    """Run a pipeline; the arguments are its spec's name (``training``), its root and its parameters as JSON.

    A run that is repeated in its root keeps the tasks that succeeded there. It ends with the process that started it,
    which holds the other end of standard input.

    Returns:
        0 where every task succeeded, 1 where one failed (its reason is in the progress file and in the log).
    """
    name, root, parameters = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    threading.Thread(target=_end_with_the_starter, daemon=True).start()
    warnings.filterwarnings("ignore", message=".*does not contain 'python'.*")
    warnings.filterwarnings("ignore", message=".*non-Python base image.*")
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=root, enable_caching=True)
    spec, platform = yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    _for_one_machine(spec)
    if ENGINE in os.environ:
        in_containers(spec, platform)
    pipeline = components.load_component_from_text(yaml.safe_dump(spec))
    try:
        pipeline(**parameters)
    except RuntimeError as error:  # all that kfp.local tells of a failed task
        logging.getLogger(__name__).error("%s", error)
        return 1
    return 0


def _for_one_machine(spec: dict[str, Any]) -> None:
    """Try each task once, since on this machine it would only fail again a minute later; and keep what succeeded in
    this root, whatever a cluster may reuse from other runs."""
    for part in (spec["root"], *spec["components"].values()):
        for task in part.get("dag", {}).get("tasks", {}).values():
            task.pop("retryPolicy", None)
            task["cachingOptions"] = {"enableCache": True}


def _end_with_the_starter() -> None:
    """End this process and its tasks when the starter is gone, however it went."""
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
