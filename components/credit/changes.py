"""What would have to change for a reason to be one no more: the nearest values that take no points.

A feature's values are tried at the edges of the card's bins, or at the trees' thresholds, going up and down from the
applicant's own: only down where risk is known to grow with the feature, only up where it is known to fall.
"""

from dataclasses import dataclass

import msgspec
import numpy as np

from components.credit.binning import Columns
from components.credit.calibration import Floats
from components.credit.dictionary import Feature
from components.credit.reasons import Change, Reason, taken_points
from components.credit.scorer import Scorer

# No one is told to have another household, to wait for another season, or to ask for a dearer loan because a model
# finds those who pay more the safer ones.
_OUT_OF_REACH = {"household", "seasonality", "loan_terms"}


@dataclass(frozen=True)
class _Step:
    """A value of a feature to try: at least ``edge`` going up, less than it going down."""

    feature: int
    up: bool
    edge: float
    value: float


def with_changes(
    scorer: Scorer, columns: Columns, row_contributions: Floats, given: list[list[Reason]]
) -> list[list[Reason]]:
    """Reasons with what would have to change in each feature that takes points.

    Nothing is said of categories, of what is out of an applicant's reach, and of a feature whose values, as far as the
    model tells them apart, would win no whole point.

    Args:
        scorer: The model.
        columns: The rows.
        row_contributions: Their contributions, as ``scorer.contributions`` gives them, shape (n, features).
        given: Their reasons, as ``reasons`` gives them.
    """
    taken = taken_points(scorer, row_contributions, scorer.margin(columns))
    values = {feature.name: np.asarray(columns[feature.name]) for feature in scorer.features}
    return [
        _of_row(scorer, {name: column[row] for name, column in values.items()}, taken[row], found)
        for row, found in enumerate(given)
    ]


def _of_row(scorer: Scorer, row: dict[str, object], taken: list[float], given: list[Reason]) -> list[Reason]:
    causes = {scorer.features[place].name: places for places in scorer.causes for place in places}
    changed = [
        []
        if reason.cause in _OUT_OF_REACH
        else sorted((place for place in causes[reason.feature] if taken[place] > 0), key=lambda place: -taken[place])
        for reason in given
    ]
    steps = [step for places in changed for place in places for step in _steps(scorer, place, row)]
    if not steps:
        return given
    tried = {name: np.array([value] * (len(steps) + 1)) for name, value in row.items()}
    for at, step in enumerate(steps):
        tried[scorer.features[step.feature].name][at] = step.value
    points = scorer.points(tried)
    gains = dict(zip(steps, (points[:-1] - points[-1]).tolist(), strict=True))
    return [
        msgspec.structs.replace(
            reason,
            changes=[
                _change(scorer.features[place], nearest, gains[nearest])
                for place in places
                if (nearest := _nearest([step for step in steps if step.feature == place], gains, taken[place]))
            ],
        )
        for reason, places in zip(given, changed, strict=True)
    ]


def _steps(scorer: Scorer, place: int, row: dict[str, object]) -> list[_Step]:
    """The values to try of a feature, from the nearest on, down and then up."""
    feature = scorer.features[place]
    if feature.type != "number":
        return []
    value = float(row[feature.name])  # type: ignore[arg-type]
    known = not (np.isnan(value) or value in feature.special)
    edges = scorer.engine.edges[place]
    down = [edge for edge in reversed(edges) if not known or edge <= value]
    up = [edge for edge in edges if not known or edge > value]
    return [
        *(_Step(place, False, edge, _below(edge)) for edge in down if feature.trend != "decreasing"),
        *(_Step(place, True, edge, edge) for edge in up if feature.trend != "increasing"),
    ]


def _below(edge: float) -> float:
    """The greatest float32 less than a number: what trees can tell from it."""
    below = np.float32(edge)
    return float(below if below < edge else np.nextafter(below, np.float32(-np.inf)))


def _nearest(steps: list[_Step], gains: dict[_Step, int], wanted: float) -> _Step | None:
    """The least step that wins all that the feature takes, else the one that wins most."""
    ways = [[step for step in steps if step.up is up] for up in (False, True)]
    enough = [
        (count, step)
        for way in ways
        for count, step in [next(((n, step) for n, step in enumerate(way) if gains[step] + 0.5 >= wanted), (0, None))]
        if step is not None
    ]
    best = min(enough, key=lambda found: found[0])[1] if enough else max(steps, key=gains.__getitem__, default=None)
    return best if best is not None and gains[best] > 0 else None


def _change(feature: Feature, step: _Step, points: int) -> Change:
    edge = f"{100 * step.edge:.10g} %" if feature.unit == "share" else f"{step.edge:.10g}"
    won = f"(+{points} {{}})"
    es, en = (f"{edge} o más", f"{edge} or more") if step.up else (f"menos de {edge}", f"less than {edge}")
    return Change(
        feature.name,
        step.edge if step.up else None,
        None if step.up else step.edge,
        points,
        f"{feature.es}: {es} {won.format('punto' if points == 1 else 'puntos')}",
        f"{feature.en}: {en} {won.format('point' if points == 1 else 'points')}",
    )
