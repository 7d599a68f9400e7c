"""Own cards of segments (new and recurrent clients, people with and without a record): kept where they pay.

Both cards are fitted alike, on the same folds of the training sample, so that only the rows that they learn from
differ. The test sample then judges the result, as it judges every other model.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import msgspec
import numpy as np

from components.credit import metrics
from components.credit.config import Config
from components.credit.dictionary import Feature
from components.credit.models.calibration import Floats, Integers, sigmoid
from components.credit.models.card import Card
from components.credit.models.cards import PARTINGS, Cards, Parting
from components.credit.models.training_report import OwnCard
from components.credit.progress import Progress
from components.credit.training.folds import Fold, Folds
from components.credit.training.samples import Training
from components.train_sklearn.card import CardFit, make_card

# Bads, and goods, that each side of a fold needs.
_LEAST_OF_A_CLASS = 10


class _Own(NamedTuple):
    """The card of a segment's rows alone; None, and why, where there is none."""

    fit: CardFit | None
    why: str = ""


class _Segment(NamedTuple):
    """A side of the book: how it is parted, which side, and whether each row is on it, shape (n,)."""

    by: str
    value: str
    rows: np.ndarray


def own_cards(
    single: CardFit, training: Training, features: list[Feature], folds: Folds, config: Config, progress: Progress
) -> tuple[Card | Cards, Floats, list[OwnCard]]:
    """The card of all rows, or cards for both sides of the book where an own card pays on one of them.

    Of two ways to part the book that pay, that whose cards fit the folds better is kept. A side whose own card does
    not pay keeps the card of all rows.

    Args:
        single: The card of all rows.
        training: The rows.
        features: Their features; a parting whose feature is not among them is not tried.
        folds: The folds of ``single``.
        config: Margin, confidence and the least number of bads of a card.
        progress: Receives each segment's folds.

    Returns:
        The engine; its calibrated out-of-fold log-odds, as ``CardFit.out_of_fold``; the comparison of each segment.
    """
    order = [feature.name for feature in features]
    rows: list[OwnCard] = []
    best: tuple[float, Card | Cards, Floats, str] = (0.0, single.engine, single.out_of_fold, "")
    for parting in PARTINGS:
        if parting.feature not in order:
            continue
        is_above = training.columns[parting.feature].to_numpy(dtype=np.float64) >= parting.at
        if is_above.all() or not is_above.any():
            continue
        cards, out_of_fold = [], single.out_of_fold
        for value, within in ((parting.below, ~is_above), (parting.above, is_above)):
            report = partial(_report, progress, f"{parting.column} {value}", len(folds.folds))
            own = _own(within, training, features, folds, config, report)
            row = _compared(own, single, _Segment(parting.column, value, within), training, config)
            rows.append(row)
            cards.append(own.fit.engine if own.fit and row.pays else single.engine)
            if own.fit and row.pays:
                out_of_fold = out_of_fold.copy()
                out_of_fold[within] = np.where(np.isnan(own.fit.out_of_fold), out_of_fold[within], own.fit.out_of_fold)
        gain = _log_loss(single.out_of_fold, training.bad) - _log_loss(out_of_fold, training.bad)
        if cards != [single.engine, single.engine] and gain > best[0]:
            best = (gain, _joined(parting, order, *cards), out_of_fold, parting.column)
    served = [msgspec.structs.replace(row, served=row.pays and row.by == best[3]) for row in rows]
    return best[1], best[2], served


def _report(progress: Progress, segment: str, folds: int, number: int) -> None:
    progress.report(f"scorecard, {segment}, fold {number} of {folds}", share=0.2)


def _joined(parting: Parting, order: list[str], below: Card, above: Card) -> Cards:
    used = {binning.feature for card in (below, above) for binning in card.binnings} | {parting.feature}
    return Cards(parting.feature, parting.at, [name for name in order if name in used], below, above)


def _own(
    within: np.ndarray,
    training: Training,
    features: list[Feature],
    folds: Folds,
    config: Config,
    report: Callable[[int], None],
) -> _Own:
    """The card of a segment's rows alone, on the part of each fold that is of the segment."""
    bad, index = training.bad[within], np.cumsum(within) - 1
    if not _enough(bad, config.limits.least_bads):
        return _Own(None, f"fewer than {config.limits.least_bads} bads or goods to learn from")
    parts = [Fold(index[fold.train[within[fold.train]]], index[fold.test[within[fold.test]]]) for fold in folds.folds]
    parts = [fold for fold in parts if _enough(bad[fold.train], _LEAST_OF_A_CLASS) and len(fold.test)]
    if not parts or not _enough(bad[np.concatenate([fold.test for fold in parts])], _LEAST_OF_A_CLASS):
        return _Own(None, "too few bads or goods in the folds to compare")
    segment = Training(
        training.columns[within].reset_index(drop=True),
        bad,
        training.borrowers[within],
        training.decided_at[within],
        len(bad),
        training.shift,
    )
    fit = make_card(segment, features, Folds(folds.kind, parts), config, report)
    return _Own(fit) if fit.engine.binnings else _Own(None, "no feature tells its bads from its goods")


def _enough(bad: Integers, least: int) -> bool:
    return bool(least <= bad.sum() <= len(bad) - least)


def _compared(own: _Own, single: CardFit, segment: _Segment, training: Training, config: Config) -> OwnCard:
    """Both cards on the rows of the segment that the folds tested."""
    bad, confidence = training.bad[segment.rows], config.policy.confidence
    if own.fit is None:
        return OwnCard(
            by=segment.by, value=segment.value, n=len(bad), bads=int(bad.sum()), why=own.why, pays=False, served=False
        )
    tested = ~np.isnan(own.fit.out_of_fold)
    bad, borrower = bad[tested], training.borrowers[segment.rows][tested]
    by_own, by_single = own.fit.out_of_fold[tested], single.out_of_fold[segment.rows][tested]
    test = metrics.delong_test(bad, by_own, by_single, confidence, borrower)
    auc_own = metrics.auc_interval(bad, by_own, confidence, borrower)
    auc_single = metrics.auc_interval(bad, by_single, confidence, borrower)
    return OwnCard(
        by=segment.by,
        value=segment.value,
        n=len(bad),
        bads=int(bad.sum()),
        auc_single=auc_single.value,
        auc_single_low=auc_single.low,
        auc_single_high=auc_single.high,
        auc_own=auc_own.value,
        auc_own_low=auc_own.low,
        auc_own_high=auc_own.high,
        difference=test.value,
        difference_low=test.low,
        difference_high=test.high,
        p_value=test.p_value,
        pays=test.beats(config.policy.champion_margin, confidence),
        served=False,
    )


def _log_loss(log_odds: Floats, bad: Integers) -> float:
    """Mean log loss of the rows that a fold tested."""
    tested = ~np.isnan(log_odds)
    return metrics.log_loss(bad[tested], sigmoid(log_odds[tested]))
