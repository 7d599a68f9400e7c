"""The scorecard with reject inference beside the one without it: what is known of both, and where their points part."""

import numpy as np
import pandas as pd
from msgspec import Struct

from components.credit import metrics
from components.credit.config import Config
from components.credit.models.scorer import WITH_REJECTS, Scorer
from components.credit.models.training_report import InferredOutcomes
from components.evaluate.champion import SCORECARD


class CardFigures(Struct, frozen=True, forbid_unknown_fields=True):
    """A card's order on granted loans, and its approvals of one share of all who applied.

    Args:
        card: ``without`` or ``with`` inference.
        auc: AUC on granted loans (DeLong by borrower).
        auc_low: Its lower end.
        auc_high: Its upper end.
        approval_rate: Share of all applications that it approves.
        approved_known: The granted loans among those.
        bad_rate: Their bad rate, with Wilson's interval; None where there are none.
        bad_rate_low: Its lower end.
        bad_rate_high: Its upper end.
        declined_approved: Share of the declined that it approves, with Wilson's interval; None where there are none.
        declined_approved_low: Its lower end.
        declined_approved_high: Its upper end.
        expected_granted: Mean probability of bad of the granted loans.
        expected_declined: The same of the declined; None where there are none.
    """

    card: str
    auc: float
    auc_low: float
    auc_high: float
    approval_rate: float
    approved_known: int
    bad_rate: float | None
    bad_rate_low: float | None
    bad_rate_high: float | None
    declined_approved: float | None
    declined_approved_low: float | None
    declined_approved_high: float | None
    expected_granted: float
    expected_declined: float | None


class AucDifference(Struct, frozen=True, forbid_unknown_fields=True):
    """AUC with inference less AUC without it (DeLong by borrower); None where the cards say the same of every row."""

    value: float | None
    low: float | None
    high: float | None
    p_value: float | None


class BinPoints(Struct, frozen=True, forbid_unknown_fields=True):
    """A bin's points in the card without inference and in the one with it; 0 where that card leaves the feature off."""

    feature: str
    es: str
    en: str
    bin: str
    points: int
    points_with: int
    change: int


class Inference(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Both cards side by side; where nobody can be inferred from, ``why`` stands instead of all figures.

    Args:
        method: ``parcelling`` or ``fuzzy``.
        factor: Odds of the declined over those of the granted.
        why: Why there are no figures.
        n: Granted loans of the test sample.
        bads: The bads among them.
        declined: Applications declined in its time.
        approval_share: Share that both cards approve.
        training: What was inferred in training.
        cards: The card without inference and the one with it.
        difference: Of their AUC.
        bins: Their points, the bins that inference moves most first.
    """

    method: str
    factor: float
    why: str | None = None
    n: int | None = None
    bads: int | None = None
    declined: int | None = None
    approval_share: float | None = None
    training: InferredOutcomes | None = None
    cards: list[CardFigures] | None = None
    difference: AucDifference | None = None
    bins: list[BinPoints] | None = None


def inference(rows: pd.DataFrame, card: Scorer, with_rejects: Scorer | None, config: Config) -> Inference | None:
    """Both cards on the test sample and on the applications declined in its time.

    Args:
        rows: The test sample, followed by the declined (``bad`` -1), with the probabilities of both cards.
        card: The scorecard.
        with_rejects: The one with inference; None where nobody was declined.
        config: Approval share, confidence and how outcomes were inferred.

    Returns:
        None where the configuration asks for no inference.
    """
    if config.rejects.method == "none":
        return None
    method, factor = config.rejects.method, config.rejects.factor
    if card.single_card is None:
        why = "Segments have cards of their own, so that there is no one card to compare with."
        return Inference(method=method, factor=factor, why=why)
    if with_rejects is None:
        why = "The book holds no application that was declined in the training sample's time."
        return Inference(method=method, factor=factor, why=why)
    confidence, granted = config.policy.confidence, rows[rows["bad"] >= 0]
    test = metrics.delong_test(
        granted["bad"],
        granted[f"probability_{WITH_REJECTS}"],
        granted[f"probability_{SCORECARD}"],
        confidence,
        granted["borrower_id"],
    )
    share = config.policy.approval_share
    return Inference(
        method=method,
        factor=factor,
        n=len(granted),
        bads=int(granted["bad"].sum()),
        declined=len(rows) - len(granted),
        approval_share=share,
        training=with_rejects.training.rejects,
        cards=[
            _figures(rows, name, column, share, confidence)
            for name, column in (("without", SCORECARD), ("with", WITH_REJECTS))
        ],
        difference=AucDifference(test.value, test.low, test.high, test.p_value),
        bins=_bins(card, with_rejects),
    )


def _figures(rows: pd.DataFrame, name: str, column: str, share: float, confidence: float) -> CardFigures:
    bad, probability = rows["bad"].to_numpy(), rows[f"probability_{column}"].to_numpy()
    known = bad >= 0
    auc = metrics.auc_interval(bad[known], probability[known], confidence, rows["borrower_id"].to_numpy()[known])
    approved = probability <= np.quantile(probability, share, method="lower")
    n, bads = int((approved & known).sum()), int(bad[approved & known].sum())
    low, high = metrics.wilson(bads, n, confidence)
    declined = int((~known).sum())
    of_declined = int((approved & ~known).sum())
    low_declined, high_declined = metrics.wilson(of_declined, declined, confidence)
    return CardFigures(
        card=name,
        auc=auc.value,
        auc_low=auc.low,
        auc_high=auc.high,
        approval_rate=float(approved.mean()),
        approved_known=n,
        bad_rate=bads / n if n else None,
        bad_rate_low=float(low) if n else None,
        bad_rate_high=float(high) if n else None,
        declined_approved=of_declined / declined if declined else None,
        declined_approved_low=float(low_declined) if declined else None,
        declined_approved_high=float(high_declined) if declined else None,
        expected_granted=float(probability[known].mean()),
        expected_declined=float(probability[~known].mean()) if declined else None,
    )


def _bins(card: Scorer, with_rejects: Scorer) -> list[BinPoints]:
    """Points of each bin of both cards, the bins that inference moves most first."""
    before, after = card.single_card, with_rejects.single_card
    assert before is not None
    assert after is not None
    moved = {binning.feature: points for binning, points in zip(after.binnings, after.points, strict=True)}
    found = []
    for feature, binning, points in zip(card.features, before.binnings, before.points, strict=True):
        for bin_, old, new in zip(binning.bins, points, moved.get(feature.name, [0] * len(points)), strict=True):
            found.append(BinPoints(feature.name, feature.es, feature.en, bin_.label, old, new, new - old))
    return sorted(found, key=lambda row: -abs(row.change))
