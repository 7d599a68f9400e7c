"""SQL expressions, for DuckDB, that turn a source's text or native value into a typed value of the contract.

Each works on a column ``t``, which is null where the source has no value, and on its result ``v``. None of them can
fail on a row: what cannot be read becomes null with a sentence, which names the source's column but never a value.
"""

import datetime
from dataclasses import dataclass

import pyarrow as pa

from components.credit.book.contract import CATEGORY, COUNT, DAY, FLAG, MONEY, TIME, Field
from components.credit.book.mapping import OTHER_CODES, Column, Layout, Scalar

SQL_TYPES = {
    CATEGORY: "VARCHAR",
    TIME: "TIMESTAMPTZ",
    DAY: "DATE",
    MONEY: "DECIMAL(18, 2)",
    COUNT: "INTEGER",
    FLAG: "BOOLEAN",
    pa.float64(): "DOUBLE",
}
_NUMBERS = (MONEY, COUNT, pa.float64())
_MONTHS = ("birth_month", "business_since")  # coarsened to the first day of the month
_DAYS_IN = {"days": 1.0, "weeks": 7.0, "months": 365.25 / 12, "years": 365.25}
_BLANKS = " \t\r\n\u00a0"
# RENIEC numbers the departments alike, but for Callao, which it counts as the 24th and INEI as the seventh.
_INEI_OF_RENIEC = {f"{code:02d}": f"{code if code < 7 else code + 1:02d}" for code in range(1, 24)}
_INEI_OF_RENIEC |= {"24": "07", "25": "25"}


@dataclass(frozen=True)
class Expression:
    """SQL of a value, and of the sentence where it cannot be read (null where it can)."""

    value: str
    problem: str = "NULL"


def literal(text: str) -> str:
    """A text as SQL."""
    return "'" + text.replace("'", "''") + "'"


def place(name: str, rule: Column) -> str:
    """How a sentence begins: the column of the table, then that of the source."""
    return f"{name}: {rule.column or 'the unnamed column'}"


def trimmed(column: str, missing: list[str]) -> str:
    """Text without blanks around it; null where that is empty or means missing."""
    text = f"trim({column}, {literal(_BLANKS)})"
    absent = ", ".join(literal(word) for word in ["", *missing])
    return f"CASE WHEN {text} NOT IN ({absent}) THEN {text} END"


def is_native(field: Field, rule: Column, kind: pa.DataType) -> bool:
    """Whether a source's value is typed already, so that no text needs to be read."""
    if rule.codes is not None or rule.ubigeo is not None:
        return False
    if field.type in _NUMBERS:
        return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))
    if field.type in (TIME, DAY):
        return bool(pa.types.is_date(kind) or pa.types.is_timestamp(kind))
    return bool(field.type == FLAG and pa.types.is_boolean(kind))


def constant(field: Field, rule: Column, midnight: datetime.datetime) -> str:
    """A rule's constant as SQL; ``as_of`` in a time or day is the start of the as-of day."""
    if rule.value is None:
        return f"NULL::{SQL_TYPES[field.type]}"
    text = str(rule.value)
    if field.type in (TIME, DAY):
        moment = midnight if text == "as_of" else datetime.datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=midnight.tzinfo)
        text = moment.isoformat() if field.type == TIME else moment.date().isoformat()
    return f"{literal(text)}::{SQL_TYPES[field.type]}"


def expression(field: Field, rule: Column, t: str, v: str, kind: pa.DataType, layout: Layout, zone: str) -> Expression:
    """How one column of a table follows from one column of a source.

    Args:
        field: Column of the table.
        rule: Its rule; it names a column of the source.
        t: Name of the source's value: trimmed text, or the native value where ``is_native``.
        v: Name that the typed value gets.
        kind: Type of ``t``.
        layout: Layout of the source.
        zone: Zone of the times without one.
    """
    label = place(field.name, rule)
    if rule.codes is not None:
        return _coded(field, rule.codes, t, label)
    if rule.ubigeo is not None:
        return _department(rule.ubigeo, t, v, label)
    if field.type in _NUMBERS:
        return _number(field, rule, t, v, kind, layout.decimal, label)
    if field.type in (TIME, DAY):
        return _time(field, rule, t, v, kind, layout.dates, zone, label)
    if field.type == FLAG and not pa.types.is_boolean(kind):
        value = (
            f"CASE lower({t}) WHEN 'true' THEN TRUE WHEN '1' THEN TRUE WHEN 'false' THEN FALSE WHEN '0' THEN FALSE END"
        )
        return Expression(value, _unread(t, v, f"{label} is neither true nor false"))
    return Expression(t)


def _unread(t: str, v: str, sentence: str) -> str:
    return f"CASE WHEN {t} IS NOT NULL AND {v} IS NULL THEN {literal(sentence)} END"


def _coded(field: Field, codes: dict[str, Scalar], t: str, label: str) -> Expression:
    def target(value: Scalar) -> str:
        return "NULL" if value is None else f"{literal(str(value))}::{SQL_TYPES[field.type]}"

    listed = {code: value for code, value in codes.items() if code != OTHER_CODES}
    cases = " ".join(f"WHEN {t} = {literal(code)} THEN {target(value)}" for code, value in listed.items())
    if OTHER_CODES in codes:
        return Expression(f"CASE WHEN {t} IS NULL THEN NULL {cases} ELSE {target(codes[OTHER_CODES])} END")
    known = ", ".join(literal(code) for code in listed)
    sentence = literal(f"{label} holds a code that the mapping does not list")
    return Expression(
        f"CASE WHEN {t} IS NULL THEN NULL {cases} END::{SQL_TYPES[field.type]}",
        f"CASE WHEN {t} NOT IN ({known}) THEN {sentence} END",
    )


def _department(coding: str, t: str, v: str, label: str) -> Expression:
    """First two digits of an INEI UBIGEO, from a district's code (six digits, or five without the leading zero)."""
    code = f"left(lpad({t}, 6, '0'), 2)"
    if coding == "inei":
        value = f"CASE WHEN {code} BETWEEN '01' AND '25' THEN {code} END"
    else:
        cases = " ".join(f"WHEN {literal(reniec)} THEN {literal(inei)}" for reniec, inei in _INEI_OF_RENIEC.items())
        value = f"CASE {code} {cases} END"
    return Expression(
        f"CASE WHEN regexp_full_match({t}, '[0-9]{{5,6}}') THEN {value} END",
        _unread(t, v, f"{label} is not a UBIGEO of {coding.upper()}"),
    )


def _number(field: Field, rule: Column, t: str, v: str, kind: pa.DataType, decimal: str, label: str) -> Expression:
    if pa.types.is_string(kind):
        point, group = (r"\.", ",") if decimal == "." else (",", r"\.")
        digits = rf"([0-9]{{1,3}}({group}[0-9]{{3}})+|[0-9]+)({point}[0-9]*)?|{point}[0-9]+"
        is_number = f"regexp_full_match({t}, {literal(f'[+-]?({digits})([eE][+-]?[0-9]{{1,3}})?')})"
        plain = f"replace({t}, ',', '')" if decimal == "." else f"replace(replace({t}, '.', ''), ',', '.')"
    else:
        is_number, plain = "TRUE", t
    factor = rule.scale * _DAYS_IN[rule.unit]
    double = f"TRY_CAST({plain} AS DOUBLE)" + (f" * {factor!r}" if factor != 1 else "")
    if field.type == COUNT:
        whole = f"round({double})" if factor != 1 else f"CASE WHEN floor({double}) = {double} THEN {double} END"
        value = f"CASE WHEN {is_number} THEN TRY_CAST({whole} AS INTEGER) END"
        return Expression(value, _unread(t, v, f"{label} is not a whole number"))
    if field.type == MONEY:
        value = f"TRY_CAST({plain if factor == 1 else double} AS DECIMAL(18, 2))"
    else:
        value = f"CASE WHEN isfinite({double}) THEN {double} END"
    wrong = literal(f"{label} is not a number with decimal '{decimal}'" if plain != t else f"{label} is not a number")
    large = literal(f"{label} is too large a number")
    return Expression(
        f"CASE WHEN {is_number} THEN {value} END",
        f"CASE WHEN {t} IS NULL OR {v} IS NOT NULL THEN NULL WHEN {is_number} THEN {large} ELSE {wrong} END",
    )


def _time(
    field: Field, rule: Column, t: str, v: str, kind: pa.DataType, dates: list[str], zone: str, label: str
) -> Expression:
    """A time (UTC) or a day (as the lender's calendar has it) from formats that are tried in order."""
    naive, zoned = "NULL::TIMESTAMP", "NULL::TIMESTAMPTZ"
    if pa.types.is_string(kind):
        # DuckDB reads all formats of a list as zoned where one is, so the two kinds are tried apart.
        with_zone = [literal(text) for text in dates if "%z" in text or "%Z" in text]
        without = [literal(text) for text in dates if literal(text) not in with_zone]
        naive = f"try_strptime({t}, [{', '.join(without)}])" if without else naive
        zoned = f"try_strptime({t}, [{', '.join(with_zone)}])" if with_zone else zoned
        wrong = f"{label} is not a date of the form {' or '.join(dates)}"
    else:
        naive, zoned = (naive, t) if kind.tz else (t, zoned)
        wrong = f"{label} is not a date that can be kept"
    later = f" + INTERVAL {rule.plus_days} DAY" if rule.plus_days else ""
    if field.type == TIME:
        value = f"coalesce({zoned}{later}, timezone({literal(zone)}, {naive}{later}))"
    else:
        local = f"coalesce(timezone({literal(zone)}, {zoned}), {naive}){later}"
        local = f"date_trunc('month', {local})" if field.name in _MONTHS else local
        value = f"CAST({local} AS DATE)"
    # Years that the dates of the standard library have, since others make readers of the table fail.
    bounds = f"{SQL_TYPES[field.type]} '0001-01-02' AND {SQL_TYPES[field.type]} '9999-12-31'"
    return Expression(f"TRY(CASE WHEN {value} BETWEEN {bounds} THEN {value} END)", _unread(t, v, wrong))
