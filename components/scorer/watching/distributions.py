"""Distributions of points and feature values, for drift: counted beside the requests, over the bins of training.

A request only leaves its arrays here, which costs less than 1 µs; a few times a second they are counted. All points
are counted, but of the feature values at most ``_MOST_ROWS`` rows each time, since shares need no more.
"""

from collections import deque
from collections.abc import Iterable

import numpy as np
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from components.credit.models.binning import Columns
from components.credit.models.calibration import Integers
from components.credit.models.scorer import Scorer

_NONE = np.zeros(0, dtype=np.int64)
_MOST_ROWS = 50
_MOST_WAITING = 20_000  # requests that may wait for the next count
_STEPS = 10  # steps of the points' histogram above and below the cut-off, each half of the points that double the odds


class Histograms:
    """Histograms of the points that a model answered, and of the feature values in a sample of its requests.

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
        self._points: deque[Integers] = deque(maxlen=_MOST_WAITING)
        self._rows: deque[Columns] = deque(maxlen=_MOST_ROWS)

    def add(self, columns: Columns, points: Integers) -> None:
        """Leave the columns and the points of some rows for the next count."""
        self._points.append(points)
        self._rows.append(columns)

    def count(self) -> None:
        """Count the rows that wait; points at an edge count below it, as Prometheus has it."""
        points = np.concatenate([_NONE, *(self._points.popleft() for _ in range(len(self._points)))])
        self.points += np.bincount(np.searchsorted(self.edges, points, side="left"), minlength=len(self.points))
        self.sum_of_points += float(points.sum())
        rows = [self._rows.popleft() for _ in range(len(self._rows))]
        if not rows:
            return
        for binning, bins in zip(self.binnings, self.bins, strict=True):
            column = np.concatenate([columns[binning.feature][:_MOST_ROWS] for columns in rows])[:_MOST_ROWS]
            bins += np.bincount(binning.index(column), minlength=len(bins))


class Distributions(Collector):
    """The histograms of each model that answered since the start, for Prometheus."""

    def __init__(self) -> None:
        self._histograms: dict[str, Histograms] = {}

    def add(self, version: str, histograms: Histograms) -> None:
        """Show the histograms of this model too; where a model is loaded again they start at zero."""
        self._histograms[version] = histograms

    def count(self) -> None:
        """Count the rows that wait."""
        for histograms in list(self._histograms.values()):
            histograms.count()

    def collect(self) -> Iterable[HistogramMetricFamily | CounterMetricFamily | GaugeMetricFamily]:
        """The metrics; from the shares of ``values`` and ``training_share`` Prometheus computes the stability index."""
        points = HistogramMetricFamily("quipu_score_points", "Points answered.", labels=["version"])
        values = CounterMetricFamily(
            "quipu_feature_values", "Values asked, by bin of training; a sample.", labels=["version", "feature", "bin"]
        )
        shares = GaugeMetricFamily(
            "quipu_feature_training_share", "Share of a bin in training.", labels=["version", "feature", "bin"]
        )
        for version, histograms in list(self._histograms.items()):
            cumulated = np.cumsum(histograms.points).tolist()
            edges = [*(str(float(edge)) for edge in histograms.edges), "+Inf"]
            points.add_metric([version], list(zip(edges, cumulated, strict=True)), histograms.sum_of_points)
            for binning, counts in zip(histograms.binnings, histograms.bins, strict=True):
                rows = sum(bin.rows for bin in binning.bins)
                for number, (bin, count) in enumerate(zip(binning.bins, counts.tolist(), strict=True)):
                    labels = [version, binning.feature, bin.label if number == 0 else f"{number} {bin.label}"]
                    values.add_metric(labels, count)
                    shares.add_metric(labels, bin.rows / max(1, rows))
        return [points, values, shares]
