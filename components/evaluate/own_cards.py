"""Would a segment be better served by a card of its own? New and recurrent clients, people with and without a record.

Both cards are made by the recipe of the baselines, on the same folds of the training sample, so that only the rows
that they learn from tell them apart. One card serves all: a model is one set of points. Where an own card pays, the
segment is a book of its own.
"""

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from components.credit import metrics
from components.credit.config import Config
from components.credit.dictionary import Feature
from components.credit.errors import GateStopped
from components.credit.folds import make_folds
from components.evaluate.baselines import fit_card
from components.evaluate.champion import beats

# A card of weights of evidence learns little more of more rows, and each fold fits several.
_MOST_ROWS = 20_000
# Each fold bins all features five times over, which takes seconds.
_FOLDS = 2
_LEAST_OF_A_CLASS = 10
Row = dict[str, Any]


def own_card_rows(training: pd.DataFrame, features: Collection[Feature], config: Config) -> list[Row]:
    """The card of all rows against a segment's own, on the segment's rows of folds that neither learnt from.

    Args:
        training: Columns of the features, ``bad``, ``borrower_id``, ``decided_at`` and, where known, ``segment`` and
            ``thin_file``.
        features: The scorecard's features.
        config: Seed, margin, confidence and the least number of bads of a card.

    Returns:
        ``by``, ``value``, ``n`` and ``bads`` (rows tested; of the whole segment where none are), ``auc_single`` and
        ``auc_own`` with ``_low`` and ``_high``, the ``difference`` (own less single) with its interval and ``p_value``
        (DeLong by borrower), and ``pays``: whether it is beyond the margin and chance. Where the segment has too few
        bads or goods for a card, ``why`` stands instead of the figures.
    """
    rows = training.iloc[:: max(1, -(-len(training) // _MOST_ROWS))].reset_index(drop=True)
    parts = [
        (column, value, (rows[column] == value).to_numpy(dtype=bool, na_value=False))
        for column in ("segment", "thin_file")
        if column in rows
        for value in sorted(rows[column].dropna().unique())
    ]
    parts = [(column, value, within) for column, value, within in parts if not within.all()]
    if not parts:
        return []
    bad, borrower = rows["bad"].to_numpy(), rows["borrower_id"].to_numpy()
    decided = pd.to_datetime(rows["decided_at"], utc=True).dt.tz_localize(None).to_numpy()
    try:
        folds = make_folds(borrower, decided, bad, _FOLDS, config.seed).folds
    except GateStopped:
        return []
    single, own = np.full(len(rows), np.nan), {place: np.full(len(rows), np.nan) for place in range(len(parts))}
    enough = [_enough(bad[within], config.limits.least_bads) for _, _, within in parts]
    for fold in folds:
        single[fold.test] = _predicted(rows, fold.train, fold.test, features, config)
        for place, (_, _, within) in enumerate(parts):
            if enough[place]:
                train, test = fold.train[within[fold.train]], fold.test[within[fold.test]]
                own[place][test] = _predicted(rows, train, test, features, config)
    found = []
    for place, (column, value, within) in enumerate(parts):
        tested = ~np.isnan(single) & ~np.isnan(own[place])
        told = {"by": column, "value": {True: "yes", False: "no"}.get(value, str(value))}
        if not enough[place] or not _enough(bad[tested], _LEAST_OF_A_CLASS):
            counted = bad[within]
            why = f"fewer than {config.limits.least_bads} bads or goods to learn from"
            found.append({**told, "n": len(counted), "bads": int(counted.sum()), "pays": False, "why": why})
            continue
        found.append({**told, **_compared(bad[tested], single[tested], own[place][tested], borrower[tested], config)})
    return found


def _enough(bad: np.ndarray, least: int) -> bool:
    return bool(least <= bad.sum() <= len(bad) - least)


def _predicted(
    rows: pd.DataFrame, train: np.ndarray, test: np.ndarray, features: Collection[Feature], config: Config
) -> np.ndarray:
    """Probabilities of the tested rows by a card of the others; NaN where those make no card."""
    learnt = rows.iloc[train]
    if not _enough(learnt["bad"].to_numpy(), _LEAST_OF_A_CLASS):
        return np.full(len(test), np.nan)
    card = fit_card(features, learnt, config.scorecard)
    return np.full(len(test), np.nan) if card is None else card.probability(rows.iloc[test])


def _compared(bad: np.ndarray, single: np.ndarray, own: np.ndarray, borrower: np.ndarray, config: Config) -> Row:
    confidence = config.policy.confidence
    test = metrics.delong_test(bad, own, single, confidence, borrower)
    found: Row = {"n": len(bad), "bads": int(bad.sum())}
    for name, probability in (("auc_single", single), ("auc_own", own)):
        auc = metrics.auc_interval(bad, probability, confidence, borrower)
        found |= {name: auc.value, f"{name}_low": auc.low, f"{name}_high": auc.high}
    return {
        **found,
        "difference": test.value,
        "difference_low": test.low,
        "difference_high": test.high,
        "p_value": test.p_value,
        "pays": beats(test, config.policy),
    }
