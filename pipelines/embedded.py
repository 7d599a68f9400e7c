"""The embedded store: a real S3 server (SeaweedFS, from a wheel) on free loopback ports, its data in one folder."""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import urllib3

from components.credit.book.store import Access, Store, access_from_environment
from components.credit.errors import StoreError

_READY_SECONDS = 60
_PORTS = ("s3", "s3_grpc", "master", "master_grpc", "volume", "volume_grpc", "filer", "filer_grpc")


@contextmanager
def embedded_store(folder: Path) -> Iterator[Access]:
    """A running S3 server with Quipu's buckets; it ends with the context, its data stay in ``folder``.

    Where another command runs a server on the folder already, that one is used, and left running.

    Raises:
        StoreError: The server does not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    access_key, secret_key = _credential(folder / "credential.json")
    running = folder / "endpoint"
    if running.exists():
        endpoint = running.read_text(encoding="utf-8")
        if _answers(endpoint):
            yield Access(endpoint, access_key, secret_key)
            return
    ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
    command = [
        _program(), "-logtostderr", "server", "-dir", str(folder / "data"),
        "-ip", "127.0.0.1", "-ip.bind", "127.0.0.1", "-master.telemetry=false", "-master.volumeSizeLimitMB", "1024",
        "-volume.max", "0", "-volume.preStopSeconds", "0",
        "-s3", "-s3.config", str(folder / "credential.json"), "-s3.iam=false", "-s3.port.iceberg", "0",
        "-s3.port.lance", "0",
        "-s3.port", str(ports["s3"]), "-s3.port.grpc", str(ports["s3_grpc"]),
        "-master.port", str(ports["master"]), "-master.port.grpc", str(ports["master_grpc"]),
        "-volume.port", str(ports["volume"]), "-volume.port.grpc", str(ports["volume_grpc"]),
        "-filer.port", str(ports["filer"]), "-filer.port.grpc", str(ports["filer_grpc"]),
    ]  # fmt: skip
    (folder / "data").mkdir(exist_ok=True)
    with ExitStack() as stack:
        log = stack.enter_context((folder / "server.log").open("ab"))
        # Its own session: Ctrl-C reaches the runner, which ends the server when the stages have ended.
        server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        stack.callback(_forget_sockets, ports)
        stack.callback(_end, server)
        access = Access(f"127.0.0.1:{ports['s3']}", access_key, secret_key)
        _wait_until_ready(server, ports, folder / "server.log")
        Store(access).make_buckets()
        running.write_text(access.endpoint, encoding="utf-8")
        stack.callback(running.unlink, missing_ok=True)
        yield access


@contextmanager
def store_at(folder: Path) -> Iterator[Access]:
    """The store that the environment names, with Quipu's buckets, or else an embedded one with its data in ``folder``.

    Raises:
        StoreError: The store is away, or the embedded one does not start.
    """
    if "QUIPU_STORE_ENDPOINT" not in os.environ:
        with embedded_store(folder) as access:
            yield access
        return
    access = access_from_environment()
    Store(access).make_buckets()
    yield access


def _program() -> str:
    beside = Path(sys.executable).parent / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    if not found:
        raise StoreError("The S3 server 'weed' is not installed; run 'make setup' again.")
    return found


def _credential(path: Path) -> tuple[str, str]:
    if not path.exists():
        credential = {"accessKey": f"quipu-{secrets.token_hex(4)}", "secretKey": secrets.token_hex(20)}
        identity = {
            "name": "quipu",
            "credentials": [credential],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
            json.dump({"identities": [identity]}, opened)
    credential = json.loads(path.read_text(encoding="utf-8"))["identities"][0]["credentials"][0]
    return credential["accessKey"], credential["secretKey"]


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for opened in sockets:
            opened.bind(("127.0.0.1", 0))
        return [opened.getsockname()[1] for opened in sockets]


def _wait_until_ready(server: "subprocess.Popen[bytes]", ports: dict[str, int], log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    http = urllib3.PoolManager(timeout=2, retries=False)
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise StoreError(f"The S3 server ended at once; its log is {log}.")
        try:
            if _is_ready(http, ports):
                return
        except urllib3.exceptions.HTTPError:
            pass
        time.sleep(0.05)
    raise StoreError(f"The S3 server did not answer within {_READY_SECONDS} s; its log is {log}.")


def _is_ready(http: urllib3.PoolManager, ports: dict[str, int]) -> bool:
    """Whether S3 answers and the volumes have reported: until they do, what lies in the folder cannot be read."""
    if http.request("GET", f"http://127.0.0.1:{ports['s3']}/healthz").status != 200:
        return False
    status = http.request("GET", f"http://127.0.0.1:{ports['master']}/dir/status")
    return status.status == 200 and bool(status.json().get("Topology", {}).get("DataCenters"))


def _answers(endpoint: str) -> bool:
    try:
        return urllib3.PoolManager(timeout=2, retries=False).request("GET", f"http://{endpoint}/healthz").status == 200
    except urllib3.exceptions.HTTPError:
        return False


def _end(server: "subprocess.Popen[bytes]") -> None:
    """End the server: it syncs what it holds on SIGTERM but waits long for peers that it has not, so not for ever."""
    if server.poll() is None:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(timeout=2)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _forget_sockets(ports: dict[str, int]) -> None:
    """Remove the Unix sockets that a killed server leaves in the system's temporary folder."""
    for role in ("s3", "master", "volume", "filer"):
        Path("/tmp", f"seaweedfs-{role}-grpc-{ports[f'{role}_grpc']}.sock").unlink(missing_ok=True)  # noqa: S108
