"""The features of applications as one query: over a partition of the store, or over one application's history.

A feature of an application sees only the rows of its borrower whose ``known_at`` is not later than its
``decided_at``, and never its own loan. The pipeline runs the query over Parquet where it lies; for the scorer
``history`` makes Python source of the same query; the values are the same to the bit.
"""
# ruff: noqa: S608 - the SQL is made of the contract's names and of quoted attributes, never of a value

import datetime
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import pyarrow as pa

from components.credit.book.contract import ATTRIBUTE_PREFIX, CATEGORY, MONEY, TABLES
from components.credit.book.mapping import Attribute
from components.credit.dictionary import Feature
from components.credit.errors import InputError
from components.credit.features.applications import APPLICATIONS
from components.credit.features.borrowers import BORROWERS, PROTECTED
from components.credit.features.bureau import BUREAU
from components.credit.features.definition import Source
from components.credit.features.loans import LOANS
from components.credit.features.recipe import Recipe
from components.credit.features.repayments import REPAYMENTS
from components.credit.features.transactions import TRANSACTIONS

_TYPES = {"number": "DOUBLE", "category": "VARCHAR"}

# Repayments are compared within a loan, so they stay in its currency.
PRICED = ("applications", "loans", "bureau", "transactions")

SOURCES = (LOANS, REPAYMENTS, BUREAU, TRANSACTIONS, APPLICATIONS, BORROWERS)


def sources(recipe: Recipe) -> list[Source]:
    """The sources of which the lender has all tables."""
    return [source for source in SOURCES if not set(source.needs) & set(recipe.absent)]


def tables(recipe: Recipe) -> list[str]:
    """Names of the tables that the query reads."""
    return [name for name in TABLES if name not in recipe.absent]


def dictionary(recipe: Recipe) -> list[Feature]:
    """The features' entries in the dictionary, in the order of the columns."""
    entries = [entry for source in sources(recipe) for entry in source.entries()]
    attributes = recipe.attribute_columns(protected=False)
    return entries + [_attribute(column, attribute) for column, attribute in attributes.items()]


def query(recipe: Recipe) -> str:
    """SQL of the features of all rows of ``applications``, in order of ``application_id``.

    Columns: application_id, borrower_id, decided_at, currency, amount, decision, incumbent_score, segment,
    thin_file, protected_*, then the features of ``dictionary``. Amounts are in the recipe's currency.
    """
    used = sources(recipe)
    steps = {"rates": _rates(recipe)} if recipe.rates else {}
    steps |= {f"priced_{name}": _priced(recipe, name) for name in tables(recipe) if name in PRICED}
    steps["application"] = _application(recipe)
    for source in used:
        steps |= source.steps
        steps[f"{source.table}_features"] = _features(source, recipe)
    named = ",\n".join(
        f"{name} AS {'MATERIALIZED ' if name == 'application' else ''}({sql})" for name, sql in steps.items()
    )
    joins = "\n".join(
        f"LEFT JOIN {source.table}_features ON {source.table}_features.row = applications_features.row"
        for source in used
        if source is not APPLICATIONS
    )
    columns = ",\n".join(f"{sql} AS {name}" for sql, name in _columns(recipe, used))
    return f"WITH {named}\nSELECT {columns}\nFROM applications_features\n{joins}\nORDER BY applications_features.row"


def protected_columns(recipe: Recipe) -> list[str]:
    """Names of the columns that models never see, in order."""
    return list(_protected(recipe))


def check_currencies(table: str, earliest: dict[str, int], recipe: Recipe) -> None:
    """Refuse amounts that cannot be converted.

    Args:
        table: Table, for the message.
        earliest: Time of the earliest row in each currency, in microseconds since 1970.
        recipe: Where the rates stand.

    Raises:
        InputError: There is no rate of a currency, or none yet at that time.
    """
    for currency in sorted(earliest.keys() - {recipe.currency}):
        moment = datetime.datetime.fromtimestamp(earliest[currency] / 1e6, ZoneInfo(recipe.time_zone))
        since = [midnight(rate.since, recipe) for rate in recipe.rates if rate.currency == currency]
        if not since:
            raise InputError(
                f"The table {table} holds amounts in {currency}, of which the mapping has no rate to "
                f"{recipe.currency}; add it under rates."
            )
        if moment < min(since):
            raise InputError(
                f"The table {table} holds amounts in {currency} of {moment:%Y-%m-%d}, before the first rate under the "
                f"mapping's rates ({min(since):%Y-%m-%d}); add an earlier one."
            )


def _money(table: str) -> list[str]:
    return [field.name for field in TABLES[table].fields if field.type == MONEY]


def _priced(recipe: Recipe, table: str) -> str:
    """SQL of a table with its amounts in the recipe's currency, at the rate of the day."""
    if not recipe.rates:
        return f"SELECT * FROM {table}"
    # The product of two decimals of 18 digits would be kept in 18 digits too.
    amounts = ", ".join(
        f"CAST(round(CAST(t.{name} AS DECIMAL(20, 2)) * r.rate, 2) AS DECIMAL(18, 2)) AS {name}"
        for name in _money(table)
    )
    return (
        f"SELECT t.* REPLACE ({amounts}) FROM {table} t JOIN rates r "
        "ON r.currency = t.currency AND t.event_time >= r.since AND t.event_time < r.until"
    )


def _rates(recipe: Recipe) -> str:
    """SQL of each rate with the span in which it holds."""
    spans = [(recipe.currency, "-infinity", "infinity", 1.0)]
    for currency in sorted({rate.currency for rate in recipe.rates} - {recipe.currency}):
        dated = sorted((rate.since, rate.rate) for rate in recipe.rates if rate.currency == currency)
        starts = [midnight(since, recipe).isoformat() for since, _ in dated]
        for since, until, (_, rate) in zip(starts, [*starts[1:], "infinity"], dated, strict=True):
            spans.append((currency, since, until, rate))
    values = ", ".join(
        f"({text_of(currency)}, TIMESTAMPTZ '{since}', TIMESTAMPTZ '{until}', CAST('{rate}' AS DECIMAL(18, 8)))"
        for currency, since, until, rate in spans
    )
    return f"SELECT * FROM (VALUES {values}) AS rates (currency, since, until, rate)"


def midnight(day: datetime.date, recipe: Recipe) -> datetime.datetime:
    """The start of a day in the lender's zone."""
    return datetime.datetime.combine(day, datetime.time(), ZoneInfo(recipe.time_zone))


def _application(recipe: Recipe) -> str:
    """SQL of the applications, numbered in order of their identifier."""
    attributes = "".join(f", {_quoted(ATTRIBUTE_PREFIX + name)}" for name in sorted(recipe.attributes))
    return f"""
    SELECT row_number() OVER (ORDER BY application_id) AS row, application_id, borrower_id, decided_at,
        local_day(decided_at) AS decided_day, loan_id, decision, incumbent_score, amount AS asked, total_due, term_days,
        product, purpose, channel, declared_income AS income, declared_expenses AS expenses,
        currency <> {text_of(recipe.currency)} AS foreign_currency{attributes}
    FROM priced_applications
"""


def _features(source: Source, recipe: Recipe) -> str:
    """SQL of a source's features, with ``row`` and what comes with them."""
    columns = {definition.name: definition.sql for definition in source.definitions} | source.apart
    if source is APPLICATIONS:
        columns |= {_quoted(ATTRIBUTE_PREFIX + name): _quoted(ATTRIBUTE_PREFIX + name) for name in recipe.attributes}
    selected = ", ".join(f"{sql} AS {name}" for name, sql in columns.items())
    rows = list(source.steps)[-1] if source.steps else "application"
    return f"SELECT row, {selected} FROM {rows}{' GROUP BY row' if source.grouped else ''}"


def _columns(recipe: Recipe, used: list[Source]) -> Iterator[tuple[str, str]]:
    """SQL and name of each column of the answer."""
    present = {source.table for source in used}
    yield "application_id", "application_id"
    yield "borrower_id", "borrower_id"
    yield "decided_at", "decided_at"
    yield text_of(recipe.currency), "currency"
    yield "asked_amount", "amount"
    yield "decision", "decision"
    yield "incumbent_score", "incumbent_score"
    segment = "CASE WHEN loans_features.row IS NULL THEN 'new' ELSE 'recurrent' END"
    yield segment if "loans" in present else "'new'", "segment"
    yield "bureau_features.row IS NULL" if "bureau" in present else "TRUE", "thin_file"
    for name, sqls in _protected(recipe).items():
        yield f"coalesce({', '.join(sqls)}, NULL)" if sqls else "CAST(NULL AS VARCHAR)", _quoted(name)
    for source in used:
        for definition in source.definitions:
            value = definition.name if definition.empty is None else f"coalesce({definition.name}, {definition.empty})"
            yield f"CAST({value} AS {_TYPES[definition.type]})", definition.name
    for column, attribute in recipe.attribute_columns(protected=False).items():
        yield f"CAST({_quoted(column)} AS {_TYPES[attribute.type]})", _quoted(column)


def _protected(recipe: Recipe) -> dict[str, list[str]]:
    """Protected columns with the SQL of their value: of the profile, and of a ready attribute of the same name."""
    columns: dict[str, list[str]] = {name: [] if "borrowers" in recipe.absent else [name] for name in PROTECTED}
    for column in recipe.attribute_columns(protected=True):
        name = "protected_" + column.removeprefix(ATTRIBUTE_PREFIX)
        columns.setdefault(name, []).append(f"CAST({_quoted(column)} AS VARCHAR)")
    return columns


def _attribute(column: str, attribute: Attribute) -> Feature:
    return Feature(
        name=column,
        type=attribute.type,
        en=attribute.en,
        es=attribute.es,
        source="applications",
        cause="attribute",
        unit=attribute.unit,
        trend=attribute.trend,
        special=attribute.special,
    )


def application_schema(recipe: Recipe) -> pa.Schema:
    """Schema of ``applications`` with the lender's ready attributes."""
    attributes = [
        (ATTRIBUTE_PREFIX + name, CATEGORY if attribute.type == "category" else pa.float64())
        for name, attribute in sorted(recipe.attributes.items())
    ]
    return pa.schema([*TABLES["applications"].schema, *(pa.field(*attribute) for attribute in attributes)])


def text_of(value: str) -> str:
    """A text as a constant of SQL."""
    return "'" + value.replace("'", "''") + "'"


def _quoted(name: str) -> str:
    """A name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'
