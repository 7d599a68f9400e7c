"""Small histories of borrowers, made row by row."""

import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from components.credit.book.contract import TABLES
from components.credit.features.engine import connect
from components.credit.features.query import application_schema, query, tables
from components.credit.features.recipe import Recipe

Row = dict[str, Any]
Rows = dict[str, list[Row]]

PERU = Recipe(currency="PEN", time_zone="America/Lima", absent=[], attributes={}, rates=[])

_ROWS: dict[str, Row] = {
    "borrowers": {"borrower_id": "ana"},
    "loans": {"loan_id": "l1", "borrower_id": "ana", "principal": 1000, "currency": "PEN", "kind": "new"},
    "repayments": {"loan_id": "l1", "borrower_id": "ana", "currency": "PEN"},
    "bureau": {"borrower_id": "ana", "currency": "PEN"},
    "transactions": {"borrower_id": "ana", "direction": "in", "kind": "takings", "amount": 100, "currency": "PEN"},
    "applications": {"application_id": "a1", "borrower_id": "ana", "currency": "PEN", "decision": "approved"},
}
_KEYS = {"repayments": "repayment_id", "transactions": "transaction_id"}


def moment(text: str) -> datetime.datetime:
    """A time of Lima from text, in UTC; a day alone is its noon."""
    found = datetime.datetime.fromisoformat(text if "T" in text else f"{text}T12:00")
    return found.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=-5))).astimezone(datetime.UTC)


def row(table: str, at: str, **changes: Any) -> Row:
    """A row of a table that happened at ``at``, and is known at once unless ``known_at`` says when."""
    made = {**_ROWS[table], "event_time": at, "known_at": at, **changes}
    if table == "applications":
        made.setdefault("decided_at", at)
    for name, value in made.items():
        type_ = TABLES[table].schema.field(name).type if name in TABLES[table].schema.names else None
        if type_ is not None and pa.types.is_timestamp(type_) and isinstance(value, str):
            made[name] = moment(value)
        elif type_ is not None and pa.types.is_date(type_) and isinstance(value, str):
            made[name] = datetime.date.fromisoformat(value)
        elif type_ is not None and pa.types.is_decimal(type_) and value is not None:
            made[name] = Decimal(str(value))
    return made


def instalment(loan: str, number: int, due: str, paid: str | None, amount: float = 100, **changes: Any) -> list[Row]:
    """An instalment that fell due, and its payment where there is one."""
    about = {"loan_id": loan, "instalment": number, "due_on": due, "amount": amount, **changes}
    rows = [row("repayments", due, kind="due", **about)]
    return rows if paid is None else [*rows, row("repayments", paid, kind="payment", **about)]


def arrow(rows: Rows, recipe: Recipe) -> dict[str, pa.Table]:
    """The rows as tables of the contract; a table without rows is there all the same."""
    schemas = {name: TABLES[name].schema for name in tables(recipe)} | {"applications": application_schema(recipe)}
    return {
        name: pa.Table.from_pylist(
            [{_KEYS[name]: f"{name}{index}", **made} if name in _KEYS else made
             for index, made in enumerate(rows.get(name, []))],
            schema=schema,
        )
        for name, schema in schemas.items()
    }  # fmt: skip


def batch(found: dict[str, pa.Table], recipe: Recipe, threads: int = 1) -> pa.Table:
    """The features as the pipeline makes them."""
    connection = connect(recipe, threads=threads, memory="256MB")
    try:
        for name, table in found.items():
            connection.register(name, table)
        return connection.sql(query(recipe)).to_arrow_table()
    finally:
        connection.close()


def columns(found: dict[str, pa.Table]) -> dict[str, dict[str, list[Any]]]:
    """The tables as the engine of one application takes them: days, microseconds and hundredths as integers."""
    return {name: {field.name: _whole(table[field.name]) for field in table.schema} for name, table in found.items()}


def _whole(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        return list(column.cast(pa.int64()).to_pylist())
    if pa.types.is_date32(column.type):
        return list(column.cast(pa.int32()).to_pylist())
    if pa.types.is_decimal(column.type):
        return [None if value is None else int(value.scaleb(2)) for value in column.to_pylist()]
    return list(column.to_pylist())
