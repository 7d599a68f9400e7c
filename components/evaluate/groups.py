"""The test sample by segment and by protected group."""

from typing import Any

import numpy as np
import pandas as pd
from fairlearn.metrics import demographic_parity_ratio, equalized_odds_difference
from scipy import stats

from components.credit import metrics
from components.credit.config import Limits
from components.credit.errors import GateStopped
from components.credit.models.calibration import Floats
from components.evaluate.approvals import approved
from components.evaluate.scored import PROTECTED
from components.evaluate.stability import light

LEAST_ROWS = 100
_LEAST_OF_A_CLASS = 5
_FOUR_FIFTHS = 0.8
_DRAWS = 1_000
_NOT_RECORDED = "not recorded"

Row = dict[str, Any]


def segment_rows(rows: pd.DataFrame, models: list[str], confidence: float) -> list[Row]:
    """Each segment (new, recurrent; thin file or not) with its bad rate and each model's AUC.

    Returns:
        ``by``, ``value``, ``n``, ``bads``, ``bad_rate`` with its interval, and by model ``auc``, ``auc_low`` and
        ``auc_high`` (None where a class has fewer than five rows) and the mean ``predicted`` probability.
    """
    found = []
    for column in ("segment", "thin_file"):
        for value, part in _parts(rows, column):
            found.append(
                {
                    "by": column,
                    "value": value,
                    **_bad_rate(part, confidence),
                    "models": {
                        name: {
                            **_auc(part, name, confidence),
                            "predicted": float(part[f"probability_{name}"].mean()),
                        }
                        for name in models
                    },
                }
            )
    return found


def fairness_rows(rows: pd.DataFrame, model: str, cutoff: float, confidence: float) -> tuple[list[Row], list[Row]]:
    """How one model treats each protected group that has at least a hundred rows.

    Returns:
        First a row a group: ``attribute``, ``group``, ``n``, ``bads``, ``bad_rate``, ``approval_rate``,
        ``bad_rate_approved`` and ``goods_declined`` (share of the good payers who are declined) with their intervals,
        ``predicted`` with the ``p_value`` and ``light`` of Jeffreys' backtest, ``auc``; ``ratio`` of its approval
        rate to that of the attribute's largest group, and ``review``: whether
        that ratio is under four fifths and not by chance. Then the groups left out, with their ``n``.
    """
    told: list[Row] = []
    left_out: list[Row] = []
    for column in [name for name in rows.columns if name.startswith(PROTECTED)]:
        attribute = column.removeprefix(PROTECTED)
        parts = _parts(rows, column)
        if len(parts) < 2:
            continue
        large = [(value, part) for value, part in parts if len(part) >= LEAST_ROWS]
        left_out += [
            {"attribute": attribute, "group": value, "n": len(part)} for value, part in parts if len(part) < LEAST_ROWS
        ]
        if len(large) < 2:
            left_out += [{"attribute": attribute, "group": value, "n": len(part)} for value, part in large]
            continue
        largest = max((part for _, part in large), key=len)
        for value, part in large:
            told.append(
                {"attribute": attribute, "group": value, **_treatment(part, largest, model, cutoff, confidence)}
            )
    return told, left_out


def attribute_rows(rows: pd.DataFrame, model: str, cutoff: float, confidence: float, seed: int) -> list[Row]:
    """Fairlearn's measures of each protected attribute, over its groups of at least a hundred rows.

    Returns:
        ``attribute``, ``n``, ``demographic_parity_ratio`` (least approval rate over the greatest) and
        ``equalized_odds_difference`` (greatest gap of the shares of goods, or of bads, that are approved), each with
        ``_low`` and ``_high``: percentiles of a bootstrap of the applications within each group and outcome. Least and
        greatest of several groups lie apart by chance alone, which such an interval shows and does not take away.
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
            {
                "attribute": column.removeprefix(PROTECTED),
                "n": len(judged),
                **_percentiles("demographic_parity_ratio", ratio, confidence),
                **_percentiles("equalized_odds_difference", gap, confidence),
                "demographic_parity_ratio": float(demographic_parity_ratio(**given)),
                "equalized_odds_difference": float(equalized_odds_difference(**given)),
            }
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


def _percentiles(name: str, drawn: Floats, confidence: float) -> Row:
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return {f"{name}_low": float(low), f"{name}_high": float(high)}


def refuse_unfair(groups: list[Row], limits: Limits) -> None:
    """Stop the run where a group's approval ratio is below the configured one beyond chance.

    Raises:
        GateStopped: There is such a group.
    """
    if limits.approval_ratio is None:
        return
    below = [
        f"{row['attribute']} {row['group']} ({row['ratio'] or 0:.2f} on {row['n']:,} applications)"
        for row in groups
        if (row["review"] and row["ratio"] is None) or (row["ratio_high"] or 1) < limits.approval_ratio
    ]
    if below:
        raise GateStopped(
            f"The champion approves too few of {', '.join(below)} against the largest group (limits.approval_ratio is "
            f"{limits.approval_ratio:g}); look at the features that stand for the group, or set the limit otherwise."
        )


def _treatment(part: pd.DataFrame, largest: pd.DataFrame, model: str, cutoff: float, confidence: float) -> Row:
    given_credit = approved(part, model, cutoff)
    bad = part["bad"].to_numpy() == 1
    predicted = float(part[f"probability_{model}"].mean())
    return {
        **_bad_rate(part, confidence),
        "predicted": predicted,
        **light(int(bad.sum()), len(part), predicted, confidence),
        **metrics.share("approval_rate", int(given_credit.sum()), len(part), confidence),
        **metrics.share("bad_rate_approved", int((bad & given_credit).sum()), int(given_credit.sum()), confidence),
        **metrics.share("goods_declined", int((~bad & ~given_credit).sum()), int((~bad).sum()), confidence),
        **_auc(part, model, confidence),
        **_ratio(int(given_credit.sum()), len(part), largest, model, cutoff, confidence, part is largest),
    }


def _ratio(
    given_credit: int, rows: int, largest: pd.DataFrame, model: str, cutoff: float, confidence: float, same: bool
) -> Row:
    """Ratio of approval rates with Katz' interval (on the logarithm)."""
    of_largest = int(approved(largest, model, cutoff).sum())
    if same:
        return {"ratio": 1.0, "ratio_low": None, "ratio_high": None, "review": False}
    if not given_credit or not of_largest:
        return {"ratio": None, "ratio_low": None, "ratio_high": None, "review": bool(of_largest)}
    ratio = (given_credit / rows) / (of_largest / len(largest))
    spread = np.sqrt(1 / given_credit - 1 / rows + 1 / of_largest - 1 / len(largest))
    half = float(stats.norm.ppf((1 + confidence) / 2) * spread)
    high = float(ratio * np.exp(half))
    return {
        "ratio": ratio,
        "ratio_low": float(ratio * np.exp(-half)),
        "ratio_high": high,
        "review": ratio < _FOUR_FIFTHS and high < 1,
    }


def _parts(rows: pd.DataFrame, column: str) -> list[tuple[str, pd.DataFrame]]:
    """The rows by the column's value, largest group first; nothing where the column says nothing."""
    if rows[column].isna().all():
        return []
    value = rows[column].map({True: "yes", False: "no"}) if column == "thin_file" else rows[column]
    named = value.astype("object").where(value.notna(), _NOT_RECORDED)
    parts = [(str(name), rows[named == name]) for name in named.unique()]
    return sorted(parts, key=lambda part: (-len(part[1]), part[0]))


def _bad_rate(part: pd.DataFrame, confidence: float) -> Row:
    bads = int(part["bad"].sum())
    return {"n": len(part), "bads": bads, **metrics.share("bad_rate", bads, len(part), confidence)}


def _auc(part: pd.DataFrame, model: str, confidence: float) -> Row:
    bads = int(part["bad"].sum())
    if min(bads, len(part) - bads) < _LEAST_OF_A_CLASS:
        return {"auc": None, "auc_low": None, "auc_high": None}
    auc = metrics.auc_interval(
        part["bad"].to_numpy(), part[f"probability_{model}"].to_numpy(), confidence, part["borrower_id"].to_numpy()
    )
    return {"auc": auc.value, "auc_low": auc.low, "auc_high": auc.high}
