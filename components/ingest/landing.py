"""The ingest stage: a lender's tables become the typed raw tables of the contract, with tokens instead of people."""

import datetime
import hashlib
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from components.credit.book.contract import TABLES
from components.credit.book.manifest import Manifest
from components.credit.book.mapping import Mapping
from components.credit.book.store import Store
from components.credit.config import Config
from components.credit.errors import InputError
from components.credit.progress import Progress
from components.ingest.conversion import Conversion, check_dates, conversion, convert, database
from components.ingest.partitions import partition_files, partitions_for
from components.ingest.pseudonyms import partition_of, pseudonym_key
from components.ingest.readers import landing, open_source
from components.ingest.rows import Rows
from components.ingest.separators import Separators

_REPORTED_ROWS = 500_000


@dataclass(frozen=True)
class Piece:
    """The rows of one file or query that go to one table."""

    table: str
    how: Conversion
    rows: Rows


def ingest(
    source: str, mapping: Mapping, config: Config, as_of: str, code: str, store: Store, progress: Progress
) -> Manifest:
    """Read a lender's tables, pseudonymise people and write the raw tables.

    Every row that was read is written, also one that cannot be read: its ``problems`` say why. What is wrong with a
    source as a whole stops the run before anything is published.

    Args:
        source: Folder or ``s3://bucket/prefix`` of the lender's files.
        mapping: The lender's mapping.
        config: Configuration of the run.
        as_of: As-of day, YYYY-MM-DD.
        code: Revision of the code.
        store: Takes the tables, and holds the landing bucket.
        progress: Takes row counts and warnings.

    Returns:
        Manifest of the dataset ``raw``; its notes hold the rows read by table.

    Raises:
        InputError: The as-of day, a secret, a file, a query or its layout is not what the mapping says.
        StoreError: The store does not answer, or the disk is full.
    """
    day = _as_of_day(as_of, mapping.time_zone)
    key = pseudonym_key()
    with (
        store.scanning(),
        tempfile.TemporaryDirectory(prefix="quipu-ingest-") as scratch,
        database(scratch) as connection,
    ):
        for name in mapping.sources:
            check_dates(connection, name, mapping.layout(name))
        pieces = _pieces(source, mapping, day, key, store, progress)
        partitions = config.partitions or partitions_for(sum(piece.rows.size for piece in pieces))
        folder = Path(scratch) / "tables"
        counted: dict[str, int] = {}
        for name in TABLES:
            if name not in mapping.tables:
                continue
            own = [piece for piece in pieces if piece.table == name]
            counted[name] = _write_table(connection, name, own, folder, partitions, progress)
            if not counted[name]:
                raise InputError(
                    f"The files of table '{name}' hold no rows; deliver them, or declare it absent in the mapping."
                )
            progress.report(name, rows=counted[name], share=len(counted) / len(mapping.tables))
        identities = {piece.rows.name: piece.rows.identity for piece in pieces}
        identities["mapping"] = hashlib.sha256(msgspec.json.encode(mapping, order="sorted")).hexdigest()
        return store.publish("raw", as_of, folder, inputs=identities, code=code, notes={"rows": counted})


def _pieces(
    source: str, mapping: Mapping, day: datetime.date, key: bytes, store: Store, progress: Progress
) -> list[Piece]:
    """All files and queries of the mapping, each looked at before the first row is read."""
    lying = landing(source, store)
    pieces = []
    for name, table in TABLES.items():
        for rows in mapping.tables.get(name, []):
            how = conversion(table, rows, mapping, day, key)
            found = open_source(rows.source, mapping.sources[rows.source], how.layout, how.needed, lying, progress)
            pieces += [Piece(name, how, each) for each in found]
    return pieces


def _write_table(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    pieces: list[Piece],
    folder: Path,
    partitions: int,
    progress: Progress,
) -> int:
    """Write the raw rows of one table below ``folder``; gives the number of rows that were read."""
    if name == "repayments" and any("borrower_id" not in piece.how.rules for piece in pieces):
        connection.sql(
            "SELECT loan_id, min(borrower_id) AS borrower_id FROM read_parquet($files) "
            "WHERE loan_id IS NOT NULL GROUP BY loan_id",
            params={"files": f"{folder}/loans/*.parquet"},
        ).to_table("loan_borrowers")
    counted = 0
    with partition_files(folder / name, pieces[0].how.schema, partitions) as files:
        for piece in pieces:
            before, problems, separators = counted, Counter[str](), Separators(piece.how)
            for batch in piece.rows.batches():
                separators.add(batch)
                counted += len(batch.rows)
                rows = convert(connection, piece.how, batch, piece.rows.name)
                if name == "repayments" and "borrower_id" not in piece.how.rules:
                    rows = _with_borrowers(connection, rows)
                files.write(rows, partition_of(rows["borrower_id"].combine_chunks(), partitions))
                for found in pc.value_counts(pc.list_flatten(rows["problems"])).to_pylist():
                    problems[found["values"]] += found["counts"]
                if counted // _REPORTED_ROWS > (counted - len(batch.rows)) // _REPORTED_ROWS:
                    progress.report(name, rows=counted)
            for doubt in separators.doubts(piece.rows.name):
                progress.warn(doubt)
            for sentence, count in sorted(problems.items()):
                if count > (counted - before) / 2:
                    progress.warn(
                        f"{piece.rows.name}: {sentence} in {count / (counted - before):.0%} of the rows; see the "
                        f"rules of table '{name}' and the layout of its source."
                    )
    return counted


def _with_borrowers(connection: duckdb.DuckDBPyConnection, rows: pa.Table) -> pa.Table:
    """Repayments with the borrower of their loan; null where the loan is unknown."""
    connection.register("repayments", rows.select(["loan_id"]))
    found = connection.sql(
        "SELECT loan_id, borrower_id FROM loan_borrowers WHERE loan_id IN (SELECT loan_id FROM repayments)"
    ).to_arrow_table()
    connection.unregister("repayments")
    borrowers = found["borrower_id"].take(pc.index_in(rows["loan_id"], found["loan_id"]))
    return rows.set_column(rows.schema.get_field_index("borrower_id"), rows.schema.field("borrower_id"), borrowers)


def _as_of_day(as_of: str, zone: str) -> datetime.date:
    try:
        day = datetime.datetime.strptime(as_of, "%Y-%m-%d").date()
    except ValueError as error:
        raise InputError(f"The as-of day '{as_of}' is not a date; write it as YYYY-MM-DD.") from error
    if day > datetime.datetime.now(ZoneInfo(zone)).date():
        raise InputError(f"The as-of day {day} lies in the future; give today or a day before.")
    return day
