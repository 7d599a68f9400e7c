"""What a row must keep besides the bounds of its columns: the one list that validate and the scorer go by.

Validate puts a row that breaks a rule in quarantine, and with it keeps batch scoring from it; ``/v1/score`` refuses an
application that holds such a row. Both say the same words.
"""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from components.credit.book.contract import DAY, TABLES, TIME

FIRST_YEAR, LAST_YEAR = 1900, 2199
LEAST_AGE = 16  # years; younger people cannot borrow, and a birth that late is a date of something else
DAYS_BEFORE_LOAN = 366  # what happens to a loan longer before it was lent belongs to another loan, or another year


class Order(NamedTuple):
    """A column that cannot be less than another one of its row, such as a time that cannot lie before another."""

    column: str
    least: str
    reason: str


def _before(column: str, least: str) -> Order:
    return Order(column, least, f"{column}: before {least}")


def _less(column: str, least: str) -> Order:
    return Order(column, least, f"{column}: less than {least}")


_KNOWN = _before("known_at", "event_time")
ORDERS: dict[str, tuple[Order, ...]] = {name: (_KNOWN,) for name in TABLES} | {
    "loans": (_KNOWN, _less("total_due", "principal")),
    "applications": (
        _KNOWN,
        _before("decided_at", "event_time"),
        _before("outcome_known_at", "decided_at"),
        _less("total_due", "amount"),
    ),
}

# Columns that cannot lie after the day up to which the rows are known.
PAST = ("event_time", "decided_at", "birth_month", "business_since")
TOO_YOUNG = f"birth_month: less than {LEAST_AGE} years ago"
NEGATIVE = "amount: negative, and no payment"
BEFORE_LOAN = "event_time: more than a year before its loan"


def after(column: str, day: str = "the as-of day") -> str:
    """The reason of a date that lies ahead."""
    return f"{column}: after {day}"


# 1 January 1900, in any zone, is what many systems write for a date that they do not have.
FIRST_DATE = datetime.date(FIRST_YEAR, 1, 3)
END_DATE = datetime.date(LAST_YEAR + 1, 1, 1)
SHORT_YEAR = "a year of two digits, which %Y reads as it stands; write %y in the source's dates"
OUTSIDE = (
    f"not between {FIRST_YEAR} and {LAST_YEAR}; list dates that stand for none, such as 1900-01-01, under 'missing'"
)


def dated(table: str) -> list[str]:
    """The columns of a table that hold a day or a time."""
    return [field.name for field in TABLES[table].fields if field.type in (DAY, TIME)]


def too_young(today: datetime.date) -> datetime.date:
    """The first day on which a person is born too late to borrow."""
    return today.replace(year=today.year - LEAST_AGE, day=1) + datetime.timedelta(days=31)


def broken(
    table: str, columns: Mapping[str, Sequence[Any]], ahead: Mapping[str, int], born: int
) -> Iterator[tuple[int, str]]:
    """Place and reason of the rows of one application's history that break a rule; the bounds of years apart.

    Args:
        table: Table of the contract.
        columns: Its columns: days and microseconds since 1970, hundredths.
        ahead: First moment that lies ahead, by column of ``PAST``.
        born: First day on which a person is born too late to borrow.
    """
    for order in ORDERS[table]:
        pairs = zip(columns[order.column], columns[order.least], strict=True)
        yield from (
            (place, order.reason)
            for place, (value, least) in enumerate(pairs)
            if value is not None and least is not None and value < least
        )
    latest = [(name, ahead[name], after(name, "the decision")) for name in PAST if name in columns]
    if table == "borrowers":
        latest.append(("birth_month", born, TOO_YOUNG))
    for name, end, reason in latest:
        yield from ((place, reason) for place, value in enumerate(columns[name]) if value is not None and value >= end)
    if table == "repayments":
        pairs = zip(columns["kind"], columns["amount"], strict=True)
        yield from (
            (place, NEGATIVE)
            for place, (kind, amount) in enumerate(pairs)
            if kind != "payment" and amount is not None and amount < 0
        )
