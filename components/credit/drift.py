"""Whether the rows that a model scores still look like those it learnt from: stability of score (PSI) and inputs (CSI).

Both are the same index over the shares of rows in bins. What is called stable depends on how many rows there are, so
that a small sample alone never gives an alarm.

Source: Yurdakul, Statistical Properties of the Population Stability Index (2018): critical value of the index.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from components.credit.dictionary import Feature
from components.credit.models.binning import Columns, numbers
from components.credit.models.distribution import Array, Distribution, Reference

Verdict = Literal["stable", "small", "moderate", "large"]
_BINS = 10
_CATEGORIES = 20


@dataclass(frozen=True)
class Shift:
    """A population stability index, the value that chance alone passes once in 1 / (1 - confidence), and a verdict."""

    psi: float
    critical: float
    verdict: Verdict


def training_reference(points: ArrayLike, features: Sequence[Feature], columns: Columns) -> Reference:
    """The distributions of a training sample.

    Args:
        points: (n,) Points by engines that had not seen the row.
        features: The inputs.
        columns: Their values.
    """
    return Reference(
        _of_numbers("points", np.asarray(points, float)),
        [
            _of_numbers(feature.name, numbers(columns[feature.name]))
            if feature.type == "number"
            else _of_categories(feature.name, columns[feature.name])
            for feature in features
        ],
    )


def quantile_edges(values: ArrayLike, bins: int) -> Array:
    """Greatest value of each bin but the last, for bins of about equal numbers of rows; fewer where values repeat.

    A row's bin is ``np.searchsorted(edges, value)``.
    """
    amounts = np.asarray(values, float)
    edges = np.unique(np.quantile(amounts, np.arange(1, bins) / bins, method="inverted_cdf"))
    return np.asarray(edges[edges < amounts.max()], float)


def psi(expected: ArrayLike, actual: ArrayLike, confidence: float) -> Shift:
    """Population stability index of two counts by bin.

    The index is the sum of (a - e) ln(a / e) over the bins' shares. Without a shift it is about (1/N + 1/M) times a
    chi-square of bins - 1 degrees of freedom, so what is called stable depends on both numbers of rows. Beyond that
    chance, an index under .10 is named small, under .25 moderate, else large.

    Args:
        expected: (bins,) Rows of the reference by bin.
        actual: (bins,) Rows of the other sample by bin.
        confidence: Confidence of the critical value.
    """
    from scipy.special import chdtri  # a process that only scores never needs it, nor its 50 MB

    first, second = np.asarray(expected, float), np.asarray(actual, float)
    used = first + second > 0
    first, second = first[used], second[used]
    critical = (1 / first.sum() + 1 / second.sum()) * chdtri(max(first.size - 1, 1), 1 - confidence)
    if (first == 0).any() or (second == 0).any():  # half a row more in each bin, for the logarithm
        first, second = first + 0.5, second + 0.5
    e, a = first / first.sum(), second / second.sum()
    value = float(((a - e) * np.log(a / e)).sum())
    verdict: Verdict = "large"
    if value <= critical:
        verdict = "stable"
    elif value < 0.10:
        verdict = "small"
    elif value < 0.25:
        verdict = "moderate"
    return Shift(value, float(critical), verdict)


def _of_numbers(name: str, values: Array) -> Distribution:
    amounts = values[np.isfinite(values)]
    edges = quantile_edges(amounts, _BINS).tolist() if amounts.size else []
    return _counted(Distribution(name, edges, None, [0] * (len(edges) + 2)), values)


def _of_categories(name: str, column: Any) -> Distribution:
    rows = Counter(value for value in column if isinstance(value, str))
    most = sorted(rows, key=lambda category: (-rows[category], category))[:_CATEGORIES]
    return _counted(Distribution(name, [], most, [0] * (len(most) + 2)), column)


def _counted(empty: Distribution, column: Any) -> Distribution:
    return msgspec.structs.replace(empty, counts=[int(count) for count in empty.count(column)])
