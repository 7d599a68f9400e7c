"""The bureau's months (in Peru the RCC, Reporte Crediticio Consolidado): debts at all lenders, this one included."""

from dataclasses import dataclass

import numpy as np

from pipelines.portfolio.arrays import Flags, Floats, Ints
from pipelines.portfolio.calendar import Calendar
from pipelines.portfolio.circumstances import Circumstances
from pipelines.portfolio.lending import SOLES_A_DOLLAR, Book
from pipelines.portfolio.people import People
from pipelines.portfolio.policy import BUREAU_DELAY_DAYS
from pipelines.portfolio.repayment import Life

# Retail credit, Res. SBS 11356-2008: Normal to 8 days late, CPP to 30, Deficiente to 60, Dudoso to 120, else Pérdida.
CLASS_LIMITS = np.array([8, 30, 60, 120])
_MONTHS_BEFORE_APPLICATION = 13
_WRITTEN_OFF_STAYS_DAYS = 730


@dataclass(frozen=True)
class Bureau:
    """Months of people with a debt, one element each; amounts in soles.

    Args:
        borrower: Index of the borrower.
        month_end: Last day of the month.
        lenders: Lenders with a debt.
        debt: Direct debt.
        unused_lines: Unused lines of credit.
        contingent: Guarantees given for others.
        instalments: Instalments of the month.
        days_past_due: Greatest days past due.
        worst_class: 0 Normal to 4 Pérdida.
        inquiries: Inquiries by lenders.
    """

    borrower: Ints
    month_end: Ints
    lenders: Ints
    debt: Floats
    unused_lines: Floats
    contingent: Floats
    instalments: Floats
    days_past_due: Ints
    worst_class: Ints
    inquiries: Ints


def report(rng: np.random.Generator, calendar: Calendar, people: People, months: Circumstances, book: Book) -> Bureau:
    """The months that this lender holds: those before an application, and those of its running loans.

    Only published months are in it: the bureau needs ``BUREAU_DELAY_DAYS`` from the month's end on.
    """
    own_debt, own_instalments, own_late = _own(calendar, len(people), book)
    lenders = months.lenders + (own_debt > 0)
    late = np.maximum(months.days_past_due, own_late)
    ends = calendar.month_starts[1:] - 1
    held = (own_debt > 0) | before_applications(calendar, len(people), book, _MONTHS_BEFORE_APPLICATION)
    held &= (lenders > 0) & (ends >= calendar.applications_begin) & (ends + BUREAU_DELAY_DAYS < calendar.as_of)
    who, month = np.nonzero(held)

    has_line = rng.random(len(people)) < np.where(people.salaried, 0.5, 0.15) * people.banked
    line = people.income * rng.uniform(0.3, 1.8, len(people)) * has_line
    guarantor = people.income * rng.uniform(0.5, 3.0, len(people)) * (rng.random(len(people)) < 0.04)
    asked = 0.16 * np.exp(0.5 * people.appetite[who] + 0.2 * months.setback[who, month])
    return Bureau(
        borrower=who,
        month_end=ends[month],
        lenders=lenders[who, month],
        debt=months.debt[who, month] + own_debt[who, month],
        unused_lines=line[who] * rng.uniform(0.2, 1.0, len(who)),
        contingent=guarantor[who],
        instalments=months.instalments[who, month] + own_instalments[who, month],
        days_past_due=late[who, month],
        worst_class=np.searchsorted(CLASS_LIMITS, late[who, month]),
        inquiries=rng.poisson(asked).astype(np.int64),
    )


def before_applications(calendar: Calendar, count: int, book: Book, span: int) -> Flags:
    """Whether a month (count, months) is one of the ``span`` months up to an application of the borrower."""
    applications = book.applications
    recent = applications.asked >= calendar.applications_begin
    last = calendar.month(applications.asked[recent])
    edges = np.zeros((count, calendar.months + 1), dtype=np.int64)
    np.add.at(edges, (applications.borrower[recent], np.maximum(last - span + 1, 0)), 1)
    np.add.at(edges, (applications.borrower[recent], last + 1), -1)
    return np.cumsum(edges, axis=1)[:, :-1] > 0


def _own(calendar: Calendar, count: int, book: Book) -> tuple[Floats, Floats, Ints]:
    """Debt, instalments and days past due at this lender at the end of each month, (count, months)."""
    debt, instalments = np.zeros((count, calendar.months)), np.zeros((count, calendar.months))
    late = np.zeros((count, calendar.months), dtype=np.int64)
    applications, refinancings = book.applications, book.refinancings
    soles = np.where(applications.dollars, SOLES_A_DOLLAR, 1.0)
    granted = np.flatnonzero(applications.disbursed < calendar.as_of)
    loans = (
        (granted, applications, book.lives, soles),
        (np.arange(len(refinancings.borrower)), refinancings, book.refinanced_lives, soles[refinancings.replaces]),
    )
    for rows, terms, life, rate in loans:
        left, days = _at_month_ends(calendar, life, rows, terms.disbursed, terms.instalments)
        owing = left > 0
        np.add.at(debt, terms.borrower[rows], left * (terms.amount * rate)[rows, None])
        np.add.at(instalments, terms.borrower[rows], owing * (terms.instalment * rate)[rows, None])
        np.maximum.at(late, terms.borrower[rows], days)
    return debt, instalments, late


def _at_month_ends(
    calendar: Calendar, life: Life, rows: Ints, disbursed: Ints, instalments: Ints
) -> tuple[Floats, Ints]:
    """Share of the loan still owed and days past due at the end of each month, (len(rows), months)."""
    ends = calendar.month_starts[1:] - 1
    due, paid = life.due[rows], life.paid[rows]
    fallen_due, settled = _counts(calendar, due), _counts(calendar, paid)
    gone = np.minimum(np.minimum(life.closed, life.refinanced), life.written_off + _WRITTEN_OFF_STAYS_DAYS)[rows]
    running = (disbursed[rows, None] <= ends) & (ends < gone[:, None])
    oldest = np.take_along_axis(due, np.minimum(settled, due.shape[1] - 1), axis=1)
    late = np.where(running & (settled < fallen_due), ends - oldest, 0)
    return running * (1 - settled / instalments[rows, None]), np.maximum(late, 0)


def _counts(calendar: Calendar, days: Ints) -> Ints:
    """How many of each row's days lie before the end of each month."""
    row, _ = np.nonzero(days < calendar.as_of)
    month = calendar.month(days[days < calendar.as_of])
    counted = np.bincount(row * calendar.months + month, minlength=len(days) * calendar.months)
    return np.cumsum(counted.reshape(len(days), calendar.months), axis=1)
