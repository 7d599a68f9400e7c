"""Own cards of segments (new and recurrent clients, people with and without a record): kept where they pay.

Both cards are made alike, on the same folds of the training sample, so that only the rows that they learn from tell
them apart. The test sample then judges what came of it, as it judges every other model.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from components.credit import metrics
from components.credit.config import Config
from components.credit.dictionary import Feature
from components.credit.models.calibration import Floats, Integers, sigmoid
from components.credit.models.card import Card
from components.credit.models.cards import PARTINGS, Cards, Parting
from components.credit.progress import Progress
from components.credit.training.folds import Fold, Folds
from components.credit.training.samples import Training
from components.train_sklearn.card import Made, make_card

# Bads, and goods, that each side of a fold needs.
_LEAST_OF_A_CLASS = 10
Row = dict[str, Any]


def own_cards(
    single: Made, training: Training, features: list[Feature], folds: Folds, config: Config, progress: Progress
) -> tuple[Card | Cards, Floats, list[Row]]:
    """The card of all rows, or cards for both sides of the book where an own card pays on one of them.

    Of two ways to part the book that pay, that whose cards fit the folds better is kept. A side whose own card does
    not pay keeps the card of all rows.

    Args:
        single: The card of all rows.
        training: The rows.
        features: Their features; a parting whose feature is not among them is not tried.
        folds: The folds of ``single``.
        config: Margin, confidence and the least number of bads of a card.
        progress: Told of each segment's folds.

    Returns:
        What scores; its calibrated out-of-fold log-odds, as ``Made.out_of_fold``; and a row for each segment: ``by``,
        ``value``, ``n`` and ``bads`` (rows tested; of the whole segment where none are), ``auc_single`` and
        ``auc_own`` with ``_low`` and ``_high``, the ``difference`` (own less single) with its interval and
        ``p_value`` (DeLong by borrower), ``pays``: whether it is beyond the margin and chance, and ``served``. Where
        the segment has too few bads or goods for a card, ``why`` stands instead of the figures.
    """
    order = [feature.name for feature in features]
    rows: list[Row] = []
    best: tuple[float, Card | Cards, Floats, str] = (0.0, single.engine, single.out_of_fold, "")
    for parting in PARTINGS:
        if parting.feature not in order:
            continue
        is_above = training.columns[parting.feature].to_numpy(dtype=np.float64) >= parting.at
        if is_above.all() or not is_above.any():
            continue
        cards, out_of_fold = [], single.out_of_fold
        for value, within in ((parting.below, ~is_above), (parting.above, is_above)):
            tested = partial(_tell, progress, f"{parting.column} {value}", len(folds.folds))
            made = _own(within, training, features, folds, config, tested)
            told, pays = _compared(made, single, within, training, config)
            rows.append({"by": parting.column, "value": value, **told, "pays": pays, "served": False})
            cards.append(made.engine if isinstance(made, Made) and pays else single.engine)
            if isinstance(made, Made) and pays:
                out_of_fold = out_of_fold.copy()
                out_of_fold[within] = np.where(np.isnan(made.out_of_fold), out_of_fold[within], made.out_of_fold)
        gain = _log_loss(single.out_of_fold, training.bad) - _log_loss(out_of_fold, training.bad)
        if cards != [single.engine, single.engine] and gain > best[0]:
            best = (gain, _joined(parting, order, *cards), out_of_fold, parting.column)
    for row in rows:
        row["served"] = row["pays"] and row["by"] == best[3]
    return best[1], best[2], rows


def _tell(progress: Progress, segment: str, folds: int, place: int) -> None:
    progress.report(f"scorecard, {segment}, fold {place} of {folds}", share=0.2)


def _joined(parting: Parting, order: list[str], below: Card, above: Card) -> Cards:
    used = {binning.feature for card in (below, above) for binning in card.binnings} | {parting.feature}
    return Cards(parting.feature, parting.at, [name for name in order if name in used], below, above)


def _own(
    within: np.ndarray,
    training: Training,
    features: list[Feature],
    folds: Folds,
    config: Config,
    tested: Callable[[int], None],
) -> Made | str:
    """The card of a segment's rows alone, on what the folds hold of them, or why there is none."""
    bad, place = training.bad[within], np.cumsum(within) - 1
    if not _enough(bad, config.limits.least_bads):
        return f"fewer than {config.limits.least_bads} bads or goods to learn from"
    held = [Fold(place[fold.train[within[fold.train]]], place[fold.test[within[fold.test]]]) for fold in folds.folds]
    held = [fold for fold in held if _enough(bad[fold.train], _LEAST_OF_A_CLASS) and len(fold.test)]
    if not held or not _enough(bad[np.concatenate([fold.test for fold in held])], _LEAST_OF_A_CLASS):
        return "too few bads or goods in the folds to compare"
    own = Training(
        training.columns[within].reset_index(drop=True),
        bad,
        training.borrowers[within],
        training.decided_at[within],
        len(bad),
        training.shift,
    )
    made = make_card(own, features, Folds(folds.kind, held), config, tested)
    return made if made.engine.binnings else "no feature tells its bads from its goods"


def _enough(bad: Integers, least: int) -> bool:
    return bool(least <= bad.sum() <= len(bad) - least)


def _compared(
    made: Made | str, single: Made, within: np.ndarray, training: Training, config: Config
) -> tuple[Row, bool]:
    bad, confidence = training.bad[within], config.policy.confidence
    if isinstance(made, str):
        return {"n": len(bad), "bads": int(bad.sum()), "why": made}, False
    tested = ~np.isnan(made.out_of_fold)
    bad, borrower = bad[tested], training.borrowers[within][tested]
    own, all_rows = made.out_of_fold[tested], single.out_of_fold[within][tested]
    test = metrics.delong_test(bad, own, all_rows, confidence, borrower)
    told: Row = {"n": len(bad), "bads": int(bad.sum())}
    for name, score in (("auc_single", all_rows), ("auc_own", own)):
        auc = metrics.auc_interval(bad, score, confidence, borrower)
        told |= {name: auc.value, f"{name}_low": auc.low, f"{name}_high": auc.high}
    told |= {
        "difference": test.value,
        "difference_low": test.low,
        "difference_high": test.high,
        "p_value": test.p_value,
    }
    return told, test.beats(config.policy.champion_margin, confidence)


def _log_loss(log_odds: Floats, bad: Integers) -> float:
    """Mean log loss of the rows that a fold tested."""
    tested = ~np.isnan(log_odds)
    return metrics.log_loss(bad[tested], sigmoid(log_odds[tested]))
