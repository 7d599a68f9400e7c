"""Quarantine: the rows that break the contract, apart from the clean ones and each with all its reasons.

A table is read once to find its broken rows and once to write each row to its dataset, partition by partition and batch
by batch. Tables come in the contract's order, so that a row whose parent is in quarantine goes there too.
"""
# ruff: noqa: S608 - the SQL is made of the contract's names and a folder of our own, never of a value

import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import duckdb
import msgspec
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet

from components.credit.book.contract import DECIDED_ABOUT, DOUBTFUL_LOANS, PROVENANCE, TABLES, Table
from components.credit.book.manifest import Manifest
from components.credit.book.mapping import Mapping
from components.credit.book.store import Store
from components.credit.book.validation import QuarantineReason, RowCounts, ValidationReport
from components.credit.config import Config
from components.credit.errors import GateStopped, StoreError
from components.credit.features.recipe import recipe_of
from components.credit.progress import Progress
from components.validate.rawtable import PLACE, RawTable, place
from components.validate.relations import (
    DUPLICATE,
    begin_table,
    broken_rows,
    database,
    note_broken,
    note_duplicates,
    note_keys,
    reasons,
)
from components.validate.rules import broken, rules

_MOSTLY_BROKEN = 0.5  # share of a table's rows
_REASONS = pa.field("reasons", pa.list_(pa.string()))


@dataclass(frozen=True)
class Checked:
    """What validate hands on.

    Args:
        clean: Rows that keep the contract, without provenance.
        quarantine: Rows that do not, as ingest wrote them, with their ``reasons``.
        report: Counts of both, and the reasons.
    """

    clean: Manifest
    quarantine: Manifest
    report: ValidationReport


def validate(raw: Manifest, mapping: Mapping, config: Config, code: str, store: Store, progress: Progress) -> Checked:
    """Check every table against the contract, and part its rows into clean and quarantined ones.

    Raises:
        GateStopped: Too many rows of a table are broken, or no application is clean; the quarantine alone is published.
        StoreError: The store or the disk fails, or rows were lost on the way.
    """
    rows: dict[str, RowCounts] = {}
    why: list[QuarantineReason] = []
    total = sum(table.rows for table in raw.tables.values())
    with store.scanning(), tempfile.TemporaryDirectory(prefix="quipu-validate-") as name:
        folder = Path(name)
        with database(folder) as db:
            for table in TABLES.values():
                if table.name in raw.tables:
                    raw_table = RawTable(store, raw, table)
                    _find_broken(db, raw_table, raw, mapping, progress)
                    rows[table.name] = _part_rows(db, raw_table, folder, progress)
                    why += _counted(db, table, raw_table.schema.names)
                    _account(raw, table.name, rows[table.name])
                    done = sum(counts.received for counts in rows.values())
                    progress.report(table.name, rows=rows[table.name].received, share=done / total if total else None)
            report = ValidationReport(rows, why, _note_doubtful(db, folder, rows))
        notes = msgspec.to_builtins(report)
        publish = partial(store.publish, as_of=raw.as_of, inputs={"raw": raw.sha256}, code=code, notes=notes)
        quarantine = publish("quarantine", folder=folder / "quarantine")
        _stop_at_limit(report, config.limits.quarantined_share, f"{quarantine.bucket}/{quarantine.prefix}")
        clean = publish("clean", folder=folder / "clean")
    return Checked(clean, quarantine, report)


def _find_broken(
    db: duckdb.DuckDBPyConnection, raw_table: RawTable, raw: Manifest, mapping: Mapping, progress: Progress
) -> None:
    """Make the database's ``broken`` for this table, and its ``keys_…`` where other tables refer to it."""
    table = raw_table.table
    needed = _decided_about(mapping) if table.name == "applications" else set()
    checks = rules(table, raw_table.attributes, raw.as_of, mapping.time_zone, needed)
    parents = _parents(table, raw, mapping)
    names = ["source_file", "source_row", *dict.fromkeys(["borrower_id", "event_time", *parents])]
    schema = pa.schema([*PLACE, *(raw_table.schema.field(name) for name in names), _REASONS])

    def judged(part: int) -> Iterator[pa.RecordBatch]:
        for start, batch in raw_table.batches(part, raw_table.schema.names):
            progress.report(f"checking {table.name}", rows=start)
            reasons_of = _lists(broken(pl.DataFrame(batch), checks), batch.num_rows)
            columns = [*place(part, start, batch.num_rows), *batch.select(names).columns, reasons_of]
            yield pa.record_batch(columns, schema=schema)

    begin_table(db)
    for part in range(raw_table.parts):
        note_broken(db, pa.RecordBatchReader.from_batches(schema, judged(part)), part, parents)
    note_duplicates(db, raw_table)
    targets = {target for name in raw.tables for target in _parents(TABLES[name], raw, mapping).values()}
    for column in sorted(target.partition(".")[2] for target in targets if target.startswith(f"{table.name}.")):
        note_keys(db, raw_table, column)


def _decided_about(mapping: Mapping) -> set[str]:
    """Columns without which no application of this lender can be decided; the scorer refuses one without them too."""
    if recipe_of(mapping).by_attributes:
        return set()
    mapped = {name for source in mapping.tables.get("applications", []) for name in source.columns}
    return mapped.intersection(DECIDED_ABOUT)


def _parents(table: Table, raw: Manifest, mapping: Mapping) -> dict[str, str]:
    """The table's references, without those to tables that the lender lacks or does not know whole."""
    skipped = {"borrowers"} if mapping.unknown_borrowers == "keep" else set()
    return {
        column: target
        for column, target in table.references.items()
        if target.partition(".")[0] in raw.tables.keys() - skipped
    }


def _lists(found: pl.DataFrame, rows: int) -> pa.ListArray:
    """The reasons of each of ``rows`` rows, from what ``broken`` found."""
    counts = np.bincount(found["index"].to_numpy(), minlength=rows)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), found["reason"].to_arrow().cast(pa.string()))


def _part_rows(db: duckdb.DuckDBPyConnection, raw_table: RawTable, folder: Path, progress: Progress) -> RowCounts:
    """Write each row to ``folder/clean`` or ``folder/quarantine``, one file a partition, and count them."""
    table = raw_table.table.name
    kept = [field for field in raw_table.schema if field.name not in PROVENANCE.names]
    received = clean_rows = quarantined = 0
    for dataset in ("clean", "quarantine"):
        (folder / dataset / table).mkdir(parents=True)
    for part in range(raw_table.parts):
        file = f"{table}/part-{part:05d}.parquet"
        with (
            pyarrow.parquet.ParquetWriter(folder / "clean" / file, pa.schema(kept), compression="zstd") as clean,
            pyarrow.parquet.ParquetWriter(
                folder / "quarantine" / file, raw_table.schema.append(_REASONS), compression="zstd"
            ) as quarantine,
        ):
            for start, batch in raw_table.batches(part, raw_table.schema.names):
                progress.report(f"writing {table}", rows=received)
                bad = broken_rows(db, part, start, start + batch.num_rows)
                at = bad["position"].to_numpy() - start
                sound = np.ones(batch.num_rows, dtype=bool)
                sound[at] = False
                clean.write_batch(batch.select([field.name for field in kept]).filter(pa.array(sound)))
                if bad.num_rows:
                    quarantine.write_table(
                        pa.Table.from_batches([batch]).take(pa.array(at)).append_column(_REASONS, bad["reasons"])
                    )
                received += batch.num_rows
                clean_rows += int(sound.sum())
                quarantined += bad.num_rows
    return RowCounts(received, clean_rows, quarantined)


def _note_doubtful(db: duckdb.DuckDBPyConnection, folder: Path, tables: Collection[str]) -> int:
    """Write the table of the loans of which a row, an exact repeat apart, lies in quarantine, and count them.

    What became of such a loan is not known from its clean rows alone.
    """
    listed = [
        f"select {column} as loan_id, reasons from '{folder}/quarantine/{table}/*.parquet'"
        for table, column in (("repayments", "loan_id"), ("loans", "loan_id"), ("loans", "replaces_loan_id"))
        if table in tables
    ]
    if not listed:
        return 0
    target = folder / "clean" / DOUBTFUL_LOANS
    target.mkdir()
    loans = db.sql(
        f"""
        select distinct loan_id from ({" union all ".join(listed)})
        where loan_id is not null and reasons <> ['{DUPLICATE}'] order by loan_id
        """
    ).to_arrow_table()
    pyarrow.parquet.write_table(loans, target / "part-00000.parquet", compression="zstd")
    return int(loans.num_rows)


def _account(raw: Manifest, table: str, rows: RowCounts) -> None:
    """Refuse to go on where a row that ingest read is neither clean nor in quarantine."""
    told = raw.notes.get("rows")
    read = told.get(table) if isinstance(told, dict) else None
    if not read == rows.received == rows.clean + rows.quarantined:
        raise StoreError(
            f"{table}: ingest read {read} rows, but {raw.prefix} holds {rows.received}, of which {rows.clean} are clean"
            f" and {rows.quarantined} in quarantine; run ingest again."
        )


def _counted(db: duckdb.DuckDBPyConnection, table: Table, columns: list[str]) -> list[QuarantineReason]:
    """The reasons of a table for the report."""
    counted = []
    for reason, rows, file, row in reasons(db):
        named = reason.partition(": ")[0]
        column = ", ".join(table.key) if reason == DUPLICATE else named if named in columns else ""
        counted.append(QuarantineReason(table.name, reason, column, rows, file, row))
    return counted


def _stop_at_limit(report: ValidationReport, limit: float, place: str) -> None:
    """Stop the run at the first table with too many broken rows, or where no application is clean.

    Args:
        report: Counts of all tables, and the reasons.
        limit: Greatest share of a table's rows that may be in quarantine.
        place: Where the quarantine is.
    """
    for table, counts in report.rows.items():
        share = counts.quarantined / counts.received if counts.received else 0.0
        if share > limit:
            often = next(reason for reason in report.reasons if reason.table == table)
            # Where most rows are broken, the mapping is wrong and not the rows, and no limit would help.
            mostly = share > _MOSTLY_BROKEN
            remedy = "see whether the mapping fits" if mostly else f"raise limits.quarantined_share above {limit:g}"
            raise GateStopped(
                f"{table}: {share:.1%} of the rows ({counts.quarantined:,} of {counts.received:,}) break the contract,"
                f" most often by '{often.reason}' ({often.rows:,} rows, first in {often.first_file} row"
                f" {often.first_row}); see them in {place}, and mend them at their source or {remedy}."
            )
    if "applications" in report.rows and not report.rows["applications"].clean:
        raise GateStopped(f"applications: no row is clean, so there is nothing to score; see {place} for the reasons.")
