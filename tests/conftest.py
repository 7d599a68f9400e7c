"""What tests of several folders share: a real S3 server, and the data that may lie beside the project."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from components.credit.store import Access, Store
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
