"""Bins of a feature, and what they say of risk: the weight of evidence.

A binning is fitted once and kept as data; fitting and scoring look a row's bin up by the same function. Missing values
and each special code have bins of their own.

Source: N. Siddiqi, "Credit Risk Scorecards" (2006), for weight of evidence and information value.
"""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal, Protocol

import numpy as np
from msgspec import Struct

from components.credit.config import ManualBins
from components.credit.dictionary import Feature
from components.credit.errors import InputError
from components.credit.models.calibration import Floats, Integers
from components.credit.models.trends import Trend, best_runs


class Columns(Protocol):
    """An array by feature name, float64 with NaN for numbers, text with None for categories: a DataFrame, or a dict."""

    def __getitem__(self, name: str, /) -> Any: ...


MISSING, OTHER = "missing", "other"
# A feature's values are first put into so many fine bins, of which the bins are then joined.
_FINE_BINS = 64
# Log-likelihood that one turn, or any number of them, must win over a plain trend: on real books, less is noise.
_TURN, _FREE = 8.0, 33.0
# Bads (or goods, where they are fewer) of average rows that each bin is smoothed with: none is ever pure.
_SMOOTHING = 0.5
# Up to so many rows, numpy's calls take longer than a search by hand.
FEW_ROWS = 8


class Bin(Struct, frozen=True, forbid_unknown_fields=True):
    """One bin: its rows and bads in training, and its weight of evidence, ln(share of goods / share of bads)."""

    label: str
    rows: int
    bads: int
    woe: float


class Binning(Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """Bins of one feature.

    Args:
        feature: Name of the feature.
        type: ``number`` or ``category``.
        trend: How risk moves from bin to bin; categories stand in order of risk.
        bins: Missing, then other (categories: rare in training, or never seen), then the special codes (numbers), then
            the ranges or groups.
        cuts: Where the ranges part: a range holds its lower cut, not its upper one.
        special: The special codes.
        groups: The categories of each group.
    """

    feature: str
    type: Literal["number", "category"]
    trend: Trend
    bins: list[Bin]
    cuts: list[float] = []
    special: list[float] = []
    groups: list[list[str]] = []

    @property
    def ordered_from(self) -> int:
        """Index of the first bin that follows the trend; those before it stand alone."""
        return 1 + len(self.special) if self.type == "number" else 2

    @property
    def information_value(self) -> float:
        """Sum of weight of evidence times the difference of the shares of goods and bads."""
        rows = np.array([bin.rows for bin in self.bins])
        bads = np.array([bin.bads for bin in self.bins])
        shares = (rows - bads) / max(1, (rows - bads).sum()) - bads / max(1, bads.sum())
        return float(shares @ np.array([bin.woe for bin in self.bins]))

    def index(self, column: Any) -> Integers:
        """Index in ``bins`` of each value, shape (n,)."""
        if self.type == "category" or len(column) <= FEW_ROWS:
            return np.array(self.indices(column), dtype=np.int64)
        values = numbers(column)
        index = np.searchsorted(self._cuts, values, side="right") + self.ordered_from
        for bin, code in enumerate(self.special, start=1):
            index[values == code] = bin
        index[np.isnan(values)] = 0
        return index

    def indices(self, column: Any) -> list[int]:
        """The same as ``index`` in a list, looked up value by value."""
        if self.type == "category":
            groups = self._bin_of_category
            return [groups.get(value, 1) if isinstance(value, str) else 0 for value in column]
        codes, cuts, first = self._bin_of_code, self.cuts, self.ordered_from
        return [
            0 if value != value else codes.get(value) or bisect_right(cuts, value) + first
            for value in numbers(column).tolist()
        ]

    @cached_property
    def _bin_of_code(self) -> dict[float, int]:
        return {code: bin for bin, code in enumerate(self.special, start=1)}

    @cached_property
    def _cuts(self) -> Floats:
        return np.array(self.cuts, dtype=np.float64)

    @cached_property
    def _bin_of_category(self) -> dict[str, int]:
        return {category: bin for bin, group in enumerate(self.groups, start=2) for category in group}


def numbers(column: Any) -> Floats:
    """A column as float64, NaN where missing."""
    return np.asarray(column, dtype=np.float64)


def fit_binning(
    feature: Feature,
    column: Any,
    bad: Integers,
    most: int,
    least_share: float,
    trend: Trend | Literal["automatic"] | None = None,
) -> Binning:
    """Bins of a feature that part bads from goods best, by log-likelihood, along one trend.

    The trend is the feature's own where it is known, else the better of both, or one with a single turn where that
    wins clearly. A feature that says nothing of risk, such as a constant, gets a single range.

    Args:
        feature: The feature.
        column: Its values, shape (n,): numbers, or text and None.
        bad: 0 or 1, shape (n,).
        most: Greatest number of ranges or groups.
        least_share: Least share of the rows in a range or group, 0 to 1.
        trend: Of a number, in place of the feature's own; ``automatic`` as if the feature had none.
    """
    least = max(1, math.ceil(least_share * len(bad)))
    binning = (
        _fit_number(feature, numbers(column), bad, most, least, trend or feature.trend)
        if feature.type == "number"
        else _fit_category(feature, column, bad, most, least)
    )
    return _weighed(binning, binning.index(column), bad)


def set_binning(feature: Feature, column: Any, bad: Integers, manual: ManualBins) -> Binning:
    """The bins that people set for a feature, with the counts and weights of evidence of the rows.

    Raises:
        InputError: They do not fit the feature's type, cuts do not ascend, or a category stands in two groups.
    """
    named = [category for group in manual.groups for category in group]
    wrong = manual.groups if feature.type == "number" else manual.cuts
    if wrong or not (manual.cuts or manual.groups):
        raise InputError(
            f"scorecard.manual_bins.{feature.name} is a {feature.type}; give "
            f"{'cuts' if feature.type == 'number' else 'groups'} and nothing else."
        )
    if sorted(set(manual.cuts)) != manual.cuts or len(set(named)) != len(named):
        raise InputError(
            f"scorecard.manual_bins.{feature.name} needs cuts in ascending order, and each category in one group."
        )
    if feature.type == "number":
        binning = _ranges(feature, "free", [float(cut) for cut in manual.cuts])
    else:
        binning = _grouped(feature, "free", [sorted(group) for group in manual.groups])
    return _weighed(binning, binning.index(column), bad)


def _fit_number(
    feature: Feature,
    values: Floats,
    bad: Integers,
    most: int,
    least: int,
    wanted: Trend | Literal["automatic"] | None,
) -> Binning:
    special = sorted(set(feature.special))
    amounts = ~np.isnan(values) & ~np.isin(values, special)
    lower, upper, rows, bads = _fine_bins(values[amounts], bad[amounts])
    trend, starts = _best_trend(None if wanted == "automatic" else wanted, rows, bads, least, most)
    cuts = [short_number(upper[start - 1], lower[start]) for start in starts[1:]]
    return _ranges(feature, trend, cuts)


def _ranges(feature: Feature, trend: Trend, cuts: list[float]) -> Binning:
    special = sorted(set(feature.special))
    edges = [_text(cut) for cut in cuts]
    labels = [MISSING, *(_text(code) for code in special)]
    if not cuts:
        labels.append("any")
    else:
        labels += [f"< {edges[0]}", *(f"[{a}, {b})" for a, b in pairwise(edges)), f"≥ {edges[-1]}"]
    return Binning(feature.name, "number", trend, [Bin(label, 0, 0, 0.0) for label in labels], cuts, special)


def _best_trend(wanted: Trend | None, rows: Floats, bads: Floats, least: int, most: int) -> tuple[Trend, list[int]]:
    """The trend that is wanted, or the simplest that none beats clearly, with the starts of its runs."""
    if len(rows) < 2:
        return wanted or "free", [0]
    if wanted:
        return wanted, best_runs(rows, bads, least, most, wanted)[0]
    margins: dict[Trend, float] = {"increasing": 0.0, "decreasing": 0.0, "free": _FREE}
    runs = {trend: best_runs(rows, bads, least, most, trend) for trend in margins}
    # what even free runs do not win, no turn does
    if runs["free"][1] > max(runs["increasing"][1], runs["decreasing"][1]) + _TURN:
        margins |= {"peak": _TURN, "valley": _TURN}
        runs |= {trend: best_runs(rows, bads, least, most, trend) for trend in margins if trend not in runs}
    chosen = max(runs, key=lambda trend: runs[trend][1] - margins[trend])
    return chosen, runs[chosen][0]


def _fit_category(feature: Feature, column: Sequence[str | None], bad: Integers, most: int, least: int) -> Binning:
    categories = frequent_by_risk(column, bad, least)
    groups: list[list[str]] = []
    if categories:
        rows = np.array([count for _, count, _ in categories], dtype=np.float64)
        bads = np.array([count for _, _, count in categories], dtype=np.float64)
        starts, _ = best_runs(rows, bads, least, most, "increasing")
        names = [name for name, _, _ in categories]
        groups = [sorted(names[start:end]) for start, end in zip(starts, [*starts[1:], len(names)], strict=True)]
    return _grouped(feature, "increasing", groups)


def _grouped(feature: Feature, trend: Trend, groups: list[list[str]]) -> Binning:
    labels = [MISSING, OTHER, *(", ".join(group) for group in groups)]
    return Binning(feature.name, "category", trend, [Bin(label, 0, 0, 0.0) for label in labels], groups=groups)


def frequent_by_risk(column: Sequence[str | None], bad: Integers, least: int) -> list[tuple[str, int, int]]:
    """Categories with at least ``least`` rows, with their rows and bads, from the least to the most risky."""
    rows: Counter[str] = Counter()
    bads: Counter[str] = Counter()
    for value, is_bad in zip(column, bad.tolist(), strict=True):
        if isinstance(value, str):
            rows[value] += 1
            bads[value] += is_bad
    mean = float(bad.mean())
    frequent = [(name, count, bads[name]) for name, count in rows.items() if count >= least]
    return sorted(frequent, key=lambda item: ((item[2] + mean) / (item[1] + 1), item[0]))


def _weighed(binning: Binning, index: Integers, bad: Integers) -> Binning:
    """The same bins with their counts and weights of evidence."""
    rows = np.bincount(index, minlength=len(binning.bins))
    bads = np.bincount(index[bad == 1], minlength=len(binning.bins))
    share = min(max(float(bad.mean()), 1 / (len(bad) + 1)), len(bad) / (len(bad) + 1))
    prior = _SMOOTHING / min(share, 1 - share)
    woe = np.log((rows - bads + prior * (1 - share)) / (bads + prior * share)) - math.log((1 - share) / share)
    return Binning(
        binning.feature,
        binning.type,
        binning.trend,
        [Bin(bin.label, int(n), int(b), float(w)) for bin, n, b, w in zip(binning.bins, rows, bads, woe, strict=True)],
        binning.cuts,
        binning.special,
        binning.groups,
    )


def _fine_bins(values: Floats, bad: Integers) -> tuple[Floats, Floats, Floats, Floats]:
    """Least and greatest value, rows and bads of each fine bin, shape (p,) each.

    Where values are few, each has its own bin; else bins are of even size, so that a value that fills one has it for
    itself.
    """
    distinct, level = np.unique(values, return_inverse=True)
    rows: Floats = np.bincount(level, minlength=len(distinct)).astype(np.float64)
    bads: Floats = np.bincount(level, weights=bad, minlength=len(distinct)).astype(np.float64)
    starts = np.arange(len(distinct))
    if len(distinct) > _FINE_BINS:
        middle = (np.cumsum(rows) - rows / 2) * _FINE_BINS / rows.sum()
        starts = np.flatnonzero(np.diff(middle.astype(np.int64), prepend=-1))
        rows, bads = np.add.reduceat(rows, starts), np.add.reduceat(bads, starts)
    ends = np.append(starts[1:], len(distinct))[: len(starts)] - 1  # none where no value is an amount
    return distinct[starts], distinct[ends], rows, bads


def short_number(below: float, above: float) -> float:
    """The number with the fewest digits that is greater than ``below`` and at most ``above``."""
    above = min(float(above), float(np.finfo(np.float64).max))
    middle = below / 2 + above / 2
    for digits in range(1, 17):
        for candidate in (above, middle):
            short = float(f"{candidate:.{digits}g}")
            if below < short <= above:
                return short
    return above


def _text(number: float) -> str:
    return f"{number:.15g}"
