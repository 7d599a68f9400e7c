"""The test sample by segment and by protected group."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from fairlearn.metrics import demographic_parity_ratio, equalized_odds_difference
from msgspec import Struct
from scipy import stats

from components.credit import metrics
from components.credit.config import Limits
from components.credit.errors import GateStopped
from components.credit.models.calibration import Floats
from components.evaluate.approvals import approved
from components.evaluate.scored import PROTECTED
from components.evaluate.stability import backtest

LEAST_ROWS = 100
_LEAST_OF_A_CLASS = 5
_FOUR_FIFTHS = 0.8
_DRAWS = 1_000
_NOT_RECORDED = "not recorded"


class SegmentFigures(Struct, frozen=True, forbid_unknown_fields=True):
    """A model on a segment: its AUC, None where a class has fewer than five rows, and its mean probability of bad."""

    auc: float | None
    auc_low: float | None
    auc_high: float | None
    predicted: float


class Segment(Struct, frozen=True, forbid_unknown_fields=True):
    """A segment with its bad rate (Wilson's interval) and each model's figures on it.

    Args:
        by: ``segment`` (new or recurrent) or ``thin_file``.
        value: Which segment.
        n: Its rows.
        bads: The bads among them.
        bad_rate: Their share.
        bad_rate_low: Its lower end.
        bad_rate_high: Its upper end.
        models: Figures by model.
    """

    by: str
    value: str
    n: int
    bads: int
    bad_rate: float | None
    bad_rate_low: float | None
    bad_rate_high: float | None
    models: dict[str, SegmentFigures]


class Group(Struct, frozen=True, forbid_unknown_fields=True):
    """How the champion treats a protected group; shares have Wilson's interval, and are None of no rows.

    Args:
        attribute: The protected attribute, such as ``sex``.
        group: Its value.
        n: Rows of the group.
        bads: The bads among them.
        bad_rate: Their share.
        bad_rate_low: Its lower end.
        bad_rate_high: Its upper end.
        predicted: Mean probability of bad.
        p_value: Jeffreys' backtest of that probability.
        light: Its light.
        approval_rate: Share approved.
        approval_rate_low: Its lower end.
        approval_rate_high: Its upper end.
        bad_rate_approved: Bad rate of the approved.
        bad_rate_approved_low: Its lower end.
        bad_rate_approved_high: Its upper end.
        goods_declined: Share of the good payers who are declined.
        goods_declined_low: Its lower end.
        goods_declined_high: Its upper end.
        auc: AUC within the group; None where a class has fewer than five rows.
        auc_low: Its lower end.
        auc_high: Its upper end.
        ratio: Approval rate over that of the attribute's largest group; None where either approves nobody.
        ratio_low: Its lower end (Katz); None for the largest group itself.
        ratio_high: Its upper end.
        review: Whether the ratio is under four fifths and not by chance.
    """

    attribute: str
    group: str
    n: int
    bads: int
    bad_rate: float | None
    bad_rate_low: float | None
    bad_rate_high: float | None
    predicted: float
    p_value: float | None
    light: str
    approval_rate: float | None
    approval_rate_low: float | None
    approval_rate_high: float | None
    bad_rate_approved: float | None
    bad_rate_approved_low: float | None
    bad_rate_approved_high: float | None
    goods_declined: float | None
    goods_declined_low: float | None
    goods_declined_high: float | None
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    review: bool


class SmallGroup(Struct, frozen=True, forbid_unknown_fields=True):
    """A protected group that has too few rows, or nothing to be compared with."""

    attribute: str
    group: str
    n: int


class AttributeGap(Struct, frozen=True, forbid_unknown_fields=True):
    """Fairlearn's measures of a protected attribute over its groups of at least a hundred rows.

    Args:
        attribute: The attribute.
        n: Rows of those groups.
        demographic_parity_ratio_low: Lower end of the interval of that ratio.
        demographic_parity_ratio_high: Its upper end.
        equalized_odds_difference_low: Lower end of the interval of that gap.
        equalized_odds_difference_high: Its upper end.
        demographic_parity_ratio: Least approval rate over the greatest.
        equalized_odds_difference: Greatest gap of the shares of goods, or of bads, that are approved.
    """

    attribute: str
    n: int
    demographic_parity_ratio_low: float
    demographic_parity_ratio_high: float
    equalized_odds_difference_low: float
    equalized_odds_difference_high: float
    demographic_parity_ratio: float | None
    equalized_odds_difference: float | None


class Fairness(Struct, frozen=True, forbid_unknown_fields=True):
    """How one model treats the protected groups, those too small to tell, and the gaps by attribute."""

    model: str
    groups: list[Group]
    left_out: list[SmallGroup]
    attributes: list[AttributeGap]


class _Ratio(NamedTuple):
    ratio: float | None
    low: float | None
    high: float | None
    review: bool


def segments(rows: pd.DataFrame, models: list[str], confidence: float) -> list[Segment]:
    """Each segment (new, recurrent; thin file or not) with its bad rate and each model's AUC."""
    found = []
    for column in ("segment", "thin_file"):
        for value, part in _parts(rows, column):
            bads = int(part["bad"].sum())
            found.append(
                Segment(
                    by=column,
                    value=value,
                    n=len(part),
                    bads=bads,
                    models={
                        name: SegmentFigures(
                            predicted=float(part[f"probability_{name}"].mean()), **_auc(part, name, confidence)
                        )
                        for name in models
                    },
                    **metrics.share("bad_rate", bads, len(part), confidence),
                )
            )
    return found


def fairness(rows: pd.DataFrame, model: str, cutoff: float, confidence: float, limits: Limits, seed: int) -> Fairness:
    """How one model treats the protected groups.

    Raises:
        GateStopped: It approves too few of a group.
    """
    groups, left_out = protected_groups(rows, model, cutoff, confidence)
    refuse_unfair(groups, limits)
    return Fairness(model, groups, left_out, attribute_gaps(rows, model, cutoff, confidence, seed))


def protected_groups(
    rows: pd.DataFrame, model: str, cutoff: float, confidence: float
) -> tuple[list[Group], list[SmallGroup]]:
    """How one model treats each protected group that has at least a hundred rows; and the groups left out."""
    told: list[Group] = []
    left_out: list[SmallGroup] = []
    for column in [name for name in rows.columns if name.startswith(PROTECTED)]:
        attribute = column.removeprefix(PROTECTED)
        parts = _parts(rows, column)
        if len(parts) < 2:
            continue
        large = [(value, part) for value, part in parts if len(part) >= LEAST_ROWS]
        left_out += [SmallGroup(attribute, value, len(part)) for value, part in parts if len(part) < LEAST_ROWS]
        if len(large) < 2:
            left_out += [SmallGroup(attribute, value, len(part)) for value, part in large]
            continue
        largest = max((part for _, part in large), key=len)
        told += [_group(attribute, value, part, largest, model, cutoff, confidence) for value, part in large]
    return told, left_out


def attribute_gaps(rows: pd.DataFrame, model: str, cutoff: float, confidence: float, seed: int) -> list[AttributeGap]:
    """Fairlearn's measures of each protected attribute, over its groups of at least a hundred rows.

    The ends of the intervals are percentiles of a bootstrap of the applications within each group and outcome. Least
    and greatest of several groups lie apart by chance alone, which such an interval shows and does not take away.
    """
    found = []
    for column in [name for name in rows.columns if name.startswith(PROTECTED)]:
        large = [part.assign(group=value) for value, part in _parts(rows, column) if len(part) >= LEAST_ROWS]
        if len(large) < 2:
            continue
        judged = pd.concat(large)
        good = 1 - judged["bad"]
        given_credit = pd.Series(approved(judged, model, cutoff).astype(int), judged.index)
        if good.groupby(judged["group"]).nunique().min() < 2:
            continue
        given = {"y_true": good, "y_pred": given_credit, "sensitive_features": judged["group"]}
        of_bads, of_goods = (
            given_credit[good == outcome].groupby(judged["group"][good == outcome]).agg(["size", "mean"])
            for outcome in (0, 1)
        )
        ratio, gap = _drawn_measures(of_bads, of_goods, np.random.default_rng(seed))
        found.append(
            AttributeGap(
                attribute=column.removeprefix(PROTECTED),
                n=len(judged),
                demographic_parity_ratio=float(demographic_parity_ratio(**given)),
                equalized_odds_difference=float(equalized_odds_difference(**given)),
                **_percentiles("demographic_parity_ratio", ratio, confidence),
                **_percentiles("equalized_odds_difference", gap, confidence),
            )
        )
    return found


def _drawn_measures(of_bads: pd.DataFrame, of_goods: pd.DataFrame, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Fairlearn's two measures in bootstrap samples: to draw rows again within a cell is to draw from a binomial.

    Args:
        of_bads: Rows (``size``) and share approved (``mean``) of the bads of each group.
        of_goods: The same of the goods.
        rng: Draws.
    """
    draws = [
        rng.binomial(cell["size"].to_numpy(int), cell["mean"].to_numpy(float), (_DRAWS, len(cell)))
        for cell in (of_bads, of_goods)
    ]
    sizes = [cell["size"].to_numpy(int) for cell in (of_bads, of_goods)]
    rate = (draws[0] + draws[1]) / (sizes[0] + sizes[1])
    most = rate.max(axis=1)
    ratio = np.divide(rate.min(axis=1), most, out=np.ones(_DRAWS), where=most > 0)
    gaps = [np.ptp(drawn / size, axis=1) for drawn, size in zip(draws, sizes, strict=True)]
    return ratio, np.maximum(*gaps)


def _percentiles(name: str, drawn: Floats, confidence: float) -> dict[str, float]:
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return {f"{name}_low": float(low), f"{name}_high": float(high)}


def refuse_unfair(groups: list[Group], limits: Limits) -> None:
    """Stop the run where a group's approval ratio is below the configured one beyond chance.

    Raises:
        GateStopped: There is such a group.
    """
    if limits.approval_ratio is None:
        return
    below = [
        f"{row.attribute} {row.group} ({row.ratio or 0:.2f} on {row.n:,} applications)"
        for row in groups
        if (row.review and row.ratio is None) or (row.ratio_high or 1) < limits.approval_ratio
    ]
    if below:
        raise GateStopped(
            f"The champion approves too few of {', '.join(below)} against the largest group (limits.approval_ratio is "
            f"{limits.approval_ratio:g}); look at the features that stand for the group, or set the limit otherwise."
        )


def _group(
    attribute: str,
    group: str,
    part: pd.DataFrame,
    largest: pd.DataFrame,
    model: str,
    cutoff: float,
    confidence: float,
) -> Group:
    given_credit = approved(part, model, cutoff)
    bad = part["bad"].to_numpy() == 1
    bads, predicted = int(bad.sum()), float(part[f"probability_{model}"].mean())
    test = backtest(bads, len(part), predicted, confidence)
    ratio = _ratio(int(given_credit.sum()), len(part), largest, model, cutoff, confidence, part is largest)
    return Group(
        attribute=attribute,
        group=group,
        n=len(part),
        bads=bads,
        predicted=predicted,
        p_value=test.p_value,
        light=test.light,
        ratio=ratio.ratio,
        ratio_low=ratio.low,
        ratio_high=ratio.high,
        review=ratio.review,
        **metrics.share("bad_rate", bads, len(part), confidence),
        **metrics.share("approval_rate", int(given_credit.sum()), len(part), confidence),
        **metrics.share("bad_rate_approved", int((bad & given_credit).sum()), int(given_credit.sum()), confidence),
        **metrics.share("goods_declined", int((~bad & ~given_credit).sum()), int((~bad).sum()), confidence),
        **_auc(part, model, confidence),
    )


def _ratio(
    given_credit: int, rows: int, largest: pd.DataFrame, model: str, cutoff: float, confidence: float, same: bool
) -> _Ratio:
    """Ratio of approval rates with Katz' interval (on the logarithm)."""
    of_largest = int(approved(largest, model, cutoff).sum())
    if same:
        return _Ratio(1.0, None, None, review=False)
    if not given_credit or not of_largest:
        return _Ratio(None, None, None, review=bool(of_largest))
    ratio = (given_credit / rows) / (of_largest / len(largest))
    spread = np.sqrt(1 / given_credit - 1 / rows + 1 / of_largest - 1 / len(largest))
    half = float(stats.norm.ppf((1 + confidence) / 2) * spread)
    high = float(ratio * np.exp(half))
    return _Ratio(ratio, float(ratio * np.exp(-half)), high, review=ratio < _FOUR_FIFTHS and high < 1)


def _parts(rows: pd.DataFrame, column: str) -> list[tuple[str, pd.DataFrame]]:
    """The rows by the column's value, largest group first; nothing where the column says nothing."""
    if rows[column].isna().all():
        return []
    value = rows[column].map({True: "yes", False: "no"}) if column == "thin_file" else rows[column]
    named = value.astype("object").where(value.notna(), _NOT_RECORDED)
    parts = [(str(name), rows[named == name]) for name in named.unique()]
    return sorted(parts, key=lambda part: (-len(part[1]), part[0]))


def _auc(part: pd.DataFrame, model: str, confidence: float) -> dict[str, float | None]:
    bads = int(part["bad"].sum())
    if min(bads, len(part) - bads) < _LEAST_OF_A_CLASS:
        return {"auc": None, "auc_low": None, "auc_high": None}
    auc = metrics.auc_interval(
        part["bad"].to_numpy(), part[f"probability_{model}"].to_numpy(), confidence, part["borrower_id"].to_numpy()
    )
    return {"auc": auc.value, "auc_low": auc.low, "auc_high": auc.high}
