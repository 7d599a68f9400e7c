"""``make benchmark-serving``: the scorer beside KServe, MLServer and BentoML, one row a request over loopback.

All serve the same XGBoost model of 300 trees of depth 6 and 40 features, each from an environment of its own, with one
process and one thread for the model. Runs are bounded and interleaved; what is printed is the best run of each (least
disturbed) and the median. An application with its raw history is answered with reasons, and with what would have to
change where it is declined. KServe's runtime is its SDK with the prediction of its xgbserver, which has no package.
"""

import argparse
import dataclasses
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import urllib3
from load import Load, load, resident_mb
from serving_models import application_request, bento_request, booster, infer_request, scorers, table

from components.credit.book.store import Access, Store
from components.credit.models.scorer import Scorer, save
from components.credit.release.registry import Package, promote, register
from components.credit.release.signing import new_key_pair
from pipelines.embedded import embedded_store
from pipelines.processes import ended
from tests.decisions import decision

HERE = Path(__file__).resolve().parent
PEERS = HERE.parents[1] / "build" / "peers"
RESULT = HERE.parents[1] / "build" / "benchmarks" / "serving.json"
CONNECTIONS = 16
_READY_SECONDS = 90


@dataclasses.dataclass(frozen=True)
class Server:
    """A server that runs.

    Args:
        name: Whose it is.
        process: Its process.
        url: Where it takes a row.
        ready: Seconds from its start to its first answer.
    """

    name: str
    process: int
    url: str
    ready: float


@dataclasses.dataclass(frozen=True)
class Case:
    """What is asked of a server: ``peer`` tells a row of another project."""

    name: str
    server: Server
    body: Path
    peer: bool = False


def main() -> None:
    """Run the benchmark, print its table and keep it as JSON."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--seconds", type=int, default=4, help="of each run (default 4)")
    arguments.add_argument("--rounds", type=int, default=3, help="of all runs, interleaved (default 3)")
    asked = arguments.parse_args()
    if not all((PEERS / name.lower() / ".ready").exists() for name in _PEER if "," not in name):
        sys.exit("The peers' environments are missing; run 'make peers' first.")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quipu-serving-")))
        cases = _cases(folder, stack)
        full: dict[str, list[Load]] = {case.name: [] for case in cases}
        half: dict[str, list[Load]] = {case.name: [] for case in cases}
        for turn in range(asked.rounds):
            for case in cases:
                print(f"round {turn + 1} of {asked.rounds}: {case.name}", file=sys.stderr, flush=True)
                full[case.name].append(
                    load(case.server.url, case.body, case.server.process, CONNECTIONS, asked.seconds)
                )
            for case in cases:
                best = max(run.rate for run in full[case.name])
                # a connection's turn at half the rate, less what its request takes
                wait = CONNECTIONS / (best / 2) * 1000 - statistics.median(run.p50 for run in full[case.name]) / 4000
                half[case.name].append(
                    load(case.server.url, case.body, case.server.process, CONNECTIONS, asked.seconds, wait)
                )
        rows = [_row(case, full[case.name], half[case.name]) for case in cases]
    rows = _with_ratios(rows)
    _show(rows)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(rows, indent=2) + "\n")
    print(f"\nkept in {RESULT.relative_to(HERE.parents[1])}")


def _cases(folder: Path, stack: ExitStack) -> list[Case]:
    """All servers started, and what each is asked."""
    columns, bad = table(seed=7)
    boosted = booster(columns, bad)
    model = folder / "model.ubj"
    boosted.save_model(model)
    bodies = {
        "row": infer_request(columns),
        "explained": infer_request(columns, ("probability", "points", "reasons")),
        "bento": bento_request(columns),
        "application": application_request(),
    }
    for name, body in bodies.items():
        (folder / f"{name}.json").write_bytes(body)
    private, public = new_key_pair()
    access = stack.enter_context(embedded_store(folder / "store"))
    store = Store(access)
    versions = {}
    models: dict[str, Scorer] = dict(scorers(columns, bad, bytes(boosted.save_raw("ubj"))).items())
    models["approving"] = dataclasses.replace(models["xgboost"], cutoff=0.95)
    for family, scorer in models.items():
        save(scorer, folder / family)
        chosen = decision(scorer.family, scorer.version())
        package = Package(scorer.version(), scorer.family, "2024-06-30", "benchmark", "ab" * 32, {}, chosen)
        manifest = register(store, folder / family, package, private)
        versions[family] = scorer.version()
        promote(store, scorer.version(), manifest)
    servers = {
        family: stack.enter_context(started(f"Quipu {family}", *scorer_command(folder, access, public, version)))
        for family, version in versions.items()
    }
    peers = {name: stack.enter_context(started(name, *_peer(name, folder, model))) for name in _PEER}
    row, explained = folder / "row.json", folder / "explained.json"
    ours = servers["xgboost"]
    return [
        *(
            Case(name, server, folder / "bento.json" if name == "BentoML" else row, True)
            for name, server in peers.items()
        ),
        Case("Quipu XGBoost", ours, row),
        Case("Quipu XGBoost, reasons", ours, explained),
        Case("Quipu raw history, approved", _with_path(servers["approving"], "/v1/score"), folder / "application.json"),
        Case("Quipu raw history, declined", _with_path(ours, "/v1/score"), folder / "application.json"),
        Case("Quipu forest", servers["random_forest"], row),
        Case("Quipu forest, reasons", servers["random_forest"], explained),
        Case("Quipu scorecard", servers["scorecard"], row),
        Case("Quipu scorecard, reasons", servers["scorecard"], explained),
    ]


Command = tuple[list[str], dict[str, str], int, str, str]


def scorer_command(folder: Path, access: Access, verify_key: str, version: str) -> Command:
    """Command, environment, port, path of readiness and of a row; an empty version follows the champion pointer."""
    port = _free_port()
    environment = {
        "QUIPU_STORE_ENDPOINT": access.endpoint,
        "QUIPU_STORE_ACCESS_KEY": access.access_key,
        "QUIPU_STORE_SECRET_KEY": access.secret_key,
        "QUIPU_VERIFY_KEY": verify_key,
        "QUIPU_MODEL_VERSION": version,
        "QUIPU_SCORER_PORT": str(port),
        "QUIPU_SPOOL": str(folder / f"spool-{version}"),
    }
    return [sys.executable, "-m", "components.scorer"], environment, port, "/v2/health/ready", "/v2/models/quipu/infer"


_PEER = ("KServe", "MLServer", "MLServer, one process", "BentoML")


def _peer(name: str, folder: Path, model: Path) -> Command:
    port = _free_port()
    program = PEERS / name.split(",")[0].lower() / "bin"
    environment = {"BENCHMARK_PORT": str(port), "BENCHMARK_MODEL": str(model), "OMP_NUM_THREADS": "1"}
    if name == "KServe":
        command = [str(program / "python"), str(HERE / "peers" / "kserve_server.py"), str(model)]
        return command, environment, port, "/v2/models/quipu/ready", "/v2/models/quipu/infer"
    if name == "BentoML":
        command = [
            str(program / "bentoml"),
            "serve",
            "bentoml_service:Quipu",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ]
        environment |= {"BENTOML_HOME": str(folder / "bento"), "BENTOML_DO_NOT_TRACK": "True"}
        return [*command, "--working-dir", str(HERE / "peers")], environment, port, "/readyz", "/infer"
    home = folder / name
    home.mkdir()
    ports = {"http_port": port, "grpc_port": _free_port(), "metrics_port": _free_port(), "host": "127.0.0.1"}
    settings = ports | {"parallel_workers": 0 if "one process" in name else 1, "debug": False}
    (home / "settings.json").write_text(json.dumps(settings))
    described = {"name": "quipu", "implementation": "mlserver_xgboost.XGBoostModel", "parameters": {"uri": str(model)}}
    (home / "model-settings.json").write_text(json.dumps(described))
    command = [str(program / "mlserver"), "start", str(home)]
    return command, environment, port, "/v2/models/quipu/ready", "/v2/models/quipu/infer"


@contextmanager
def started(
    name: str, command: list[str], environment: dict[str, str], port: int, ready: str, path: str
) -> Iterator[Server]:
    """A server that runs until the end."""
    print(f"starting {name}", file=sys.stderr, flush=True)
    log = Path(tempfile.gettempdir()) / f"quipu-benchmark-{port}.log"
    began = time.monotonic()
    with log.open("wb") as opened:
        process = subprocess.Popen(
            command,
            env=os.environ | environment | {"PATH": f"{Path(command[0]).parent}:{os.environ['PATH']}"},
            stdout=opened,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    with ended(process):
        http = urllib3.PoolManager(timeout=5, retries=False)
        while True:
            try:
                if http.request("GET", f"http://127.0.0.1:{port}{ready}").status == 200:
                    break
            except urllib3.exceptions.HTTPError:
                pass
            if process.poll() is not None or time.monotonic() > began + _READY_SECONDS:
                sys.exit(f"{name} did not start; its log is {log}.")
            time.sleep(0.02)
        yield Server(name, process.pid, f"http://127.0.0.1:{port}{path}", time.monotonic() - began)
    log.unlink()


def _with_path(server: Server, path: str) -> Server:
    return dataclasses.replace(server, url=server.url.split("/v2/")[0] + path)


def _free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def _row(case: Case, full: list[Load], half: list[Load]) -> dict[str, object]:
    best = max(full, key=lambda run: run.rate)
    quiet = min(half, key=lambda run: run.p99)
    return {
        "name": case.name,
        "peer": case.peer,
        "requests_a_second": round(best.rate, 1),
        "requests_a_second_median": round(statistics.median(run.rate for run in full), 1),
        "cpu_us": round(min(run.cpu for run in full), 1),
        "p50_us": best.p50,
        "p99_us": best.p99,
        "half_load_rate": round(quiet.rate, 1),
        "half_load_p50_us": quiet.p50,
        "half_load_p99_us": quiet.p99,
        "memory_mb": round(resident_mb(case.server.process), 1),
        "ready_s": round(case.server.ready, 2),
        "errors": sum(run.errors for run in [*full, *half]),
    }


def _with_ratios(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Each row with its requests a second over those of the best peer."""
    best = max(float(str(row["requests_a_second"])) for row in rows if row["peer"])
    return [row | {"times_best_peer": round(float(str(row["requests_a_second"])) / best, 2)} for row in rows]


def _show(rows: list[dict[str, object]]) -> None:
    print(f"{'':27}{'req/s':>8}{'× peer':>7}{'CPU µs':>8}{'p50/p99 µs at half':>19}{'MB':>5}{'ready':>6}")
    for row in rows:
        latency = f"{row['half_load_p50_us']}/{row['half_load_p99_us']}"
        print(
            f"{row['name']:27}{row['requests_a_second']:>8.0f}{row['times_best_peer']:>7.2f}{row['cpu_us']:>8.0f}"
            f"{latency:>19}{row['memory_mb']:>5.0f}{row['ready_s']:>6.2f}"
            + (f"  {row['errors']} errors" if row["errors"] else "")
        )


if __name__ == "__main__":
    main()
