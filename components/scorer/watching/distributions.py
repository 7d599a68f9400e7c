"""How scores and features are distributed, for drift: counted beside the requests, over the bins of training.

A request only leaves its arrays here, which costs less than 1 µs; twice a second they are counted. Of the points all
are; of the features at most ``_MOST_ROWS`` rows a count, since shares need no more.
"""

from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from components.credit.models.calibration import Integers
from components.credit.models.scorer import Scorer

_NONE = np.zeros(0, dtype=np.int64)
_MOST_ROWS = 50
_MOST_KEPT = 20_000  # requests that may wait to be counted
_STEPS = 10  # steps of the points' histogram above and below the cut-off, each half of what doubles the odds


class Seen:
    """What a model was asked and what it answered.

    Args:
        scorer: The model.
    """

    def __init__(self, scorer: Scorer) -> None:
        self.binnings = scorer.binnings
        step = scorer.scaling.pdo / 2
        self.edges = scorer.cutoff_points + step * np.arange(-_STEPS, _STEPS + 1)
        self.points = np.zeros(2 * _STEPS + 2, dtype=np.int64)
        self.sum_of_points = 0.0
        self.bins = [np.zeros(len(binning.bins), dtype=np.int64) for binning in self.binnings]
        self._points: deque[Integers] = deque(maxlen=_MOST_KEPT)
        self._rows: deque[Any] = deque(maxlen=_MOST_ROWS)

    def add(self, columns: Any, points: Integers) -> None:
        """Leave the columns and the points of some rows, to be counted soon."""
        self._points.append(points)
        self._rows.append(columns)

    def count(self) -> None:
        """Count what was left; points at an edge count below it, as Prometheus has it."""
        points = np.concatenate([_NONE, *(self._points.popleft() for _ in range(len(self._points)))])
        self.points += np.bincount(np.searchsorted(self.edges, points, side="left"), minlength=len(self.points))
        self.sum_of_points += float(points.sum())
        rows = [self._rows.popleft() for _ in range(len(self._rows))]
        if not rows:
            return
        for binning, bins in zip(self.binnings, self.bins, strict=True):
            column = np.concatenate([columns[binning.feature][:_MOST_ROWS] for columns in rows])[:_MOST_ROWS]
            bins += np.bincount(binning.index(column), minlength=len(bins))


class Drift(Collector):
    """The distributions of each model that answered since the start, for Prometheus."""

    def __init__(self) -> None:
        self._seen: dict[str, Seen] = {}

    def follow(self, version: str, seen: Seen) -> None:
        """Tell of this model too; one that is loaded again starts again."""
        self._seen[version] = seen

    def count(self) -> None:
        """Count what was left by requests."""
        for seen in list(self._seen.values()):
            seen.count()

    def collect(self) -> Iterable[HistogramMetricFamily | CounterMetricFamily | GaugeMetricFamily]:
        """The metrics; by the shares of ``values`` and ``training_share`` Prometheus has the stability index."""
        points = HistogramMetricFamily("quipu_score_points", "Points answered.", labels=["version"])
        values = CounterMetricFamily(
            "quipu_feature_values", "Values asked, by bin of training; a sample.", labels=["version", "feature", "bin"]
        )
        shares = GaugeMetricFamily(
            "quipu_feature_training_share", "Share of a bin in training.", labels=["version", "feature", "bin"]
        )
        for version, seen in list(self._seen.items()):
            cumulated = np.cumsum(seen.points).tolist()
            buckets = list(zip([*(str(float(edge)) for edge in seen.edges), "+Inf"], cumulated, strict=True))
            points.add_metric([version], buckets, seen.sum_of_points)
            for binning, counts in zip(seen.binnings, seen.bins, strict=True):
                rows = sum(bin.rows for bin in binning.bins)
                for place, (bin, found) in enumerate(zip(binning.bins, counts.tolist(), strict=True)):
                    labels = [version, binning.feature, bin.label if place == 0 else f"{place} {bin.label}"]
                    values.add_metric(labels, found)
                    shares.add_metric(labels, bin.rows / max(1, rows))
        return [points, values, shares]
