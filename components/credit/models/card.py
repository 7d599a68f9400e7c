"""The scorecard: whole points for each bin of each feature, and nothing else.

The points are the model. A card's log-odds follow from the sum of its whole points, so that a branch that adds up
the printed card and the server that scores an application give the same points, the same probability and the same
decision. Platt's calibration is therefore folded into the points when a card is fitted.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from msgspec import Struct

from components.credit.models.binning import FEW_ROWS, Binning, Columns
from components.credit.models.calibration import Floats, Integers, Scaling
from components.credit.models.engine import Stored


def explained_by(scaling: Scaling, base_points: int, points: Integers) -> tuple[Floats, Floats]:
    """Log-odds of bad, shape (n,), and each feature's part in them, of whole points of shape (n, features)."""
    margin = scaling.log_odds(base_points + points.sum(axis=1))
    return margin, np.asarray(-points / scaling.factor, dtype=np.float64)


class Card(Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """A scorecard, which is an ``Engine``.

    Args:
        scaling: The scale that the points stand on, kept with them.
        base_points: Points before any feature.
        binnings: The bins of each feature, in the order of the features.
        points: Whole points of each bin, as ``binnings[i].bins``; 0 is neutral.
    """

    scaling: Scaling
    base_points: int
    binnings: list[Binning]
    points: list[list[int]]

    @cached_property
    def base(self) -> float:
        """Log-odds of bad before any feature."""
        return float(self.scaling.log_odds(np.array(self.base_points)))

    @property
    def features(self) -> list[str]:
        """Names of the features, in order."""
        return [binning.feature for binning in self.binnings]

    @property
    def edges(self) -> list[list[float]]:
        """Where the bins of each feature part; none for categories."""
        return [binning.cuts for binning in self.binnings]

    @property
    def margin_is_log_odds(self) -> bool:
        """Points are linear in log-odds."""
        return True

    @property
    def cards(self) -> list["SegmentCard"]:
        """The card itself, which scores all rows."""
        return [SegmentCard("", self)]

    @property
    def parting(self) -> None:
        """No feature chooses another card."""

    def fits(self, names: list[str]) -> bool:
        """Whether these are the features, in order."""
        return self.features == names

    def feature_points(self, columns: Columns) -> Integers:
        """Points of each feature, shape (n, features)."""
        values = [columns[binning.feature] for binning in self.binnings]
        if len(values[0]) <= FEW_ROWS:
            by_feature = [
                [points[bin] for bin in binning.indices(column)]
                for binning, points, column in zip(self.binnings, self.points, values, strict=True)
            ]
            return np.array(by_feature, dtype=np.int64).T
        return np.column_stack(
            [
                np.asarray(points, dtype=np.int64)[binning.index(column)]
                for binning, points, column in zip(self.binnings, self.points, values, strict=True)
            ]
        )

    def margin(self, columns: Columns) -> Floats:
        """Log-odds of bad, shape (n,)."""
        return self.explained(columns)[0]

    def contributions(self, columns: Columns) -> Floats:
        """Part of each feature in the log-odds of bad, shape (n, features)."""
        return self.explained(columns)[1]

    def explained(self, columns: Columns) -> tuple[Floats, Floats]:
        """``margin`` and ``contributions``, the bins looked up once."""
        return explained_by(self.scaling, self.base_points, self.feature_points(columns))

    def varied(self, columns: Columns, features: Sequence[int], values: Sequence[Sequence[float]]) -> Floats:
        """Margins of one row with one number at a time at other values, as ``Engine.varied``."""
        own = self.feature_points(columns)[0].tolist()
        whole = self.base_points + sum(own)
        points = [
            whole - own[feature] + self.points[feature][bin]
            for feature, others in zip(features, values, strict=True)
            for bin in self.binnings[feature].indices(others)
        ]
        return self.scaling.log_odds(np.array(points, dtype=np.int64))

    def log_odds(self, margin: Floats) -> Floats:
        """The margin is log-odds already."""
        return margin

    def stored(self) -> Stored:
        """The card itself, in ``model.json`` alone."""
        return Stored("card", self, {})


class SegmentCard(NamedTuple):
    """A card with the rows that it scores, such as ``loans_before < 1``; empty where it scores all."""

    rows: str
    card: Card
