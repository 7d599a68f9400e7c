"""How loans are repaid: instalments, delays, defaults, and the ways in which a loan ends."""

from dataclasses import dataclass

import numpy as np

from pipelines.portfolio.arrays import NEVER, Flags, Floats, Ints, sigmoid
from pipelines.portfolio.calendar import Calendar, add_months
from pipelines.portfolio.circumstances import Circumstances
from pipelines.portfolio.people import People

MOST_INSTALMENTS = 48


@dataclass(frozen=True)
class Contract:
    """What n loans were agreed to be.

    Args:
        borrower: Index of the borrower.
        disbursed: Day of disbursement.
        instalments: Number of instalments.
        every: Months between two instalments.
        strain: Log-odds of trouble that come from the loan itself.
    """

    borrower: Ints
    disbursed: Ints
    instalments: Ints
    every: Ints
    strain: Floats


@dataclass(frozen=True)
class Life:
    """What became of n loans; days are ``NEVER`` where nothing happened.

    Args:
        due: Due day of each instalment (n, MOST_INSTALMENTS).
        paid: Day on which each was paid, not before the one ahead of it.
        written_off: Day of the write-off.
        judicial: Day of the claim in court.
        refinanced: Day on which another loan replaced it.
        closed: Day on which the last instalment was paid.
    """

    due: Ints
    paid: Ints
    written_off: Ints
    judicial: Ints
    refinanced: Ints
    closed: Ints

    @property
    def ended(self) -> Ints:
        """Day from which no instalment falls due any more."""
        return np.minimum(self.written_off, self.refinanced)


def repay(
    rng: np.random.Generator,
    calendar: Calendar,
    people: People,
    months: Circumstances,
    contract: Contract,
    may_be_refinanced: bool,
) -> Life:
    """Let the borrowers repay their loans, over the whole term; the reader cuts at the day of the export."""
    count = len(contract.borrower)
    number = np.arange(1, MOST_INSTALMENTS + 1)
    due = add_months(contract.disbursed[:, None], number[None, :] * contract.every[:, None])
    due = np.where(number[None, :] <= contract.instalments[:, None], np.minimum(due, NEVER), NEVER)
    stress = months.stress[contract.borrower[:, None], calendar.month(due)]

    trouble = rng.random(due.shape) < sigmoid(-3.28 + stress + contract.strain[:, None])
    defaults = trouble & (rng.random(due.shape) < sigmoid(-1.55 + 0.35 * stress))
    long_delay = np.exp(3.15 + 0.15 * stress + 0.65 * rng.standard_normal(due.shape))
    habit = np.exp(0.55 - 0.60 * people.discipline + 0.20 * rng.standard_normal(len(people)))
    short_delay = np.minimum(rng.exponential(1.0, due.shape) * habit[contract.borrower][:, None], 24) - 2
    delay = np.floor(np.where(trouble, long_delay, short_delay)).astype(np.int64)
    paid = np.where(defaults | (due == NEVER), NEVER, due + delay)
    paid = np.minimum(np.maximum.accumulate(paid, axis=1), NEVER)

    last = np.arange(count), contract.instalments - 1
    defaulted = np.minimum(np.where(paid == NEVER, due, NEVER).min(axis=1), NEVER)
    refinanced = _refinanced(rng, due, paid, defaulted) if may_be_refinanced else np.full(count, NEVER)
    paid = np.where(paid >= refinanced[:, None], NEVER, paid)
    lost = (defaulted < NEVER) & (refinanced == NEVER)
    return Life(
        due=due,
        paid=paid,
        written_off=_after(defaulted, rng.integers(140, 340, count), lost),
        judicial=_after(defaulted, np.full(count, 121), lost & (rng.random(count) < 0.10)),
        refinanced=refinanced,
        closed=paid[last],
    )


def days_late(life: Life, rows: Ints, on: Ints) -> tuple[Ints, Ints]:
    """Days past due of the loans ``rows`` on a day each, and the greatest until then; 0 where nothing is late."""
    due, paid = life.due[rows], life.paid[rows]
    until = np.minimum(np.minimum(paid, on[:, None]), life.ended[rows][:, None])
    late = np.where(due < on[:, None], until - due, 0)
    now = np.where((paid > on[:, None]) & (life.ended[rows] > on)[:, None], late, 0)
    return np.maximum(now.max(axis=1), 0), np.maximum(late.max(axis=1), 0)


def _refinanced(rng: np.random.Generator, due: Ints, paid: Ints, defaulted: Ints) -> Ints:
    """Day of refinancing of the few loans that get new terms some weeks after they got into serious arrears."""
    serious = np.where(paid - due > 75, due, NEVER).min(axis=1)
    first = np.minimum(serious, defaulted)
    chosen = (first < NEVER) & (rng.random(len(due)) < 0.13)
    return _after(first, rng.integers(31, 75, len(due)), chosen)


def _after(day: Ints, delay: Ints, where: Flags) -> Ints:
    return np.where(where & (day < NEVER), day + delay, NEVER)
