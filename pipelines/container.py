"""``python -m pipelines.container IMAGE COMMAND…``: one task's command in its own container, as its spec says.

kfp.local starts this in place of the command. Its own DockerRunner loses the exit code of a container that ends
quickly; podman and docker hand it on when they are run in the foreground. QUIPU_CONTAINER_ENGINE names the engine,
QUIPU_CONTAINER_VOLUMES the folders that the task sees (JSON: path to ``ro`` or ``rw``), under their own paths.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from components.credit.errors import InputError

ENGINE, VOLUMES = "QUIPU_CONTAINER_ENGINE", "QUIPU_CONTAINER_VOLUMES"
_BUILT = Path("build/images/images.json")


def in_containers(spec: dict[str, Any]) -> None:
    """Let each task of a compiled pipeline run in its own image on this machine.

    Args:
        spec: The pipeline; it is changed.

    Raises:
        InputError: An image was not built.
    """
    for executor in spec["deploymentSpec"]["executors"].values():
        task = executor["container"]
        task["command"] = [sys.executable, "-m", "pipelines.container", _built(task["image"]), *task["command"]]


def container_environment(folders: dict[Path, str]) -> dict[str, str]:
    """Environment in which ``pipelines.local`` runs tasks in containers, by podman or docker, whichever is there.

    Args:
        folders: What a task sees of this machine: folder to ``ro`` or ``rw``.

    Raises:
        InputError: Neither is installed.
    """
    found = os.environ.get("ENGINE") or next((name for name in ("podman", "docker") if shutil.which(name)), "")
    if not found:
        raise InputError("Neither podman nor docker is installed; install one, or run without --runner container.")
    return {ENGINE: found, VOLUMES: json.dumps({str(folder.resolve()): mode for folder, mode in folders.items()})}


def _built(image: str) -> str:
    """What an image of the spec is called where 'make images' built it; a name that a release set stays."""
    if not image.startswith("quipu/"):
        return image
    stage = image.removeprefix("quipu/").partition(":")[0]
    built = json.loads(_BUILT.read_text(encoding="utf-8")) if _BUILT.is_file() else {}
    if stage not in built:
        raise InputError(f"The image of the stage {stage} was not built; run 'make images' first.")
    return str(built[stage]["reference"])


def main() -> int:
    """Run the command in the image and give its exit code; a stop ends the container too."""
    image, *command = sys.argv[1:]
    program = os.environ[ENGINE]
    name = f"quipu-{secrets.token_hex(6)}"
    options = ["--rm", "--name", name, "--network", "host", "--user", f"{os.getuid()}:{os.getgid()}"]
    options += ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]  # noqa: S108
    for path, mode in json.loads(os.environ[VOLUMES]).items():
        options += ["--volume", f"{path}:{path}:{mode}"]
    for variable in os.environ:  # by name alone: a value on the command line could be read by others
        if variable.startswith("QUIPU_") and not variable.startswith("QUIPU_CONTAINER_"):
            options += ["--env", variable]
    # kfp.local puts this process's interpreter wherever the command says python3
    command = [part.replace(sys.executable, "python3") for part in command]
    child = subprocess.Popen([program, "run", *options, image, *command])

    def stop(_number: int, _frame: object) -> None:
        subprocess.run([program, "kill", name], check=False, capture_output=True)

    signal.signal(signal.SIGTERM, stop)
    return child.wait()


if __name__ == "__main__":
    sys.exit(main())
