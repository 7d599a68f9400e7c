"""What tells whether the split is honest: can its sides be told apart, and what would a random one have shown?"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xgboost
from msgspec import Struct

from components.credit import metrics
from components.credit.config import Limits, Scorecard
from components.credit.dictionary import Feature
from components.credit.errors import GateStopped
from components.credit.features.notes import Leak
from components.credit.models.trees.engine import fit_encoder
from components.evaluate.baselines import fit_card

ADVERSARIAL = "test told from training"
_LEAST_ROWS = 50
# So many rows a side tell whether there is a clock among the inputs.
_MOST_ROWS = 10_000
_ADVERSARY = {"objective": "binary:logistic", "max_depth": 3, "eta": 0.2, "min_child_weight": 5, "nthread": 1}
_ADVERSARY_TREES = 40
_TOLD = 5


class Adversary(Struct, frozen=True, forbid_unknown_fields=True):
    """How well a classifier tells test rows from training rows by the models' inputs.

    Args:
        auc: Its AUC out of fold, .5 where the samples look alike.
        auc_low: Lower end of its interval.
        auc_high: Upper end of its interval.
        n: Rows of both samples.
        features: The inputs that tell most, by gain.
        limit: AUC beyond which one of the inputs is held to be a clock.
    """

    auc: float
    auc_low: float
    auc_high: float
    n: int
    features: list[str]
    limit: float


class SplitTest(Struct, frozen=True, forbid_unknown_fields=True):
    """What a card of one recipe shows on a split: AUC (DeLong by borrower) on ``n`` rows after ``n_training``."""

    split: str
    auc: float
    auc_low: float
    auc_high: float
    n: int
    bads: int
    n_training: int


def adversarial(
    training: pd.DataFrame,
    test: pd.DataFrame,
    features: Sequence[Feature],
    limit: float,
    confidence: float,
    seed: int,
) -> Adversary | None:
    """How well a classifier tells test rows from training rows by the models' inputs: .5 where they look alike.

    Seasons are left out: in a book of less than a year the month alone tells the samples apart, and is meant to.

    Args:
        training: Columns of the features and ``borrower_id``, of the training sample.
        test: The same of the test sample.
        features: The inputs of all models.
        limit: AUC beyond which one of them is held to be a clock.
        confidence: Confidence of the interval.
        seed: Seed of the two folds, which part borrowers.

    Returns:
        None where a side has too few rows.
    """
    if min(len(training), len(test)) < _LEAST_ROWS:
        return None
    features = [feature for feature in features if feature.cause != "seasonality"]
    sides = [rows.iloc[:: -(-len(rows) // _MOST_ROWS)] for rows in (training, test)]
    both = pd.concat(sides, ignore_index=True)
    later = np.repeat([0, 1], [len(rows) for rows in sides])
    matrix = fit_encoder(features, both, later, "log_odds").matrix(both)
    borrower = metrics.levels(both["borrower_id"])
    fold = (np.random.default_rng(seed).permutation(int(borrower.max()) + 1) % 2)[borrower]
    said, gain = np.zeros(len(both)), np.zeros(len(features))
    for held in (0, 1):
        learnt = xgboost.DMatrix(matrix[fold != held], later[fold != held])
        booster = xgboost.train(_ADVERSARY | {"seed": seed % 2**31}, learnt, _ADVERSARY_TREES)
        said[fold == held] = booster.predict(xgboost.DMatrix(matrix[fold == held]))
        for name, value in booster.get_score(importance_type="total_gain").items():
            gain[int(name.removeprefix("f"))] += float(np.sum(value))
    order = np.argsort(-gain, kind="stable")[:_TOLD]
    auc = metrics.auc_interval(later, said, confidence, borrower)
    told = [features[place].name for place in order if gain[place] > 0]
    return Adversary(auc.value, auc.low, auc.high, len(both), told, limit)


def refuse_clock(told: Adversary | None, limits: Limits) -> list[Leak]:
    """The finding that the inputs tell test from training rows too well, with the reason that was given; or none.

    Raises:
        GateStopped: There is one, and no ``limits.leakage_reason``.
    """
    if told is None or told.auc <= told.limit:
        return []
    if not limits.leakage_reason.strip():
        raise GateStopped(
            f"A classifier tells the test sample's rows from the training sample's by the models' inputs, with an AUC "
            f"of {told.auc:.4f} (limit {told.limit:g}; n = {told.n:,}), most by "
            f"{', '.join(told.features)}: one of them seems to be a clock; take it out of the mapping, or say under "
            "limits.leakage_reason why it is none."
        )
    return [
        Leak(
            kind=ADVERSARIAL,
            auc=told.auc,
            auc_low=told.auc_low,
            auc_high=told.auc_high,
            n=told.n,
            features=told.features,
            limit=told.limit,
            reason=limits.leakage_reason,
        )
    ]


def random_split(
    training: pd.DataFrame,
    test: pd.DataFrame,
    features: Sequence[Feature],
    settings: Scorecard,
    confidence: float,
    seed: int,
) -> list[SplitTest]:
    """What a card of one recipe shows out of time, and what it would have shown on a random split of the same rows.

    The random split parts borrowers, and its test set has as great a share of them as of the rows stood in the test
    sample. It is a comparison only: no model is chosen by it.

    Args:
        training: Columns of the features, ``bad`` and ``borrower_id``, of the training sample.
        test: The same of the test sample.
        features: The inputs of all models.
        settings: Bins of the card.
        confidence: Confidence of the intervals.
        seed: Seed of the random split.

    Returns:
        ``out of time`` and ``random``; none where a side lacks a class or no feature tells anything.
    """
    both = pd.concat([training, test], ignore_index=True)
    if both.empty:
        return []
    borrower = metrics.levels(both["borrower_id"])
    drawn = np.random.default_rng(seed).random(int(borrower.max()) + 1)[borrower]
    held = drawn < len(test) / len(both)
    found = []
    for split, learnt, judged in (("out of time", training, test), ("random", both[~held], both[held])):
        if learnt["bad"].nunique() < 2 or judged["bad"].nunique() < 2:
            return []
        card = fit_card(features, learnt, settings)
        if card is None:
            return []
        probability = card.probability({str(name): column for name, column in judged.items()})
        auc = metrics.auc_interval(judged["bad"], probability, confidence, judged["borrower_id"])
        bads = int(judged["bad"].sum())
        found.append(SplitTest(split, auc.value, auc.low, auc.high, len(judged), bads, len(learnt)))
    return found
