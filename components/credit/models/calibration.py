"""From an engine's log-odds to a probability, to points, to the cut-off and the bands.

Sources: J. Platt, "Probabilistic outputs for support vector machines" (1999), for the calibration; N. Siddiqi,
"Credit Risk Scorecards" (2006), for points, odds and PDO.
"""

import math
from functools import cached_property

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
# What float64 can tell from 0 and from 1.
_LEAST, _GREATEST = float(np.finfo(float).tiny), float(1 - np.finfo(float).epsneg)


class Calibration(Struct, frozen=True, forbid_unknown_fields=True):
    """Platt's map of an engine's log-odds of bad: ``calibrated = intercept + slope * log_odds``."""

    slope: float = 1.0
    intercept: float = 0.0


class Scaling(Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """The scale of points: ``points`` at ``odds`` goods to one bad, and ``pdo`` more points double the odds."""

    points: float
    odds: float
    pdo: float

    @cached_property
    def factor(self) -> float:
        """Points of one unit of log-odds."""
        return self.pdo / math.log(2)

    @cached_property
    def offset(self) -> float:
        """Points at even odds."""
        return self.points - self.factor * math.log(self.odds)

    def whole_points(self, log_odds: Floats) -> Integers:
        """Whole points of calibrated log-odds of bad."""
        if log_odds.shape == (1,):  # the same operations without arrays, in a fifth of the time
            return np.array([math.floor(self.offset - self.factor * float(log_odds[0]) + 0.5)], dtype=np.int64)
        return np.floor(self.offset - self.factor * log_odds + 0.5).astype(np.int64)

    def log_odds(self, points: Floats | Integers) -> Floats:
        """Calibrated log-odds of bad at a number of points."""
        return np.asarray((self.offset - points) / self.factor, dtype=np.float64)


def sigmoid(log_odds: Floats) -> Floats:
    """Probability of log-odds, exact at both ends, within (0, 1)."""
    # exp of a negative number cannot overflow; the two forms agree at 0
    if log_odds.shape == (1,):  # as in ``whole_points``; exp stays numpy's, whose last bit may be another than math's
        one = float(log_odds[0])
        part = float(np.exp(-abs(one)))
        return np.array([min(max((1.0 if one >= 0 else part) / (1.0 + part), _LEAST), _GREATEST)])
    small = np.exp(-np.abs(log_odds))
    probability = np.where(log_odds >= 0, 1.0, small) / (1.0 + small)
    return np.minimum(np.maximum(probability, _LEAST), _GREATEST)


def fit_calibration(log_odds: Floats, bad: Integers) -> Calibration:
    """Platt's calibration of out-of-fold log-odds, with his smoothed targets, by Newton's method.

    Where log-odds are all the same, or risk does not grow with them, their order is kept and only their mean is set.

    Args:
        log_odds: The engine's log-odds of rows that it has not learnt from, shape (n,).
        bad: 0 or 1, shape (n,).
    """
    bads, goods = int(bad.sum()), int(len(bad) - bad.sum())
    targets = np.where(bad == 1, (bads + 1) / (bads + 2), 1 / (goods + 2))
    mean, spread = float(log_odds.mean()), float(log_odds.std())
    if spread > 1e-9:
        design = np.column_stack([(log_odds - mean) / spread, np.ones(len(bad))])
        slope, intercept = _newton(design, targets, np.zeros(len(bad)))
        if slope > 0.01 * spread:
            return Calibration(slope / spread, intercept - slope / spread * mean)
    (intercept,) = _newton(np.ones((len(bad), 1)), targets, log_odds)
    return Calibration(1.0, intercept)


def _newton(design: Floats, targets: Floats, offset: Floats) -> list[float]:
    """Coefficients of a logistic regression of a few columns, by Newton's method with halved steps."""

    def loss(coefficients: Floats) -> float:
        log_odds = offset + design @ coefficients
        return float(np.logaddexp(0, log_odds).sum() - targets @ log_odds)

    coefficients = np.zeros(design.shape[1])
    for _ in range(50):
        probability = sigmoid(offset + design @ coefficients)
        weight = np.maximum(probability * (1 - probability), 1e-9)
        step = np.linalg.solve((design.T * weight) @ design, design.T @ (targets - probability))
        reached = loss(coefficients)
        while np.abs(step).max() > 1e-10 and loss(coefficients + step) > reached:
            step = step / 2
        coefficients = coefficients + step
        if np.abs(step).max() <= 1e-10:
            break
    return [float(value) for value in coefficients]


def cut(probability: Floats, shares: tuple[float, ...], scaling: Scaling) -> tuple[float, ...]:
    """Probabilities that leave these shares of the rows at or below them, each halfway between two whole points.

    Halfway, "at most this probability" and "at least so many whole points" are one rule.
    """
    limits = np.asarray(np.quantile(probability, shares, method="lower"), dtype=np.float64)
    points = scaling.whole_points(np.log(limits) - np.log1p(-limits))
    return tuple(float(limit) for limit in sigmoid(scaling.log_odds(np.asarray(points - 0.5, dtype=np.float64))))
