"""How well probabilities of bad order, separate and fit the outcomes: figures with their intervals, on plain arrays.

Conventions
    bad          (n,) 1 for bad, 0 for good
    probability  (n,) probability of bad, 0 to 1
    score        (n,) anything that grows with risk
    cutoff       probability of bad at or below which an application is approved; above it, it is declined
    the positive class of precision, recall and F1 is a bad that is declined
    confidence   of an interval, such as .95

Sources
    DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988): variance of AUC and the paired test
    Sun and Xu, IEEE Signal Processing Letters 21 (2014): the same by midranks, in n log n
    Obuchowski, Biometrics 53 (1997): the same where one person has several rows
    Brown, Cai and DasGupta, Statistical Science 16 (2001): Wilson's and Jeffreys' intervals of a share
    Cox, Biometrika 45 (1958): slope and intercept of calibration
    Schisterman and Perkins, Communications in Statistics 36 (2007): the variance of KS (Youden's index) at a threshold
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.metrics import log_loss as cross_entropy

Array = NDArray[np.float64]
# Of the borrowers, for the interval of KS; more of them steady its lower end no further.
_HALVINGS = 10


@dataclass(frozen=True)
class Estimate:
    """A figure and the ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """A difference of two AUCs (first less second), the ends of its interval and its two-sided p-value."""

    value: float
    low: float
    high: float
    p_value: float

    def beats(self, margin: float, confidence: float) -> bool:
        """Whether the first is better by more than a margin, and not by chance."""
        return self.value > margin and self.p_value < 1 - confidence


@dataclass(frozen=True)
class CalibrationLine:
    """Slope and intercept of the outcomes on the predicted log-odds; 1 and 0 are perfect."""

    slope: Estimate
    intercept: Estimate


def roc_auc(bad: ArrayLike, score: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a bad scores above a good, ties counted half."""
    return float(roc_auc_score(bad, score))


def gini(auc: float) -> float:
    """Gini coefficient (accuracy ratio): 2 AUC - 1."""
    return 2 * auc - 1


def ks(bad: ArrayLike, score: ArrayLike) -> float:
    """Kolmogorov-Smirnov: the greatest gap between the cumulative shares of bads and goods by score, 0 to 1."""
    level = levels(score)
    is_bad = np.asarray(bad, float)
    return ks_of_counts(counts(level, is_bad), counts(level, 1 - is_bad))


def ks_interval(
    bad: ArrayLike, score: ArrayLike, confidence: float, borrower: ArrayLike | None = None, seed: int = 0
) -> Estimate:
    """KS with an interval that holds the truth at least as often as it says, a borrower's rows together.

    The greatest gap of a sample is greater than that of all applicants on average, for its score is chosen by the very
    rows (and resampling them only adds to that); the gap at a score that other rows chose is less. Both have about the
    variance of the gap at a fixed score (Schisterman and Perkins). So the lower end counts from the gap of one half of
    the borrowers at the score that the other half chose, the mean of several halvings, and the upper end from the KS.

    Args:
        bad: (n,) Outcomes, both classes present.
        score: (n,) Scores.
        confidence: Confidence of the interval.
        borrower: (n,) Whose row each is.
        seed: Seed of the halvings.
    """
    is_bad, level = np.asarray(bad, float), levels(score)
    person = levels(np.arange(is_bad.size) if borrower is None else borrower)
    people, scores = int(person.max()) + 1, int(level.max()) + 1

    def gaps(weight: Array) -> Array | None:
        bads, goods = counts(level, weight * is_bad, scores), counts(level, weight * (1 - is_bad), scores)
        return np.cumsum(goods) / goods.sum() - np.cumsum(bads) / bads.sum() if bads.any() and goods.any() else None

    whole = gaps(np.ones(is_bad.size))
    if whole is None:
        return Estimate(float("nan"), 0.0, 1.0)
    chosen = int(np.abs(whole).argmax())
    value = float(abs(whole[chosen]))
    random = np.random.default_rng(seed)
    honest = []
    for _ in range(_HALVINGS):
        half = (random.permutation(people) % 2)[person].astype(float)
        first, second = gaps(half), gaps(1 - half)
        if first is not None and second is not None:
            for one, other in ((first, second), (second, first)):
                level_chosen = int(np.abs(other).argmax())
                honest.append(float(one[level_chosen] * np.sign(other[level_chosen])))
    if not honest:
        return Estimate(value, 0.0, 1.0)
    below = (level <= chosen).astype(float)
    of_class = np.where(is_bad == 1, below[is_bad == 1].mean(), below[is_bad == 0].mean())
    rows_of_class = np.where(is_bad == 1, is_bad.sum(), (1 - is_bad).sum())
    moved = counts(person, np.where(is_bad == 1, -1, 1) * (below - of_class) / rows_of_class)
    half_width = _quantile(confidence) * float(np.sqrt((moved**2).sum() * people / (people - 1)))
    low = min(float(np.mean(honest)), value) - half_width
    return Estimate(value, max(0.0, low), min(1.0, value + half_width))


def levels(score: ArrayLike) -> NDArray[np.int64]:
    """(n,) Rank of each row's score among the distinct scores, from 0."""
    return np.unique(np.asarray(score), return_inverse=True)[1].astype(np.int64).ravel()


def counts(bin_of_row: NDArray[np.int64], weight: ArrayLike | None = None, bins: int = 0) -> Array:
    """(bins,) Rows in each bin, or the sum of their weights; as many bins as there are, and at least ``bins``."""
    return np.bincount(bin_of_row, weight if weight is None else np.asarray(weight, float), bins).astype(np.float64)


def ks_of_counts(bads: Array, goods: Array) -> float:
    """As ``ks``, from counts of bads and goods by ascending score; NaN where a class has none."""
    if not bads.any() or not goods.any():
        return float("nan")
    return float(np.abs(np.cumsum(bads) / bads.sum() - np.cumsum(goods) / goods.sum()).max())


def auc_of_counts(bads: Array, goods: Array) -> float:
    """As ``roc_auc``, from counts of bads and goods by ascending score; NaN where a class has none."""
    if not bads.any() or not goods.any():
        return float("nan")
    return float((bads * (np.cumsum(goods) - goods / 2)).sum() / (bads.sum() * goods.sum()))


def brier(bad: ArrayLike, probability: ArrayLike) -> float:
    """Brier score: mean squared error of the probability, 0 to 1, less is better."""
    return float(brier_score_loss(bad, probability))


def log_loss(bad: ArrayLike, probability: ArrayLike) -> float:
    """Mean negative log-likelihood of the outcomes, less is better."""
    return float(cross_entropy(bad, probability, labels=[0, 1]))


def confusion_matrix(bad: ArrayLike, probability: ArrayLike, cutoff: float) -> NDArray[np.int64]:
    """(2, 2) Counts: rows good and bad, columns approved and declined."""
    is_bad = np.asarray(bad).astype(np.int64)
    declined = (np.asarray(probability) > cutoff).astype(np.int64)
    return np.bincount(2 * is_bad + declined, minlength=4).reshape(2, 2)


def at_cutoff(matrix: NDArray[np.int64]) -> dict[str, float]:
    """Accuracy, precision, recall, F1 and approval rate of a confusion matrix; a share of nothing counts as 0."""
    (good_approved, good_declined), (bad_approved, bad_declined) = matrix.tolist()
    rows = good_approved + good_declined + bad_approved + bad_declined
    declined, bads = good_declined + bad_declined, bad_approved + bad_declined
    return {
        "accuracy": (good_approved + bad_declined) / rows,
        "precision": bad_declined / declined if declined else 0.0,
        "recall": bad_declined / bads if bads else 0.0,
        "f1": 2 * bad_declined / (declined + bads) if declined + bads else 0.0,
        "approval_rate": (good_approved + bad_approved) / rows,
    }


def delong(bad: ArrayLike, scores: ArrayLike, borrower: ArrayLike | None = None) -> tuple[Array, Array]:
    """AUCs of several scores on the same rows, and their covariance.

    Args:
        bad: (n,) Outcomes, both classes present.
        scores: (k, n) Scores.
        borrower: (n,) Whose row each is, so that several rows of one person do not count as independent.

    Returns:
        (k,) AUCs and (k, k) covariance; the covariance is NaN where a class has one row only (or one borrower).
    """
    is_bad = np.asarray(bad).astype(bool)
    ranked = np.atleast_2d(np.asarray(scores, float))
    bads, goods = int(is_bad.sum()), int((~is_bad).sum())
    among_all = stats.rankdata(ranked, axis=1)
    # Placements: of a bad, the share of goods below it; of a good, the share of bads above it.
    placement = np.empty_like(ranked)
    placement[:, is_bad] = (among_all[:, is_bad] - stats.rankdata(ranked[:, is_bad], axis=1)) / goods
    placement[:, ~is_bad] = 1 - (among_all[:, ~is_bad] - stats.rankdata(ranked[:, ~is_bad], axis=1)) / bads
    auc = placement[:, is_bad].mean(axis=1)
    centred = placement - auc[:, None]
    person = levels(np.arange(is_bad.size) if borrower is None else borrower)
    people = int(person.max()) + 1

    def by_person(rows: NDArray[np.bool_]) -> tuple[Array, int]:
        sums = np.stack([counts(person[rows], row[rows], people) for row in centred])
        return sums, np.unique(person[rows]).size

    (of_bads, bad_people), (of_goods, good_people) = by_person(is_bad), by_person(~is_bad)
    if bad_people < 2 or good_people < 2:
        return auc, np.full((auc.size, auc.size), np.nan)
    both = of_bads @ of_goods.T * people / (people - 1)
    covariance = (
        of_bads @ of_bads.T * bad_people / (bad_people - 1) / bads**2
        + of_goods @ of_goods.T * good_people / (good_people - 1) / goods**2
        + (both + both.T) / (bads * goods)
    )
    return auc, covariance


def auc_interval(bad: ArrayLike, score: ArrayLike, confidence: float, borrower: ArrayLike | None = None) -> Estimate:
    """AUC with DeLong's interval, kept within 0 and 1; where its variance is unknown the interval is all of it."""
    auc, covariance = delong(bad, score, borrower)
    half = _quantile(confidence) * np.sqrt(covariance[0, 0])
    if np.isnan(half):
        return Estimate(float(auc[0]), 0.0, 1.0)
    return Estimate(float(auc[0]), max(0.0, float(auc[0] - half)), min(1.0, float(auc[0] + half)))


def delong_test(
    bad: ArrayLike, first: ArrayLike, second: ArrayLike, confidence: float, borrower: ArrayLike | None = None
) -> Difference:
    """DeLong's paired test of two scores on the same rows; equal scores have a p-value of 1."""
    auc, covariance = delong(bad, np.stack([np.asarray(first, float), np.asarray(second, float)]), borrower)
    value = float(auc[0] - auc[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    if np.isnan(variance):
        return Difference(value, -1.0, 1.0, 1.0)
    if variance <= 1e-15:  # the scores rank the rows alike, or each without any chance
        return Difference(value, value, value, 1.0 if abs(value) < 1e-12 else 0.0)
    half = _quantile(confidence) * np.sqrt(variance)
    p_value = 2 * stats.norm.sf(abs(value) / np.sqrt(variance))
    return Difference(value, float(value - half), float(value + half), float(p_value))


def wilson(events: ArrayLike, rows: ArrayLike, confidence: float) -> tuple[Array, Array]:
    """Ends of Wilson's interval of shares ``events / rows``; 0 and 1 where there are no rows."""
    k, n = np.asarray(events, float), np.asarray(rows, float)
    z2 = _quantile(confidence) ** 2
    safe = np.maximum(n, 1)
    share = k / safe
    centre = (share + z2 / (2 * safe)) / (1 + z2 / safe)
    half = np.sqrt(z2 * (share * (1 - share) + z2 / (4 * safe)) / safe) / (1 + z2 / safe)
    low = np.where(k > 0, np.maximum(centre - half, 0), 0.0)
    high = np.where(k < n, np.minimum(centre + half, 1), 1.0)
    return low, high


def share(name: str, events: int, rows: int, confidence: float) -> dict[str, float | None]:
    """A share of rows with Wilson's interval, as ``name``, ``name_low`` and ``name_high``; None where there are no
    rows."""
    if not rows:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {**share_of_some(name, events, rows, confidence)}


def share_of_some(name: str, events: int, rows: int, confidence: float) -> dict[str, float]:
    """As ``share``, of one row or more."""
    low, high = wilson(events, rows, confidence)
    return {name: events / rows, f"{name}_low": float(low), f"{name}_high": float(high)}


def jeffreys(events: ArrayLike, rows: ArrayLike, confidence: float) -> tuple[Array, Array]:
    """Ends of Jeffreys' interval of shares ``events / rows``: quantiles of Beta(k + 1/2, n - k + 1/2)."""
    k, n = np.asarray(events, float), np.asarray(rows, float)
    tail = (1 - confidence) / 2
    low = np.where(k > 0, stats.beta.ppf(tail, k + 0.5, n - k + 0.5), 0.0)
    high = np.where(k < n, stats.beta.ppf(1 - tail, k + 0.5, n - k + 0.5), 1.0)
    return low, high


def jeffreys_test(bads: ArrayLike, rows: ArrayLike, predicted: ArrayLike) -> Array:
    """P-values of Jeffreys' backtest that the bad rate is no higher than predicted; small means risk was understated.

    Source: European Central Bank, Instructions for reporting the validation results of internal models (2019), 2.5.3.
    """
    k, n = np.asarray(bads, float), np.asarray(rows, float)
    return np.asarray(stats.beta.cdf(np.asarray(predicted, float), k + 0.5, n - k + 0.5), float)


def calibration_line(bad: ArrayLike, probability: ArrayLike, confidence: float) -> CalibrationLine | None:
    """Calibration slope and intercept by unpenalised logistic regression on the log-odds, with Wald intervals.

    Returns:
        None where they cannot be estimated: one probability for all, or a probability that parts goods and bads wholly.
    """
    outcome = np.asarray(bad, float)
    clipped = np.clip(np.asarray(probability, float), 1e-12, 1 - 1e-12)
    predicted = np.log(clipped / (1 - clipped))
    if np.ptp(predicted) == 0 or roc_auc(outcome, predicted) in (0.0, 1.0):
        return None
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-8).fit(predicted[:, None], outcome)
    slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
    fitted = model.predict_proba(predicted[:, None])[:, 1]
    design = np.column_stack([np.ones_like(predicted), predicted])
    covariance = np.linalg.inv(design.T @ (design * (fitted * (1 - fitted))[:, None]))
    z = _quantile(confidence)
    half_intercept, half_slope = z * np.sqrt(np.diag(covariance))
    return CalibrationLine(
        slope=Estimate(slope, float(slope - half_slope), float(slope + half_slope)),
        intercept=Estimate(intercept, float(intercept - half_intercept), float(intercept + half_intercept)),
    )


def bootstrap(measure: Callable[[Array], Array], borrower: ArrayLike, replicates: int, seed: int) -> Array:
    """Figures that ``measure`` gives on samples of borrowers drawn with replacement, all rows of a borrower together.

    Args:
        measure: From (n,) weights (how often each row was drawn) to (k,) figures.
        borrower: (n,) Whose row each is.
        replicates: Samples to draw.
        seed: Seed of the draws.

    Returns:
        (replicates, k) Figures.
    """
    person = levels(borrower)
    people = int(person.max()) + 1
    random = np.random.default_rng(seed)
    return np.stack(
        [
            measure(np.bincount(random.integers(people, size=people), minlength=people)[person].astype(float))
            for _ in range(replicates)
        ]
    )


def percentile_interval(values: Array, confidence: float) -> tuple[Array, Array]:
    """Ends of the percentile interval of (replicates, k) bootstrap figures; replicates that are NaN are left out."""
    tail = 100 * (1 - confidence) / 2
    low, high = np.nanpercentile(values, [tail, 100 - tail], axis=0)
    return low, high


def _quantile(confidence: float) -> float:
    """Standard normal quantile of a two-sided interval."""
    return float(stats.norm.ppf((1 + confidence) / 2))
