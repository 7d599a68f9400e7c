"""The store keeps what it promises, on a real S3 server: SeaweedFS and, where it is at hand, MinIO."""

import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from components.credit.book.manifest import Manifest, decode
from components.credit.book.store import DATA_BUCKET, Access, Store, access_from_environment
from components.credit.errors import InputError, StoreError

Start = Callable[[Path], AbstractContextManager[Access]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two tables of two partitions; no two tests have the same, so that none finds another's dataset."""
    for name, start in (("loans", 0), ("borrowers", 100)):
        (tmp_path / "tables" / name).mkdir(parents=True)
        for part in range(2):
            numbers = pa.table(
                {"number": range(start + 10 * part, start + 10 * part + 10), "test": [str(tmp_path)] * 10}
            )
            pyarrow.parquet.write_table(
                numbers, tmp_path / "tables" / name / f"part-{part:05d}.parquet", row_group_size=4
            )
    return tmp_path / "tables"


def publish(store: Store, folder: Path, code: str = "first") -> Manifest:
    return store.publish("raw", "2024-06-30", folder, inputs={"a": "b"}, code=code, notes={"rows": {"loans": 20}})


def numbers(table: pa.Table) -> list[int]:
    return table["number"].to_pylist()


def test_what_is_published_reads_back(shared: Store, folder: Path) -> None:
    manifest = publish(shared, folder)
    assert manifest == decode(shared.read(DATA_BUCKET, f"{manifest.prefix}/MANIFEST.json"), "it")
    assert manifest.prefix == f"raw/as_of=2024-06-30/sha256={manifest.sha256[:12]}"
    assert {name: table.rows for name, table in manifest.tables.items()} == {"loans": 20, "borrowers": 20}
    assert numbers(shared.table(manifest, "loans").to_table()) == list(range(20))
    assert numbers(shared.partitions(manifest, "borrowers", 1).to_table()) == list(range(110, 120))
    batches = list(shared.batches(manifest, "loans", 1, ["number"]))
    assert [number for batch in batches for number in batch["number"].to_pylist()] == list(range(10, 20))
    assert {tuple(batch.schema.names) for batch in batches} == {("number",)}
    for part in manifest.tables["loans"].parts:
        assert hashlib.sha256(shared.read(DATA_BUCKET, f"{manifest.prefix}/{part.path}")).hexdigest() == part.sha256


def test_publishing_again_sends_nothing(shared: Store, folder: Path, tmp_path: Path) -> None:
    manifest = publish(shared, folder)
    place = f"{manifest.prefix}/{manifest.tables['loans'].parts[0].path}"
    (tmp_path / "mark").write_bytes(b"not sent again")
    shared.upload(DATA_BUCKET, place, tmp_path / "mark")
    again = publish(shared, folder, code="second")
    assert (again.prefix, again.code) == (manifest.prefix, "second")
    assert shared.read(DATA_BUCKET, place) == b"not sent again"
    assert decode(shared.read(DATA_BUCKET, f"{manifest.prefix}/MANIFEST.json"), "it").code == "first"


def test_a_manifest_whose_files_are_not_there_is_no_dataset(shared: Store, folder: Path) -> None:
    elsewhere = msgspec.structs.replace(publish(shared, folder), prefix="raw/as_of=2024-06-30/sha256=000000000000")
    with pytest.raises(StoreError, match="gone from the store"):
        shared.table(elsewhere, "loans")


def test_other_content_below_a_datasets_name_is_refused(shared: Store, folder: Path) -> None:
    manifest = publish(shared, folder)
    key = f"{manifest.prefix}/MANIFEST.json"
    held = shared.read_pointer(DATA_BUCKET, key)
    assert held
    other = shared.read(DATA_BUCKET, key).replace(manifest.sha256.encode(), b"0" * 64)
    assert shared.move_pointer(DATA_BUCKET, key, other, held[1])
    with pytest.raises(StoreError, match="holds other content than its name says"):
        publish(shared, folder)


def test_a_file_that_was_changed_or_lost_is_refused(shared: Store, folder: Path, tmp_path: Path) -> None:
    manifest = publish(shared, folder)
    (tmp_path / "short").write_bytes(b"PAR1")
    shared.upload(DATA_BUCKET, f"{manifest.prefix}/loans/part-00001.parquet", tmp_path / "short")
    with pytest.raises(StoreError, match=r"loans/part-00001.parquet is gone .* or no longer as it was written"):
        shared.table(manifest, "loans")
    assert numbers(shared.partitions(manifest, "loans", 0).to_table()) == list(range(10))
    with pytest.raises(StoreError, match="has no table 'bureau'"):
        shared.table(manifest, "bureau")


def test_what_is_written_once_stays(shared: Store, tmp_path: Path) -> None:
    key = f"once{tmp_path}"
    assert shared.write_once(DATA_BUCKET, key, b"first")
    assert not shared.write_once(DATA_BUCKET, key, b"second")
    assert shared.read(DATA_BUCKET, key) == b"first"


def test_of_two_movers_of_a_pointer_one_wins(shared: Store, tmp_path: Path) -> None:
    key = f"pointer{tmp_path}"
    assert shared.read_pointer(DATA_BUCKET, key) is None
    assert shared.move_pointer(DATA_BUCKET, key, b"one", None)
    assert not shared.move_pointer(DATA_BUCKET, key, b"another", None)
    held = shared.read_pointer(DATA_BUCKET, key)
    assert held
    assert held[0] == b"one"
    assert shared.move_pointer(DATA_BUCKET, key, b"two", held[1])
    assert not shared.move_pointer(DATA_BUCKET, key, b"three", held[1])
    assert shared.read(DATA_BUCKET, key) == b"two"


def test_a_pointer_that_never_was_cannot_be_moved_from_a_value(shared: Store, tmp_path: Path) -> None:
    key = f"never{tmp_path}"
    assert not shared.move_pointer(DATA_BUCKET, key, b"one", "d41d8cd98f00b204e9800998ecf8427e")
    assert shared.read_pointer(DATA_BUCKET, key) is None


def test_no_move_of_many_at_once_is_lost(served: Access, tmp_path: Path) -> None:
    key = f"counter{tmp_path}"
    assert Store(served).write_once(DATA_BUCKET, key, b"0")

    def count(_: int) -> None:
        store, moved = Store(served), 0
        while moved < 5:
            held = store.read_pointer(DATA_BUCKET, key)
            assert held
            moved += store.move_pointer(DATA_BUCKET, key, str(int(held[0]) + 1).encode(), held[1])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(4)))
    assert Store(served).read(DATA_BUCKET, key) == b"20"


def test_keys_are_listed_in_order(shared: Store, tmp_path: Path) -> None:
    for name in ("b/2", "a", "b/10"):
        shared.write_once(DATA_BUCKET, f"list{tmp_path}/{name}", b"")
    assert shared.keys(DATA_BUCKET, f"list{tmp_path}/") == [f"list{tmp_path}/{name}" for name in ("a", "b/10", "b/2")]


def test_what_is_not_there_is_named(shared: Store) -> None:
    with pytest.raises(StoreError, match=r"^quipu-data/nothing is not in the store\.$"):
        shared.read(DATA_BUCKET, "nothing")
    with pytest.raises(StoreError, match=r"^The bucket no-such-bucket does not exist; make the buckets first\.$"):
        shared.read("no-such-bucket", "nothing")


@pytest.mark.parametrize("wrong", [{"secret_key": "x" * 40}, {"access_key": "nobody"}])
def test_a_wrong_credential_is_named(shared: Store, folder: Path, wrong: dict[str, str]) -> None:
    manifest = publish(shared, folder)
    stranger = Store(msgspec.structs.replace(shared.access, **wrong))
    for attempt in (
        lambda: stranger.read(DATA_BUCKET, "key"),
        lambda: stranger.read_pointer(DATA_BUCKET, "key"),
        lambda: stranger.write_once(DATA_BUCKET, "key", b""),
        lambda: stranger.keys(DATA_BUCKET, ""),
        lambda: stranger.table(manifest, "loans"),
        lambda: publish(stranger, folder),
    ):
        with pytest.raises(StoreError, match=r"^The store refused access to .*; check the stage's credential\.$"):
            attempt()


def test_a_dead_server_is_named_within_seconds(
    start: Start, folder: Path, tmp_path: Path, kill: Callable[[Path], None]
) -> None:
    with start(tmp_path / "server") as access:
        store = Store(access)
        manifest = publish(store, folder)
        kill(tmp_path / "server")
        for attempt in (lambda: publish(store, folder), lambda: store.table(manifest, "loans")):
            started = time.monotonic()
            with pytest.raises(
                StoreError, match=rf"^The store at {access.endpoint} does not answer; check that it runs"
            ):
                attempt()
            assert time.monotonic() - started < 20


def test_a_minio_that_restarts_in_the_middle_is_waited_for(
    minio: Callable[..., AbstractContextManager[Access]], tmp_path: Path, kill: Callable[[Path], None]
) -> None:
    with minio(tmp_path / "server") as access:
        Store(access).write_once(DATA_BUCKET, "before", b"before")
        kill(tmp_path / "server")
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(Store(access).write_once, DATA_BUCKET, "meanwhile", b"meanwhile")
        with minio(tmp_path / "server", int(access.endpoint.rpartition(":")[2])):
            assert written.result(timeout=60)
            assert Store(access).keys(DATA_BUCKET, "") == ["before", "meanwhile"]


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A table of 32 MB in row groups of 0.8 MB."""
    (tmp_path / "large" / "loans").mkdir(parents=True)
    table = pa.table({"number": np.random.default_rng(0).random(4_000_000)})
    pyarrow.parquet.write_table(
        table, tmp_path / "large" / "loans" / "part-00000.parquet", row_group_size=100_000, use_dictionary=False,
        compression="none",
    )  # fmt: skip
    return tmp_path / "large"


def test_a_server_that_dies_in_the_middle_of_a_scan_is_named(
    start: Start, large: Path, tmp_path: Path, kill: Callable[[Path], None]
) -> None:
    with start(tmp_path / "server") as access:
        store = Store(access)
        manifest = publish(store, large)
        sentence = rf"^The store at {access.endpoint} does not answer"
        scanned, table = store.batches(manifest, "loans", 0, ["number"]), store.table(manifest, "loans")
        next(scanned)
        kill(tmp_path / "server")
        with pytest.raises(StoreError, match=sentence):
            list(scanned)
        with duckdb.connect() as db:
            db.register("loans", table)
            with pytest.raises(StoreError, match=sentence), store.scanning():
                db.sql("select sum(number) from loans").fetchall()


def test_a_scan_holds_a_small_part_of_the_table(shared: Store, large: Path) -> None:
    manifest = publish(shared, large)
    before = pa.total_allocated_bytes()
    most = 0
    for _ in shared.batches(manifest, "loans", None, ["number"]):
        time.sleep(0.02)  # a slow reader is no reason to read ahead
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < 12_000_000


def test_data_outlive_their_server(start: Start, folder: Path, tmp_path: Path, kill: Callable[[Path], None]) -> None:
    with start(tmp_path / "server") as access:
        manifest = publish(Store(access), folder)
    with start(tmp_path / "server") as access:
        assert Store(access).move_pointer(DATA_BUCKET, "champion", b"one", None)
        kill(tmp_path / "server")  # what was confirmed is safe all the same
    with start(tmp_path / "server") as access:
        assert numbers(Store(access).table(manifest, "loans").to_table()) == list(range(20))
        assert Store(access).read(DATA_BUCKET, "champion") == b"one"


def test_access_comes_from_the_environment_and_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from a file\n")
    for name in ("ENDPOINT", "ACCESS_KEY", "SECRET_KEY", "SECRET_KEY_FILE", "REGION", "SECURE"):
        monkeypatch.delenv(f"QUIPU_STORE_{name}", raising=False)
    monkeypatch.setenv("QUIPU_STORE_ENDPOINT", "minio:9000")
    monkeypatch.setenv("QUIPU_STORE_ACCESS_KEY", "validate")
    with pytest.raises(InputError, match="QUIPU_STORE_SECRET_KEY is not set"):
        access_from_environment()
    monkeypatch.setenv("QUIPU_STORE_SECRET_KEY_FILE", str(tmp_path / "gone"))
    with pytest.raises(InputError, match=r"QUIPU_STORE_SECRET_KEY_FILE names .*gone, which cannot be read"):
        access_from_environment()
    monkeypatch.setenv("QUIPU_STORE_SECRET_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("QUIPU_STORE_SECURE", "true")
    assert access_from_environment() == Access("minio:9000", "validate", "from a file", "us-east-1", True)
