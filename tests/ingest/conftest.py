"""What the tests of ingest share: a small lender, and a way to ingest its files and look at what was written."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from components.credit.book.manifest import Manifest
from components.credit.book.mapping import Mapping, parse_mapping
from components.credit.book.store import Store
from components.credit.config import Config
from components.credit.progress import Progress
from components.ingest.conversion import database
from components.ingest.landing import ingest

KEY = "0123456789abcdef0123456789abcdef"
LENDER = """
lender: Caja Prueba
currency: PEN
time_zone: America/Lima
defaults: {delimiter: ";", encoding: latin-1, decimal: ",", dates: ["%d/%m/%Y"]}
sources:
  requests: {files: "solicitudes*.csv"}
tables:
  applications:
    - source: requests
      columns:
        application_id: NUMERO
        borrower_id: {column: DNI, identifier: dni}
        event_time: FECHA
        decided_at: FECHA
        amount: MONTO
        outcome: {column: ESTADO, codes: {B: good, M: bad}}
absent: [borrowers, loans, repayments, bureau, transactions]
"""
HEADER = "NUMERO;DNI;FECHA;MONTO;ESTADO\n"


@dataclass(frozen=True)
class Landed:
    """What an ingest gave: its manifest, its tables and its warnings."""

    manifest: Manifest
    tables: dict[str, pa.Table]
    warnings: list[str]

    @property
    def applications(self) -> list[dict[str, Any]]:
        return (
            self.tables["applications"].sort_by([("source_file", "ascending"), ("source_row", "ascending")]).to_pylist()
        )


Ingest = Callable[..., Landed]


@pytest.fixture(autouse=True)
def pseudonym_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUIPU_PSEUDONYM_KEY", KEY)


@pytest.fixture
def ingested(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ingest:
    """Ingest files, given by name and content, with a mapping."""
    folder, events = tmp_path / "landing", tmp_path / "events.jsonl"
    monkeypatch.setenv("QUIPU_PROGRESS_FILE", str(events))

    def run(
        files: dict[str, bytes | str],
        mapping: str | Mapping = LENDER,
        *,
        as_of: str = "2024-12-31",
        partitions: int | None = 1,
        source: str = "",
    ) -> Landed:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode("latin-1") if isinstance(content, str) else content)
        events.write_text("")
        parsed = parse_mapping(mapping, "lender.yaml") if isinstance(mapping, str) else mapping
        manifest = ingest(
            source or str(folder), parsed, Config(partitions=partitions), as_of, "test", store, Progress("ingest")
        )
        told = [json.loads(line) for line in events.read_text().splitlines()]
        return Landed(
            manifest,
            {name: store.table(manifest, name).to_table() for name in manifest.tables},
            [event["warning"] for event in told if "warning" in event],
        )

    return run


@pytest.fixture(scope="session")
def duck(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database for conversions."""
    with database(str(tmp_path_factory.mktemp("duck"))) as connection:
        yield connection
