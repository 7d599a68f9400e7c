"""What a row must keep together with other rows: its references and its key, asked of DuckDB in bounded memory.

Tables in the database
    broken        rows of the table at hand that go to quarantine: part, position, source_file, source_row, reasons
    keys_<table>  keys of a parent table: key, and whether a clean row has it

``part`` is the partition, ``position`` the row's place in it from 0: together they name a row.
"""
# ruff: noqa: S608 - the SQL is made of the contract's names, never of a value

from pathlib import Path

import duckdb
import pyarrow as pa

from components.validate.rawtable import RawTable

DUPLICATE = "duplicate of an earlier row"
_ROW = ["part", "position", "source_file", "source_row"]


def database(folder: Path) -> duckdb.DuckDBPyConnection:
    """A database that spills to ``folder`` what does not fit in a small share of the memory."""
    return duckdb.connect(
        config={"threads": 2, "memory_limit": "1GB", "temp_directory": str(folder), "preserve_insertion_order": False}
    )


def note_broken(db: duckdb.DuckDBPyConnection, rows: pa.RecordBatchReader, parents: dict[str, str]) -> None:
    """Make ``broken``: the rows that break a rule by themselves or lack a parent.

    Args:
        db: Database.
        rows: All rows of a table: part, position, source_file, source_row, its referring columns, and ``reasons``
            with what each breaks by itself.
        parents: Referring column to the ``table.column`` that must hold the same value.
    """
    joins, reasons = "", ["reasons"]
    for column, target in parents.items():
        parent = target.partition(".")[0]
        one = parent.removesuffix("s")
        joins += f" left join keys_{parent} as {column}_parent on rows.{column} = {column}_parent.key"
        reasons.append(
            f"case when {column} is null or {column}_parent.clean then null"
            f" when {column}_parent.key is null then ['{column}: no such {one}']"
            f" else ['{column}: its {one} is in quarantine'] end"
        )
    db.register("rows", rows)
    db.execute(
        f"""
        create or replace table broken as
        from (select {_columns("rows", _ROW)}, list_concat({", ".join(reasons)}) as reasons from rows {joins})
        where len(reasons) > 0
        """
    )


def note_duplicates(db: duckdb.DuckDBPyConnection, raw: RawTable) -> None:
    """Add to ``broken`` the rows whose key an earlier row has, by file and row.

    Of the rows of one key the first sound one stays; where none is sound, the first is no duplicate.
    """
    columns = list(raw.table.key)
    key = ", ".join(columns)
    db.register("rows", raw.placed(columns))
    db.execute(
        f"""
        create or replace temp table repeated as
        select {key} from rows where {" and ".join(f"{column} is not null" for column in columns)}
        group by all having count(*) > 1
        """
    )
    if not db.execute("select 1 from repeated limit 1").fetchall():
        return
    db.register("rows", raw.placed(["source_file", "source_row", *columns]))
    db.execute(
        f"""
        create or replace temp table duplicates as
        with ranked as (
            select {_columns("rows", [*_ROW, *columns])}, broken.position is null as sound,
                   row_number() over (
                       partition by {key} order by rows.source_file, rows.source_row, rows.part, rows.position
                   ) as nth
            from rows semi join repeated using ({key}) left join broken using (part, position)
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


def note_keys(db: duckdb.DuckDBPyConnection, raw: RawTable, column: str) -> None:
    """Make ``keys_<table>``, once ``broken`` holds all broken rows of the table."""
    db.register("rows", raw.placed([column]))
    db.execute(
        f"""
        create or replace table keys_{raw.table.name} as
        select rows.{column} as key, bool_or(broken.position is null) as clean
        from rows left join broken using (part, position) where rows.{column} is not null group by all
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
    found: list[tuple[str, int, str, int]] = db.execute(
        """
        select reason, count(*), min(place).file, min(place).row
        from (select unnest(reasons) as reason, {'file': source_file, 'row': source_row} as place from broken)
        group by reason order by 2 desc, reason
        """
    ).fetchall()
    return found


def _columns(table: str, names: list[str]) -> str:
    return ", ".join(f"{table}.{name}" for name in names)
