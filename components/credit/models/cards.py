"""Two scorecards in one: each scores the part of a book whose risk it follows, such as new and recurrent clients.

A feature parts the book, so that a row alone says which card scores it, and every reader of a model (the scorer, SQL,
a sheet) chooses by the same comparison. The feature's part in the margin holds the difference of the cards' bases.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from msgspec import Struct

from components.credit.models.binning import Columns, numbers
from components.credit.models.calibration import Floats, Integers
from components.credit.models.card import Card, SegmentCard, explained_by
from components.credit.models.engine import Boundary, Stored


class Parting(NamedTuple):
    """A way to part a book in two segments.

    Args:
        column: The feature table's column of the segment.
        feature: Feature that says of which segment a row is.
        at: From this value on a row is of the segment ``above``; less, or missing, of ``below``.
        below: Value of ``column`` there.
        above: Value of ``column`` there.
    """

    column: str
    feature: str
    at: float
    below: str
    above: str


PARTINGS = (
    Parting("segment", "loans_before", 1.0, "new", "recurrent"),
    Parting("thin_file", "no_bureau_file", 1.0, "no", "yes"),
)


class Cards(Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """A scorecard for each side of a book, which together are an ``Engine``.

    Args:
        by: Feature that parts the book.
        at: From this value on a row is scored by ``above``; less, or missing, by ``below``.
        features: ``by`` and the features of both cards, in the order of the contributions.
        below: Card of the one side.
        above: Card of the other, on the same scale.
    """

    by: str
    at: float
    features: list[str]
    below: Card
    above: Card

    @cached_property
    def base(self) -> float:
        """Log-odds of bad before any feature."""
        return self.above.base

    @cached_property
    def edges(self) -> list[list[float]]:
        """Where rows part by each feature, on either card."""
        cuts: dict[str, set[float]] = {name: set() for name in self.features}
        for card in (self.below, self.above):
            for binning in card.binnings:
                cuts[binning.feature].update(binning.cuts)
        return [sorted(cuts[name]) for name in self.features]

    @property
    def margin_is_log_odds(self) -> bool:
        """Points are linear in log-odds."""
        return True

    @property
    def binnings(self) -> None:
        """The cards may bin a feature differently."""

    @property
    def cards(self) -> list[SegmentCard]:
        """Both cards, each with the rows that it scores."""
        return [
            SegmentCard(f"{self.by} < {self.at:g}", self.below),
            SegmentCard(f"{self.by} >= {self.at:g}", self.above),
        ]

    @property
    def parting(self) -> Boundary:
        """What chooses the card of a row."""
        return Boundary(self.by, self.at)

    def fits(self, names: list[str]) -> bool:
        """Whether these are the features, in order, and the cards ask for no others."""
        return self.features == names and {self.by, *self.below.features, *self.above.features} <= set(names)

    def is_above(self, columns: Columns) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Whether each row is scored by ``above``, shape (n,)."""
        return np.asarray(numbers(columns[self.by]) >= self.at)  # which NaN is not

    def feature_points(self, columns: Columns) -> Integers:
        """Points of each feature beyond the base of ``above``, shape (n, features)."""
        is_above = self.is_above(columns)
        points = np.zeros((len(is_above), len(self.features)), dtype=np.int64)
        sides = ((self.below, ~is_above), (self.above, is_above))
        for (card, rows), indices in zip(sides, self._indices, strict=True):
            if rows.any():
                points[np.flatnonzero(rows)[:, None], indices] = card.feature_points(columns)[rows]
                points[rows, self.features.index(self.by)] += card.base_points - self.above.base_points
        return points

    @cached_property
    def _indices(self) -> tuple[list[int], list[int]]:
        """Indices of each card's features among all."""
        index = {name: number for number, name in enumerate(self.features)}
        below, above = ([index[name] for name in card.features] for card in (self.below, self.above))
        return below, above

    def margin(self, columns: Columns) -> Floats:
        """Log-odds of bad, shape (n,)."""
        return self.explained(columns)[0]

    def contributions(self, columns: Columns) -> Floats:
        """Part of each feature in the log-odds of bad, shape (n, features)."""
        return self.explained(columns)[1]

    def explained(self, columns: Columns) -> tuple[Floats, Floats]:
        """``margin`` and ``contributions``, the bins looked up once."""
        return explained_by(self.above.scaling, self.above.base_points, self.feature_points(columns))

    def varied(self, columns: Columns, features: Sequence[int], values: Sequence[Sequence[float]]) -> Floats:
        """Margins of one row with one number at a time at other values, as ``Engine.varied``."""
        ends = np.cumsum([len(others) for others in values]).tolist()
        rows = {name: np.repeat(np.asarray(columns[name]), ends[-1]) for name in self.features}
        for feature, end, others in zip(features, ends, values, strict=True):
            rows[self.features[feature]][end - len(others) : end] = others
        return self.margin(rows)

    def log_odds(self, margin: Floats) -> Floats:
        """The margin is log-odds already."""
        return margin

    def stored(self) -> Stored:
        """Both cards, in ``model.json`` alone."""
        return Stored("cards", self, {})
