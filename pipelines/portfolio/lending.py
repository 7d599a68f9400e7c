"""Applications, decisions and loans: borrowers ask, the policy in force decides, loans are repaid, borrowers return."""

from dataclasses import dataclass
from itertools import accumulate
from statistics import NormalDist

import numpy as np

from pipelines.portfolio.arrays import NEVER, Flags, Floats, Ints, draw, join
from pipelines.portfolio.calendar import Calendar
from pipelines.portfolio.circumstances import Circumstances
from pipelines.portfolio.people import AGRICULTURE, People
from pipelines.portfolio.policy import APPROVED, NEW, RECOVERED, RECURRENT, decide, incumbent_score, published_month
from pipelines.portfolio.repayment import Contract, Life, days_late, repay

MOST_APPLICATIONS = 9
MICRO, SMALL_BUSINESS, CONSUMER = 0, 1, 2
SOLES_A_DOLLAR = 3.75
RECOVERED_AFTER_DAYS = 90  # without a loan; a client who comes back after that is a recovered one

# Terms in months and their shares, of the loans of a Peruvian lender (29,728 loans of 2017-01 to 2018-06).
TERMS = np.array([3, 4, 6, 9, 12, 18, 24, 36, 48])
_TERM_SHARES = (0.010, 0.015, 0.050, 0.030, 0.510, 0.180, 0.100, 0.090, 0.015)
_TERM_CUTS = np.array([NormalDist().inv_cdf(share) for share in accumulate(_TERM_SHARES[:-1])])
_SMALL_CUT = NormalDist().inv_cdf(1 - 0.26 / 0.87)  # small business loans are 26 %, consumer loans 13 %
_TICKET_MEDIAN = 5_300.0
_TICKET_SPREAD_BELOW, _TICKET_SPREAD_ABOVE = 1.22, 1.55
_PURPOSE_SHARES = (  # of business loans, of consumer loans
    (0.345, 0.595, 0.045, 0.0, 0.005, 0.010),
    (0.0, 0.0, 0.14, 0.58, 0.12, 0.16),
)
_LARGEST, _SMALLEST = 250_000, 300
# How borrowers come back: during the loan, soon after it, after a pause, never.
_RETURNS = (0.45, 0.21, 0.25, 0.09)


@dataclass(frozen=True)
class Applications:
    """Requests for credit, one element each.

    Args:
        borrower: Index of the borrower.
        asked: Day of the request.
        decided: Day of the decision.
        disbursed: Day of disbursement, ``NEVER`` where there was none.
        decision: ``APPROVED``, ``DECLINED`` or ``WITHDRAWN``.
        client: ``NEW``, ``RECURRENT`` or ``RECOVERED``.
        amount: Amount asked for, in the loan's currency.
        dollars: Whether the loan is in US dollars.
        term: Months.
        instalments: Number of instalments.
        instalment: Amount of each.
        annual_rate: Effective annual rate, as a share.
        product: ``MICRO``, ``SMALL_BUSINESS`` or ``CONSUMER``.
        purpose: 0 working capital, 1 fixed asset, 2 housing, 3 consumption, 4 education, 5 debt purchase.
        channel: 0 branch, 1 field, 2 app, 3 referral.
        income: Monthly income as declared, soles.
        expenses: Monthly expenses as declared, soles.
        score: Score of the policy in force.
    """

    borrower: Ints
    asked: Ints
    decided: Ints
    disbursed: Ints
    decision: Ints
    client: Ints
    amount: Floats
    dollars: Flags
    term: Ints
    instalments: Ints
    instalment: Floats
    annual_rate: Floats
    product: Ints
    purpose: Ints
    channel: Ints
    income: Floats
    expenses: Floats
    score: Floats


@dataclass(frozen=True)
class Refinancings:
    """Loans that replace others, one element each; the terms are those of ``Applications``.

    Args:
        borrower: Index of the borrower.
        replaces: Index of the application whose loan is replaced.
        disbursed: Day on which it took effect.
        amount: Debt taken over.
        instalments: Monthly instalments.
        instalment: Amount of each.
        annual_rate: Effective annual rate, as a share.
    """

    borrower: Ints
    replaces: Ints
    disbursed: Ints
    amount: Floats
    instalments: Ints
    instalment: Floats
    annual_rate: Floats


@dataclass(frozen=True)
class Book:
    """A batch's lending: applications with the life of their loans, and refinancings with theirs."""

    applications: Applications
    lives: Life
    refinancings: Refinancings
    refinanced_lives: Life


@dataclass
class _Past:
    """The earlier rounds of applications.

    Args:
        lives: What became of the loans of each round.
        rows: Row of each borrower in the lives of each round, -1 where there is none.
        free_since: Day on which each borrower's last loan ended, -1 where there was none.
    """

    lives: list[Life]
    rows: list[Ints]
    free_since: Ints


def lend(rng: np.random.Generator, calendar: Calendar, people: People, months: Circumstances) -> Book:
    """Let a batch of borrowers ask for loans, one round of applications after the other, until the export."""
    past = _Past([], [], np.full(len(people), -1))
    asks = people.entry.copy()
    rounds: list[Applications] = []
    for _ in range(MOST_APPLICATIONS):
        who = np.flatnonzero(asks < calendar.as_of - 8)
        if not len(who):
            break
        applications = _apply(rng, calendar, people, months, past, who, asks[who])
        life = repay(rng, calendar, people, months, _contract(rng, people, applications), True)
        rounds.append(applications)
        _remember(past, applications, life, len(people))
        asks[:] = NEVER
        asks[who] = _next_request(rng, calendar, applications, life)
    applications = join(rounds)
    lives = join(past.lives)
    refinancings = _refinancings(rng, calendar, applications, lives)
    contract = Contract(
        refinancings.borrower,
        refinancings.disbursed,
        refinancings.instalments,
        np.ones_like(refinancings.instalments),
        np.full(len(refinancings.borrower), 0.9),
    )
    return Book(applications, lives, refinancings, repay(rng, calendar, people, months, contract, False))


def _apply(
    rng: np.random.Generator,
    calendar: Calendar,
    people: People,
    months: Circumstances,
    past: _Past,
    who: Ints,
    asked: Ints,
) -> Applications:
    """One application of each borrower in ``who``, with its decision."""
    count = len(who)
    late, peak = _own_arrears(past, who, asked)
    free_since = past.free_since[who]
    client = np.where(free_since < 0, NEW, np.where(free_since + RECOVERED_AFTER_DAYS < asked, RECOVERED, RECURRENT))

    size = 0.93 * people.size[who] + 0.37 * rng.standard_normal(count)
    size += np.where(client == NEW, -0.22, 0.06)
    spread = np.where(size < 0, _TICKET_SPREAD_BELOW, _TICKET_SPREAD_ABOVE)
    soles = np.clip(_TICKET_MEDIAN * np.exp(spread * size), _SMALLEST, _LARGEST)
    term = TERMS[np.searchsorted(_TERM_CUTS, 0.45 * size + 0.89 * rng.standard_normal(count))]
    small = 0.95 * size + 0.31 * rng.standard_normal(count) > _SMALL_CUT
    product = np.where(people.salaried[who], CONSUMER, np.where(small, SMALL_BUSINESS, MICRO))
    purpose = np.where(product == CONSUMER, draw(rng, _PURPOSE_SHARES[1], count), draw(rng, _PURPOSE_SHARES[0], count))
    dollars = rng.random(count) < np.where(product == SMALL_BUSINESS, 0.13, 0.022)

    declared = people.income[who] * np.exp(0.18 * rng.standard_normal(count)) * 1.08
    declared *= np.exp(-0.12 * months.setback[who, calendar.month(asked)])
    expenses = declared * np.clip(0.42 + 0.05 * people.dependants[who] + 0.08 * rng.standard_normal(count), 0.15, 1.2)

    late_elsewhere = months.days_past_due[who, published_month(calendar, asked)]
    score = incumbent_score(rng, people, who, asked, client, peak, late_elsewhere)
    decision = decide(rng, score, late, late_elsewhere)
    annual_rate = _annual_rate(rng, product, soles, dollars, score)

    by_harvest = (people.sector[who] == AGRICULTURE) & (term % 6 == 0) & (term >= 12) & (rng.random(count) < 0.3)
    instalments = np.where(by_harvest, term // 3, term)
    amount = _rounded(np.where(dollars, soles / SOLES_A_DOLLAR, soles))
    decided = asked + np.minimum(rng.poisson(1.6, count), 7)
    disbursed = decided + np.minimum(rng.poisson(0.7, count), 5)
    granted = (decision == APPROVED) & (disbursed < calendar.as_of)
    return Applications(
        borrower=who,
        asked=asked,
        decided=decided,
        disbursed=np.where(granted, disbursed, NEVER),
        decision=decision,
        client=client,
        amount=amount,
        dollars=dollars,
        term=term,
        instalments=instalments,
        instalment=_annuity(amount, annual_rate, instalments, term // instalments),
        annual_rate=annual_rate,
        product=product,
        purpose=purpose,
        channel=draw(rng, (0.46, 0.38, 0.10, 0.06), count),
        income=np.round(declared, -1),
        expenses=np.round(expenses, -1),
        score=score,
    )


def _own_arrears(past: _Past, who: Ints, on: Ints) -> tuple[Ints, Ints]:
    """Days past due at this lender on a day each, and the greatest until then, over all loans of a borrower."""
    late, peak = np.zeros(len(who), dtype=np.int64), np.zeros(len(who), dtype=np.int64)
    for life, rows in zip(past.lives, past.rows, strict=True):
        known = np.flatnonzero(rows[who] >= 0)
        now, worst = days_late(life, rows[who[known]], on[known])
        late[known] = np.maximum(late[known], now)
        peak[known] = np.maximum(peak[known], worst)
    return late, peak


def _remember(past: _Past, applications: Applications, life: Life, count: int) -> None:
    rows = np.full(count, -1)
    rows[applications.borrower] = np.arange(len(applications.borrower))
    past.lives.append(life)
    past.rows.append(rows)
    granted = applications.disbursed < NEVER
    who = applications.borrower[granted]
    past.free_since[who] = np.maximum(past.free_since[who], np.minimum(life.closed, life.ended)[granted])


def _annual_rate(rng: np.random.Generator, product: Ints, soles: Floats, dollars: Flags, score: Floats) -> Floats:
    """Effective annual rates: dearer for consumers, small loans and low scores, at half for dollars."""
    base = np.select([product == CONSUMER, product == SMALL_BUSINESS], [0.55, 0.27], 0.46)
    grade = np.clip((620 - score) / 400, -0.25, 0.25)
    rate = base * (4_000 / soles) ** 0.12 * (1 + grade) + 0.03 * rng.standard_normal(len(soles))
    return np.asarray(np.round(np.clip(rate, 0.12, 1.05) * np.where(dollars, 0.5, 1.0), 4))


def _annuity(amount: Floats, annual_rate: Floats, instalments: Ints, every: Ints) -> Floats:
    """Equal instalments: amount * r / (1 - (1 + r) ** -n), r the effective rate between two instalments."""
    rate = (1 + annual_rate) ** (every / 12) - 1
    return np.asarray(np.round(amount * rate / (1 - (1 + rate) ** -instalments), 2))


def _rounded(amount: Floats) -> Floats:
    """Amounts as people ask for them: in tens, hundreds or thousands."""
    unit = np.select([amount < 1_500, amount < 20_000], [10.0, 100.0], 500.0)
    return np.asarray(np.round(amount / unit) * unit)


def _contract(rng: np.random.Generator, people: People, applications: Applications) -> Contract:
    """What the loans of granted applications were agreed to be, and the strain that each is."""
    monthly = applications.instalment / (applications.term // applications.instalments)
    soles = np.where(applications.dollars, SOLES_A_DOLLAR, 1.0) * monthly
    share_of_income = soles / people.income[applications.borrower]
    strain = (
        1.00 * np.clip(np.log(share_of_income / 0.18), -1.5, 1.5)
        + 0.25 * (applications.client == NEW)
        + 0.20 * applications.dollars
        - 0.15 * (applications.product == CONSUMER)
        + 0.25 * rng.standard_normal(len(soles))
    )
    return Contract(
        applications.borrower,
        applications.disbursed,
        applications.instalments,
        applications.term // applications.instalments,
        strain,
    )


def _next_request(rng: np.random.Generator, calendar: Calendar, applications: Applications, life: Life) -> Ints:
    """Day on which each borrower asks again: during the loan, soon after it, after a pause, or never."""
    count = len(applications.borrower)
    end = np.minimum(life.closed, life.ended)
    span = end - applications.disbursed
    way = draw(rng, _RETURNS, count)
    after_loan = np.select(
        [way == 0, way == 1, way == 2],
        [
            applications.disbursed + span * rng.uniform(0.25, 0.80, count),
            end + rng.exponential(25, count),
            end + RECOVERED_AFTER_DAYS + rng.exponential(100, count),
        ],
        NEVER,
    )
    lost = (life.ended < NEVER) & (rng.random(count) < 0.6)
    after_loan = np.where(lost, NEVER, after_loan)
    after_refusal = np.where(rng.random(count) < 0.60, applications.decided + 30 + rng.exponential(150, count), NEVER)
    day = np.where(applications.disbursed < NEVER, after_loan, after_refusal)
    day = np.minimum(day, NEVER - 400).astype(np.int64)
    return np.maximum(calendar.by_demand(day), applications.decided + 7)


def _refinancings(
    rng: np.random.Generator, calendar: Calendar, applications: Applications, lives: Life
) -> Refinancings:
    """The loans that replace those in serious arrears: what is left of the debt, in new instalments."""
    replaces = np.flatnonzero(lives.refinanced < calendar.as_of)
    left = 1 - (lives.paid[replaces] < NEVER).sum(axis=1) / applications.instalments[replaces]
    amount = np.round(applications.amount[replaces] * left, 2)
    instalments = np.array([12, 18, 24])[draw(rng, (5, 3, 2), len(replaces))]
    annual_rate = applications.annual_rate[replaces]
    return Refinancings(
        borrower=applications.borrower[replaces],
        replaces=replaces,
        disbursed=lives.refinanced[replaces],
        amount=amount,
        instalments=instalments,
        instalment=_annuity(amount, annual_rate, instalments, np.ones_like(instalments)),
        annual_rate=annual_rate,
    )
