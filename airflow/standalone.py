"""Airflow on this machine, with Quipu's DAGs over pipelines that run here too: ``make airflow``.

Runs in ``.venv-airflow`` and starts ``quipu serve-pipelines`` from ``.venv``: the DAGs speak to it as they speak to
Kubeflow Pipelines on a cluster. All that is kept lies in one folder; all processes end with this one.
"""

import argparse
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

ROOT = Path(__file__).resolve().parents[1]
QUIPU = (str(ROOT / ".venv" / "bin" / "python"), "-m", "pipelines.commandline")
AIRFLOW = (str(Path(sys.executable).parent / "airflow"),)
# Without --skip-serve-logs they would listen on all addresses; the web page reads the log files itself.
COMPONENTS = {
    "api-server": (),
    "scheduler": ("--skip-serve-logs",),
    "dag-processor": (),
    "triggerer": ("--skip-serve-logs",),
}
_READY_SECONDS = 600
_END_SECONDS = 20


class Failed(Exception):
    """It did not start; the text says why."""


def main() -> int:
    """Bring it up, and keep it up until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Airflow on this machine, with Quipu's DAGs and pipelines.")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "airflow", help="where everything is kept")
    parser.add_argument("--borrowers", type=int, default=6_000, help="size of the synthetic portfolio")
    parser.add_argument("--config", type=Path, help="configuration (YAML) of the pipelines")
    parser.add_argument("--port", type=int, default=8080, help="of the web page; 0 takes a free one")
    parser.add_argument(
        "--clock", action="store_true", help="let schedules and assets start DAGs once they are unpaused"
    )
    order = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with ExitStack() as stack:
            watched = up(order, stack)
            while all(process.poll() is None for process in watched.values()):
                time.sleep(0.5)
            ended = next(name for name, process in watched.items() if process.poll() is not None)
            raise Failed(f"{ended} ended by itself; its log is {order.folder}/log/{ended}.log.")
    except Failed as problem:
        print(f"Error: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.")
        return 130


def up(order: argparse.Namespace, stack: ExitStack) -> dict[str, "subprocess.Popen[bytes]"]:
    """Start everything and say where it is.

    Returns:
        The processes by name; they end with the stack.

    Raises:
        Failed: Something does not start.
    """
    folder: Path = order.folder.resolve()
    (folder / "log").mkdir(parents=True, exist_ok=True)
    portfolio = folder / "portfolio"
    if not portfolio.exists():
        say(f"Making a synthetic portfolio of {order.borrowers:,} borrowers")
        day = _end_of_last_month().isoformat()
        make = ("generate", "--borrowers", str(order.borrowers), "--seed", "1", "--as-of", day, "--out", str(portfolio))
        once(folder, "generate", (*QUIPU, *make), os.environ)
    config = folder / "config.yaml"
    config.write_text(order.config.read_text(encoding="utf-8") if order.config else "{}\n", encoding="utf-8")
    say("Starting the pipelines' API")
    serve = (*QUIPU, "serve-pipelines", "--folder", str(folder / "pipelines"), "--port", "0")
    plain = os.environ | {"COLUMNS": "1000", "PYTHONUNBUFFERED": "1"}
    watched = {"pipelines": stack.enter_context(running(folder, "pipelines", serve, plain))}
    api = _address(watched["pipelines"], folder / "log" / "pipelines.log")
    port = order.port or _free_port()
    password = secrets.token_urlsafe(12)
    environment = os.environ | _settings(folder, port, order.clock) | _quipu(folder, api, config)
    (folder / "home").mkdir(exist_ok=True)
    _write_secret(folder / "home" / "passwords.json", json.dumps({"admin": password}))
    say("Preparing Airflow's database")
    once(folder, "database", (*AIRFLOW, "db", "migrate"), environment)
    pool = ("pools", "set", "kfp", "2", "Runs of pipelines", "--include-deferred")
    once(folder, "pool", (*AIRFLOW, *pool), environment)
    say("Starting Airflow; the first time takes a minute or two")
    for name, options in COMPONENTS.items():
        watched[name] = stack.enter_context(running(folder, name, (*AIRFLOW, name, *options), environment))
    page = f"http://127.0.0.1:{port}"
    _wait_until_healthy(page, watched, folder)
    say(f"Airflow is on {page}; user admin, password {password}; Ctrl-C stops.")
    return watched


def _settings(folder: Path, port: int, clock: bool) -> dict[str, str]:
    """Airflow's own settings; those that the environment has already stay."""
    page = f"http://127.0.0.1:{port}"
    settings = {
        "AIRFLOW_HOME": str(folder / "home"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "airflow" / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "4",
        # Without a clock nothing starts by itself, so every DAG can be ready to be triggered.
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": str(clock),
        "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": str(clock),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{page}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(folder / "home" / "passwords.json"),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": page,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        # The web server answers late while a training takes all cores, and a task must not fail of that.
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
        "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "20",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW__OPENLINEAGE__DISABLED": "True",
        "NO_PROXY": "127.0.0.1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }
    return settings | {name: value for name, value in os.environ.items() if name.startswith("AIRFLOW__")}


def _quipu(folder: Path, api: str, config: Path) -> dict[str, str]:
    """The connection to the pipelines' API, and the variables that tell the DAGs of the portfolio."""
    with urllib.request.urlopen(f"{api}/apis/v2beta1/healthz", timeout=30) as answer:  # noqa: S310 - our own server
        code = json.load(answer)["commit_sha"]
    connection = {"conn_type": "kfp", "host": api, "extra": {"token_path": str(folder / "pipelines" / "token")}}
    return {
        "AIRFLOW_CONN_KFP_DEFAULT": json.dumps(connection),
        "AIRFLOW_VAR_QUIPU_SOURCE": str(folder / "portfolio"),
        "AIRFLOW_VAR_QUIPU_MAPPING": str(ROOT / "pipelines" / "mappings" / "portfolio.yaml"),
        "AIRFLOW_VAR_QUIPU_CONFIG": str(config),
        "AIRFLOW_VAR_QUIPU_CODE": code,
    }


def once(folder: Path, name: str, command: tuple[str, ...], environment: Mapping[str, str]) -> None:
    """Run a command to its end.

    Raises:
        Failed: It failed.
    """
    with running(folder, name, command, environment) as process:
        if process.wait() != 0:
            raise Failed(f"{name} failed; its log is {folder}/log/{name}.log.")


@contextmanager
def running(
    folder: Path, name: str, command: tuple[str, ...], environment: Mapping[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    """A process with a session and a log of its own; it and all that it started end with the context."""
    with (folder / "log" / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pid in _session(process.pid):  # Airflow's tasks lead groups of their own
            os.kill(pid, signal.SIGKILL)


def _session(leader: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "-s", str(leader)], capture_output=True, text=True, check=False)
    return [int(pid) for pid in listed.stdout.split()]


def _address(process: "subprocess.Popen[bytes]", log: Path) -> str:
    """The address that the pipelines' API says it listens on."""
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        _, found, rest = log.read_text(encoding="utf-8").partition(" is on ")
        if found and ";" in rest:
            return rest.partition(";")[0]
        time.sleep(0.1)
    raise Failed(f"The pipelines' API did not start; its log is {log}.")


def _wait_until_healthy(page: str, watched: Mapping[str, "subprocess.Popen[bytes]"], folder: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        for name, process in watched.items():
            if process.poll() is not None:
                raise Failed(f"{name} did not start; its log is {folder}/log/{name}.log.")
        try:
            with urllib.request.urlopen(f"{page}/api/v2/monitor/health", timeout=10) as answer:  # noqa: S310
                health = json.load(answer)
            if all((part or {}).get("status") == "healthy" for part in health.values()):
                return
        except (urllib.error.URLError, OSError, ValueError):
            pass
        time.sleep(0.5)
    raise Failed(f"Airflow did not get healthy within {_READY_SECONDS} s; its logs are in {folder}/log.")


def _end_of_last_month() -> date:
    today = datetime.now(UTC).astimezone(ZoneInfo("America/Lima")).date()
    return today.replace(day=1) - timedelta(days=1)


def _free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def _write_secret(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
        opened.write(text)


def say(line: str) -> None:
    """Tell the user, at once."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
