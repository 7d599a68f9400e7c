"""What would have to change so that a reason no longer holds: the nearest values that take no points.

A feature's values are tried at the edges of the card's bins, or at the trees' thresholds, going up and down from the
applicant's own: only down where risk is known to grow with the feature, only up where it is known to fall.
"""

from bisect import bisect_right
from collections.abc import Iterator
from operator import itemgetter
from typing import NamedTuple

import msgspec
import numpy as np

from components.credit.dictionary import Feature
from components.credit.models.binning import Columns
from components.credit.models.calibration import Floats
from components.credit.models.matrix import MatrixColumns
from components.credit.models.scorer import Scorer
from components.credit.reasons.reasons import Change, Reason, taken_points

# No one is told to have another household or trade, to wait for another season, or to ask for a dearer loan because a
# model finds those who pay more the safer ones.
_OUT_OF_REACH = {"household", "occupation", "seasonality", "loan_terms"}
# Events of the past; later loans add to them, but cannot undo them.
_PAST = {
    "peak_days_late", "previous_loan_peak_days_late", "last_loan_peak_days_late", "last_loan_first_days",
    "last_loan_end_days", "last_loan_life_share", "refinanced_loans", "refinancings", "charged_off_loans",
    "loan_growth", "days_between_loans",
}  # fmt: skip
# A history that is missing cannot be shown: the applicant has to have one first.
_RECORDS = ("loans", "repayments", "bureau")


class _Way(NamedTuple):
    """Values of a feature to try in one direction, ascending.

    Args:
        feature: Index of the feature.
        up: Whether the values are above the applicant's own.
        edges: Edges to pass.
        values: The value to try for each: the edge itself going up, the greatest float32 below it going down.
    """

    feature: int
    up: bool
    edges: list[float]
    values: list[float]


class _Step(NamedTuple):
    """A value to reach (``up``) or to stay below, and the whole points that it wins."""

    up: bool
    edge: float
    points: int


def with_changes(
    scorer: Scorer,
    columns: Columns,
    row_contributions: Floats,
    given: list[list[Reason]],
    margin: Floats | None = None,
) -> list[list[Reason]]:
    """Reasons with what would have to change in each feature that takes points.

    Nothing is said of categories, of what is out of an applicant's reach (events of the past, a history that does not
    exist, time that would have to run backwards), and of a feature whose other values would win no whole point.

    Args:
        scorer: The model.
        columns: The rows.
        row_contributions: Their contributions, as ``scorer.contributions`` gives them, shape (n, features).
        given: Their reasons, as ``reasons`` gives them.
        margin: Their margins, shape (n,), where the caller has them.

    Returns:
        The same reasons, row by row, with ``changes``.
    """
    if margin is None:
        margin = scorer.margin(columns)
    taken = taken_points(scorer, row_contributions, margin)
    points = scorer.scaling.whole_points(scorer.log_odds(margin)).tolist()
    return [
        _of_row(scorer, row, whole, by_feature, own)
        for row, whole, by_feature, own in zip(_rows(scorer, columns, len(given)), points, taken, given, strict=True)
    ]


def _rows(scorer: Scorer, columns: Columns, count: int) -> Iterator[Columns]:
    """Each row as columns of its own."""
    if isinstance(columns, MatrixColumns):
        yield from (MatrixColumns(columns.positions, columns.matrix[row : row + 1]) for row in range(count))
        return
    arrays = {feature.name: np.asarray(columns[feature.name]) for feature in scorer.features}
    yield from ({name: array[row : row + 1] for name, array in arrays.items()} for row in range(count))


def _of_row(scorer: Scorer, row: Columns, points: int, taken: list[float], given: list[Reason]) -> list[Reason]:
    cause_of = {scorer.features[feature].name: cause for cause in scorer.causes for feature in cause}
    changed = [
        []
        if reason.cause in _OUT_OF_REACH
        else sorted((i for i in cause_of[reason.feature] if taken[i] > 0), key=lambda i: -taken[i])
        for reason in given
    ]
    ways = [way for features in changed for feature in features for way in _ways(scorer, feature, row)]
    if not ways:
        return given
    margins = scorer.engine.varied(row, [way.feature for way in ways], [way.values for way in ways])
    gains = (scorer.scaling.whole_points(scorer.log_odds(margins)) - points).tolist()
    won: dict[int, list[tuple[_Way, list[int]]]] = {}
    for way in ways:
        own, gains = gains[: len(way.edges)], gains[len(way.edges) :]
        won.setdefault(way.feature, []).append((way, own))
    return [
        msgspec.structs.replace(
            reason,
            changes=[
                _change(scorer.features[feature], nearest)
                for feature in features
                if feature in won and (nearest := _nearest(won[feature], taken[feature]))
            ],
        )
        for reason, features in zip(given, changed, strict=True)
    ]


def _ways(scorer: Scorer, index: int, row: Columns) -> Iterator[_Way]:
    """The values to try of a feature, going down and going up; from a value that is not known, all of them."""
    feature = scorer.features[index]
    edges, below = scorer.edges[index]
    if feature.type != "number" or not edges or feature.name in _PAST:
        return
    parting = scorer.engine.parting
    if parting and feature.name == parting.feature:
        return  # another card would score, by a history that does not exist
    value = float(row[feature.name][0])
    known = not (np.isnan(value) or value in feature.special)
    if not known and feature.source in _RECORDS:
        return
    own = bisect_right(edges, value) if known else 0
    end = own if known else len(edges)
    if feature.trend != "decreasing" and feature.cause != "short_history" and end:
        yield _Way(index, False, edges[:end], below[:end])
    if feature.trend != "increasing" and own < len(edges):
        yield _Way(index, True, edges[own:], edges[own:])


def _nearest(ways: list[tuple[_Way, list[int]]], wanted: float) -> _Step | None:
    """The least step that wins all that the feature takes, else the one that wins most and is nearest."""
    steps = []
    for way, gains in ways:
        edges, gains = (way.edges, gains) if way.up else (way.edges[::-1], gains[::-1])
        most = max(gains)
        enough = most + 0.5 >= wanted
        at = next(at for at, gain in enumerate(gains) if gain + 0.5 >= wanted) if enough else gains.index(most)
        steps.append((not enough, at if enough else -most, _Step(way.up, edges[at], gains[at])))
    best = min(steps, key=itemgetter(0, 1))[2]
    return best if best.points > 0 else None


def _change(feature: Feature, step: _Step) -> Change:
    up, number, points = step
    edge = f"{100 * number:.10g} %" if feature.unit == "share" else f"{number:.10g}"
    es, en = (f"{edge} o más", f"{edge} or more") if up else (f"menos de {edge}", f"less than {edge}")
    return Change(
        feature.name,
        number if up else None,
        None if up else number,
        points,
        f"{feature.es}: {es} (+{points} {'punto' if points == 1 else 'puntos'})",
        f"{feature.en}: {en} (+{points} {'point' if points == 1 else 'points'})",
    )
