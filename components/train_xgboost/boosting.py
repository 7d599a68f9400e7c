"""Fitting of XGBoost: a search over the trees' structure at a fast learning rate, then slow learning of the best.

All folds of a candidate grow in step, so that a candidate is dropped for all of them at once. Learning rate and number
of rounds are no part of the search: a candidate that is ahead after few fast rounds is ahead after many slow ones.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import xgboost
from sklearn.metrics import roc_auc_score

from components.credit.config import Config
from components.credit.dictionary import Feature
from components.credit.errors import InputError
from components.credit.models.calibration import Floats, Integers
from components.credit.models.training_report import FamilyReport
from components.credit.models.trees.engine import Matrix, Trees, fit_encoder
from components.credit.progress import Progress
from components.credit.training.finish import Trained, calibrated
from components.credit.training.folds import Folds
from components.credit.training.samples import Training
from components.credit.training.search import draw_candidates

# Learning rate of the search, rounds of each look at the candidates, and the share of them that goes on.
_FAST_RATE = 0.15
_RUNGS = (20, 60)
_KEPT = 1 / 2
# Rows that each fold of the search learns from; the final fits learn from all.
_SEARCH_ROWS = 60_000
# Learning rate of the best candidates, their number, and the rounds: at most, between looks, without progress.
RATE = 0.02
_FINALISTS = 2
_MOST_ROUNDS, _EVERY, _PATIENCE = 2000, 20, 120
_MAX_BIN = 512
# Folds that grow at once, each in one thread of its own: the order of sums is then always the same, and no thread
# waits for another (two threads in one booster took 50 times as long on a machine with other work).
_THREADS = 2


@dataclass(frozen=True)
class _Part:
    """A fold as XGBoost reads it."""

    learnt: xgboost.QuantileDMatrix
    tested: xgboost.QuantileDMatrix
    bad: Integers

    @classmethod
    def of(cls, learnt: Matrix, learnt_bad: Integers, tested: Matrix, tested_bad: Integers) -> Self:
        """A fold of these rows."""
        quantised = _quantised(learnt, learnt_bad)
        return cls(quantised, _quantised(tested, tested_bad, quantised), tested_bad)


class _Growing:
    """A candidate whose boosters, one a fold, grow in step."""

    def __init__(self, parameters: dict[str, Any], parts: list[_Part]) -> None:
        self.parameters = parameters
        self.rounds = 0
        self.auc = 0.0
        self.margins: list[Floats] = []
        self._parts = parts
        self._boosters = [xgboost.Booster(parameters, [part.learnt, part.tested]) for part in parts]

    def grow(self, rounds: int) -> None:
        """Grow up to so many rounds, and look at the mean AUC of the folds."""

        def margin(booster: xgboost.Booster, part: _Part) -> Floats:
            for number in range(self.rounds, rounds):
                booster.update(part.learnt, number)
            return np.asarray(booster.predict(part.tested, output_margin=True), dtype=np.float64)

        with ThreadPoolExecutor(_THREADS) as pool:
            self.margins = list(pool.map(margin, self._boosters, self._parts))
        self.rounds = rounds
        self.auc = float(
            np.mean([roc_auc_score(part.bad, m) for part, m in zip(self._parts, self.margins, strict=True)])
        )


def fit_boosting(
    training: Training, features: list[Feature], folds: Folds, config: Config, progress: Progress
) -> Trained:
    """Search the configured space by cross-validated AUC and fit the best candidate on all rows.

    Raises:
        InputError: The space names a parameter or a value that XGBoost does not have.
    """
    bad = training.bad
    whole, thinned = [], []
    for fold in folds.folds:
        learnt = training.columns.iloc[fold.train]
        encoder = fit_encoder(features, learnt, bad[fold.train], "log_odds")
        rows, rows_bad = encoder.matrix(learnt), bad[fold.train]
        tested, tested_bad = encoder.matrix(training.columns.iloc[fold.test]), bad[fold.test]
        whole.append(_Part.of(rows, rows_bad, tested, tested_bad))
        few = np.random.default_rng(config.seed).permutation(len(rows))[:_SEARCH_ROWS]
        thinned.append(whole[-1] if len(few) == len(rows) else _Part.of(rows[few], rows_bad[few], tested, tested_bad))

    space = config.search.xgboost_space
    known = xgboost.XGBClassifier().get_params()
    drawn = draw_candidates(space, config.search.xgboost_candidates, config.seed, known, "search.xgboost_space")
    fixed = _fixed(features, config.seed)
    try:
        finalists = _search([fixed | {"eta": _FAST_RATE} | candidate for candidate in drawn], thinned, progress)
        finals = [
            _learn_slowly(
                fixed | {"eta": RATE} | drawn[candidate], whole, progress, 0.55 + 0.35 * rank / len(finalists)
            )
            for rank, candidate in enumerate(finalists)
        ]
    except xgboost.core.XGBoostError as error:
        raise InputError(f"search.xgboost_space: {_sentence(error)}") from error
    best = max(range(len(finals)), key=lambda final: finals[final].auc)
    rounds, parameters = finals[best].rounds, drawn[finalists[best]]

    progress.report(f"XGBoost, {rounds} rounds on all rows", share=0.9)
    encoder = fit_encoder(features, training.columns, bad, "log_odds")
    booster = xgboost.train(
        fixed | {"eta": RATE} | parameters, _quantised(encoder.matrix(training.columns), bad), rounds
    )
    log_odds = np.full(len(bad), np.nan)
    for fold, margin in zip(folds.folds, finals[best].margins, strict=True):
        log_odds[fold.test] = margin
    calibration, out_of_fold = calibrated(log_odds, bad, training.shift)
    report = FamilyReport(
        candidates=len(drawn),
        parameters=parameters | {"eta": RATE, "rounds": rounds},
        calibration=calibration,
        monotone={feature.name: feature.trend for feature in features if feature.trend and _direction(feature)},
    )
    return Trained(
        "xgboost", Trees(bytes(booster.save_raw("ubj")), encoder), features, calibration, out_of_fold, report
    )


def _search(candidates: list[dict[str, Any]], parts: list[_Part], progress: Progress) -> list[int]:
    """Indices of the best candidates after few rounds at a fast learning rate."""
    growing = {index: _Growing(parameters, parts) for index, parameters in enumerate(candidates)}
    for rung, rounds in enumerate(_RUNGS):
        for done, (index, candidate) in enumerate(growing.items(), start=1):
            candidate.grow(rounds)
            progress.report(
                f"XGBoost, candidate {index + 1} of {len(candidates)}, {rounds} rounds",
                share=0.05 + 0.5 * (rung + done / len(growing)) / len(_RUNGS),
            )
        kept = max(_FINALISTS, round(len(growing) * _KEPT)) if rung + 1 < len(_RUNGS) else _FINALISTS
        ranked = sorted(growing, key=lambda index: -growing[index].auc)
        growing = {index: growing[index] for index in ranked[:kept]}
    return list(growing)


@dataclass(frozen=True)
class _Final:
    """The best point of slow learning: its mean AUC, its rounds, and the margins of each fold after them."""

    auc: float
    rounds: int
    margins: list[Floats]


def _learn_slowly(parameters: dict[str, Any], parts: list[_Part], progress: Progress, share: float) -> _Final:
    """Grow slowly until the mean AUC of the folds has not risen for long, from ``share`` of the stage on."""
    candidate = _Growing(parameters, parts)
    best = _Final(0.0, 0, [])
    while candidate.rounds < _MOST_ROUNDS and candidate.rounds - best.rounds < _PATIENCE:
        candidate.grow(candidate.rounds + _EVERY)
        if candidate.auc > best.auc:
            best = _Final(candidate.auc, candidate.rounds, candidate.margins)
        if candidate.rounds % 100 == 0:
            part = 0.35 / _FINALISTS * candidate.rounds / _MOST_ROUNDS
            progress.report(f"XGBoost, {candidate.rounds} slow rounds", share=share + part)
    return best


def _fixed(features: list[Feature], seed: int) -> dict[str, Any]:
    """Parameters that are not searched."""
    constraints = tuple(_direction(feature) for feature in features)
    return {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "max_bin": _MAX_BIN,
        "nthread": 1,
        "seed": seed % 2**31,
        # else draws go on from whatever the thread drew before, for another booster
        "seed_per_iteration": True,
    } | ({"monotone_constraints": str(constraints)} if any(constraints) else {})


def _direction(feature: Feature) -> int:
    """Which way risk must move with a feature: 1, -1, or 0 where it is not known; codes are no amounts."""
    if feature.type == "category" or feature.special:
        return 0
    return {"increasing": 1, "decreasing": -1, None: 0}[feature.trend]


def _quantised(matrix: Matrix, bad: Integers, like: xgboost.QuantileDMatrix | None = None) -> xgboost.QuantileDMatrix:
    return xgboost.QuantileDMatrix(matrix, bad, max_bin=_MAX_BIN, ref=like, nthread=1)


def _sentence(error: Exception) -> str:
    """XGBoost's reason, without its file, line and stack."""
    first = str(error).splitlines()[0]
    return first.rpartition("Check failed: ")[2].partition("] ")[2] or first.rpartition("] ")[2] or first
