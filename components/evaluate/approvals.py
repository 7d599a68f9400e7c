"""Whom a model approves: who breaks no hard rule and has a probability within its cut-off, as the service decides."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.credit import metrics
from components.credit.config import Rule
from components.credit.release.policy import policy

PASSES = "passes_rules"
Flags = NDArray[np.bool_]


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


def approval_steps(rows: pd.DataFrame, model: str, cutoff: float, confidence: float) -> list[dict[str, Any]]:
    """From all applications to the approved: who is declined by a hard rule, and who of the rest by the score.

    Args:
        rows: The test sample with ``passes_rules``.
        model: Name of the model.
        cutoff: Its cut-off.
        confidence: Confidence of the intervals (Wilson).

    Returns:
        A row each for ``applications``, ``declined_by_rules``, ``declined_by_score`` and ``approved``: ``step``, ``n``,
        ``share`` of the applications, ``bads`` and ``bad_rate``, each share with its interval.
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
        {
            "step": name,
            "n": int(chosen.sum()),
            **metrics.share("share", int(chosen.sum()), len(rows), confidence),
            "bads": int(bad[chosen].sum()),
            **metrics.share("bad_rate", int(bad[chosen].sum()), int(chosen.sum()), confidence),
        }
        for name, chosen in steps.items()
    ]


def rule_rows(
    rows: pd.DataFrame, rules: Sequence[Rule], champion: str, cutoff: float, confidence: float
) -> list[dict[str, Any]]:
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
            {
                "code": rule.code,
                "column": rule.column,
                "above": rule.above,
                "norm": rule.norm,
                "n": n,
                **metrics.share("share", n, len(rows), confidence),
                "bads": bads,
                **metrics.share("bad_rate", bads, n, confidence),
                "score_approves": int((hit & by_score).sum()),
            }
        )
    return found


def _codes(rows: pd.DataFrame, rules: Sequence[Rule]) -> list[list[str]]:
    return policy({rule.column: rows[rule.column].to_numpy() for rule in rules}, rules)
