"""Reasons of a score: causes that a borrower understands and can act on, in Spanish and English.

A cause counts by what it takes compared with the approved applications, not with the average one: where few are
approved, the average is far below the cut-off and would name the wrong reasons.
"""

from math import fsum
from typing import Any

import numpy as np
from msgspec import Struct

from components.credit.dictionary import Feature
from components.credit.models.binning import Columns
from components.credit.models.calibration import Floats
from components.credit.models.scorer import Scorer
from components.credit.reasons.causes import text


class Change(Struct, frozen=True):
    """What would have to change in a feature.

    Args:
        feature: The feature.
        least: The value that it would have to reach, or
        below: the value that it would have to stay below.
        points: Points that this alone would win.
        es: The same in Spanish.
        en: The same in English.
    """

    feature: str
    least: float | None
    below: float | None
    points: int
    es: str
    en: str


class Reason(Struct, frozen=True):
    """One cause that takes points.

    Args:
        cause: Key of ``causes.CAUSES``, or ``attribute``.
        feature: The feature of the cause that takes most.
        es: Text in Spanish, true of the feature's value.
        en: The same in English.
        points: Points that the cause takes compared with the mean of the approved applications, greater than 0.
        changes: What would have to change, as ``advice.with_changes`` says, in the order of what it takes.
    """

    cause: str
    feature: str
    es: str
    en: str
    points: float
    changes: list[Change] = []


def reasons(
    scorer: Scorer, columns: Columns, row_contributions: Floats, keep: int = 4, margin: Floats | None = None
) -> list[list[Reason]]:
    """The causes that take most points of each row, the greatest first.

    Args:
        scorer: The model.
        columns: The rows.
        row_contributions: Their contributions, as ``scorer.contributions`` gives them, shape (n, features).
        keep: Most reasons of a row.
        margin: Their margins, shape (n,), where the caller has them: ``scorer.explained`` gives both.

    Returns:
        For each row at most ``keep`` reasons; none where nothing takes points.
    """
    features, causes = scorer.features, scorer.causes
    by_row = []
    values = _Values(columns)
    for row, taken in enumerate(
        taken_points(scorer, row_contributions, scorer.margin(columns) if margin is None else margin)
    ):
        sums = [taken[each[0]] if len(each) == 1 else fsum([taken[feature] for feature in each]) for each in causes]
        ranked = sorted(range(len(sums)), key=sums.__getitem__, reverse=True)[:keep]
        by_row.append(
            [_reason(features, values, row, causes[cause], taken, sums[cause]) for cause in ranked if sums[cause] > 0]
        )
    return by_row


def taken_points(scorer: Scorer, row_contributions: Floats, margin: Floats) -> list[list[float]]:
    """Points that each feature takes of each row, compared with the mean of the approved applications.

    Args:
        scorer: The model.
        row_contributions: Contributions of the rows, shape (n, features).
        margin: Their margins, shape (n,).

    Returns:
        A list a row, in the order of the features; less than 0 where a feature gives points.
    """
    slopes, approved = _points_per_margin(scorer, margin).tolist(), scorer.approved.tolist()
    # plain numbers: one row is the common case, and its bits must not depend on how many come together
    return [
        [(part - usual) * slope for part, usual in zip(parts, approved, strict=True)]
        for parts, slope in zip(row_contributions.tolist(), slopes, strict=True)
    ]


def _points_per_margin(scorer: Scorer, margin: Floats) -> Floats:
    """Points that one unit of margin takes between the approved mean and a row, shape (n,).

    A slope where log-odds are linear in the margin, a secant where they are not, so that all parts add up to the points
    that lie between.
    """
    if scorer.engine.margin_is_log_odds:
        return np.full(len(margin), scorer.scaling.factor * scorer.calibration.slope)
    approved = np.full(len(margin), scorer.base + scorer.approved.sum())
    approved = np.where(np.abs(margin - approved) < 1e-6, margin - 1e-6, approved)
    rise = scorer.log_odds(margin) - scorer.log_odds(approved)
    return np.asarray(scorer.scaling.factor * rise / (margin - approved), dtype=np.float64)


def _reason(
    features: tuple[Feature, ...], values: "_Values", row: int, cause: list[int], taken: list[float], points: float
) -> Reason:
    feature = features[max(cause, key=taken.__getitem__)]
    es, en = text(feature, values[feature.name][row])
    return Reason(feature.cause, feature.name, es, en, points)


class _Values(dict[str, np.ndarray[Any, Any]]):
    """Arrays of the columns that reasons speak of, read once each: few are asked for, and those for every row."""

    def __init__(self, columns: Columns) -> None:
        super().__init__()
        self._columns = columns

    def __missing__(self, name: str) -> np.ndarray[Any, Any]:
        column = self[name] = np.asarray(self._columns[name])
        return column
