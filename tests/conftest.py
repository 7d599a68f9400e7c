"""What tests of several folders share: real servers (S3, PostgreSQL), and the data that may lie beside the project."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import adbc_driver_manager
import adbc_driver_postgresql.dbapi
import pytest

from components.credit.book.store import Access, Store
from pipelines.embedded import embedded_store

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def access(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access]:
    """Access to a running S3 server with Quipu's buckets."""
    with embedded_store(tmp_path_factory.mktemp("store")) as access:
        yield access


@pytest.fixture(scope="session")
def store(access: Access) -> Store:
    """The store on that server."""
    return Store(access)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real credit data; a test that asks for it is skipped where it is not beside the project."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("real data not at hand: no ../shared/data beside the checkout")
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Address of a running PostgreSQL."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not programs:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    binaries = programs[-1].parent
    # It refuses to run as root, and its folder must then be one that its user may reach.
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder = Path(subprocess.check_output([*as_user, "mktemp", "-d", "-t", "quipu-postgres-XXXXXX"], text=True).strip())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = None
    try:
        subprocess.run(
            [*as_user, binaries / "initdb", "-D", folder, "-A", "trust", "-U", "quipu",
             "-E", "UTF8", "--locale", "C", "--no-sync"],
            check=True, capture_output=True, cwd="/",
        )  # fmt: skip
        server = subprocess.Popen(
            [*as_user, binaries / "postgres", "-D", folder, "-p", str(port), "-F",
             "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="],
            stderr=subprocess.DEVNULL, cwd="/",
        )  # fmt: skip
        address = f"postgresql://quipu@127.0.0.1:{port}/postgres"
        _wait(address)
        yield address
    finally:
        if server is not None:
            server.terminate()
            server.wait(timeout=20)
        subprocess.run([*as_user, "rm", "-rf", folder], check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(address: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            adbc_driver_postgresql.dbapi.connect(address).close()
        except adbc_driver_manager.Error:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here (it takes root)")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
