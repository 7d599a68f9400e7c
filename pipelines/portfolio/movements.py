"""Movements of money that reach the lender: takings, wages, wallets, bills, remittances of the months before a request.

They are what tells of people without a credit file: how much comes in, how steadily, and whether bills are paid
on time.
"""

from dataclasses import dataclass

import numpy as np

from pipelines.portfolio.arrays import NEVER, Flags, Floats, Ints, join, sigmoid, take
from pipelines.portfolio.bureau import before_applications
from pipelines.portfolio.calendar import Calendar
from pipelines.portfolio.circumstances import Circumstances
from pipelines.portfolio.lending import SOLES_A_DOLLAR, Book
from pipelines.portfolio.people import People

KINDS = (
    "wallet_in",
    "wallet_out",
    "top_up",
    "utility",
    "rent",
    "remittance",
    "takings",
    "salary",
    "deposit",
    "withdrawal",
    "purchase",
)
_MONTHS_BEFORE_APPLICATION = 8
_RENTED = 1


@dataclass(frozen=True)
class Movements:
    """Movements, one element each, by the month in which they happened.

    Args:
        borrower: Index of the borrower.
        kind: Index into ``KINDS``.
        day: Day on which it happened.
        second: Second of the day.
        loaded: Day on which the lender had it.
        amount: Amount, without sign.
        dollars: Whether it is in US dollars.
        balance: Balance after it, NaN where the account shows none.
        due: Due day of the bill that it pays, ``NEVER`` where it pays none.
    """

    borrower: Ints
    kind: Ints
    day: Ints
    second: Ints
    loaded: Ints
    amount: Floats
    dollars: Flags
    balance: Floats
    due: Ints


@dataclass(frozen=True)
class _Months:
    """The months (borrower, month) of which movements reach the lender, and what drives them."""

    borrower: Ints
    start: Ints
    income: Floats
    setback: Floats


def move(rng: np.random.Generator, calendar: Calendar, people: People, months: Circumstances, book: Book) -> Movements:
    """Draw the movements of a batch of borrowers, in order of time."""
    held = before_applications(calendar, len(people), book, _MONTHS_BEFORE_APPLICATION)
    held &= people.traced[:, None] & (calendar.month_starts[:-1] >= calendar.applications_begin)
    who, month = np.nonzero(held)
    seen = _Months(who, calendar.month_starts[month], months.income[who, month], months.setback[who, month])

    everyone = np.ones(len(people), dtype=np.bool_)
    digital = rng.random(len(people)) < 0.7
    account = rng.random(len(people)) < np.where(people.banked, 0.8, 0.35)
    parts = [
        _spread(rng, people, seen, "wallet_in", digital, 1.0, 0.06),
        _spread(rng, people, seen, "wallet_out", digital, 1.2, 0.04),
        _spread(rng, people, seen, "top_up", everyone, 0.9, 0.006),
        _spread(rng, people, seen, "remittance", people.remittances, 0.8, 0.18),
        _spread(rng, people, seen, "takings", ~people.salaried, 2.6, 0.45),
        _spread(rng, people, seen, "salary", people.salaried, 1.0, 0.90),
        _spread(rng, people, seen, "deposit", account, 0.5, 0.22),
        _spread(rng, people, seen, "withdrawal", account, 0.6, 0.18),
        _spread(rng, people, seen, "purchase", digital, 0.5, 0.05),
        _bills(rng, people, seen, "utility", everyone, 0.035),
        _bills(rng, people, seen, "rent", people.housing == _RENTED, 0.16),
    ]
    every = join(parts)
    order = np.lexsort((every.second, every.day))
    return take(every, order[every.loaded[order] < calendar.as_of])


def _spread(
    rng: np.random.Generator,
    people: People,
    seen: _Months,
    kind: str,
    has: Flags,
    a_month: float,
    share_of_income: float,
) -> Movements:
    """Movements of a kind at random times, ``a_month`` on average of who ``has`` them; of earnings one at least."""
    least = 1 if kind in ("takings", "salary") else 0
    number = (least + rng.poisson(a_month - least, len(seen.borrower))) * has[seen.borrower]
    rows = np.repeat(np.arange(len(number)), number)
    amount = seen.income[rows] * share_of_income * np.exp(0.30 * rng.standard_normal(len(rows)))
    if kind in ("top_up", "withdrawal"):
        unit = 5 if kind == "top_up" else 20
        amount = np.maximum(np.round(amount / unit), 1) * unit
    return _movements(rng, people, seen, rows, kind, seen.start[rows] + rng.integers(0, 28, len(rows)), amount)


def _bills(
    rng: np.random.Generator, people: People, seen: _Months, kind: str, pays: Flags, share_of_income: float
) -> Movements:
    """A bill a month with its due day, paid some days before it or late; late is who is careless or short of money."""
    rows = np.flatnonzero(pays[seen.borrower])
    count, who = len(rows), seen.borrower[rows]
    due = seen.start[rows] + (5 if kind == "rent" else 10) + people.dni[who] % 10
    tends = -1.5 - 1.50 * people.discipline[who] + 0.80 * seen.setback[rows]
    late = rng.random(count) < sigmoid(tends)
    day = due + np.where(late, 1 + rng.exponential(9.0, count).astype(np.int64), -rng.integers(0, 8, count))
    level = people.income[who] * share_of_income * np.exp(0.3 * np.sin(people.dni[who]))
    amount = level * np.exp((0.02 if kind == "rent" else 0.15) * rng.standard_normal(count))
    return _movements(rng, people, seen, rows, kind, day, amount, due)


def _movements(
    rng: np.random.Generator,
    people: People,
    seen: _Months,
    rows: Ints,
    kind: str,
    day: Ints,
    amount: Floats,
    due: Ints | None = None,
) -> Movements:
    count = len(rows)
    who = seen.borrower[rows]
    dollars = (rng.random(count) < 0.3) & (kind == "remittance")
    late = rng.random(count) < 0.03
    buffer = 0.35 * people.income[who] * np.exp(-0.5 * seen.setback[rows] + 0.25 * people.discipline[who])
    shown = kind in ("salary", "deposit", "withdrawal")
    return Movements(
        borrower=who,
        kind=np.full(count, KINDS.index(kind)),
        day=day,
        second=rng.integers(6 * 3_600, 22 * 3_600, count),
        loaded=day + np.where(late, rng.integers(5, 75, count), 1),
        amount=np.maximum(np.round(np.where(dollars, amount / SOLES_A_DOLLAR, amount), 2), 1.0),
        dollars=dollars,
        balance=buffer * rng.exponential(1.0, count) - 0.03 * people.income[who] if shown else np.full(count, np.nan),
        due=np.full(count, NEVER) if due is None else due,
    )
