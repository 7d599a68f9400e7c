"""Joins neighbouring fine bins into few runs along a trend: the most likely way, by dynamic programming.

The criterion is the binomial log-likelihood of each run's bads, so that a cut stands where the bad rate changes.
"""

from typing import Literal

import numpy as np

from components.credit.models.calibration import Floats

Trend = Literal["increasing", "decreasing", "peak", "valley", "free"]


def best_runs(rows: Floats, bads: Floats, least: int, most: int, trend: Trend) -> tuple[list[int], float]:
    """Runs of neighbouring fine bins with the greatest binomial log-likelihood whose bad rates follow a trend.

    Args:
        rows: Rows of each fine bin, in order, shape (p,).
        bads: Bads among them, shape (p,).
        least: Least rows of a run.
        most: Greatest number of runs.
        trend: ``increasing`` or ``decreasing`` bad rate; one turn: ``peak`` (up, then down) or ``valley``; or ``free``.

    Returns:
        The first fine bin of each run, and their log-likelihood; -inf where all rows are fewer than ``least``.
    """
    fine = len(rows)
    most = min(most, fine)
    likelihood, rate = _candidates(rows, bads, least)
    if not np.isfinite(likelihood[0, -1]):
        return [0], -np.inf
    # best[phase, k, i, j]: the best k + 1 runs whose last holds the fine bins i to j; phase 1 is behind a turn;
    # came: the start of the run before that last one, -1 - start where the turn lies between them
    sign = {"increasing": 1.0, "peak": 1.0, "decreasing": -1.0, "valley": -1.0, "free": 0.0}[trend]
    phases = 2 if trend in ("peak", "valley") else 1
    best = np.full((phases, most, fine, fine), -np.inf)
    came = np.zeros((phases, most, fine, fine), dtype=np.int32)
    best[0, 0, 0] = likelihood[0]
    for start in range(1, fine):
        before = sign * rate[:start, start - 1]
        here = sign * rate[start, start:] + (trend == "free")
        best[0, 1:, start, start:], came[0, 1:, start, start:] = _extended(
            best[0, :-1, :start, start - 1], before, here, likelihood[start, start:]
        )
        if phases == 2:
            # behind the turn rates fall, whatever came before them
            either = best[:, :-1, :start, start - 1]
            turned = either[1] > either[0]
            best[1, 1:, start, start:], origin = _extended(
                np.where(turned, either[1], either[0]), -before, -here, likelihood[start, start:]
            )
            came[1, 1:, start, start:] = np.where(np.take_along_axis(turned, origin, axis=1), origin, -1 - origin)
    return _traced(best, came)


def _candidates(rows: Floats, bads: Floats, least: int) -> tuple[Floats, Floats]:
    """Log-likelihood and bad rate of each run of fine bins i to j, shape (p, p); -inf where it is too small."""
    all_rows, all_bads = np.append(0.0, np.cumsum(rows)), np.append(0.0, np.cumsum(bads))
    n = all_rows[None, 1:] - all_rows[:-1, None]
    b = all_bads[None, 1:] - all_bads[:-1, None]
    allowed = np.triu(n >= least)
    n = np.where(allowed, n, 1.0)
    b = np.where(allowed, b, 0.0)
    rate = b / n
    with np.errstate(divide="ignore", invalid="ignore"):
        bad_part = np.where(b > 0, b * np.log(rate), 0.0)
        good_part = np.where(n > b, (n - b) * np.log1p(-rate), 0.0)
    return np.where(allowed, bad_part + good_part, -np.inf), rate


def _extended(before: Floats, rates: Floats, here: Floats, likelihood: Floats) -> tuple[Floats, np.ndarray]:
    """The best likelihood of each end with a run more, and the start of the run before it, shapes (k, ends).

    Args:
        before: Best likelihoods of 1 to k runs by start of the last one, shape (k, starts).
        rates: Rate of that last run, shape (starts,).
        here: Rate of the run to add, by its end, shape (ends,); it must be greater than the one before.
        likelihood: Its log-likelihood, shape (ends,).
    """
    order = np.argsort(rates, kind="stable")
    sorted_before = before[:, order]
    running = np.maximum.accumulate(sorted_before, axis=1)
    where = np.maximum.accumulate(np.where(sorted_before == running, np.arange(len(order)), 0), axis=1)
    last = np.searchsorted(rates[order], here, side="left") - 1
    index = np.maximum(last, 0)
    return np.where(last >= 0, running[:, index] + likelihood, -np.inf), order[where[:, index]]


def _traced(best: Floats, came: np.ndarray) -> tuple[list[int], float]:
    """Starts of the best runs, whatever their number, in order, and their log-likelihood."""
    last = best[:, :, :, -1]
    phase, count, start = (int(i) for i in np.unravel_index(int(np.argmax(last)), last.shape))
    starts, end = [start], best.shape[3] - 1
    while count > 0:
        origin = int(came[phase, count, start, end])
        if phase == 1 and origin < 0:
            phase, origin = 0, -1 - origin
        end, start, count = start - 1, origin, count - 1
        starts.append(start)
    return starts[::-1], float(last.max())
