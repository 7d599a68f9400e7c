"""Fitting of the random forest: a search that gives more trees to fewer candidates, then the forest itself."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.utils._param_validation import InvalidParameterError

from components.credit.config import Config
from components.credit.dictionary import Feature
from components.credit.errors import InputError
from components.credit.models.calibration import Floats
from components.credit.models.training_report import FamilyReport
from components.credit.models.trees.engine import Matrix, Trees, fit_encoder, forest_to_booster
from components.credit.progress import Progress
from components.credit.training.finish import Trained, calibrated
from components.credit.training.folds import Folds
from components.credit.training.samples import Training
from components.credit.training.search import draw_candidates

TREES = 150
# Trees of each candidate up to each look at it, and the share of the candidates that goes on.
_RUNGS = (5, 15, 50)
_KEPT = 1 / 3
# A tree reads at most so many rows, which bounds its time: Taiwan's AUC falls by .0007 and the time by two thirds.
_ROWS_A_TREE = 5_000


@dataclass
class _Candidate:
    """A candidate whose forests, one a fold, grow in step, with its mean AUC so far."""

    parameters: dict[str, Any]
    forests: list[RandomForestClassifier]
    auc: float = 0.0
    probabilities: list[Floats] = field(default_factory=list)


def fit_forest(
    training: Training, features: list[Feature], folds: Folds, config: Config, progress: Progress
) -> Trained:
    """Search the configured space by cross-validated AUC and fit the best candidate on all rows.

    Raises:
        InputError: The space names a parameter or a value that the forest does not have.
    """
    bad = training.bad
    parts: list[tuple[Matrix, Matrix]] = []
    for fold in folds.folds:
        learnt = training.columns.iloc[fold.train]
        encoder = fit_encoder(features, learnt, bad[fold.train], "probability")
        parts.append((encoder.matrix(learnt), encoder.matrix(training.columns.iloc[fold.test])))

    drawn = draw_candidates(
        config.search.forest_space,
        config.search.forest_candidates,
        config.seed,
        RandomForestClassifier().get_params(),
        "search.forest_space",
    )
    candidates = [
        _Candidate(parameters, [_forest(parameters, len(fold.train), config.seed) for fold in folds.folds])
        for parameters in drawn
    ]
    for rung, trees in enumerate(_RUNGS):
        for number, candidate in enumerate(candidates, start=1):
            _grow(candidate, trees, parts, folds, training)
            progress.report(
                f"random forest, candidate {number} of {len(candidates)} with {trees} trees",
                share=0.3 + 0.5 * (rung + number / len(candidates)) / len(_RUNGS),
            )
        candidates.sort(key=lambda candidate: -candidate.auc)
        candidates = candidates[: max(1, round(len(candidates) * _KEPT))]
    best = candidates[0]

    encoder = fit_encoder(features, training.columns, bad, "probability")
    forest = _forest(best.parameters, len(bad), config.seed).set_params(n_estimators=TREES)
    forest.fit(encoder.matrix(training.columns), bad)
    engine = Trees(forest_to_booster(forest), encoder)
    log_odds = np.full(len(bad), np.nan)
    for fold, probability in zip(folds.folds, best.probabilities, strict=True):
        log_odds[fold.test] = engine.log_odds(probability)
    calibration, out_of_fold = calibrated(log_odds, bad, training.shift)
    report = FamilyReport(
        candidates=len(drawn),
        parameters=best.parameters | {"n_estimators": TREES},
        calibration=calibration,
    )
    return Trained("random_forest", engine, features, calibration, out_of_fold, report)


def _forest(parameters: dict[str, Any], rows: int, seed: int) -> RandomForestClassifier:
    share = {"max_samples": _ROWS_A_TREE} if rows > _ROWS_A_TREE else {}
    return RandomForestClassifier(n_jobs=2, random_state=seed % 2**32, warm_start=True).set_params(
        **share, **parameters
    )


def _grow(
    candidate: _Candidate, trees: int, parts: list[tuple[Matrix, Matrix]], folds: Folds, training: Training
) -> None:
    """Let a candidate's forests grow to so many trees and look at it again."""
    candidate.probabilities = []
    areas = []
    for forest, fold, (learnt, tested) in zip(candidate.forests, folds.folds, parts, strict=True):
        try:
            forest.set_params(n_estimators=trees, n_jobs=2).fit(learnt, training.bad[fold.train])
        except InvalidParameterError as error:
            raise InputError(f"search.forest_space: {str(error).splitlines()[0]}") from error
        # two threads would add up the trees in an order of their own
        probability = forest.set_params(n_jobs=1).predict_proba(tested)[:, 1]
        candidate.probabilities.append(probability)
        areas.append(roc_auc_score(training.bad[fold.test], probability))
    candidate.auc = float(np.mean(areas))
