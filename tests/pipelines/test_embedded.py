"""The embedded S3 server leaves nothing behind but its data."""

from pathlib import Path

import pytest

from components.credit.book.store import BUCKETS, Store
from components.credit.errors import StoreError
from pipelines.embedded import embedded_store
from tests.processes import processes_of


def test_its_buckets_are_there_and_no_process_stays(tmp_path: Path) -> None:
    with embedded_store(tmp_path) as access:
        assert processes_of(tmp_path)
        assert [Store(access).keys(bucket, "") for bucket in BUCKETS] == [[]] * 4
        assert access.endpoint.startswith("127.0.0.1:")
    assert processes_of(tmp_path) == []
    assert (tmp_path / "credential.json").stat().st_mode & 0o077 == 0


def test_no_process_stays_after_ctrl_c(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), embedded_store(tmp_path):
        raise KeyboardInterrupt
    assert processes_of(tmp_path) == []


def test_a_server_that_cannot_start_is_named(tmp_path: Path) -> None:
    (tmp_path / "data" / "filerldb2").mkdir(parents=True)
    (tmp_path / "data" / "filerldb2" / "00").write_text("no folder")
    with (
        pytest.raises(StoreError, match=r"^The S3 server ended at once; its log is .*server\.log\.$"),
        embedded_store(tmp_path),
    ):
        pass
    assert processes_of(tmp_path) == []


def test_a_second_command_uses_the_server_that_runs(tmp_path: Path) -> None:
    with embedded_store(tmp_path) as first:
        with embedded_store(tmp_path) as second:
            assert second == first
        assert Store(first).keys("quipu-data", "") == []
    with embedded_store(tmp_path) as later:
        assert Store(later).keys("quipu-data", "") == []
