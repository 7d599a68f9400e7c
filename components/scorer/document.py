"""The document of one application with its raw history, as ``POST /v1/score`` takes it, and its columns.

A document holds rows of the data contract as JSON. What one application implies is not in it, or may be left out:
``borrower_id`` (there is one borrower), ``known_at`` (as ``event_time``), ``currency`` (the lender's), ``decided_at``
(now), identifiers that nothing refers to. Outcomes are not in it, since they are not known yet. What is decided about
must be in it: an amount and a term or, where the lender delivers ready attributes instead of history, one of these.
"""

import datetime
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NoReturn

import msgspec
import pyarrow as pa
from msgspec import Meta, defstruct
from msgspec.structs import astuple

from components.credit.book import row_rules
from components.credit.book.contract import (
    ATTRIBUTE_PREFIX,
    COUNT,
    DAY,
    DECIDED_ABOUT,
    FLAG,
    HISTORY,
    MONEY,
    TABLES,
    TIME,
    Field,
)
from components.credit.errors import InputError, nearest
from components.credit.features.moments import DAY_US, EPOCH, all_microseconds, microseconds
from components.credit.features.recipe import Recipe
from components.scorer.decoding import decoded

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
_DIGITS = 16  # of decimal(18, 2) before the point
_AMOUNT = rf"-?[0-9]{{1,{_DIGITS}}}(\.[0-9]{{1,2}})?"  # as text
_WHOLE_DOUBLES = 10**15  # hundredths; a double tells those below from each other
# A decision may lie so far ahead of the clock here, since clocks and zones differ.
_AHEAD = datetime.timedelta(days=1)
_THIS = "this application"  # its identifier where it has none; no loan names it
_EPOCH_DAY = EPOCH.toordinal()
# The first day that has a meaning, and the one after the last; of times, in UTC.
_FIRST_DAY, _END_DAY = (day.toordinal() - _EPOCH_DAY for day in (row_rules.FIRST_DATE, row_rules.END_DATE))


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
        return Annotated[int | float | Annotated[str, Meta(extra_json_schema={"pattern": f"^{_AMOUNT}$"})], shown]
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
# A document as a client may write it; the OpenAPI document shows it.
EXAMPLE = {
    "application": {
        "application_id": "A-2024-0001",
        "decided_at": "2024-06-15T10:00:00-05:00",
        "amount": 2500,
        "total_due": "3000.00",
        "term_days": 360,
        "channel": "branch",
        "declared_income": 1800.5,
    },
    "borrower": {"birth_month": "1985-02-01", "education": "secondary", "dependants": 2},
    "loans": [
        {"loan_id": "L1", "event_time": "2024-02-01T15:00:00Z", "principal": 1500, "term_days": 90, "kind": "new"}
    ],
    "repayments": [
        {"loan_id": "L1", "event_time": "2024-03-02T15:00:00Z", "kind": "due", "due_on": "2024-03-02", "amount": 520},
        {"loan_id": "L1", "event_time": "2024-03-04T15:00:00Z", "kind": "payment", "amount": 520},
    ],
    "bureau": [{"event_time": "2024-04-30T15:00:00Z", "debt": 4200, "worst_class": 0}],
    "transactions": [{"event_time": "2024-06-12T15:00:00Z", "direction": "in", "kind": "wallet", "amount": 120.4}],
}
_DOCUMENT: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Document)


def read_document(body: bytes | msgspec.Raw) -> Any:
    """The document in a body.

    Raises:
        InputError: It does not fit; the sentence names the place.
    """
    return decoded(body, _DOCUMENT, "The application")


def decision_time(document: Any) -> datetime.datetime:
    """Time of the decision: as given, else now.

    An earlier time serves to check an earlier decision; the decision log keeps it beside the time of the request.

    Raises:
        InputError: It lies ahead by more than a day.
    """
    now = datetime.datetime.now(datetime.UTC)
    given: datetime.datetime | None = document.application.decided_at
    if given is not None and given > now + _AHEAD:
        raise InputError("application.decided_at lies ahead by more than a day; leave it out to decide now.")
    return given or now


def tables_of(document: Any, recipe: Recipe, decided_at: datetime.datetime) -> dict[str, dict[str, list[Any]]]:
    """The document's rows as columns, by table and column name, in the units of the features: days since 1970,
    microseconds since 1970, hundredths of the currency.

    Raises:
        InputError: There is nothing to decide about, a row contradicts another, or an amount or a date has no meaning.
    """
    application = document.application
    _check_decidable(document, recipe)
    moment = microseconds(decided_at)
    tables = {
        "applications": _columns(
            "applications",
            "application",
            [application],
            {"application_id": _THIS, "currency": recipe.currency, "decided_at": moment, "event_time": moment},
        )
    }
    tables["applications"].update(_attributes(document.attributes, recipe))
    borrowers = [] if document.borrower is None else [document.borrower]
    tables["borrowers"] = _columns("borrowers", "borrower", borrowers, {"event_time": moment})
    for section in HISTORY:
        rows = getattr(document, section)
        tables[section] = _columns(section, section, rows, {"currency": recipe.currency})
        _check_keys(section, tables[section])
    loans = set(tables["loans"]["loan_id"])
    for number, loan in enumerate(tables["repayments"]["loan_id"]):
        if loan not in loans:
            raise InputError(f"repayments[{number}] names a loan that is not among the loans; give that loan too.")
    _check_rows(tables, decided_at)
    return tables


def _check_rows(tables: Mapping[str, Mapping[str, list[Any]]], decided_at: datetime.datetime) -> None:
    """Refuse a row that validate would put in quarantine."""
    now = microseconds(datetime.datetime.now(datetime.UTC) + _AHEAD)
    today = decided_at.date().toordinal() - _EPOCH_DAY + 1
    ahead = {"event_time": now, "decided_at": now, "birth_month": today, "business_since": today}
    born = row_rules.too_young(decided_at.date()).toordinal() - _EPOCH_DAY
    for table, columns in tables.items():
        for row, reason in row_rules.broken(table, columns, ahead, born):
            column, _, what = reason.partition(": ")
            section = _SECTIONS.get(table) or f"{table}[{row}]"
            raise InputError(f"{section}.{column} cannot be used: {what}; give the row as it was, or leave it out.")
    lent = dict(zip(tables["loans"]["loan_id"], tables["loans"]["event_time"], strict=True))
    for row, (loan, moment) in enumerate(
        zip(tables["repayments"]["loan_id"], tables["repayments"]["event_time"], strict=True)
    ):
        if moment < lent[loan] - row_rules.DAYS_BEFORE_LOAN * DAY_US:
            raise InputError(f"repayments[{row}].{row_rules.BEFORE_LOAN}; give the loan's own events.")


_SECTIONS = {"applications": "application", "borrowers": "borrower"}


def _check_decidable(document: Any, recipe: Recipe) -> None:
    """Refuse an application that does not say what is decided about."""
    if recipe.by_attributes:
        if all(value is None for value in document.attributes.values()):
            raise InputError(
                f"attributes is missing; this lender's applications are decided by them, such as "
                f"'{min(recipe.attributes)}'."
            )
        return
    for name in DECIDED_ABOUT:
        if getattr(document.application, name) is None:
            raise InputError(f"application.{name} is missing; a credit is decided by its amount and its term.")


def _columns(table: str, section: str, rows: Sequence[Any], implied: Mapping[str, object]) -> dict[str, list[Any]]:
    """The columns of some rows of a document's section, with ``implied`` values where the document leaves them out."""
    filled: dict[str, list[Any]] = {}
    implied = {"borrower_id": "borrower", **implied}
    columns = list(zip(*map(astuple, rows), strict=True))
    for field, position, optional, exact in _READ[table]:
        name = field.name
        values = [None] * len(rows) if position is None or not rows else list(columns[position])
        missing = values.count(None) if optional else 0
        if exact is not None and missing < len(rows):
            values = exact(section, field, values)
        if missing and (name == "known_at" or name in implied):
            usual = filled["event_time"] if name == "known_at" else [implied[name]] * len(rows)
            if missing == len(rows):
                values = usual
            else:
                values = [other if value is None else value for value, other in zip(values, usual, strict=True)]
        filled[name] = values
    return filled


def _refuse(section: str, row: int, field: Field, meant: str) -> NoReturn:
    where = f"{section}[{row}]" if section in HISTORY else section
    raise InputError(f"{where}.{field.name} is not {meant}.")


def _hundredths(section: str, field: Field, values: list[Any]) -> list[int | None]:
    """Amounts in hundredths."""
    try:  # nearly always all are numbers; a double is the amount nearest to it, or it is refused
        hundredths = [round(value * 100) for value in values]
        if [each / 100 for each in hundredths] == values and (
            not hundredths or (max(hundredths) < _WHOLE_DOUBLES and min(hundredths) >= _least(field))
        ):
            return hundredths
    except (TypeError, OverflowError, ValueError):
        pass
    return [None if value is None else _amount(section, row, field, value) for row, value in enumerate(values)]


def _amount(section: str, row: int, field: Field, value: float | str) -> int:
    """One amount in hundredths."""
    meant = "an amount with two decimals within the bounds of the contract"
    if isinstance(value, str):
        fits = re.fullmatch(_AMOUNT, value) is not None
        whole, _, cents = value.partition(".")
        hundredths = int(whole + cents.ljust(2, "0")) if fits else 0
    elif isinstance(value, int):
        fits = abs(value) < 10**_DIGITS
        hundredths = value * 100
    else:
        hundredths = round(value * 100) if abs(value) < _WHOLE_DOUBLES else 0
        fits = hundredths / 100 == value and abs(hundredths) < _WHOLE_DOUBLES
    if not fits or hundredths < _least(field):
        _refuse(section, row, field, meant)
    return hundredths


def _least(field: Field) -> int:
    """Least amount allowed, in hundredths."""
    return -(10 ** (_DIGITS + 2)) if field.minimum is None else round(field.minimum * 100)


def _moments(section: str, field: Field, values: list[datetime.datetime | None]) -> list[int | None]:
    """Times in microseconds since 1970."""
    moments = all_microseconds(values)
    _check_span(section, field, moments, _FIRST_DAY * DAY_US, _END_DAY * DAY_US, "a time")
    return moments


def _days(section: str, field: Field, values: list[datetime.date | None]) -> list[int | None]:
    """Days as numbers since 1970."""
    days = [None if value is None else value.toordinal() - _EPOCH_DAY for value in values]
    _check_span(section, field, days, _FIRST_DAY, _END_DAY, "a day")
    return days


def _check_span(section: str, field: Field, values: list[int | None], first: int, end: int, what: str) -> None:
    """Refuse a value outside the years that have a meaning here; at least one value is not None."""
    known = [each for each in values if each is not None]
    if min(known) < first or max(known) >= end:
        row = next(row for row, each in enumerate(values) if each is not None and not first <= each < end)
        _refuse(section, row, field, f"{what} from {row_rules.FIRST_YEAR} to {row_rules.LAST_YEAR}")


_EXACT: dict[pa.DataType, Callable[[str, Field, list[Any]], list[Any]]] = {
    MONEY: _hundredths,
    TIME: _moments,
    DAY: _days,
}
# The columns of each table: their position in a row of the document, whether they may be empty, and the function that
# makes them exact.
_READ = {
    name: [
        (
            field,
            names.index(field.name) if field.name in names else None,
            not field.required or field.name in (*_IMPLIED[name], *_NOT_GIVEN),
            _EXACT.get(field.type),
        )
        for field in table.fields
    ]
    for name, table in TABLES.items()
    for names in [[field.name for field in _fields(name)]]
}


def _attributes(given: Mapping[str, float | str | None], recipe: Recipe) -> dict[str, list[float | str | None]]:
    """The ready attributes as columns of one row; null where not given."""
    for name in given:
        if name not in recipe.attributes:
            raise InputError(f"The lender has no attribute '{name}'{nearest(name, recipe.attributes) or '.'}")
    columns: dict[str, list[float | str | None]] = {}
    for name, attribute in recipe.attributes.items():
        value = given.get(name)
        if value is not None and isinstance(value, str) != (attribute.type == "category"):
            raise InputError(f"attributes.{name} is a {attribute.type}; give a {_JSON[attribute.type]} or null.")
        columns[ATTRIBUTE_PREFIX + name] = [value]
    return columns


_JSON = {"category": "string", "number": "number"}


def _check_keys(section: str, columns: Mapping[str, list[Any]]) -> None:
    """Refuse a row that is there twice, by the key of its table as far as the document gives it."""
    (name,) = [name for name in TABLES[section].key if name not in _NOT_GIVEN]
    given = [value for value in columns[name] if value is not None]
    if len(set(given)) == len(given):
        return
    seen = set()
    for row, value in enumerate(columns[name]):
        if value is not None and value in seen:
            raise InputError(f"{section}[{row}] is there twice (by {name}); give it once.")
        seen.add(value)
