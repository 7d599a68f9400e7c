"""Reading a query of a lender's PostgreSQL by ADBC, as Arrow, a batch at a time."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import adbc_driver_manager
import adbc_driver_postgresql.dbapi
import pyarrow as pa
import pyarrow.compute as pc

from components.credit.book.mapping import Layout, Source
from components.credit.errors import InputError
from components.credit.settings import secret
from components.ingest.rows import Batch, Rows, check_columns, plain, size_of_values


def query_rows(name: str, source: Source, layout: Layout, needed: Sequence[str]) -> Rows:
    """The rows of a query, whose columns have been looked at.

    Args:
        name: Name of the source in the mapping.
        source: A source with a connection and a query.
        layout: Its layout; of it the decimal separator counts.
        needed: Columns to read.

    Raises:
        InputError: The connection's secret is missing, the database does not answer, the query is refused or lacks a
            column.
    """
    place = f"{source.connection}:{name}"
    query = source.query.strip().rstrip(";")
    with _cursor(place, source.connection) as cursor:
        cursor.execute(f"SELECT * FROM ({query}\n) AS source LIMIT 0")  # noqa: S608  the mapping's own query
        schema = cursor.fetch_record_batch().schema
        cursor.execute(f"SELECT count(*) FROM ({query}\n) AS source")  # noqa: S608  the mapping's own query
        (rows,) = cursor.fetchone() or (0,)
    check_columns(f"The query of {place}", schema.names, needed)
    for column in needed:
        plain(pa.nulls(0, schema.field(column).type), place, column)
    identity = hashlib.sha256(query.encode()).hexdigest()
    size = size_of_values(int(rows), len(needed))
    return Rows(place, identity, size, partial(_read, place, source.connection, query, layout.decimal, needed))


def _read(place: str, connection: str, query: str, decimal: str, needed: Sequence[str]) -> Iterator[Batch]:
    row = 1
    with _cursor(place, connection) as cursor:
        cursor.execute(query)
        for batch in cursor.fetch_record_batch():
            columns = {column: plain(_numeric(batch.column(column), decimal), place, column) for column in needed}
            numbers = pa.array(range(row, row + batch.num_rows), pa.int64())
            yield Batch(columns, numbers, pa.nulls(batch.num_rows, pa.string()))
            row += batch.num_rows


def _numeric(column: pa.Array, decimal: str) -> pa.Array:
    """A ``numeric`` column, which comes as text with a point, as text with the source's decimal separator."""
    if isinstance(column.type, pa.OpaqueType) and column.type.type_name == "numeric":
        return pc.replace_substring(column.storage, ".", decimal)
    return column


@contextmanager
def _cursor(place: str, connection: str) -> Iterator[adbc_driver_postgresql.dbapi.Cursor]:
    """A cursor, with what can go wrong as one sentence: never the address, which holds a password."""
    name = f"QUIPU_CONNECTION_{connection.upper()}"
    address = secret(name)
    try:
        opened = adbc_driver_postgresql.dbapi.connect(address)
    except adbc_driver_manager.Error as error:
        raise InputError(
            f"{place}: the database does not answer or refuses the login; see the address in {name}."
        ) from error
    try:
        with opened, opened.cursor() as cursor:
            yield cursor
    except adbc_driver_manager.Error as error:
        # Errors of class 42 (syntax, unknown table or column) speak of the query only; others may quote a row's value.
        found = re.search(r"ERROR:\s+(.+)", str(error)) if (error.sqlstate or "").startswith("42") else None
        said = f" ({found.group(1).strip()})" if found else ""
        raise InputError(f"{place}: the database refuses the query{said}; mend it in the mapping.") from error
    except OSError as error:
        raise InputError(
            f"{place}: the query broke off while its rows were read; run it by hand to see why."
        ) from error
