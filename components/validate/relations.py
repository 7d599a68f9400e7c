"""What a row must keep together with other rows: its references and its key, asked of DuckDB in bounded memory.

Tables in the database, which lies in a file, so that DuckDB holds of it what it needs
    broken        rows of the table at hand that go to quarantine: part, position, source_file, source_row, reasons
    keys_<table>  keys of a parent table: part, key, borrower_id, whether a clean row has it, and when it begins

``part`` is the partition, ``position`` the row's place in it from 0: together they name a row. A partition holds all
rows of its borrowers, so a row's parents lie in the row's own partition and references are asked one partition at a
time. Keys are asked over all partitions, since two borrowers may be given the same one.
"""
# ruff: noqa: S608 - the SQL is made of the contract's names, never of a value

from pathlib import Path

import duckdb
import pyarrow as pa

from components.credit.book.row_rules import BEFORE_LOAN, DAYS_BEFORE_LOAN
from components.validate.rawtable import RawTable

DUPLICATE = "duplicate of an earlier row"
_ROW = ["part", "position", "source_file", "source_row"]


def database(folder: Path) -> duckdb.DuckDBPyConnection:
    """A database in ``folder`` that holds little in memory and spills the rest."""
    db = duckdb.connect(
        str(folder / "relations.duckdb"),
        config={"threads": 2, "memory_limit": "1GB", "temp_directory": str(folder), "preserve_insertion_order": False},
    )
    # DuckDB does not know how many rows Arrow will bring, and would hash the large side of a join: the queries name
    # the small side last, and stay as they are written.
    db.execute("set disabled_optimizers = 'join_order,build_side_probe_side'")
    return db


def begin_table(db: duckdb.DuckDBPyConnection) -> None:
    """Make ``broken`` anew, for the next table."""
    db.execute(
        "create or replace table broken"
        " (part integer, position bigint, source_file varchar, source_row bigint, reasons varchar[])"
    )


def note_broken(db: duckdb.DuckDBPyConnection, rows: pa.RecordBatchReader, part: int, parents: dict[str, str]) -> None:
    """Add to ``broken`` the rows of a partition that break a rule by themselves or lack a parent.

    Args:
        db: Database.
        rows: The partition's rows: part, position, source_file, source_row, ``event_time``, ``borrower_id``, the
            referring columns, and ``reasons`` with what each row breaks by itself.
        part: The partition.
        parents: Referring column to the ``table.column`` that must hold the same value, in a row of the same borrower.
    """
    joins, reasons = "", ["reasons"]
    for column, target in parents.items():
        parent = target.partition(".")[0]
        one = parent.removesuffix("s")
        lacking = f"no such {one}" if column == "borrower_id" else f"no such {one} of this borrower"
        joins += (
            f" left join (from keys_{parent} where part = {part}) as {column}_parent"
            f" on rows.{column} = {column}_parent.key and rows.borrower_id = {column}_parent.borrower_id"
        )
        reasons.append(
            f"case when rows.{column} is null or {column}_parent.clean then null"
            f" when {column}_parent.key is null then ['{column}: {lacking}']"
            f" else ['{column}: its {one} is in quarantine'] end"
        )
        if parent == "loans":
            reasons.append(
                f"case when event_time < {column}_parent.begins - to_days({DAYS_BEFORE_LOAN})"
                f" then ['{BEFORE_LOAN}'] end"
            )
    db.register("rows", rows)
    db.execute(
        f"""
        insert into broken
        from (select {_columns("rows", _ROW)}, list_concat({", ".join(reasons)}) as reasons from rows {joins})
        where len(reasons) > 0
        """
    )


def note_duplicates(db: duckdb.DuckDBPyConnection, raw: RawTable) -> None:
    """Add to ``broken`` the rows whose key an earlier row has, by file and row, and put ``broken`` in order.

    Of the rows of one key the first sound one stays; where none is sound, the first is no duplicate.
    """
    columns = list(raw.table.key)
    key = ", ".join(columns)
    # Hashes first: of a large table the keys themselves would fill the disk, and few or none are there twice.
    db.execute("create or replace temp table repeated (hashed ubigint)")
    for parts in raw.groups:
        db.register("rows", raw.placed(columns, parts))
        db.execute(
            f"""
            insert into repeated select hash({key}) as hashed from rows
            where {" and ".join(f"{column} is not null" for column in columns)}
            group by hashed having count(*) > 1
            """
        )
    if db.execute("select 1 from repeated limit 1").fetchall():
        _add_duplicates(db, raw, columns)
    db.execute("create or replace table broken as from broken order by part, position")


def _add_duplicates(db: duckdb.DuckDBPyConnection, raw: RawTable, columns: list[str]) -> None:
    key = ", ".join(columns)
    db.register("rows", raw.placed(["source_file", "source_row", *columns]))
    db.execute(
        f"""
        create or replace temp table duplicates as
        with suspects as (select * from rows where hash({key}) in (from repeated)),
        ranked as (
            select {_columns("suspects", [*_ROW, *columns])}, broken.position is null as sound,
                   row_number() over (
                       partition by {key} order by suspects.source_file, suspects.source_row, suspects.part,
                       suspects.position
                   ) as nth
            from suspects left join broken using (part, position)
            where {" and ".join(f"suspects.{column} is not null" for column in columns)}
        ),
        kept as (select {key}, coalesce(min(nth) filter (where sound), 1) as nth from ranked group by all)
        select {_columns("ranked", _ROW)} from ranked join kept using ({key}) where ranked.nth > kept.nth
        """
    )
    db.execute(
        f"""
        create or replace table broken as
        select part, position, coalesce(broken.source_file, duplicates.source_file) as source_file,
               coalesce(broken.source_row, duplicates.source_row) as source_row,
               list_concat(broken.reasons, if(duplicates.source_row is null, null, ['{DUPLICATE}'])) as reasons
        from broken full join duplicates using (part, position)
        """
    )
    db.execute("drop table duplicates")


def note_keys(db: duckdb.DuckDBPyConnection, raw: RawTable, column: str) -> None:
    """Make ``keys_<table>``, once ``broken`` holds all broken rows of the table."""
    name = raw.table.name
    db.execute(
        f"create or replace table keys_{name}"
        " (part integer, key varchar, borrower_id varchar, clean boolean, begins timestamp with time zone)"
    )
    for part in range(raw.parts):
        db.register("rows", raw.placed(sorted({column, "borrower_id", "event_time"}), [part]))
        db.execute(
            f"""
            insert into keys_{name}
            select {part}, rows.{column}, rows.borrower_id, bool_or(broken.position is null), min(rows.event_time)
            from rows left join (from broken where part = {part}) as broken using (position)
            where rows.{column} is not null group by all
            """
        )


def broken_rows(db: duckdb.DuckDBPyConnection, part: int, start: int, stop: int) -> pa.Table:
    """``position`` and ``reasons`` of the broken rows of a partition from ``start`` up to ``stop``, in order."""
    return db.sql(
        "select position, reasons from broken where part = ? and position >= ? and position < ? order by position",
        params=[part, start, stop],
    ).to_arrow_table()


def reasons(db: duckdb.DuckDBPyConnection) -> list[tuple[str, int, str, int]]:
    """Each reason in ``broken`` with its rows and its first file and row, the most frequent first."""
    counted: list[tuple[str, int, str, int]] = db.execute(
        """
        select reason, count(*), min(place).file, min(place).row
        from (select unnest(reasons) as reason, {'file': source_file, 'row': source_row} as place from broken)
        group by reason order by 2 desc, reason
        """
    ).fetchall()
    return counted


def _columns(table: str, names: list[str]) -> str:
    return ", ".join(f"{table}.{name}" for name in names)
