"""What tests of several folders share: real servers (S3, PostgreSQL), and the data that may lie beside the project."""

import os
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import adbc_driver_manager
import adbc_driver_postgresql.dbapi
import pytest
from hypothesis import HealthCheck, settings

from components.credit.book.store import Access, Store
from pipelines.embedded import embedded_store

# A machine that is busy with other work is slow, and no example is wrong for that.
settings.register_profile("quipu", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("quipu")
# The pipelines' runs take longest, so they start first.
LONG = "pipelines"
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say which tests go to one worker: those of a file, which share its fixtures, and those of the one finished run.

    A test that runs a pipeline of its own goes wherever a worker is free.
    """
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        group = "finished run" if "finished" in fixtures else item.name if "quipu" in fixtures else item.path.name
        item.add_marker(pytest.mark.xdist_group(f"{item.path.parent.name} {group}"))
    items.sort(key=lambda item: item.path.parent.name != LONG)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was left out, in how many tests, and how to get what these need."""
    counts = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", []))
    lines = [(f"{count}", *reason.partition(": ")[::2]) for reason, count in sorted(counts.items())]
    if config.args_source is pytest.Config.ArgsSource.TESTPATHS and config.option.markexpr == "not e2e":
        lines.append(("e2e", "not asked for", "'make e2e' runs them on a Kubernetes cluster"))
    if lines:
        widths = [max(len(line[column]) for line in lines) for column in (0, 1)]
        terminalreporter.section("left out")
        for tests, what, remedy in lines:
            terminalreporter.write_line(f"{tests:>{widths[0]}} tests  {what:<{widths[1]}}  {remedy}")


def _reason(report: pytest.TestReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


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
        pytest.skip("no real credit data: lay it in ../shared/data, beside the checkout")
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Address of a running PostgreSQL."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not programs:
        pytest.skip("no PostgreSQL: apt-get install postgresql")
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
        pytest.skip("no right to mount a small disk: run the tests as root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
