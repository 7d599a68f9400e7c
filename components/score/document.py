"""The document of one application with its raw history, as ``POST /v1/score`` takes it, and its tables.

A document holds rows of the data contract as JSON. What one application implies is not in it, or may be left out:
``borrower_id`` (there is one borrower), ``known_at`` (as ``event_time``), ``currency`` (the lender's), ``decided_at``
(now), identifiers that nothing refers to. Outcomes are not in it, since they are not known yet.
"""

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
import pyarrow as pa
from msgspec import Meta, defstruct

from components.credit.contract import COUNT, DAY, FLAG, MONEY, TABLES, TIME, Field
from components.credit.errors import InputError, nearest
from components.credit.features.query import application_schema
from components.credit.features.recipe import Recipe
from components.score.decoding import decoded

_SECTIONS = ("loans", "repayments", "bureau", "transactions")
_NOT_GIVEN = ("borrower_id",)
_NOT_KNOWN = {"applications": ("decision", "loan_id", "outcome", "outcome_known_at")}
_IMPLIED = {
    "applications": ("application_id", "event_time", "known_at", "decided_at", "currency"),
    "borrowers": ("event_time", "known_at"),
    "loans": ("known_at", "currency"),
    "repayments": ("repayment_id", "known_at", "currency"),
    "bureau": ("known_at", "currency"),
    "transactions": ("transaction_id", "known_at", "currency"),
}
_FIRST_YEAR, _LAST_YEAR = 1900, 2199
_DIGITS = 16  # of decimal(18, 2) before the point; Arrow must not see an exponent that is far from it


def _fields(table: str) -> Iterator[Field]:
    """The columns of a table that a document may hold."""
    left_out = (*_NOT_GIVEN, *_NOT_KNOWN.get(table, ()))
    return (field for field in TABLES[table].fields if field.name not in left_out)


def _type(field: Field) -> Any:
    """The type of a column in JSON, with the contract's bounds (those of money are checked later)."""
    shown = Meta(description=f"{field.description}{f' Unit: {field.unit}.' if field.unit else ''}")
    if field.allowed:
        return Annotated[Literal[field.allowed], shown]
    if field.type == MONEY:
        return Annotated[Decimal, shown]
    if field.type == TIME:
        return Annotated[datetime.datetime, shown, Meta(tz=True)]
    if field.type == DAY:
        return Annotated[datetime.date, shown]
    if field.type == FLAG:
        return Annotated[bool, shown]
    if field.type == COUNT:
        least, most = field.minimum, field.maximum
        bounds = Meta(ge=-(2**31) if least is None else int(least), le=2**31 - 1 if most is None else int(most))
        return Annotated[int, shown, bounds]
    if field.type == pa.float64():
        return Annotated[float, shown, Meta(ge=field.minimum, le=field.maximum)]
    return Annotated[str, shown, Meta(max_length=200)]


def _row(table: str, name: str) -> Any:
    """The type of a table's rows in a document."""
    fields: list[Any] = [
        (field.name, _type(field))
        if field.required and field.name not in _IMPLIED[table]
        else (field.name, _type(field) | None, None)
        for field in _fields(table)
    ]
    return defstruct(
        name,
        fields,
        kw_only=True,
        frozen=True,
        forbid_unknown_fields=True,
        module=__name__,
        namespace={"__doc__": TABLES[table].description},
    )


Application = _row("applications", "Application")
Document: Any = defstruct(
    "ApplicationDocument",
    [
        ("application", Application),
        ("borrower", _row("borrowers", "Borrower") | None, None),
        ("loans", list[_row("loans", "Loan")], msgspec.field(default_factory=list)),  # type: ignore[misc]
        ("repayments", list[_row("repayments", "Repayment")], msgspec.field(default_factory=list)),  # type: ignore[misc]
        ("bureau", list[_row("bureau", "BureauMonth")], msgspec.field(default_factory=list)),  # type: ignore[misc]
        ("transactions", list[_row("transactions", "Transaction")], msgspec.field(default_factory=list)),  # type: ignore[misc]
        ("attributes", dict[str, float | str | None], msgspec.field(default_factory=dict)),
    ],
    kw_only=True,
    frozen=True,
    forbid_unknown_fields=True,
    module=__name__,
    namespace={"__doc__": "One application with its raw history; a section left out has no rows."},
)
_DOCUMENT: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Document)


def read_document(body: bytes | msgspec.Raw) -> Any:
    """The document in a body.

    Raises:
        InputError: It does not fit; the sentence names the place.
    """
    return decoded(body, _DOCUMENT, "The application")


def tables_of(document: Any, recipe: Recipe) -> dict[str, pa.Table]:
    """The document's rows as tables of the contract.

    Raises:
        InputError: A row contradicts another, or an amount or a date has no meaning.
    """
    application = document.application
    decided_at = application.decided_at or datetime.datetime.now(datetime.UTC)
    applications = _table(
        "applications",
        "application",
        [application],
        {"currency": recipe.currency, "decided_at": decided_at, "event_time": decided_at},
    )
    found = {
        "applications": pa.table(
            [*applications.columns, *_attributes(document.attributes, recipe)], schema=application_schema(recipe)
        )
    }
    if document.borrower is not None:
        for name in ("birth_month", "business_since"):
            value = getattr(document.borrower, name)
            if value is not None and value > decided_at.date():
                raise InputError(f"borrower.{name} lies after the decision; give a day before it.")
        found["borrowers"] = _table("borrowers", "borrower", [document.borrower], {"event_time": decided_at})
    for section in _SECTIONS:
        rows = getattr(document, section)
        found[section] = _table(section, section, rows, {"currency": recipe.currency})
        _check_keys(section, rows)
    loans = {loan.loan_id for loan in document.loans}
    for place, repayment in enumerate(document.repayments):
        if repayment.loan_id not in loans:
            raise InputError(f"repayments[{place}] names a loan that is not among the loans; give that loan too.")
    return found


def _table(table: str, section: str, rows: Sequence[Any], implied: Mapping[str, object]) -> pa.Table:
    """Rows as a table, with what they imply; ``section`` is their name in the document."""
    given = {field.name for field in _fields(table)}
    filled: dict[str, list[Any]] = {}
    for field in TABLES[table].fields:
        values: list[Any] = [getattr(row, field.name) if field.name in given else None for row in rows]
        if field.type in _CHECKS:
            _check_values(section, field, values)
        if field.name == "borrower_id":
            values = ["borrower"] * len(rows)
        elif field.name == "known_at":
            values = [value or event for value, event in zip(values, filled["event_time"], strict=True)]
        elif field.name in implied:
            values = [implied[field.name] if value is None else value for value in values]
        filled[field.name] = values
    for field in TABLES[table].fields:
        if field.type == TIME:  # pyarrow forgets the offset of other zones once pandera has been imported
            filled[field.name] = [value and value.astimezone(datetime.UTC) for value in filled[field.name]]
    return pa.table(filled, schema=TABLES[table].schema)


def _check_values(section: str, field: Field, values: Sequence[Any]) -> None:
    """Refuse amounts that decimal(18, 2) cannot hold or that are out of bounds, and dates of other ages."""
    has_meaning, meant = _CHECKS[field.type]
    for place, value in enumerate(values):
        if value is not None and not has_meaning(value, field):
            row = f"{section}[{place}]" if section in _SECTIONS else section
            raise InputError(f"{row}.{field.name} is not {meant}.")


def _is_amount(value: Decimal, field: Field) -> bool:
    exponent = value.as_tuple().exponent
    return (
        isinstance(exponent, int)
        and exponent > -_DIGITS
        and value.adjusted() < _DIGITS
        and value == round(value, 2)
        and (field.minimum is None or value >= Decimal(str(field.minimum)))
    )


def _is_day(value: datetime.date, _field: Field) -> bool:
    return _FIRST_YEAR <= value.year <= _LAST_YEAR


_CHECKS: dict[pa.DataType, tuple[Callable[[Any, Field], bool], str]] = {
    MONEY: (_is_amount, "an amount with two decimals within the bounds of the contract"),
    TIME: (_is_day, f"a time from {_FIRST_YEAR} to {_LAST_YEAR}"),
    DAY: (_is_day, f"a day from {_FIRST_YEAR} to {_LAST_YEAR}"),
}


def _attributes(given: Mapping[str, float | str | None], recipe: Recipe) -> list[pa.Array]:
    """The ready attributes as columns of one row, in the order of the schema; null where not given."""
    for name in given:
        if name not in recipe.attributes:
            raise InputError(f"The lender has no attribute '{name}'{nearest(name, recipe.attributes) or '.'}")
    columns = []
    for name, attribute in sorted(recipe.attributes.items()):
        value = given.get(name)
        if value is not None and isinstance(value, str) != (attribute.type == "category"):
            raise InputError(f"attributes.{name} is a {attribute.type}; give a {_JSON[attribute.type]} or null.")
        columns.append(pa.array([value], type=pa.string() if attribute.type == "category" else pa.float64()))
    return columns


_JSON = {"category": "string", "number": "number"}


def _check_keys(section: str, rows: Sequence[Any]) -> None:
    """Refuse a row that is there twice, by the key of its table as far as the document gives it."""
    key = [name for name in TABLES[section].key if name not in _NOT_GIVEN]
    seen = set()
    for place, row in enumerate(rows):
        value = tuple(getattr(row, name) for name in key)
        if None not in value and value in seen:
            raise InputError(f"{section}[{place}] is there twice (by {', '.join(key)}); give it once.")
        seen.add(value)
