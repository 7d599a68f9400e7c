"""The regression behind the scorecard: one penalised logistic regression over all bins of all features.

A card by weight of evidence gives each feature a single weight, and so counts twice the evidence that features share.
Here each bin has its own value, held to its feature's trend (along a rising or falling trend no bin turns against its
neighbours, so no sign is ever wrong) and drawn toward its neighbours by an L2 penalty.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import block_diag
from scipy.optimize import minimize
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits

from components.credit.errors import InputError
from components.credit.models.binning import Binning, Columns
from components.credit.models.calibration import Floats, Integers, sigmoid


@dataclass(frozen=True)
class BinValues:
    """Binnings with the log-odds of each bin, before points.

    Args:
        binnings: One a feature.
        values: Log-odds of bad of each bin, 0 on average over the training rows, shape (bins,) for each feature.
        intercept: Log-odds of bad of the average row.
    """

    binnings: list[Binning]
    values: list[Floats]
    intercept: float

    def log_odds(self, columns: Columns) -> Floats:
        """Log-odds of bad, shape (n,)."""
        parts = [values[b.index(columns[b.feature])] for b, values in zip(self.binnings, self.values, strict=True)]
        return np.asarray(self.intercept + np.sum(parts, axis=0), dtype=np.float64)


def fit_values(
    binnings: list[Binning],
    columns: Columns,
    bad: Integers,
    penalties: tuple[float, ...],
    weights: Floats | None = None,
) -> list[BinValues]:
    """The penalised regression over the bins, once for each penalty, in their order.

    Args:
        binnings: Bins of each feature.
        columns: The training rows.
        bad: 0 or 1, shape (n,).
        penalties: Strengths of the L2 penalty, on the sum of the log-likelihood, in ascending order.
        weights: How many rows each row counts for, shape (n,); one each where none are given.

    Raises:
        InputError: All that have a weight are good, or bad, or there are none.
    """
    if weights is not None and not 0 < (weights * bad).sum() < weights.sum():
        raise InputError("The weights leave no good or no bad to learn from; give some rows of each a weight above 0.")
    weights = np.ones(len(bad)) if weights is None else weights
    rows, bads = float(weights.sum()), weights * bad
    share = float(bads.sum()) / rows
    prior = float(np.log(share / (1 - share)))
    if not binnings:
        return [BinValues([], [], prior)] * len(penalties)
    indices = [binning.index(columns[binning.feature]) for binning in binnings]
    design, first = _design(indices, [len(binning.bins) for binning in binnings])
    transposed = design.T.tocsr()
    parts, bounded = zip(*(_steps(binning) for binning in binnings), strict=True)
    steps = block_diag(*parts)

    def loss(parameters: Floats, penalty: float) -> tuple[float, Floats]:
        log_odds = parameters[0] + design @ (steps @ parameters[1:])
        residual = weights * sigmoid(log_odds) - bads
        value = (
            (weights * np.logaddexp(0, log_odds)).sum() - log_odds @ bads + penalty / 2 * (parameters[1:] ** 2).sum()
        )
        slope = np.append(residual.sum(), (transposed @ residual) @ steps + penalty * parameters[1:])
        return float(value) / rows, slope / rows

    bounds = [(None, None), *((0.0 if at_least else None, None) for at_least in np.concatenate(bounded))]
    start = np.append(prior, np.zeros(steps.shape[1]))
    fits = []
    # one thread: the order of sums decides the last digits, and more threads only wait for each other here
    with threadpool_limits(1):
        for penalty in reversed(penalties):  # each starts where a stronger one ended
            solved = minimize(
                loss, start, (penalty,), "L-BFGS-B", jac=True, bounds=bounds, options={"maxiter": 500, "ftol": 1e-8}
            )
            start = solved.x
            fits.append(_centred(binnings, np.split(steps @ start[1:], first[1:]), float(start[0]), indices, weights))
    return fits[::-1]


def _design(indices: list[Integers], sizes: list[int]) -> tuple[csr_array, Integers]:
    """A row's bins as ones, shape (n, bins of all features), and the first column of each feature."""
    rows, features = len(indices[0]), len(indices)
    first = np.cumsum([0, *sizes[:-1]])
    columns = (np.column_stack(indices) + first).ravel()
    ends = np.arange(0, rows * features + 1, features)
    return csr_array((np.ones(rows * features), columns, ends), shape=(rows, sum(sizes))), first


def _steps(binning: Binning) -> tuple[Floats, list[bool]]:
    """How a feature's values follow from its parameters, shape (bins, parameters), and which of those must be ≥ 0.

    A range's value is that of the range before it plus or minus a step ≥ 0, as the bad rates say. A bin that stands
    alone has the ranges' mean value plus a parameter of its own, so that the penalty draws it to neutral.
    """
    alone = binning.ordered_from
    woe = np.array([bin.woe for bin in binning.bins])[alone:]
    rows = np.array([bin.rows for bin in binning.bins], dtype=np.float64)[alone:]
    up = np.where(np.diff(woe) <= 0, 1.0, -1.0)
    ranges = np.tril(np.ones((len(woe), len(woe))), -1)[:, :-1] * up if len(woe) else np.zeros((0, 0))
    mean = rows @ ranges / max(rows.sum(), 1.0)
    steps = np.zeros((len(binning.bins), alone + ranges.shape[1]))
    steps[:alone, :alone] = np.eye(alone)
    steps[:alone, alone:] = mean
    steps[alone:, alone:] = ranges
    return steps, [False] * alone + [binning.trend in ("increasing", "decreasing")] * ranges.shape[1]


def _centred(
    binnings: list[Binning], values: list[Floats], intercept: float, indices: list[Integers], weights: Floats
) -> BinValues:
    means = [
        float(np.bincount(index, weights, len(value)) @ value) / float(weights.sum())
        for value, index in zip(values, indices, strict=True)
    ]
    return BinValues(
        binnings, [value - mean for value, mean in zip(values, means, strict=True)], intercept + sum(means)
    )
