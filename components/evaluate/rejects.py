"""The scorecard with reject inference beside the one without it: what is known of both, and where their points part."""

from typing import Any

import numpy as np
import pandas as pd

from components.credit import metrics
from components.credit.config import Config
from components.credit.models.scorer import WITH_REJECTS, Scorer
from components.evaluate.champion import SCORECARD

Row = dict[str, Any]


def inference(rows: pd.DataFrame, card: Scorer, with_rejects: Scorer | None, config: Config) -> Row | None:
    """Both cards on the test sample and on the applications declined in its time.

    Args:
        rows: The test sample, followed by the declined (``bad`` -1), with the probabilities of both cards.
        card: The scorecard.
        with_rejects: The one with inference; None where nobody was declined.
        config: Approval share, confidence and how outcomes were inferred.

    Returns:
        None where the configuration asks for no inference; ``why`` where there is nobody to infer from. Else ``n``
        and ``bads`` of granted loans, ``declined`` of the test sample's time, ``training`` (what was inferred), the
        ``cards`` without and with inference, the ``difference`` of their AUC (with less without), and the ``bins``.
    """
    if config.rejects.method == "none":
        return None
    settings = {"method": config.rejects.method, "factor": config.rejects.factor}
    if card.single_card is None:
        return {**settings, "why": "Segments have cards of their own, so that there is no one card to compare with."}
    if with_rejects is None:
        return {**settings, "why": "The book holds no application that was declined in the training sample's time."}
    confidence, granted = config.policy.confidence, rows[rows["bad"] >= 0]
    test = metrics.delong_test(
        granted["bad"],
        granted[f"probability_{WITH_REJECTS}"],
        granted[f"probability_{SCORECARD}"],
        confidence,
        granted["borrower_id"],
    )
    return {
        **settings,
        "n": len(granted),
        "bads": int(granted["bad"].sum()),
        "declined": len(rows) - len(granted),
        "approval_share": config.policy.approval_share,
        "training": with_rejects.training["rejects"],
        "cards": [
            {"card": name, **_figures(rows, column, config.policy.approval_share, confidence)}
            for name, column in (("without", SCORECARD), ("with", WITH_REJECTS))
        ],
        "difference": {"value": test.value, "low": test.low, "high": test.high, "p_value": test.p_value},
        "bins": _bins(card, with_rejects),
    }


def tables(found: Row | None) -> dict[str, list[Row]]:
    """The figures as tables for analysts."""
    if found is None or "why" in found:
        return {}
    held = {name: found[name] for name in ("method", "factor", "n", "bads", "declined", "approval_share")}
    return {
        "rejects": [{**held, **row} for row in found["cards"]],
        "rejects_score_bands": found["training"]["bands"],
        "rejects_bins": found["bins"],
    }


def _figures(rows: pd.DataFrame, column: str, share: float, confidence: float) -> Row:
    """A card's order on granted loans, and its approvals of that share of all who applied."""
    bad, probability = rows["bad"].to_numpy(), rows[f"probability_{column}"].to_numpy()
    known = bad >= 0
    auc = metrics.auc_interval(bad[known], probability[known], confidence, rows["borrower_id"].to_numpy()[known])
    approved = probability <= np.quantile(probability, share, method="lower")
    n, bads = int((approved & known).sum()), int(bad[approved & known].sum())
    low, high = metrics.wilson(bads, n, confidence)
    declined = int((~known).sum())
    of_declined = int((approved & ~known).sum())
    low_declined, high_declined = metrics.wilson(of_declined, declined, confidence)
    return {
        "auc": auc.value,
        "auc_low": auc.low,
        "auc_high": auc.high,
        "approval_rate": float(approved.mean()),
        "approved_known": n,
        "bad_rate": bads / n if n else None,
        "bad_rate_low": float(low) if n else None,
        "bad_rate_high": float(high) if n else None,
        "declined_approved": of_declined / declined if declined else None,
        "declined_approved_low": float(low_declined) if declined else None,
        "declined_approved_high": float(high_declined) if declined else None,
        "expected_granted": float(probability[known].mean()),
        "expected_declined": float(probability[~known].mean()) if declined else None,
    }


def _bins(card: Scorer, with_rejects: Scorer) -> list[Row]:
    """Points of each bin of both cards, the bins that inference moves most first."""
    before, after = card.single_card, with_rejects.single_card
    assert before is not None
    assert after is not None
    moved = {binning.feature: points for binning, points in zip(after.binnings, after.points, strict=True)}
    found = []
    for feature, binning, points in zip(card.features, before.binnings, before.points, strict=True):
        for bin_, old, new in zip(binning.bins, points, moved.get(feature.name, [0] * len(points)), strict=True):
            found.append(
                {
                    "feature": feature.name,
                    "es": feature.es,
                    "en": feature.en,
                    "bin": bin_.label,
                    "points": old,
                    "points_with": new,
                    "change": new - old,
                }
            )
    return sorted(found, key=lambda row: -abs(row["change"]))
