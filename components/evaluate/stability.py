"""Whether the champion holds still: its inputs since training (CSI), its calibration by segment and by vintage."""

from typing import Any

import numpy as np
import pandas as pd

from components.credit import metrics
from components.credit.drift import psi, reference_of
from components.credit.models.scorer import Scorer

_LEAST_ROWS = 50
Row = dict[str, Any]


def input_rows(scorer: Scorer, columns: pd.DataFrame, confidence: float) -> list[Row]:
    """The characteristic stability index (CSI) of each input, test against training, the most moved first.

    Args:
        scorer: The champion, whose training report holds the distributions it learnt from.
        columns: Its inputs on the test sample.
        confidence: Confidence of the critical value, which depends on both numbers of rows.

    Returns:
        ``feature``, ``es``, ``en``, ``csi``, ``critical`` (what chance seldom passes), ``verdict``, ``n_training`` and
        ``n``; none where the report holds no distributions.
    """
    seen = reference_of(scorer.training)
    if seen is None or columns.empty:
        return []
    named = {feature.name: feature for feature in scorer.features}
    found = []
    for distribution in seen.features:
        actual = distribution.count(columns[distribution.name].to_numpy())
        shift = psi(distribution.counts, actual, confidence)
        found.append(
            {
                "feature": distribution.name,
                "es": named[distribution.name].es,
                "en": named[distribution.name].en,
                "csi": shift.psi,
                "critical": shift.critical,
                "verdict": shift.verdict,
                "n_training": int(sum(distribution.counts)),
                "n": int(actual.sum()),
            }
        )
    return sorted(found, key=lambda row: (-row["csi"], row["feature"]))


def calibration_rows(rows: pd.DataFrame, model: str, confidence: float) -> list[Row]:
    """Predicted against observed by segment, by thin file and by vintage (quarter of the decision), with a light.

    Args:
        rows: The test sample.
        model: Name of the champion.
        confidence: Confidence of the intervals; the lights are those of the bands.

    Returns:
        ``by``, ``value``, ``n``, ``bads``, ``predicted``, ``observed``, ``low``, ``high`` (Jeffreys), ``p_value`` and
        ``light``; parts of fewer than fifty rows are left out.
    """
    parts: list[tuple[str, str, pd.DataFrame]] = []
    for by in ("segment", "thin_file"):
        parts += [(by, str(value), part) for value, part in rows.groupby(by, observed=True)]
    if "decided_at" in rows and rows["decided_at"].notna().all():
        quarter = rows["decided_at"].dt.tz_localize(None).dt.to_period("Q").astype(str)
        parts += [("vintage", str(value), part) for value, part in rows.groupby(quarter)]
    found = []
    for by, value, part in parts:
        if len(part) < _LEAST_ROWS:
            continue
        bads, predicted = int(part["bad"].sum()), float(part[f"probability_{model}"].mean())
        low, high = metrics.jeffreys(bads, len(part), confidence)
        found.append(
            {
                "by": by,
                "value": value,
                "n": len(part),
                "bads": bads,
                "predicted": predicted,
                "observed": bads / len(part),
                "low": float(low),
                "high": float(high),
                **light(bads, len(part), predicted, confidence),
            }
        )
    return found


def light(bads: int, rows: int, predicted: float, confidence: float) -> Row:
    """Jeffreys' backtest as a traffic light: amber where risk was understated beyond chance, red where clearly so."""
    p_value = float(np.asarray(metrics.jeffreys_test(bads, rows, predicted)))
    amber = 1 - confidence
    return {"p_value": p_value, "light": "green" if p_value >= amber else "amber" if p_value >= amber / 5 else "red"}
