"""The policy in force when the applications were decided: a rough score, a few rules, and what the bureau told."""

import numpy as np

from pipelines.portfolio.arrays import Floats, Ints
from pipelines.portfolio.calendar import Calendar
from pipelines.portfolio.people import People

APPROVED, DECLINED, WITHDRAWN = 0, 1, 2
NEW, RECURRENT, RECOVERED = 0, 1, 2
BUREAU_DELAY_DAYS = 45  # from a month's end until its report is out
_CUT_OFF = 572


def published_month(calendar: Calendar, on: Ints) -> Ints:
    """Newest month of the bureau that is out on a day; those of before the calendar count as its first."""
    return np.maximum(calendar.month(on - BUREAU_DELAY_DAYS) - 1, 0)


def incumbent_score(
    rng: np.random.Generator,
    people: People,
    who: Ints,
    asked: Ints,
    client: Ints,
    peak: Ints,
    late_elsewhere: Ints,
) -> Floats:
    """Points of each applicant; the score knows some of what matters, and holds the countryside to be risky.

    Args:
        rng: Draws what the score does not know.
        people: The borrowers of the batch.
        who: Index of each applicant.
        asked: Day of the request.
        client: ``NEW``, ``RECURRENT`` or ``RECOVERED``.
        peak: Greatest days past due at this lender until then.
        late_elsewhere: Days past due elsewhere, as published.
    """
    years = np.maximum(asked - people.business_since[who], 0) / 365.25
    score = 590 + 12 * np.log1p(years) + 9 * np.log(people.income[who] / 2_500)
    score += np.select([client == RECURRENT, client == RECOVERED], [26.0, 16.0], -6.0)
    score -= 22 * (peak > 8) + 34 * (peak > 30) + 26 * (late_elsewhere > 8) + 14 * people.rural[who]
    return np.asarray(np.round(score + 26 * rng.standard_normal(len(who))))


def decide(rng: np.random.Generator, score: Floats, late: Ints, late_elsewhere: Ints) -> Ints:
    """Rules first, then the cut-off, which loan officers now and then override."""
    refused = (late > 30) | (late_elsewhere > 60)
    overridden = rng.random(len(score)) < 0.06
    passed = (score >= _CUT_OFF) ^ overridden
    withdrawn = rng.random(len(score)) < 0.03
    return np.where(refused | ~passed, DECLINED, np.where(withdrawn, WITHDRAWN, APPROVED))
