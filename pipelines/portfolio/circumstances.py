"""What happens to the borrowers month by month: ups and downs of income, debts elsewhere, and the stress of both.

Stress is what makes a borrower pay late. All of it leaves a trace that a lender can see: discipline in past
payments and bills, income in movements, debts in the bureau, the age of the business in the file.
"""

from dataclasses import dataclass

import numpy as np

from pipelines.portfolio.arrays import Floats, Ints, sigmoid
from pipelines.portfolio.calendar import Calendar
from pipelines.portfolio.people import People

_PERSISTENCE = 0.90  # of a month's setback into the next month
_MOST_LENDERS = 7
_MONTHLY_RATE_ELSEWHERE = 0.082  # instalment of a month over debt


@dataclass(frozen=True)
class Circumstances:
    """The borrowers' months, arrays of shape (people, months).

    Args:
        setback: Standard normal; above 0 income is below its usual.
        income: Income of the month, soles.
        lenders: Other lenders.
        debt: Debt at other lenders, soles.
        instalments: Instalments of the month at other lenders, soles.
        days_past_due: Greatest days past due at another lender, at the end of the month.
        stress: Log-odds, but for a constant, that an instalment of the month meets trouble.
    """

    setback: Floats
    income: Floats
    lenders: Ints
    debt: Floats
    instalments: Floats
    days_past_due: Ints
    stress: Floats


def circumstances(rng: np.random.Generator, calendar: Calendar, people: People) -> Circumstances:
    """Draw the months of a batch of borrowers."""
    count, months = len(people), calendar.months
    setback = _autoregression(rng, count, months, _PERSISTENCE)
    seasons = calendar.income_seasons(people.sector)
    exposed = np.where(people.salaried, 0.15, 0.38)[:, None]
    income = people.income[:, None] * seasons * np.exp(-exposed * setback)

    lenders = _lenders(rng, people, months)
    debt_each = people.income * 1.9 * np.exp(0.45 * rng.standard_normal(count))
    drift = np.exp(0.35 * _autoregression(rng, count, months, 0.95))
    debt = lenders**0.9 * debt_each[:, None] * drift
    instalments = debt * _MONTHLY_RATE_ELSEWHERE

    burden = np.minimum(instalments / people.income[:, None], 1.5)
    age = (calendar.month_starts[None, :-1] - people.business_since[:, None]) / 365.25
    stress = (
        -1.15 * people.discipline[:, None]
        + 1.00 * setback
        + 2.00 * burden
        - 0.45 * np.log1p(np.maximum(age, 0))
        - 0.25 * people.remittances[:, None]
        - 0.12 * np.log(people.income / 2_500)[:, None]
        - 0.60 * np.log(seasons)
        + 0.15 * np.sin((calendar.first_month + np.arange(months)) * (2 * np.pi / 42))
    )
    return Circumstances(setback, income, lenders, debt, instalments, _days_past_due(rng, lenders, stress), stress)


def _autoregression(rng: np.random.Generator, count: int, months: int, persistence: float) -> Floats:
    """Standard normal series (count, months), each month's value carried over into the next."""
    series = rng.standard_normal((count, months))
    fresh = np.sqrt(1 - persistence**2)
    for month in range(1, months):
        series[:, month] = persistence * series[:, month - 1] + fresh * series[:, month]
    return series


def _lenders(rng: np.random.Generator, people: People, months: int) -> Ints:
    """Other lenders of each month: loans come and go; who is unknown to the bureau seldom finds a first one."""
    count = len(people)
    lenders = np.empty((count, months), dtype=np.int64)
    lenders[:, 0] = np.where(people.banked, np.minimum(rng.poisson(1.2 * np.exp(0.45 * people.appetite)), 6), 0)
    finds = 0.045 * np.exp(0.45 * people.appetite) * np.where(people.banked, 1.0, 0.08)
    for month in range(1, months):
        before = lenders[:, month - 1]
        gained = rng.random(count) < finds
        lost = rng.random(count) < 1 - (1 - 0.038) ** before
        lenders[:, month] = np.clip(before + gained - lost, 0, _MOST_LENDERS)
    return lenders


def _days_past_due(rng: np.random.Generator, lenders: Ints, stress: Floats) -> Ints:
    """Days past due elsewhere: arrears begin under stress, grow by a month, and are made good or written off."""
    count, months = lenders.shape
    late = np.zeros((count, months), dtype=np.int64)
    for month in range(months):
        before = late[:, month - 1] if month else np.zeros(count, dtype=np.int64)
        chance = rng.random(count)
        begins = chance < sigmoid(-3.3 + 0.85 * stress[:, month])
        ends = chance < np.where(before > 360, 0.25, np.where(before > 90, 0.10, 0.50))
        first = rng.integers(3, 30, count)
        late[:, month] = np.where(before == 0, np.where(begins, first, 0), np.where(ends, 0, before + 30))
        late[:, month] *= lenders[:, month] > 0
    return late
