"""Raw datasets as ingest leaves them in the store, made row by row."""

import datetime
import zlib
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from components.credit.book.contract import PROVENANCE, TABLES
from components.credit.book.manifest import Manifest
from components.credit.book.mapping import Mapping as LenderMapping
from components.credit.book.store import Store
from components.credit.config import Config, Limits
from components.credit.progress import Progress
from components.validate.quarantine import Checked, validate

AS_OF = "2024-06-30"
Row = dict[str, Any]
Publish = Callable[..., Manifest]


def _time(day: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(day).replace(tzinfo=datetime.UTC)


_MAY = {"event_time": _time("2024-05-01"), "known_at": _time("2024-05-01")}
_SOUND: dict[str, Row] = {
    "borrowers": {"borrower_id": "ana", **_MAY, "birth_month": datetime.date(1980, 3, 1), "sex": "female"},
    "loans": {
        "loan_id": "l1", "borrower_id": "ana", **_MAY, "principal": Decimal("1500.00"), "currency": "PEN", "kind": "new"
    },
    "repayments": {
        "repayment_id": "r1", "loan_id": "l1", "borrower_id": "ana", **_MAY, "kind": "due", "amount": Decimal("99.10"),
        "currency": "PEN",
    },
    "bureau": {"borrower_id": "ana", **_MAY, "lenders": 2, "currency": "PEN"},
    "transactions": {
        "transaction_id": "t1", "borrower_id": "ana", **_MAY, "direction": "in", "kind": "wallet",
        "amount": Decimal("12.00"), "currency": "PEN",
    },
    "applications": {"application_id": "a1", "borrower_id": "ana", **_MAY, "decided_at": _time("2024-05-02"),
                     "currency": "PEN"},
}  # fmt: skip


@pytest.fixture
def row() -> Callable[..., Row]:
    """A row that keeps the contract, with the changes asked for; a day as text is midnight UTC of it."""

    def make(table: str, **changes: Any) -> Row:
        timed = {
            name: _time(value) if isinstance(value, str) and name.endswith(("_time", "_at")) else value
            for name, value in changes.items()
        }
        return {**_SOUND[table], **timed}

    return make


@pytest.fixture
def publish_raw(store: Store, tmp_path: Path) -> Publish:
    """Publishes rows by table as ingest does: partitioned by borrower, with file and row numbers."""

    def publish(
        tables: Mapping[str, list[Row]],
        partitions: int = 1,
        attributes: pa.Schema | None = None,
        told: dict[str, int] | None = None,
    ) -> Manifest:
        folder = tmp_path / f"raw-{len(list(tmp_path.iterdir()))}"
        for name, rows in tables.items():
            extra = [*(attributes or []), *PROVENANCE] if name == "applications" else list(PROVENANCE)
            schema = pa.schema([*TABLES[name].schema, *extra])
            placed = [{"source_file": f"{name}.csv", "source_row": n, **row} for n, row in enumerate(rows, start=1)]
            (folder / name).mkdir(parents=True)
            for part in range(partitions):
                kept = [row for row in placed if zlib.crc32(str(row["borrower_id"]).encode()) % partitions == part]
                pyarrow.parquet.write_table(
                    pa.Table.from_pylist(kept, schema=schema), folder / name / f"part-{part:05d}.parquet"
                )
        counts = told or {name: len(rows) for name, rows in tables.items()}
        return store.publish("raw", AS_OF, folder, inputs={}, code="test", notes={"rows": counts})

    return publish


@pytest.fixture
def lender() -> LenderMapping:
    """A lender whose mapping says nothing but where it is."""
    return LenderMapping(lender="Caja", currency="PEN", time_zone="America/Lima", sources={}, tables={})


@pytest.fixture
def check(store: Store, lender: LenderMapping, publish_raw: Publish) -> Callable[..., Checked]:
    """Publishes rows by table and validates them, without a limit where none is given."""

    def run(
        tables: Mapping[str, list[Row]], *, limit: float = 1.0, mapping: LenderMapping = lender, **raw: Any
    ) -> Checked:
        config = Config(limits=Limits(quarantined_share=limit))
        return validate(publish_raw(tables, **raw), mapping, config, "test", store, Progress("validate"))

    return run


@pytest.fixture
def read(store: Store) -> Callable[[Manifest, str], list[Row]]:
    """Rows of a table of a dataset."""
    return lambda manifest, name: store.table(manifest, name).to_table().to_pylist()
