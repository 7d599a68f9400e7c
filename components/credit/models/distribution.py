"""The distributions that a model learnt from, with which later rows are compared."""

from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from components.credit.models.binning import numbers

Array = NDArray[np.float64]


class Distribution(Struct, frozen=True, forbid_unknown_fields=True):
    """Distribution of one column over bins.

    Args:
        name: Name of the column.
        edges: Greatest value of each bin of a number but the last.
        categories: The most frequent categories; all others share the last bin.
        counts: Rows by bin: missing first, then the ranges, or the categories and the others.
    """

    name: str
    edges: list[float]
    categories: list[str] | None
    counts: list[int]

    def count(self, column: Any) -> Array:
        """Rows of a column by these bins, shape (bins,)."""
        if self.categories is None:
            values = numbers(column)
            bins = np.searchsorted(self.edges, values) + 1
            bins[np.isnan(values)] = 0
        else:
            known = {category: bin for bin, category in enumerate(self.categories, start=1)}
            other = len(self.categories) + 1
            bins = np.array([known.get(value, other) if isinstance(value, str) else 0 for value in column], np.int64)
        return np.bincount(bins, minlength=len(self.counts)).astype(np.float64)


class Reference(Struct, frozen=True, forbid_unknown_fields=True):
    """Distributions in training: of the out-of-fold points, and of each input."""

    points: Distribution
    features: list[Distribution]
