"""Money: what the approvals of each cut-off earn, expected and as it turned out.

Profit of a loan = (1 - PD) margin - PD LGD EAD - cost of the visit

The margin is the interest and fees of the loan as asked, no dearer than the law's greatest rate allows, less funding
and running cost. A loan of n equal monthly instalments at the effective annual rate r costs
n i / (1 - (1 + i)^-n) - 1 of its amount, where (1 + i)^12 = 1 + r. Amounts of single loans are whole cents, sums are
exact, and money is stated as Decimal.
"""

import datetime
from dataclasses import dataclass
from decimal import Decimal

import msgspec
import numpy as np
import pandas as pd
from msgspec import Struct
from numpy.typing import NDArray

from components.credit import metrics
from components.credit.config import Money, RateCap
from components.credit.metrics import Array
from components.evaluate.figures import Outcomes

# Features that the margin is made of, where the table has them.
COLUMNS = ("cost_share", "asked_term")
_CENT = Decimal("0.01")
_SHARES = 40
_REPLICATES = 300


class CutOff(Struct, frozen=True, forbid_unknown_fields=True):
    """What the approvals of one cut-off earn, in the currency of the book.

    Args:
        cutoff: Greatest probability of bad that is approved.
        approved: Rows approved.
        approval_rate: Their share of all rows, with Wilson's interval.
        approval_rate_low: Its lower end.
        approval_rate_high: Its upper end.
        bads: The bads among them.
        bad_rate: Their bad rate.
        bad_rate_low: Its lower end.
        bad_rate_high: Its upper end.
        expected: Profit that the probabilities promise.
        realised: Profit that the outcomes brought.
        realised_low: Lower end of its interval (bootstrap of borrowers).
        realised_high: Its upper end.
    """

    cutoff: float
    approved: int
    approval_rate: float
    approval_rate_low: float
    approval_rate_high: float
    bads: int
    bad_rate: float
    bad_rate_low: float
    bad_rate_high: float
    expected: Decimal
    realised: Decimal
    realised_low: Decimal
    realised_high: Decimal


class GreatestRate(Struct, frozen=True, forbid_unknown_fields=True):
    """The law's greatest annual rate, its norm and its days, and whether it holds on the day of the report."""

    annual_rate: float
    norm: str
    valid_from: datetime.date
    valid_to: datetime.date | None
    in_force: bool


class Assumptions(Struct, frozen=True, forbid_unknown_fields=True):
    """Rates, loss and costs that the profit is computed with, as ``config.Money`` names them."""

    funding_rate: float
    running_cost_share: float
    loss_given_default: float
    exposure_share: float
    visit_cost: Decimal


class Profit(Struct, frozen=True, forbid_unknown_fields=True):
    """Profit by cut-off of the champion.

    Args:
        currency: Of all amounts.
        n: Rows of the test sample, those among them that a hard rule declines.
        rows: The cut-offs, the safest first.
        best: Place in ``rows`` of the greatest expected profit.
        configured: Place of the champion's own cut-off; None where it approves nobody.
        capped_share: Share of the loans that the law's greatest rate makes cheaper than asked.
        rate_cap: That rate; None where none is known.
        assumptions: What the profit is computed with.
    """

    currency: str
    n: int
    rows: list[CutOff]
    best: int
    configured: int | None
    capped_share: float
    rate_cap: GreatestRate | None
    assumptions: Assumptions


@dataclass(frozen=True)
class Loans:
    """What each application would earn and lose, in cents, shape (n,).

    Args:
        margin: Of a good loan, after funding and running cost.
        loss: Of a bad loan: LGD times EAD.
        visit: Cost of the visit, the same for all.
        currency: Of all of them.
        capped: Share of the loans that the law's greatest rate makes cheaper than asked.
        cap: That rate, or None where none is known.
        cap_in_force: Whether it holds on the day of the report.
    """

    margin: NDArray[np.int64]
    loss: NDArray[np.int64]
    visit: int
    currency: str
    capped: float
    cap: RateCap | None
    cap_in_force: bool

    def profit(self, bad: Array | NDArray[np.int64]) -> Array:
        """Profit in cents of each loan whose chance of being bad, or outcome, is ``bad``."""
        return np.asarray((1 - bad) * self.margin - bad * self.loss - self.visit, dtype=np.float64)


def loans(rows: pd.DataFrame, settings: Money, day: datetime.date) -> Loans | None:
    """What each row would earn and lose; None where amount, cost or term is not recorded for all.

    Args:
        rows: Rows with ``amount``, ``currency`` and the columns of ``COLUMNS``.
        settings: Rates, loss and costs.
        day: Day on which the greatest rate is looked up.
    """
    needed = ["amount", "currency", *COLUMNS]
    if not set(needed) <= set(rows.columns) or rows[needed].isna().any(axis=None) or rows["currency"].nunique() != 1:
        return None
    amount, cost, days = (rows[name].to_numpy(float) for name in ("amount", *COLUMNS))
    months = np.maximum(days / 30, 1.0)
    currency = str(rows["currency"].iloc[0])
    cap, in_force = rate_cap(settings.rate_caps, currency, day)
    allowed = cost_share(cap.annual_rate, months) if cap else np.full_like(cost, np.inf)
    earned = np.minimum(cost, allowed) - cost_share(settings.funding_rate, months)
    margin = amount * (earned - settings.running_cost_share * months / 12)
    loss = amount * settings.loss_given_default * settings.exposure_share
    visit = int((settings.visit_cost / _CENT).to_integral_value())
    capped = float((cost > allowed).mean())
    return Loans(_cents(margin), _cents(loss), visit, currency, capped, cap, in_force)


def cost_share(annual_rate: float, months: Array) -> Array:
    """Interest of a loan of equal monthly instalments, as a share of its amount, at an effective annual rate."""
    if annual_rate == 0:
        return np.zeros_like(months)
    monthly = (1 + annual_rate) ** (1 / 12) - 1
    return np.asarray(months * monthly / (1 - (1 + monthly) ** -months) - 1, dtype=np.float64)


def rate_cap(caps: list[RateCap], currency: str, day: datetime.date) -> tuple[RateCap | None, bool]:
    """The cap in force on a day, or else the one known that is nearest in time; and whether it is in force."""
    known = [cap for cap in caps if cap.currency == currency]
    if not known:
        return None, False

    def away(cap: RateCap) -> int:
        before = (cap.valid_from - day).days
        after = (day - cap.valid_to).days if cap.valid_to else 0
        return max(before, after, 0)

    nearest = min(known, key=lambda cap: (away(cap), cap.valid_from))
    return nearest, away(nearest) == 0


def profit(
    outcomes: Outcomes, passes: NDArray[np.bool_], made: Loans, settings: Money, confidence: float, seed: int
) -> Profit:
    """Profit by cut-off: what the probability promised, and what the outcomes brought.

    Args:
        outcomes: What happened, and what the champion said.
        passes: (n,) Whether the row breaks no hard rule, some of them; one that does is declined at every cut-off.
        made: What each loan earns and loses.
        settings: What it was computed with.
        confidence: Confidence of the intervals (bootstrap of borrowers).
        seed: Seed of the bootstrap.

    Returns:
        Rows that the rules decline count among those of which a share is approved.
    """
    bad, probability = outcomes.bad, outcomes.probability
    order = np.flatnonzero(passes)[np.argsort(probability[passes], kind="stable")]
    ends = np.flatnonzero(np.append(np.diff(probability[order]) > 0, True))
    now = int((probability[order] <= outcomes.cutoff).sum())
    wanted = np.rint(np.linspace(1 / _SHARES, 1, _SHARES) * bad.size).astype(int).clip(1, order.size)
    places = np.unique(ends[np.searchsorted(ends, np.unique(np.append(wanted, max(now, 1))) - 1)])
    promised, brought = made.profit(probability)[order], made.profit(bad)[order]

    def measure(weight: Array) -> Array:
        return np.asarray(np.cumsum(weight[order] * brought)[places], dtype=np.float64)

    drawn = metrics.bootstrap(measure, outcomes.borrower, _REPLICATES, seed)
    low, high = metrics.percentile_interval(drawn, confidence)
    expected, realised = np.cumsum(promised)[places], np.cumsum(brought)[places]
    bads = np.cumsum(bad[order])[places]
    rows = [
        CutOff(
            cutoff=float(probability[order[place]]),
            approved=int(place) + 1,
            bads=int(bads[k]),
            expected=amount(expected[k]),
            realised=amount(realised[k]),
            realised_low=amount(min(low[k], realised[k])),
            realised_high=amount(max(high[k], realised[k])),
            **metrics.share_of_some("approval_rate", int(place) + 1, bad.size, confidence),
            **metrics.share_of_some("bad_rate", int(bads[k]), int(place) + 1, confidence),
        )
        for k, place in enumerate(places)
    ]
    cap = made.cap
    return Profit(
        currency=made.currency,
        n=int(bad.size),
        rows=rows,
        best=int(np.argmax(expected)),
        configured=int(np.flatnonzero(places == now - 1)[0]) if now else None,
        capped_share=made.capped,
        rate_cap=GreatestRate(cap.annual_rate, cap.norm, cap.valid_from, cap.valid_to, made.cap_in_force)
        if cap
        else None,
        assumptions=msgspec.convert(settings, Assumptions, from_attributes=True),
    )


def amount(cents: float) -> Decimal:
    """Cents as an amount of money, to the cent."""
    return Decimal(round(float(cents))) * _CENT


def _cents(values: Array) -> NDArray[np.int64]:
    return np.rint(values * 100).astype(np.int64)
