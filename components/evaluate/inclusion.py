"""Inclusion: how many more people without a bureau record can be approved at the same bad rate.

Each score approves a group's applicants from the safest on, for as long as their bad rate stays at the one that is
asked for: that of the book which the present policy's score (or else the score without alternative data) makes at the
configured share of approvals. A score that ties applicants approves a part of them by lot. Whoever breaks a hard rule
is approved by none, and counts among those of whom a share is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.credit import metrics
from components.credit.metrics import Array
from components.evaluate.approvals import PASSES
from components.evaluate.baselines import SOURCES

INCUMBENT = "incumbent"
REFERENCES = (INCUMBENT, "bureau", "own_history", "without")
_REPLICATES = 300
_LEAST_ROWS, _LEAST_OF_A_CLASS = 30, 3
_YOUNG = ("under 25", "25 to 34")
_CURVE_POINTS = 80

# The groups among the people without a bureau record; the first is all of them.
GROUPS: dict[str, Callable[[pd.DataFrame], "pd.Series[bool]"]] = {
    "all": lambda rows: rows["thin_file"].eq(True),
    "women": lambda rows: _held(rows, "protected_sex").eq("female"),
    "rural": lambda rows: _held(rows, "protected_rural").isin(["true", "yes"]),
    "young": lambda rows: _held(rows, "protected_age_band").isin(_YOUNG),
    "first_loan": lambda rows: rows["segment"].eq("new"),
}


@dataclass(frozen=True)
class Inclusion:
    """What alternative data do for people without a bureau record.

    Args:
        figures: For the decision: ``bad_rate`` asked for and ``basis``, and a row a group.
        curves: Of all people without a record, by score: share approved, and the bad rate of the approved.
    """

    figures: dict[str, Any]
    curves: dict[str, tuple[Array, Array]]


def inclusion(
    rows: pd.DataFrame, baselines: list[str], champion: str, share: float, confidence: float, seed: int
) -> Inclusion:
    """Compare the scores for people without a bureau record.

    Args:
        rows: The test sample with ``probability_<baseline>`` and ``passes_rules``, followed by the declined
            applications (``bad`` -1).
        baselines: Names of the cards of ``baselines.SOURCES`` that there are.
        champion: Name of the champion, which is compared with the present policy's own decisions.
        share: Share of approvals at which the bad rate is taken.
        confidence: Confidence of the intervals (a bootstrap of borrowers; the scores stand as they are).
        seed: Seed of the bootstrap.

    Returns:
        Figures with ``told`` false and a ``why`` where there is nothing to compare.
    """
    labelled = rows["bad"].to_numpy() >= 0
    nobody = not rows.loc[labelled, "thin_file"].eq(True).any()
    if nobody or not {"with", "without"} <= set(baselines):
        why = "Nobody in the test sample is without a bureau record" if nobody else "The data hold no alternative data"
        return Inclusion({"told": False, "why": f"{why}, so that inclusion cannot be told."}, {})
    risk = {name: rows[f"probability_{name}"].to_numpy() for name in SOURCES if name in baselines}
    if "incumbent_score" in rows and rows.loc[labelled, "incumbent_score"].notna().all():
        risk = {INCUMBENT: -rows["incumbent_score"].to_numpy(float), **risk}
    basis = INCUMBENT if INCUMBENT in risk else "without"
    within = {name: np.flatnonzero(labelled & _members(rows, name)) for name in GROUPS}
    bad, passes = rows["bad"].to_numpy(), rows[PASSES].to_numpy(bool)
    told = {name: places for name, places in within.items() if _enough(bad[places])}

    everyone = _Approvals(np.flatnonzero(labelled), risk[basis], bad, passes)
    approvals = {
        (group, name): _Approvals(places, risk[name], bad, passes) for group, places in told.items() for name in risk
    }
    present = {name: _Present(rows, champion, _members(rows, name)) for name in told} if (~labelled).any() else {}

    def measure(weight: Array) -> Array:
        limit = everyone.bad_rate_at(share, weight)
        return np.array(
            [limit]
            + [one.share_at(limit, weight) for one in approvals.values()]
            + [one.share_at_same_bad_rate(weight) for one in present.values()]
        )

    value = measure(np.ones(len(rows)))
    drawn = metrics.bootstrap(measure, rows["borrower_id"].to_numpy(), _REPLICATES, seed)
    places = {key: place for place, key in enumerate(approvals, start=1)}
    figures: dict[str, Any] = {
        "told": True,
        "basis": basis,
        "share": share,
        **_estimate("bad_rate", value[0], drawn[:, 0], confidence),
        "n": int(labelled.sum()),
        "scores": list(risk),
        "groups": [],
        "left_out": [{"group": name, "n": len(within[name])} for name in within if name not in told],
    }
    for group, members in told.items():
        bads = int(bad[members].sum())
        low, high = metrics.wilson(bads, len(members), confidence)
        row: dict[str, Any] = {"group": group, "n": len(members), "bads": bads}
        row |= {"bad_rate": bads / len(members), "bad_rate_low": float(low), "bad_rate_high": float(high)}
        row["scores"] = {
            name: _estimate("share", value[places[group, name]], drawn[:, places[group, name]], confidence)
            for name in risk
        }
        row["gains"] = {
            name: _estimate(
                "gain",
                value[places[group, "with"]] - value[places[group, name]],
                drawn[:, places[group, "with"]] - drawn[:, places[group, name]],
                confidence,
            )
            for name in REFERENCES
            if name in risk
        }
        if group in present:
            place = 1 + len(approvals) + list(present).index(group)
            row["present"] = present[group].row(value[place], drawn[:, place], confidence)
        figures["groups"].append(row)
    curves = {name: approvals["all", name].curve() for name in risk} if "all" in told else {}
    return Inclusion(figures, curves)


class _Approvals:
    """Rows in order of a score, ready to be asked with many weights; those that break a rule come never."""

    def __init__(self, places: NDArray[np.int64], risk: Array, bad: Array, passes: NDArray[np.bool_]) -> None:
        self._all, places = places, places[passes[places]]
        values = np.where(np.isnan(risk[places]), np.inf, risk[places])
        self._order = places[np.argsort(values, kind="stable")]
        ranked = np.sort(values, kind="stable")
        self._ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], [True] * bool(places.size)))
        self._bad = bad[self._order].astype(float)

    def _sums(self, weight: Array) -> tuple[Array, Array]:
        """Rows and bads up to the end of each tie, from none on."""
        of_row = weight[self._order]
        rows, bads = np.cumsum(of_row)[self._ends], np.cumsum(of_row * self._bad)[self._ends]
        return np.append(0.0, rows), np.append(0.0, bads)

    def share_at(self, limit: float, weight: Array) -> float:
        """Greatest share of the rows, the safest first, whose bad rate is at most ``limit``."""
        rows, bads = self._sums(weight)
        total = weight[self._all].sum()
        if not total:
            return float("nan")
        excess = bads - limit * rows
        last = int(np.flatnonzero(excess <= 1e-12)[-1])
        approved = rows[last]
        if last + 1 < rows.size:
            approved += (rows[last + 1] - rows[last]) * -excess[last] / (excess[last + 1] - excess[last])
        return float(approved / total)

    def bad_rate_at(self, share: float, weight: Array) -> float:
        """Bad rate of the safest ``share`` of the rows, or of all that break no rule where those are fewer."""
        rows, bads = self._sums(weight)
        wanted = min(share * weight[self._all].sum(), rows[-1])
        return float(np.interp(wanted, rows, bads) / wanted) if wanted else float("nan")

    def curve(self) -> tuple[Array, Array]:
        """Share approved, and the bad rate of the approved, from a tenth of the rows on to all that break no rule."""
        rows, bads = self._sums(np.ones(self._all.max() + 1))
        wanted = np.linspace(min(0.1 * self._all.size, rows[-1]), rows[-1], _CURVE_POINTS)
        return wanted / self._all.size, np.interp(wanted, rows, bads) / np.maximum(wanted, 1e-12)


class _Present:
    """The present policy's decisions on a group, and what the champion would do at the same bad rate.

    What declined applicants would have done is unknown: their champion's probability stands for it.
    """

    def __init__(self, rows: pd.DataFrame, champion: str, members: NDArray[np.bool_]) -> None:
        bad, probability = rows["bad"].to_numpy(), rows[f"probability_{champion}"].to_numpy()
        self._places = np.flatnonzero(members)
        self._approved = bad[self._places] >= 0
        self._bad = np.where(bad >= 0, bad, probability)
        self._ranked = _Approvals(self._places, probability, self._bad, rows[PASSES].to_numpy(bool))

    def share_at_same_bad_rate(self, weight: Array) -> float:
        of_row = weight[self._places]
        approved = of_row[self._approved].sum()
        if not approved:
            return float("nan")
        bad_rate = (of_row * self._bad[self._places])[self._approved].sum() / approved
        return self._ranked.share_at(bad_rate, weight)

    def row(self, value: float, drawn: Array, confidence: float) -> dict[str, Any]:
        decided, approved = self._places.size, int(self._approved.sum())
        low, high = metrics.wilson(approved, decided, confidence)
        return {
            "decided": decided,
            "approved": approved,
            "approved_share": approved / decided,
            "approved_share_low": float(low),
            "approved_share_high": float(high),
            "bad_rate": float(self._bad[self._places][self._approved].mean()),
            **_estimate("share", value, drawn, confidence),
            "more": float(value * decided - approved),
        }


def _estimate(name: str, value: float, drawn: Array, confidence: float) -> dict[str, float]:
    low, high = metrics.percentile_interval(drawn, confidence)
    return {name: float(value), f"{name}_low": min(float(low), value), f"{name}_high": max(float(high), value)}


def _members(rows: pd.DataFrame, group: str) -> NDArray[np.bool_]:
    return np.asarray(GROUPS["all"](rows) & GROUPS[group](rows), dtype=bool)


def _enough(bad: Array) -> bool:
    return bad.size >= _LEAST_ROWS and min(bad.sum(), bad.size - bad.sum()) >= _LEAST_OF_A_CLASS


def _held(rows: pd.DataFrame, column: str) -> "pd.Series[Any]":
    return rows[column] if column in rows else pd.Series(None, index=rows.index, dtype=object)
