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
from msgspec import Struct
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
# Keys of figures that are of no score: the bad rate asked for, and the champion against the present policy.
_BAD_RATE, _PRESENT = ("", "bad rate"), "present policy"

# The groups among the people without a bureau record; the first is all of them.
GROUPS: dict[str, Callable[[pd.DataFrame], "pd.Series[bool]"]] = {
    "all": lambda rows: rows["thin_file"].eq(True),
    "women": lambda rows: _held(rows, "protected_sex").eq("female"),
    "rural": lambda rows: _held(rows, "protected_rural").isin(["true", "yes"]),
    "young": lambda rows: _held(rows, "protected_age_band").isin(_YOUNG),
    "first_loan": lambda rows: rows["segment"].eq("new"),
}


class Share(Struct, frozen=True, forbid_unknown_fields=True):
    """Share of a group that a score approves at the bad rate asked for; ends are None where samples give no number."""

    share: float
    share_low: float | None
    share_high: float | None


class Gain(Struct, frozen=True, forbid_unknown_fields=True):
    """What the score with alternative data approves more of a group than another score, as a share of the group."""

    gain: float
    gain_low: float | None
    gain_high: float | None


class Present(Struct, frozen=True, forbid_unknown_fields=True):
    """The present policy's decisions on a group, and what the champion would approve at the same bad rate.

    Args:
        decided: Applications of the group, those declined among them.
        approved: Those that the present policy approved.
        approved_share: Their share, with Wilson's interval.
        approved_share_low: Its lower end.
        approved_share_high: Its upper end.
        bad_rate: Bad rate of those that it approved.
        share: Share that the champion would approve at that bad rate.
        share_low: Its lower end.
        share_high: Its upper end.
        more: Applications that it would approve more.
    """

    decided: int
    approved: int
    approved_share: float
    approved_share_low: float
    approved_share_high: float
    bad_rate: float | None
    share: float | None
    share_low: float | None
    share_high: float | None
    more: float | None


class InclusionGroup(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A group of people without a bureau record.

    Args:
        group: One of ``GROUPS``.
        n: Its rows with a known outcome.
        bads: The bads among them.
        bad_rate: Their share, with Wilson's interval.
        bad_rate_low: Its lower end.
        bad_rate_high: Its upper end.
        scores: What each score approves of them.
        gains: What the score with alternative data approves more than each of ``REFERENCES``.
        present: The present policy's own decisions; None where no declined application is known.
    """

    group: str
    n: int
    bads: int
    bad_rate: float
    bad_rate_low: float
    bad_rate_high: float
    scores: dict[str, Share]
    gains: dict[str, Gain]
    present: Present | None = None


class GroupSize(Struct, frozen=True, forbid_unknown_fields=True):
    """A group with too few rows, and how many it has."""

    group: str
    n: int


class InclusionFigures(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Inclusion as the decision states it; where ``told`` is false, ``why`` stands instead of all figures.

    Args:
        told: Whether there is something to compare.
        why: Why there is not.
        basis: Score whose bad rate is asked for.
        share: Share of approvals at which it is taken.
        bad_rate: The bad rate asked for (bootstrap of borrowers).
        bad_rate_low: Its lower end.
        bad_rate_high: Its upper end.
        n: Rows of the test sample.
        scores: Names of the scores compared.
        groups: The groups.
        left_out: The groups with too few rows.
    """

    told: bool
    why: str | None = None
    basis: str | None = None
    share: float | None = None
    bad_rate: float | None = None
    bad_rate_low: float | None = None
    bad_rate_high: float | None = None
    n: int | None = None
    scores: list[str] | None = None
    groups: list[InclusionGroup] | None = None
    left_out: list[GroupSize] | None = None


@dataclass(frozen=True)
class Inclusion:
    """What alternative data do for people without a bureau record.

    Args:
        figures: For the decision.
        curves: Of all people without a record, by score: share approved, and the bad rate of the approved.
    """

    figures: InclusionFigures
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
        return Inclusion(InclusionFigures(told=False, why=f"{why}, so that inclusion cannot be told."), {})
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
    present = {
        name: _PresentPolicy(rows, champion, _members(rows, name)) for name in (told if (~labelled).any() else {})
    }

    def measure(weight: Array) -> Array:
        limit = everyone.bad_rate_at(share, weight)
        return np.array(
            [limit]
            + [one.share_at(limit, weight) for one in approvals.values()]
            + [one.share_at_same_bad_rate(weight) for one in present.values()]
        )

    value = measure(np.ones(len(rows)))
    drawn = metrics.bootstrap(measure, rows["borrower_id"].to_numpy(), _REPLICATES, seed)
    keys = [_BAD_RATE, *approvals, *((group, _PRESENT) for group in present)]
    measured = _Measured(dict(zip(keys, value, strict=True)), dict(zip(keys, drawn.T, strict=True)), confidence)
    bad_rate = measured.estimate(_BAD_RATE)
    figures = InclusionFigures(
        told=True,
        basis=basis,
        share=share,
        bad_rate=bad_rate[0],
        bad_rate_low=bad_rate[1],
        bad_rate_high=bad_rate[2],
        n=int(labelled.sum()),
        scores=list(risk),
        groups=[_group(group, bad[places], list(risk), measured, present.get(group)) for group, places in told.items()],
        left_out=[GroupSize(name, len(within[name])) for name in within if name not in told],
    )
    curves = {name: approvals["all", name].curve() for name in risk} if "all" in told else {}
    return Inclusion(figures, curves)


@dataclass(frozen=True)
class _Measured:
    """Each figure on the rows as they are, and on each sample of borrowers, by group and score."""

    value: dict[tuple[str, str], float]
    drawn: dict[tuple[str, str], Array]
    confidence: float

    def estimate(self, key: tuple[str, str]) -> tuple[float, float, float]:
        """The figure and the ends of its interval, between which it lies."""
        return self._between(self.value[key], self.drawn[key])

    def difference(self, key: tuple[str, str], other: tuple[str, str]) -> tuple[float, float, float]:
        """The first figure less the other, as ``estimate``."""
        return self._between(self.value[key] - self.value[other], self.drawn[key] - self.drawn[other])

    def _between(self, value: float, drawn: Array) -> tuple[float, float, float]:
        low, high = metrics.percentile_interval(drawn, self.confidence)
        return float(value), min(float(low), float(value)), max(float(high), float(value))


def _group(
    group: str, bad: Array, scores: list[str], measured: _Measured, present: "_PresentPolicy | None"
) -> InclusionGroup:
    """The figures of a group whose labelled rows have the outcomes ``bad``."""
    bads = int(bad.sum())
    low, high = metrics.wilson(bads, bad.size, measured.confidence)
    return InclusionGroup(
        group=group,
        n=bad.size,
        bads=bads,
        bad_rate=bads / bad.size,
        bad_rate_low=float(low),
        bad_rate_high=float(high),
        scores={name: Share(*measured.estimate((group, name))) for name in scores},
        gains={
            name: Gain(*measured.difference((group, "with"), (group, name))) for name in REFERENCES if name in scores
        },
        present=present.decisions(measured.estimate((group, _PRESENT)), measured.confidence) if present else None,
    )


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


class _PresentPolicy:
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

    def decisions(self, estimate: tuple[float, float, float], confidence: float) -> Present:
        """The present policy's decisions beside the champion's share (with its interval) at the same bad rate."""
        decided, approved = self._places.size, int(self._approved.sum())
        low, high = metrics.wilson(approved, decided, confidence)
        share, share_low, share_high = estimate
        return Present(
            decided=decided,
            approved=approved,
            approved_share=approved / decided,
            approved_share_low=float(low),
            approved_share_high=float(high),
            bad_rate=float(self._bad[self._places][self._approved].mean()),
            share=share,
            share_low=share_low,
            share_high=share_high,
            more=share * decided - approved,
        )


def _members(rows: pd.DataFrame, group: str) -> NDArray[np.bool_]:
    return np.asarray(GROUPS["all"](rows) & GROUPS[group](rows), dtype=bool)


def _enough(bad: Array) -> bool:
    return bad.size >= _LEAST_ROWS and min(bad.sum(), bad.size - bad.sum()) >= _LEAST_OF_A_CLASS


def _held(rows: pd.DataFrame, column: str) -> "pd.Series[Any]":
    return rows[column] if column in rows else pd.Series(None, index=rows.index, dtype=object)
