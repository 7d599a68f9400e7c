"""Swap sets: whom the champion approves, under the hard rules, and another policy does not, and the reverse."""

import numpy as np
import pandas as pd
from msgspec import Struct
from numpy.typing import NDArray

from components.credit import metrics
from components.credit.metrics import Array
from components.evaluate.approvals import PASSES, Flags, approved

CELLS = ("both_approve", "swap_in", "swap_out", "both_decline")


class Cell(Struct, frozen=True, forbid_unknown_fields=True):
    """A cell of the matrix of two policies.

    Args:
        cell: One of ``CELLS``.
        n: Its rows.
        share: Their share of all rows.
        known: Those whose outcome is known.
        bads: The bads among them.
        bad_rate: Bad rate of those with a known outcome, with Wilson's interval; None where none is known.
        bad_rate_low: Its lower end.
        bad_rate_high: Its upper end.
        predicted: Mean probability of bad of all its rows; None where it has none.
    """

    cell: str
    n: int
    share: float
    known: int
    bads: int
    bad_rate: float | None
    bad_rate_low: float | None
    bad_rate_high: float | None
    predicted: float | None


class SwapSet(Struct, frozen=True, forbid_unknown_fields=True):
    """The champion against the lender's own ``decisions``, or against the ``incumbent`` score, on ``n`` rows."""

    against: str
    n: int
    cells: list[Cell]


def swap_set(before: Flags, after: Flags, bad: NDArray[np.int64], probability: Array, confidence: float) -> list[Cell]:
    """Rows of each cell of the matrix, with what is known of their bads.

    Args:
        before: (n,) Whether the other policy approves.
        after: (n,) Whether the champion approves.
        bad: (n,) 0 or 1; -1 where the outcome is unknown, since no loan was granted.
        probability: (n,) The champion's probability of bad.
        confidence: Confidence of the intervals.

    Returns:
        The cells in the order of ``CELLS``.
    """
    found = []
    for cell, within in zip(CELLS, (before & after, ~before & after, before & ~after, ~before & ~after), strict=True):
        known = within & (bad >= 0)
        n, bads = int(known.sum()), int(bad[known].sum())
        low, high = metrics.wilson(bads, n, confidence)
        found.append(
            Cell(
                cell=cell,
                n=int(within.sum()),
                share=float(within.mean()),
                known=n,
                bads=bads,
                bad_rate=bads / n if n else None,
                bad_rate_low=float(low) if n else None,
                bad_rate_high=float(high) if n else None,
                predicted=float(probability[within].mean()) if within.any() else None,
            )
        )
    return found


def swap_sets(rows: pd.DataFrame, champion: str, cutoff: float, confidence: float) -> list[SwapSet]:
    """Against the present policy's own decisions, and against the incumbent score at the champion's approval rate.

    The hard rules hold for the champion and for the incumbent score; the present policy's decisions stand as they
    were made.

    Args:
        rows: The test sample, followed by the applications that the present policy declined (``bad`` -1), with
            ``passes_rules``.
        champion: Name of the champion.
        cutoff: Its cut-off.
        confidence: Confidence of the intervals.

    Returns:
        At most one of each kind; none where the data say nothing.
    """
    bad, probability = rows["bad"].to_numpy(), rows[f"probability_{champion}"].to_numpy()
    approves = approved(rows, champion, cutoff)
    labelled = bad >= 0
    found = []
    if not labelled.all():
        cells = swap_set(labelled, approves, bad, probability, confidence)
        found.append(SwapSet("decisions", len(rows), cells))
    score = rows["incumbent_score"].to_numpy(float) if "incumbent_score" in rows else np.full(len(rows), np.nan)
    if not np.isnan(score[labelled]).any():
        n = int(approves[labelled].sum())
        broken = ~rows[PASSES].to_numpy(bool)[labelled]
        order = np.lexsort((-score[labelled], broken))
        before = np.zeros(int(labelled.sum()), dtype=bool)
        before[order[:n]] = True
        cells = swap_set(before, approves[labelled], bad[labelled], probability[labelled], confidence)
        found.append(SwapSet("incumbent", int(labelled.sum()), cells))
    return found
