"""``python -m pipelines.container STAGE IMAGE SECRETS COMMAND…``: one task's command in its own container, as its spec
says.

kfp.local starts this in place of the command. Its own DockerRunner loses the exit code of a container that ends
quickly; podman and docker hand it on when they are run in the foreground. QUIPU_CONTAINER_ENGINE names the engine,
QUIPU_CONTAINER_VOLUMES the folders that the task sees (JSON: path to ``ro`` or ``rw``), under their own paths.

Where QUIPU_SECRETS names a folder (``<secret>/<entry>``, as Kubernetes mounts them), a task gets the secrets that its
spec asks for from there, and no other; else all tasks share those of the environment.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from components.container import NOBODYS, image_variable
from components.credit.errors import InputError
from components.credit.progress import stage

ENGINE, VOLUMES, SECRETS = "QUIPU_CONTAINER_ENGINE", "QUIPU_CONTAINER_VOLUMES", "QUIPU_SECRETS"
_BUILT = Path(__file__).resolve().parents[1] / "build" / "images" / "images.json"
_NOT_STARTED = 125  # podman's and docker's own exit code


def in_containers(spec: dict[str, Any], platform: dict[str, Any]) -> None:
    """Let each task of a compiled pipeline run in its own image on this machine.

    Args:
        spec: The pipeline; it is changed.
        platform: What its pods get on Kubernetes.

    Raises:
        InputError: An image was not built.
    """
    pods = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    asked = {name: _secrets(pod) for name, pod in pods.items()}
    others = dict.fromkeys((variable for places in asked.values() for variable in places), "")
    for name, executor in spec["deploymentSpec"]["executors"].items():
        task = executor["container"]
        image = built_image(task["image"])
        places = json.dumps(others | asked[name])
        start = [sys.executable, "-m", "pipelines.container", name.removeprefix("exec-"), image, places]
        task["command"] = [*start, *task["command"]]


def container_environment(folders: dict[Path, str], stages: Iterable[str]) -> dict[str, str]:
    """Environment in which ``pipelines.local`` runs tasks in containers, by podman or docker, whichever is there.

    Args:
        folders: What a task sees of this machine: folder to ``ro`` or ``rw``.
        stages: The stages whose images will run.

    Raises:
        InputError: Neither is installed, or the image of a stage was not built.
    """
    found = os.environ.get("ENGINE") or next((name for name in ("podman", "docker") if shutil.which(name)), "")
    if not found:
        raise InputError("Neither podman nor docker is installed; install one, or run without --runner container.")
    for name in stages:
        built_image(f"{NOBODYS}/{name}:latest")
    return {ENGINE: found, VOLUMES: json.dumps({str(folder.resolve()): mode for folder, mode in folders.items()})}


def built_image(image: str) -> str:
    """What an image of the spec is called where 'make images' built it; a name that a release set stays.

    Raises:
        InputError: It was not built.
    """
    registry, _, named = image.partition("/")
    if registry != NOBODYS:
        return image
    name = named.partition(":")[0]
    if given := os.environ.get(image_variable(name)):
        return given
    built = json.loads(_BUILT.read_text(encoding="utf-8")) if _BUILT.is_file() else {}
    if name not in built:
        raise InputError(f"The image of the stage {name} was not built; run 'make images' first.")
    return str(built[name]["reference"])


def main() -> int:
    """Run the command in the image and give its exit code; a stop ends the container too."""
    task, image, places, *command = sys.argv[1:]
    program = os.environ[ENGINE]
    name = f"quipu-{secrets.token_hex(6)}"
    options = ["--rm", "--name", name, "--network", "host", "--user", f"{os.getuid()}:{os.getgid()}", "--pull", "never"]
    options += ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]  # noqa: S108
    for path, mode in json.loads(os.environ[VOLUMES]).items():
        options += ["--volume", f"{path}:{path}:{mode}"]
    environment = _environment(json.loads(places))
    for variable in environment:  # by name alone: a value on the command line could be read by others
        if variable.startswith("QUIPU_") and not variable.startswith("QUIPU_CONTAINER_"):
            options += ["--env", variable]
    # kfp.local puts this process's interpreter wherever the command says python3
    command = [part.replace(sys.executable, "python3") for part in command]
    child = subprocess.Popen([program, "run", *options, image, *command], env=environment)

    def stop(_number: int, _frame: object) -> None:
        subprocess.run([program, "kill", name], check=False, capture_output=True)

    signal.signal(signal.SIGTERM, stop)
    code = child.wait()
    if code and not _told(task):
        with stage(task):
            raise InputError(
                f"The image {image} did not start under {Path(program).name}; run 'make images' again."
                if code == _NOT_STARTED
                else f"Its container ended with exit code {code} before it could say why; the log may tell."
            )
    return code


def _told(task: str) -> bool:
    """Whether a task has given the reason of its failure; ``feature-for-model`` speaks as the stage ``feature``."""
    events = Path(os.environ["QUIPU_PROGRESS_FILE"])
    lines = events.read_text(encoding="utf-8").splitlines() if events.exists() else []
    failed = [event["stage"] for event in map(json.loads, lines) if event["state"] == "failed"]
    return any(task.startswith(stage) for stage in failed)


def _secrets(pod: dict[str, Any]) -> dict[str, str]:
    """Where a pod's secrets lie below QUIPU_SECRETS, by the variable that each becomes."""
    return {
        entry["envVar"]: f"{asked['secretName']}/{entry['secretKey']}"
        for asked in pod.get("secretAsEnv", [])
        for entry in asked["keyToEnv"]
    }


def _environment(places: dict[str, str]) -> dict[str, str]:
    """This process's environment, with the secrets of the task where QUIPU_SECRETS holds them."""
    environment = dict(os.environ)
    folder = environment.pop(SECRETS, None)
    if folder:
        for variable, place in places.items():
            environment.pop(variable, None)
            environment.pop(f"{variable}_FILE", None)
            file = Path(folder, place)
            if place and file.is_file():
                environment[variable] = file.read_text(encoding="utf-8").strip()
    return environment


if __name__ == "__main__":
    sys.exit(main())
