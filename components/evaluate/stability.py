"""Whether the champion holds still: its inputs since training (CSI), its calibration by segment and by vintage."""

from typing import Any

import numpy as np
import pandas as pd
import xgboost

from components.credit import metrics
from components.credit.drift import psi, reference_of
from components.credit.scorer import Scorer
from components.credit.trees import fit_encoder

_LEAST_ROWS = 50
_ADVERSARY = {"objective": "binary:logistic", "max_depth": 3, "eta": 0.2, "min_child_weight": 5, "nthread": 1}
_ADVERSARY_TREES = 40
_TOLD = 5
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


def adversarial(training: pd.DataFrame, test: pd.DataFrame, scorer: Scorer, seed: int) -> Row | None:
    """How well a classifier tells test rows from training rows by the champion's inputs: .5 where they look alike.

    Returns:
        ``auc`` out of fold (two folds), ``n``, and the ``features`` that tell most, by gain; None without rows.
    """
    if min(len(training), len(test)) < _LEAST_ROWS:
        return None
    both = pd.concat([training, test], ignore_index=True)
    later = np.repeat([0, 1], [len(training), len(test)])
    matrix = fit_encoder(list(scorer.features), both, later, "log_odds").matrix(both)
    fold = np.random.default_rng(seed).permutation(len(both)) % 2
    said, gain = np.zeros(len(both)), np.zeros(len(scorer.features))
    for held in (0, 1):
        learnt = xgboost.DMatrix(matrix[fold != held], later[fold != held])
        booster = xgboost.train(_ADVERSARY | {"seed": seed % 2**31}, learnt, _ADVERSARY_TREES)
        said[fold == held] = booster.predict(xgboost.DMatrix(matrix[fold == held]))
        for name, value in booster.get_score(importance_type="total_gain").items():
            gain[int(name.removeprefix("f"))] += float(np.sum(value))
    order = np.argsort(-gain, kind="stable")[:_TOLD]
    return {
        "auc": metrics.roc_auc(later, said),
        "n": len(both),
        "features": [scorer.features[place].name for place in order if gain[place] > 0],
    }


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
