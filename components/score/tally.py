"""Counts of scores by kind, which the tasks of a batch scoring hand on and its report shows."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct, field

from components.credit.drift import Shift, psi
from components.credit.models.distribution import Distribution


class Tally(Struct, frozen=True, forbid_unknown_fields=True):
    """Counts of scores.

    Args:
        model: Version that gave them.
        rows: Number of scores.
        probability: Sum of the probabilities of bad.
        bands: Scores by band.
        proposals: Scores by proposal.
        points: Scores by whole points, as text.
        reasons: Scores by code of each of their reasons.
    """

    model: str
    rows: int = 0
    probability: float = 0.0
    bands: dict[str, int] = field(default_factory=dict)
    proposals: dict[str, int] = field(default_factory=dict)
    points: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)


def tallied(scores: pa.RecordBatch, model: str) -> Tally:
    """The counts of some scores."""
    return Tally(
        model,
        scores.num_rows,
        float(pc.sum(scores["probability"]).as_py() or 0.0),
        _counted(scores["band"]),
        _counted(scores["proposal"]),
        _counted(scores["points"].cast(pa.string())),
        _counted(scores["reasons"].flatten()),
    )


def merged(tallies: Iterable[Tally]) -> Tally:
    """The counts of all; they are of one model."""
    first, *others = tallies
    for other in others:
        first = Tally(
            first.model,
            first.rows + other.rows,
            first.probability + other.probability,
            dict(Counter(first.bands) + Counter(other.bands)),
            dict(Counter(first.proposals) + Counter(other.proposals)),
            dict(Counter(first.points) + Counter(other.points)),
            dict(Counter(first.reasons) + Counter(other.reasons)),
        )
    return first


def shift_of(tally: Tally, training: Distribution, confidence: float) -> Shift | None:
    """PSI of the points against the training's; None where nothing was scored."""
    if not tally.rows:
        return None
    bins = np.searchsorted(training.edges, [int(points) for points in tally.points]) + 1
    counts = np.bincount(bins, list(tally.points.values()), len(training.counts))
    return psi(training.counts, counts, confidence)


def _counted(column: pa.Array) -> dict[str, int]:
    return {item["values"].as_py(): item["counts"].as_py() for item in pc.value_counts(column)}
