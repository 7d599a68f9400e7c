"""What a row must keep by itself: pandera checks, made from the data contract.

pandera on polars, because of the libraries measured it was the fastest at saying which row breaks which rule
(``tests/benchmarks/validation_libraries.py``).
"""

import datetime
from collections.abc import Collection
from decimal import Decimal
from zoneinfo import ZoneInfo

import pandera.polars as pandera
import polars as pl
import pyarrow as pa
from pandera.api.polars.types import PolarsData
from pandera.errors import SchemaErrors

from components.credit.book import row_rules
from components.credit.book.contract import DAY, TIME, Field, Table

_MISSING = ": required, but missing"


def rules(
    table: Table, attributes: pa.Schema, as_of: str, time_zone: str, needed: Collection[str] = ()
) -> pandera.DataFrameSchema:
    """The checks of one table; the text of each is the reason that a broken row gets.

    Args:
        table: Table of the contract.
        attributes: Ready attributes besides the contract's columns, named ``attribute_<name>``.
        as_of: As-of day, YYYY-MM-DD.
        time_zone: Zone in which that day ends.
        needed: Columns that this lender's rows must have besides those that the contract requires.
    """
    after = datetime.date.fromisoformat(as_of) + datetime.timedelta(days=1)
    end = datetime.datetime.combine(after, datetime.time(), ZoneInfo(time_zone)).astimezone(datetime.UTC)
    columns = {
        field.name: pandera.Column(
            name=field.name,
            nullable=not field.required and field.name not in needed,
            checks=_bounds(field) + _dates(field, after, end) + _among(table, field),
        )
        for field in table.fields
    }
    for attribute in attributes:
        checks = [_finite(attribute.name)] if pa.types.is_floating(attribute.type) else []
        columns[attribute.name] = pandera.Column(name=attribute.name, nullable=True, checks=checks)
    return pandera.DataFrameSchema(columns)


def broken(rows: pl.DataFrame, checks: pandera.DataFrameSchema) -> pl.DataFrame:
    """Which rows break which rules, those that ingest noted among them.

    Args:
        rows: Rows of a raw table, with ``problems``.
        checks: What ``rules`` made.

    Returns:
        ``index`` (uint32, position in ``rows``) and ``reason`` (``column: what is wrong``), once each, in order of
        ``index``.
    """
    noted = (
        rows.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("index"), reason="problems")
        .filter(pl.col("reason").list.len() > 0)
        .explode("reason")
    )
    try:
        checks.validate(rows, lazy=True)
    except SchemaErrors as errors:
        found = errors.failure_cases.select(
            pl.col("index").cast(pl.UInt32),
            reason=pl.when(pl.col("check") == "not_nullable")
            .then(pl.col("column") + _MISSING)
            .otherwise(pl.col("check")),
        )
        if found["index"].null_count():
            unchecked = errors.failure_cases.filter(pl.col("index").is_null())["check"].to_list()
            raise RuntimeError(f"Rules that could not be checked: {unchecked}") from errors
        noted = pl.concat([noted, found.join(_consequences(noted, rows.columns), on=["index", "reason"], how="anti")])
    return noted.unique(maintain_order=True).sort("index", maintain_order=True)


def _consequences(noted: pl.DataFrame, columns: list[str]) -> pl.DataFrame:
    """Columns of a row that are null for what ingest noted of it: they need no reason of their own."""
    unread = pl.col("reason").str.split(": ").list.first()
    caused = (
        pl.when(unread == "line").then(pl.lit(columns))
        .when(unread == "event_time").then(pl.lit(["event_time", "known_at"]))
        .otherwise(pl.concat_list(unread))
    )  # fmt: skip
    return noted.select("index", reason=caused).explode("reason").with_columns(pl.col("reason") + _MISSING)


def _bounds(field: Field) -> list[pandera.Check]:
    checks = [_finite(field.name)] if pa.types.is_floating(field.type) else []
    if field.allowed:
        checks.append(pandera.Check.isin(field.allowed, error=f"{field.name}: not one of {', '.join(field.allowed)}"))
    if field.minimum is not None:
        checks.append(
            pandera.Check.ge(_number(field, field.minimum), error=f"{field.name}: less than {field.minimum:g}")
        )
    if field.maximum is not None:
        checks.append(
            pandera.Check.le(_number(field, field.maximum), error=f"{field.name}: more than {field.maximum:g}")
        )
    return checks


def _dates(field: Field, after: datetime.date, end: datetime.datetime) -> list[pandera.Check]:
    """The years that a date can lie in, and the day that it cannot lie after."""
    if field.type not in (DAY, TIME):
        return []

    def bound(day: datetime.date) -> datetime.date | datetime.datetime:
        return day if field.type == DAY else datetime.datetime.combine(day, datetime.time(), datetime.UTC)

    first, short = bound(row_rules.FIRST_DATE), bound(datetime.date(100, 1, 1))

    def early(data: PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select((pl.col(data.key) >= first) | (pl.col(data.key) < short))

    checks = [
        pandera.Check.ge(short, error=f"{field.name}: {row_rules.SHORT_YEAR}"),
        pandera.Check(early, error=f"{field.name}: {row_rules.OUTSIDE}"),
        pandera.Check.lt(bound(row_rules.END_DATE), error=f"{field.name}: {row_rules.OUTSIDE}"),
    ]
    if field.name in row_rules.PAST:
        limit = after if field.type == DAY else end
        checks.append(pandera.Check.lt(limit, error=row_rules.after(field.name)))
    if field.name == "birth_month":
        born = row_rules.too_young(after - datetime.timedelta(days=1))

        def grown(data: PolarsData) -> pl.LazyFrame:
            return data.lazyframe.select((pl.col(data.key) < born) | (pl.col(data.key) >= after))

        checks.append(pandera.Check(grown, error=row_rules.TOO_YOUNG))
    return checks


def _among(table: Table, field: Field) -> list[pandera.Check]:
    """What a column must keep together with others of its row."""
    checks = []
    for order in row_rules.ORDERS[table.name]:
        if order.column == field.name:

            def in_order(data: PolarsData, least: str = order.least) -> pl.LazyFrame:
                return data.lazyframe.select(pl.col(data.key) >= pl.col(least))

            checks.append(pandera.Check(in_order, error=order.reason))
    if (table.name, field.name) == ("repayments", "amount"):

        def paid(data: PolarsData) -> pl.LazyFrame:
            return data.lazyframe.select((pl.col(data.key) >= 0) | (pl.col("kind") == "payment"))

        checks.append(pandera.Check(paid, error=row_rules.NEGATIVE))
    return checks


def _finite(name: str) -> pandera.Check:
    def finite(data: PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(pl.col(data.key).is_finite())

    return pandera.Check(finite, error=f"{name}: not a finite number")


def _number(field: Field, bound: float) -> Decimal | float:
    """The bound in the column's own kind, so that money is compared exactly."""
    return Decimal(f"{bound:g}") if pa.types.is_decimal(field.type) else bound
