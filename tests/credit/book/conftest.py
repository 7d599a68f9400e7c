"""Real S3 servers to run the store tests on: SeaweedFS always, MinIO where its program is at hand."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import urllib3

from components.credit.book.store import Access, Store
from pipelines.embedded import embedded_store
from tests.processes import processes_of

Start = Callable[[Path], AbstractContextManager[Access]]


@contextmanager
def minio_store(folder: Path, port: int = 0) -> Iterator[Access]:
    """A running MinIO with Quipu's buckets, on a free port or on this one; its data stay in ``folder``."""
    program = shutil.which("minio") or shutil.which("minio", path=Path.home() / ".cache/one-node-cluster/bin")
    if not program:
        pytest.skip("no MinIO: put its program 'minio' on the PATH, or let .ci/run build it with Go")
    with socket.socket() as one, socket.socket() as other:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of a server before may linger
        one.bind(("127.0.0.1", port))
        other.bind(("127.0.0.1", 0))
        address, console = (f"127.0.0.1:{opened.getsockname()[1]}" for opened in (one, other))
    access = Access(address, "quipu-tests", "only-for-these-tests")
    environment = {**os.environ, "MINIO_ROOT_USER": access.access_key, "MINIO_ROOT_PASSWORD": access.secret_key}
    command = [program, "server", str(folder / "data"), "--address", address, "--console-address", console, "--quiet"]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        http, deadline = urllib3.PoolManager(timeout=2, retries=False), time.monotonic() + 60
        while not _ready(http, f"http://{address}/minio/health/ready"):
            assert server.poll() is None, "MinIO ended at once"
            assert time.monotonic() < deadline, "MinIO did not answer"
            time.sleep(0.05)
        Store(access).make_buckets()
        yield access
    finally:
        server.terminate()
        server.wait()


def _ready(http: urllib3.PoolManager, url: str) -> bool:
    try:
        return http.request("GET", url).status == 200
    except urllib3.exceptions.HTTPError:
        return False


@pytest.fixture(params=["seaweedfs", "minio"], scope="session")
def start(request: pytest.FixtureRequest) -> Start:
    """Starts a server of one kind on a folder."""
    return {"seaweedfs": embedded_store, "minio": minio_store}[request.param]


@pytest.fixture(scope="session")
def served(start: Start, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access]:
    """Access to a running server of that kind, which the tests share."""
    if start is embedded_store:
        yield request.getfixturevalue("access")
    else:
        with start(tmp_path_factory.mktemp("minio")) as access:
            yield access


@pytest.fixture
def shared(served: Access) -> Store:
    """The store on that server."""
    return Store(served)


@pytest.fixture
def minio() -> Callable[[Path, int], AbstractContextManager[Access]]:
    """Starts MinIO on a folder and a port."""
    return minio_store


@pytest.fixture
def kill() -> Callable[[Path], None]:
    """Kills the server of a folder, as a power cut would."""

    def end(folder: Path) -> None:
        pids = [int(line.split()[0]) for line in processes_of(folder)]
        assert pids
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        while any(
            "State:\tZ" not in Path(f"/proc/{pid}/status").read_text() for pid in pids if Path(f"/proc/{pid}").exists()
        ):
            time.sleep(0.01)

    return end
