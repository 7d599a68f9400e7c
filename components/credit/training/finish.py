"""From a trained engine to a scorer: the last steps of every family's training."""

from dataclasses import dataclass, replace

import msgspec
import numpy as np

from components.credit.book.manifest import Manifest
from components.credit.config import Config, Scorecard
from components.credit.dictionary import Feature
from components.credit.drift import training_reference
from components.credit.models.binning import Binning, fit_binning
from components.credit.models.calibration import Calibration, Floats, Integers, Scaling, cut, fit_calibration, sigmoid
from components.credit.models.engine import Engine
from components.credit.models.scorer import Family, Scorer
from components.credit.models.training_report import FamilyReport, TrainingReport
from components.credit.training.folds import Folds
from components.credit.training.samples import Training

# Rows whose contributions make up the reference: TreeSHAP of a forest takes milliseconds a row.
_REFERENCE_ROWS = 300


@dataclass(frozen=True)
class Trained:
    """An engine trained on all rows.

    Args:
        family: Its family.
        engine: The engine.
        features: Its inputs, in order.
        calibration: Its calibration.
        out_of_fold: Calibrated log-odds of bad by engines that had not seen the row, NaN where no fold tested it, shape
            (n,).
        report: The family's part of the training report.
    """

    family: Family
    engine: Engine
    features: list[Feature]
    calibration: Calibration
    out_of_fold: Floats
    report: FamilyReport


def scale(settings: Scorecard) -> Scaling:
    """The configured scale of points."""
    return Scaling(float(settings.points), float(settings.odds), float(settings.pdo))


def calibrated(log_odds: Floats, bad: Integers, shift: float) -> tuple[Calibration, Floats]:
    """Platt's calibration of out-of-fold log-odds, and the calibrated log-odds, shape (n,).

    Args:
        log_odds: Of each training row, NaN where no fold tested it, shape (n,).
        bad: 0 or 1, of each training row, shape (n,).
        shift: ``Training.shift``, added to the intercept.
    """
    tested = ~np.isnan(log_odds)
    fitted = fit_calibration(log_odds[tested], bad[tested])
    calibration = Calibration(fitted.slope, fitted.intercept + shift)
    return calibration, calibration.intercept + calibration.slope * log_odds


def finish(trained: Trained, training: Training, folds: Folds, config: Config, features: Manifest) -> Scorer:
    """The scorer of an engine: with its cut-off and bands from the folds, its reference and its training report.

    Bands A, B and C part the approved share into thirds, D and E the declined share into halves.

    Args:
        trained: The engine with its out-of-fold log-odds.
        training: The rows.
        folds: Folds of these rows.
        config: Scale of the points, approval share, bins and seed.
        features: Manifest of the feature table.
    """
    scaling = scale(config.scorecard)
    tested = ~np.isnan(trained.out_of_fold)
    share = config.policy.approval_share
    shares = (share / 3, share * 2 / 3, share, share + (1 - share) / 2)
    bands = cut(sigmoid(trained.out_of_fold[tested]), shares, scaling)
    seen = training_reference(scaling.whole_points(trained.out_of_fold[tested]), trained.features, training.columns)
    report = TrainingReport(
        rows=len(training.bad),
        rows_available=training.available,
        bads=int(training.bad.sum()),
        dataset=features.sha256,
        seed=config.seed,
        reference=seen,
        bins=_bins(trained.features, training, config) if trained.engine.binnings is None else None,
        **msgspec.structs.asdict(folds.figures(trained.out_of_fold, training.bad)),
        **msgspec.structs.asdict(trained.report),
    )
    recipe = features.notes.get("recipe")
    scorer = Scorer(
        trained.family,
        tuple(trained.features),
        trained.engine,
        trained.calibration,
        scaling,
        bands[2],
        bands,
        {},
        report,
        recipe if isinstance(recipe, dict) else None,
    )
    return replace(scorer, reference=_reference(scorer, training, config.seed))


def _bins(features: list[Feature], training: Training, config: Config) -> list[Binning]:
    """Bins of each feature with their rows in training, with which a scorer compares the rows that it scores."""
    most, least = config.scorecard.bins, config.scorecard.least_bin_share
    return [fit_binning(feature, training.columns[feature.name], training.bad, most, least) for feature in features]


def _reference(scorer: Scorer, training: Training, seed: int) -> dict[str, float]:
    """Mean contribution of each feature over the training rows that the scorer approves.

    Over all rows where it approves none, and over a draw where they are many.
    """
    approved = np.flatnonzero(scorer.probability(training.columns) <= scorer.cutoff)
    rows = approved if len(approved) else np.arange(len(training.bad))
    if len(rows) > _REFERENCE_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _REFERENCE_ROWS, replace=False))
    means = scorer.contributions(training.columns.iloc[rows]).mean(axis=0)
    return {feature.name: float(mean) for feature, mean in zip(scorer.features, means, strict=True)}
