"""From the rows of a source to typed rows of a table: one SQL query that DuckDB runs over each batch."""

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from components.credit.book.contract import ATTRIBUTE_PREFIX, CATEGORY, PROVENANCE, Field, Table
from components.credit.book.mapping import Column, Layout, Mapping, TableSource
from components.credit.errors import InputError
from components.ingest.expressions import SQL_TYPES, constant, expression, is_native, literal, place, trimmed
from components.ingest.pseudonyms import ENTITIES, pseudonyms
from components.ingest.rows import Batch

_MEMORY = "512MB"


@dataclass(frozen=True)
class Conversion:
    """How the rows of one source become rows of one table.

    Args:
        fields: Columns of the table and, for applications, the ready attributes.
        rules: Rule of each field that has one.
        layout: Layout of the source.
        midnight: Start of the as-of day in the lender's zone.
        zone: Zone of the times without one.
        key: Key of the pseudonyms.
    """

    fields: tuple[Field, ...]
    rules: dict[str, Column]
    layout: Layout
    midnight: datetime.datetime
    zone: str
    key: bytes

    @property
    def schema(self) -> pa.Schema:
        """The fields, then where a row came from and what could not be read of it."""
        return pa.schema([*((field.name, field.type) for field in self.fields), *PROVENANCE])

    @property
    def ruled(self) -> list[tuple[Field, Column]]:
        """The fields that have a rule."""
        return [(field, self.rules[field.name]) for field in self.fields if field.name in self.rules]

    @property
    def needed(self) -> list[str]:
        """Columns of the source that the rules name."""
        return list(dict.fromkeys(rule.column for rule in self.rules.values() if rule.column is not None))


def conversion(table: Table, rows: TableSource, mapping: Mapping, as_of: datetime.date, key: bytes) -> Conversion:
    """The conversion that a mapping asks for."""
    fields = list(table.fields)
    rules = {"currency": Column(value=mapping.currency)}
    if not mapping.dated:
        rules |= {"event_time": Column(value="as_of"), "decided_at": Column(value="as_of")}
    rules |= rows.rules
    if table.name == "applications":
        for name, attribute in mapping.attributes.items():
            kind = pa.float64() if attribute.type == "number" else CATEGORY
            fields.append(Field(f"{ATTRIBUTE_PREFIX}{name}", kind, attribute.en))
            rules[f"{ATTRIBUTE_PREFIX}{name}"] = Column(column=attribute.column, codes=attribute.codes)
    return Conversion(
        fields=tuple(fields),
        rules={field.name: rules[field.name] for field in fields if field.name in rules},
        layout=mapping.layout(rows.source),
        midnight=datetime.datetime.combine(as_of, datetime.time(), ZoneInfo(mapping.time_zone)),
        zone=mapping.time_zone,
        key=key,
    )


@contextmanager
def database(scratch: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database for conversions: it spills to a scratch folder, counts time in UTC and downloads nothing."""
    settings = {
        "threads": "2",
        "memory_limit": _MEMORY,
        "temp_directory": scratch,
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    with duckdb.connect(f"{scratch}/ingest.duckdb", config=settings) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def check_dates(connection: duckdb.DuckDBPyConnection, source: str, layout: Layout) -> None:
    """See that DuckDB can read by each date format of a source.

    Raises:
        InputError: One has an unknown part.
    """
    for text in layout.dates:
        try:
            connection.sql(f"SELECT try_strptime('', {literal(text)})").to_arrow_table()
        except duckdb.Error as error:
            raise InputError(
                f"The date format '{text}' of the source '{source}' has an unknown part; write it as for strptime, "
                "such as %d/%m/%Y."
            ) from error


def convert(connection: duckdb.DuckDBPyConnection, how: Conversion, batch: Batch, name: str) -> pa.Table:
    """A batch as typed rows: one for each of its rows, in its order.

    Args:
        connection: Where the query runs; its time zone is UTC.
        how: The conversion.
        batch: Rows of the source.
        name: Their ``source_file``.
    """
    inputs: dict[str, pa.Array] = {"source_row": batch.rows, "line_problem": batch.problems}
    for field, rule in how.ruled:
        if field.name in ENTITIES:
            # Tokens only go into the query: an identifier never reaches DuckDB.
            inputs[f"v_{field.name}"], inputs[f"p_{field.name}"] = _tokens(how, field, rule, batch, name)
        elif rule.column is not None:
            column, missing = batch.columns[rule.column], [*how.layout.missing, *rule.missing]
            native = is_native(field, rule, column.type)
            inputs[f"s_{field.name}"] = _without(column, missing) if native else text_of(column)
    table = pa.table(inputs)
    connection.register("batch", table)
    try:
        return connection.sql(_query(how, table.schema, name)).to_arrow_table().cast(how.schema)
    finally:
        connection.unregister("batch")


def text_of(column: pa.Array) -> pa.Array:
    """A column as text, whole numbers without a decimal point."""
    if not pa.types.is_floating(column.type):
        return column.cast(pa.string())
    texts = pc.if_else(pc.is_nan(column), None, column).cast(pa.string())
    whole = pc.and_(pc.equal(column, pc.floor(column)), pc.less(pc.abs(column), 2.0**53))
    return pc.if_else(whole, pc.if_else(whole, column, 0).cast(pa.int64()).cast(pa.string()), texts)


def _without(column: pa.Array, missing: list[str]) -> pa.Array:
    """A native column without the values that mean missing; times as microseconds."""
    if missing:
        column = pc.if_else(pc.is_in(text_of(column), pa.array(missing, pa.string())), None, column)
    if pa.types.is_floating(column.type):
        return pc.if_else(pc.is_nan(column), None, column)
    if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
        return column.cast(pa.timestamp("us", getattr(column.type, "tz", None)), safe=False)
    return column


def _tokens(how: Conversion, field: Field, rule: Column, batch: Batch, name: str) -> tuple[pa.Array, pa.Array]:
    if rule.column is None:
        # A row's number, told apart by its file: the first rows of two files are two people.
        identifiers = pc.binary_join_element_wise(name, batch.rows.cast(pa.string()), ":")
    else:
        identifiers = text_of(batch.columns[rule.column])
    missing = [*how.layout.missing, *rule.missing]
    return pseudonyms(identifiers, ENTITIES[field.name], rule, place(field.name, rule), missing, how.key)


def _query(how: Conversion, inputs: pa.Schema, name: str) -> str:
    """The query in three layers: trimmed texts ``t_``, typed values ``v_``, and the rows with their problems."""
    texts, values, problems = [], [], ["line_problem"]
    for field in how.fields:
        rule = how.rules.get(field.name)
        s, t, v, p = (f'"{layer}_{field.name}"' for layer in "stvp")
        if rule is None:
            follows = '"v_event_time"' if field.name == "known_at" else f"NULL::{SQL_TYPES[field.type]}"
            values.append(f"{follows} AS {v}")
        elif field.name in ENTITIES:
            problems.append(p)
        elif rule.column is None:
            values.append(f"{constant(field, rule, how.midnight)} AS {v}")
        else:
            kind = inputs.field(f"s_{field.name}").type
            native = is_native(field, rule, kind)
            texts.append(f"{s if native else trimmed(s, [*how.layout.missing, *rule.missing])} AS {t}")
            read = expression(field, rule, t, v, kind, how.layout, how.zone)
            values.append(f"{read.value} AS {v}")
            problems.append(read.problem)
    rows = [f'"v_{field.name}" AS "{field.name}"' for field in how.fields]
    rows += [f"{literal(name)} AS source_file", "source_row"]
    rows += [f"list_filter([{', '.join(problems)}], lambda sentence: sentence IS NOT NULL) AS problems"]
    # Names are quoted and texts escaped, so that this is safe although it is put together.
    return (
        f"SELECT {', '.join(rows)} FROM (SELECT {', '.join(['*', *values])} "  # noqa: S608
        f"FROM (SELECT {', '.join(['*', *texts])} FROM batch))"
    )
