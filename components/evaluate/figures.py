"""The figures of one model on the test sample, with their intervals, and its curves."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from components.credit import metrics
from components.credit.drift import quantile_edges
from components.credit.metrics import Array
from components.evaluate.stability import light

# Samples of borrowers for the intervals; a large book's are narrow, so that fewer do.
_REPLICATES, _REPLICATES_OF_MANY, _MANY_ROWS = 500, 200, 100_000
APPROVAL_SHARES = (0.30, 0.40, 0.50, 0.60, 0.70, 0.80, 0.90, 0.95)
_POINTS = 200
_STRATEGY_POINTS = 60
_CALIBRATION_BINS = 10
_HISTOGRAM_BINS = 30

# What is estimated on each sample of borrowers, in this order.
_RESAMPLED = ("auc", "brier", "log_loss", "accuracy", "precision", "recall", "f1", "approval_rate")


@dataclass(frozen=True)
class Outcomes:
    """What happened on the test sample, and what one model said before.

    Args:
        bad: (n,) 1 for bad, 0 for good.
        probability: (n,) Probability of bad.
        points: (n,) Points.
        borrower: (n,) Whose row it is.
        cutoff: Probability at or below which an application is approved.
        cutoff_points: Least points that are approved.
    """

    bad: NDArray[np.int64]
    probability: Array
    points: NDArray[np.int64]
    borrower: NDArray[Any]
    cutoff: float
    cutoff_points: int


@dataclass(frozen=True)
class Curves:
    """What the plots of one model show; at most some hundred points a curve.

    Args:
        roc: False positive rate, true positive rate and threshold, by falling threshold.
        precision_recall: Recall and precision, by falling recall.
        gains: Share of all applications and share of all bads among the riskiest, from 0 to 1.
        strategy: Share approved, bad rate among them and the ends of its interval.
        histogram: Edges of bins of points, share of the goods in each and share of the bads.
        confusion: Counts: rows good and bad, columns approved and declined.
        calibration: A row a bin: ``n``, ``bads``, ``predicted``, ``observed``, ``low``, ``high``.
    """

    roc: tuple[Array, Array, Array]
    precision_recall: tuple[Array, Array]
    gains: tuple[Array, Array]
    strategy: tuple[Array, Array, Array, Array]
    histogram: tuple[Array, Array, Array]
    confusion: NDArray[np.int64]
    calibration: list[dict[str, float]]


def resampled(seen: dict[str, Outcomes], seed: int) -> dict[str, dict[str, Array]]:
    """(replicates,) Each figure of each model, on the same samples of borrowers for all models.

    Args:
        seen: Outcomes by model, all on the same rows.
        seed: Seed of the samples.
    """
    measures = [_measure(outcomes) for outcomes in seen.values()]
    borrower = next(iter(seen.values())).borrower
    replicates = _REPLICATES if borrower.size <= _MANY_ROWS else _REPLICATES_OF_MANY
    drawn = metrics.bootstrap(
        lambda weight: np.concatenate([measure(weight) for measure in measures]), borrower, replicates, seed
    ).reshape(replicates, len(seen), len(_RESAMPLED))
    return {name: dict(zip(_RESAMPLED, drawn[:, place].T, strict=True)) for place, name in enumerate(seen)}


def figures(outcomes: Outcomes, drawn: dict[str, Array], confidence: float, seed: int = 0) -> dict[str, float | int]:
    """The figures of a model, each with ``_low`` and ``_high``.

    AUC and Gini have DeLong's interval and KS that of ``metrics.ks_interval`` (a borrower's rows together), all others
    a percentile interval of ``drawn``; ``seed`` is that of the halvings for KS.
    """
    bad, probability = outcomes.bad, outcomes.probability
    auc = metrics.auc_interval(bad, probability, confidence, outcomes.borrower)
    found: dict[str, float | int] = {"n": int(bad.size), "bads": int(bad.sum()), "cutoff": outcomes.cutoff}
    found |= {"cutoff_points": outcomes.cutoff_points}
    found |= {"auc": auc.value, "auc_low": auc.low, "auc_high": auc.high}
    found |= {
        "gini": metrics.gini(auc.value),
        "gini_low": metrics.gini(auc.low),
        "gini_high": metrics.gini(auc.high),
    }
    ks = metrics.ks_interval(bad, probability, confidence, outcomes.borrower, seed)
    found |= {"ks": ks.value, "ks_low": ks.low, "ks_high": ks.high}
    values = {
        "brier": metrics.brier(bad, probability),
        "log_loss": metrics.log_loss(bad, probability),
        **metrics.at_cutoff(metrics.confusion_matrix(bad, probability, outcomes.cutoff)),
    }
    for name, value in values.items():
        low, high = metrics.percentile_interval(drawn[name], confidence)
        found |= {name: value, f"{name}_low": min(float(low), value), f"{name}_high": max(float(high), value)}
    found |= {"predicted_bad_rate": float(probability.mean()), "bad_rate": float(bad.mean())}
    line = metrics.calibration_line(bad, probability, confidence)
    if line:
        for name, estimate in (("calibration_slope", line.slope), ("calibration_intercept", line.intercept)):
            found |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return found


def curves(outcomes: Outcomes, confidence: float) -> Curves:
    """What the plots of a model show."""
    bad, probability = outcomes.bad, outcomes.probability
    return Curves(
        roc=_roc(bad, probability),
        precision_recall=_precision_recall(bad, probability),
        gains=_gains(bad, probability),
        strategy=_strategy(bad, probability, confidence),
        histogram=_histogram(bad, outcomes.points),
        confusion=metrics.confusion_matrix(bad, probability, outcomes.cutoff),
        calibration=calibration_bins(bad, probability, confidence),
    )


def calibration_bins(bad: NDArray[np.int64], probability: Array, confidence: float) -> list[dict[str, float]]:
    """Tenths of the rows by probability: what was predicted and what happened, with Jeffreys' interval."""
    bins = np.searchsorted(quantile_edges(probability, _CALIBRATION_BINS), probability)
    rows, bads = metrics.counts(bins), metrics.counts(bins, bad)
    low, high = metrics.jeffreys(bads, rows, confidence)
    return [
        {"n": int(n), "bads": int(k), "predicted": p / n, "observed": k / n, "low": float(lo), "high": float(hi)}
        for n, k, p, lo, hi in zip(rows, bads, metrics.counts(bins, probability), low, high, strict=True)
        if n
    ]


def strategy_row(outcomes: Outcomes, share: float, confidence: float) -> dict[str, float | int]:
    """What happens where about this share is approved, the safest first: rows of one probability stay together."""
    wanted = max(1, round(share * outcomes.bad.size))
    limit = np.partition(outcomes.probability, wanted - 1)[wanted - 1]
    approved = outcomes.probability <= limit
    n, bads = int(approved.sum()), int(outcomes.bad[approved].sum())
    low, high = metrics.wilson(bads, n, confidence)
    return {
        "approved": n,
        "approval_rate": n / outcomes.bad.size,
        "bads": bads,
        "bad_rate": bads / n,
        "bad_rate_low": float(low),
        "bad_rate_high": float(high),
        "points": int(outcomes.points[approved].min()),
        "bads_declined": 1 - bads / int(outcomes.bad.sum()),
    }


def grade_rows(outcomes: Outcomes, band: list[str], confidence: float) -> list[dict[str, Any]]:
    """Each band with its bad rate against its predicted one: Jeffreys' backtest with a traffic light.

    Returns:
        ``band``, ``n``, ``bads``, ``predicted``, ``observed``, ``low``, ``high``, ``p_value`` (small where risk was
        understated) and ``light``: ``green``, ``amber`` (p below 1 - confidence) or ``red`` (below a fifth of that).
    """
    found = []
    for name in sorted(set(band)):
        within = np.array(band) == name
        n, bads = int(within.sum()), int(outcomes.bad[within].sum())
        predicted = float(outcomes.probability[within].mean())
        low, high = metrics.jeffreys(bads, n, confidence)
        found.append(
            {
                "band": name,
                "n": n,
                "bads": bads,
                "predicted": predicted,
                "observed": bads / n,
                "low": float(low),
                "high": float(high),
                **light(bads, n, predicted, confidence),
            }
        )
    return found


def _measure(outcomes: Outcomes) -> Callable[[Array], Array]:
    """The figures of ``_RESAMPLED`` from how often each row was drawn."""
    bad, probability = outcomes.bad.astype(float), outcomes.probability
    level = metrics.levels(probability)
    declined = (probability > outcomes.cutoff).astype(float)
    clipped = np.clip(probability, np.finfo(float).eps, 1 - np.finfo(float).eps)
    likelihood = np.where(bad == 1, clipped, 1 - clipped)
    columns = np.column_stack([bad, declined, bad * declined, (probability - bad) ** 2, -np.log(likelihood)])

    def measure(weight: Array) -> Array:
        rows = weight.sum()
        bads, declines, hits, squares, losses = weight @ columns
        of_bads = metrics.counts(level, weight * bad)
        of_goods = metrics.counts(level, weight * (1 - bad))
        return np.array(
            [
                metrics.auc_of_counts(of_bads, of_goods),
                squares / rows,
                losses / rows,
                (rows - bads - declines + 2 * hits) / rows,
                hits / declines if declines else 0.0,
                hits / bads if bads else 0.0,
                2 * hits / (declines + bads) if declines + bads else 0.0,
                1 - declines / rows,
            ]
        )

    return measure


def _roc(bad: NDArray[np.int64], probability: Array) -> tuple[Array, Array, Array]:
    false_positive, true_positive, threshold = roc_curve(bad, probability)
    threshold[0] = 1.0  # scikit-learn begins at infinity
    kept = _thin(false_positive + true_positive)
    return false_positive[kept], true_positive[kept], threshold[kept]


def _precision_recall(bad: NDArray[np.int64], probability: Array) -> tuple[Array, Array]:
    precision, recall, _ = precision_recall_curve(bad, probability, drop_intermediate=True)
    kept = _thin(1 - recall)
    return recall[kept], precision[kept]


def _gains(bad: NDArray[np.int64], probability: Array) -> tuple[Array, Array]:
    level = metrics.levels(-probability)
    rows, bads = metrics.counts(level), metrics.counts(level, bad)
    share = np.concatenate([[0.0], np.cumsum(rows) / bad.size])
    caught = np.concatenate([[0.0], np.cumsum(bads) / bad.sum()])
    kept = _thin(share)
    return share[kept], caught[kept]


def _strategy(bad: NDArray[np.int64], probability: Array, confidence: float) -> tuple[Array, Array, Array, Array]:
    level = metrics.levels(probability)
    approved = np.cumsum(metrics.counts(level))
    bads = np.cumsum(metrics.counts(level, bad))
    shown = np.flatnonzero(approved >= 0.1 * bad.size)
    kept = shown[_thin(approved[shown] / bad.size, _STRATEGY_POINTS)]
    low, high = metrics.wilson(bads[kept], approved[kept], confidence)
    return approved[kept] / bad.size, bads[kept] / approved[kept], low, high


def _histogram(bad: NDArray[np.int64], points: NDArray[np.int64]) -> tuple[Array, Array, Array]:
    # Bins as wide as whole points allow; the outermost hundredth on either side goes to the ends.
    least, most = np.quantile(points, [0.005, 0.995], method="nearest")
    width = max(1, int(np.ceil((most - least + 1) / _HISTOGRAM_BINS)))
    edges = np.arange(least, most + width + 1, width) - 0.5
    clipped = np.clip(points, least, most)
    goods, _ = np.histogram(clipped[bad == 0], edges)
    bads, _ = np.histogram(clipped[bad == 1], edges)
    return edges, goods / goods.sum(), bads / bads.sum()


def _thin(position: Array, most: int = _POINTS) -> NDArray[np.int64]:
    """Places of at most ``most`` points of a curve, evenly spaced by a position that grows; both ends are kept."""
    places = np.searchsorted(position, np.linspace(position[0], position[-1], most))
    places[0], places[-1] = 0, position.size - 1
    return np.unique(places).astype(np.int64)
