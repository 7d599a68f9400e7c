"""The figures of one model on the test sample, with their intervals, and its curves."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from components.credit import metrics
from components.credit.drift import quantile_edges
from components.credit.metrics import Array
from components.credit.release.decision import CalibrationBin, Figures, Grade
from components.evaluate.stability import backtest

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
        calibration: Tenths of the rows by probability, the safest first.
    """

    roc: tuple[Array, Array, Array]
    precision_recall: tuple[Array, Array]
    gains: tuple[Array, Array]
    strategy: tuple[Array, Array, Array, Array]
    histogram: tuple[Array, Array, Array]
    confusion: NDArray[np.int64]
    calibration: list[CalibrationBin]


class Strategy(Struct, frozen=True, forbid_unknown_fields=True):
    """What happens where a model approves a share of the test sample, the safest first.

    Args:
        approved: Rows approved; more than the share where rows have one probability.
        approval_rate: Their share.
        bads: The bads among them.
        bad_rate: Their bad rate, with Wilson's interval.
        bad_rate_low: Its lower end.
        bad_rate_high: Its upper end.
        points: Least points of an approved row.
        bads_declined: Share of all bads that are declined.
    """

    approved: int
    approval_rate: float
    bads: int
    bad_rate: float
    bad_rate_low: float
    bad_rate_high: float
    points: int
    bads_declined: float


class StrategyRow(Struct, frozen=True, forbid_unknown_fields=True):
    """A share of approvals, and what each model does with it."""

    share: float
    models: dict[str, Strategy]


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


def figures(outcomes: Outcomes, drawn: dict[str, Array], confidence: float, seed: int = 0) -> Figures:
    """The figures of a model, each with ``_low`` and ``_high``.

    AUC and Gini have DeLong's interval and KS that of ``metrics.ks_interval`` (a borrower's rows together), all others
    a percentile interval of ``drawn``; ``seed`` is that of the halvings for KS.
    """
    bad, probability = outcomes.bad, outcomes.probability
    auc = metrics.auc_interval(bad, probability, confidence, outcomes.borrower)
    ks = metrics.ks_interval(bad, probability, confidence, outcomes.borrower, seed)
    values = {
        "brier": metrics.brier(bad, probability),
        "log_loss": metrics.log_loss(bad, probability),
        **metrics.at_cutoff(metrics.confusion_matrix(bad, probability, outcomes.cutoff)),
    }
    estimates: dict[str, float] = {}
    for name, value in values.items():
        low, high = metrics.percentile_interval(drawn[name], confidence)
        estimates |= {name: value, f"{name}_low": min(float(low), value), f"{name}_high": max(float(high), value)}
    line = metrics.calibration_line(bad, probability, confidence)
    if line:
        for name, estimate in (("calibration_slope", line.slope), ("calibration_intercept", line.intercept)):
            estimates |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return Figures(
        n=int(bad.size),
        bads=int(bad.sum()),
        cutoff=outcomes.cutoff,
        cutoff_points=outcomes.cutoff_points,
        auc=auc.value,
        auc_low=auc.low,
        auc_high=auc.high,
        gini=metrics.gini(auc.value),
        gini_low=metrics.gini(auc.low),
        gini_high=metrics.gini(auc.high),
        ks=ks.value,
        ks_low=ks.low,
        ks_high=ks.high,
        predicted_bad_rate=float(probability.mean()),
        bad_rate=float(bad.mean()),
        **estimates,
    )


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


def calibration_bins(bad: NDArray[np.int64], probability: Array, confidence: float) -> list[CalibrationBin]:
    """Tenths of the rows by probability: what was predicted and what happened, with Jeffreys' interval."""
    bins = np.searchsorted(quantile_edges(probability, _CALIBRATION_BINS), probability)
    rows, bads = metrics.counts(bins), metrics.counts(bins, bad)
    low, high = metrics.jeffreys(bads, rows, confidence)
    return [
        CalibrationBin(int(n), int(k), float(p / n), float(k / n), float(lo), float(hi))
        for n, k, p, lo, hi in zip(rows, bads, metrics.counts(bins, probability), low, high, strict=True)
        if n
    ]


def strategy(outcomes: Outcomes, share: float, confidence: float) -> Strategy:
    """What happens where about this share is approved, the safest first: rows of one probability stay together."""
    wanted = max(1, round(share * outcomes.bad.size))
    limit = np.partition(outcomes.probability, wanted - 1)[wanted - 1]
    approved = outcomes.probability <= limit
    n, bads = int(approved.sum()), int(outcomes.bad[approved].sum())
    low, high = metrics.wilson(bads, n, confidence)
    return Strategy(
        approved=n,
        approval_rate=n / outcomes.bad.size,
        bads=bads,
        bad_rate=bads / n,
        bad_rate_low=float(low),
        bad_rate_high=float(high),
        points=int(outcomes.points[approved].min()),
        bads_declined=1 - bads / int(outcomes.bad.sum()),
    )


def strategies(seen: dict[str, Outcomes], policy_share: float, confidence: float) -> list[StrategyRow]:
    """What each model does at each of ``APPROVAL_SHARES`` and at the policy's share, the smallest first."""
    return [
        StrategyRow(share, {name: strategy(outcomes, share, confidence) for name, outcomes in seen.items()})
        for share in sorted({*APPROVAL_SHARES, policy_share})
    ]


def grades(outcomes: Outcomes, band: list[str], confidence: float) -> list[Grade]:
    """Each band with its bad rate against its predicted one: Jeffreys' backtest with a traffic light."""
    found = []
    for name in sorted(set(band)):
        within = np.array(band) == name
        n, bads = int(within.sum()), int(outcomes.bad[within].sum())
        predicted = float(outcomes.probability[within].mean())
        low, high = metrics.jeffreys(bads, n, confidence)
        test = backtest(bads, n, predicted, confidence)
        found.append(Grade(name, n, bads, predicted, bads / n, float(low), float(high), test.p_value, test.light))
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
