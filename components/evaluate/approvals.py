"""Whom a model approves: who breaks no hard rule and has a probability within its cut-off, as the service decides."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from msgspec import Struct
from numpy.typing import NDArray

from components.credit import metrics
from components.credit.config import Rule
from components.credit.release.policy import policy

PASSES = "passes_rules"
Flags = NDArray[np.bool_]


class Step(Struct, frozen=True, forbid_unknown_fields=True):
    """A step from all applications to the approved; shares have Wilson's interval, and are None of no rows.

    Args:
        step: ``applications``, ``declined_by_rules``, ``declined_by_score`` or ``approved``.
        n: Its rows.
        share: Their share of the applications.
        share_low: Its lower end.
        share_high: Its upper end.
        bads: The bads among them.
        bad_rate: Their bad rate.
        bad_rate_low: Its lower end.
        bad_rate_high: Its upper end.
    """

    step: str
    n: int
    share: float | None
    share_low: float | None
    share_high: float | None
    bads: int
    bad_rate: float | None
    bad_rate_low: float | None
    bad_rate_high: float | None


class RuleEffect(Struct, frozen=True, forbid_unknown_fields=True):
    """What a hard rule declines of the test sample; shares have Wilson's interval, and are None of no rows.

    Args:
        code: Its code.
        column: The column that it looks at.
        above: Value above which it declines.
        norm: The norm that it follows; may be empty.
        n: Rows that it declines.
        share: Their share of the sample.
        share_low: Its lower end.
        share_high: Its upper end.
        bads: The bads among them.
        bad_rate: Their bad rate.
        bad_rate_low: Its lower end.
        bad_rate_high: Its upper end.
        score_approves: Those that the champion's score would have approved.
    """

    code: str
    column: str
    above: float
    norm: str
    n: int
    share: float | None
    share_low: float | None
    share_high: float | None
    bads: int
    bad_rate: float | None
    bad_rate_low: float | None
    bad_rate_high: float | None
    score_approves: int


def passes(rows: pd.DataFrame, rules: Sequence[Rule]) -> Flags:
    """(n,) Whether each row breaks none of the rules.

    Args:
        rows: Rows with the columns of the rules.
        rules: The rules in force.
    """
    if not rules:
        return np.ones(len(rows), dtype=bool)
    return np.array([not codes for codes in _codes(rows, rules)], dtype=bool)


def approved(rows: pd.DataFrame, model: str, cutoff: float) -> Flags:
    """(n,) Whether each row is approved.

    Args:
        rows: Rows with ``passes_rules`` and ``probability_<model>``.
        model: Name of the model.
        cutoff: Its cut-off.
    """
    return np.asarray(rows[PASSES].to_numpy(bool) & (rows[f"probability_{model}"].to_numpy() <= cutoff))


def approval_steps(rows: pd.DataFrame, model: str, cutoff: float, confidence: float) -> list[Step]:
    """From all applications to the approved: who is declined by a hard rule, and who of the rest by the score.

    Args:
        rows: The test sample with ``passes_rules``.
        model: Name of the model.
        cutoff: Its cut-off.
        confidence: Confidence of the intervals.

    Returns:
        The four steps in their order.
    """
    kept, within = rows[PASSES].to_numpy(bool), approved(rows, model, cutoff)
    bad = rows["bad"].to_numpy()
    steps = {
        "applications": np.ones(len(rows), dtype=bool),
        "declined_by_rules": ~kept,
        "declined_by_score": kept & ~within,
        "approved": within,
    }
    return [
        Step(
            step=name,
            n=int(chosen.sum()),
            bads=int(bad[chosen].sum()),
            **metrics.share("share", int(chosen.sum()), len(rows), confidence),
            **metrics.share("bad_rate", int(bad[chosen].sum()), int(chosen.sum()), confidence),
        )
        for name, chosen in steps.items()
    ]


def rule_effects(
    rows: pd.DataFrame, rules: Sequence[Rule], champion: str, cutoff: float, confidence: float
) -> list[RuleEffect]:
    """What each hard rule declines of the test sample, and what of that the score would have approved.

    Args:
        rows: The test sample with the columns of the rules.
        rules: The rules in force.
        champion: Name of the champion.
        cutoff: Its cut-off.
        confidence: Confidence of the intervals (Wilson).
    """
    codes = _codes(rows, rules)
    bad, by_score = rows["bad"].to_numpy(), (rows[f"probability_{champion}"] <= cutoff).to_numpy()
    found = []
    for rule in rules:
        hit = np.array([rule.code in given for given in codes], dtype=bool)
        n, bads = int(hit.sum()), int(bad[hit].sum())
        found.append(
            RuleEffect(
                code=rule.code,
                column=rule.column,
                above=rule.above,
                norm=rule.norm,
                n=n,
                bads=bads,
                score_approves=int((hit & by_score).sum()),
                **metrics.share("share", n, len(rows), confidence),
                **metrics.share("bad_rate", bads, n, confidence),
            )
        )
    return found


def _codes(rows: pd.DataFrame, rules: Sequence[Rule]) -> list[list[str]]:
    return policy({rule.column: rows[rule.column].to_numpy() for rule in rules}, rules)
