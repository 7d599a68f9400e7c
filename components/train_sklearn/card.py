"""Fitting of a scorecard: bins, the regression over them, and whole points."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import log_loss

from components.credit.config import Config
from components.credit.dictionary import Feature
from components.credit.models.binning import Binning, Columns, fit_binning, set_binning
from components.credit.models.calibration import Calibration, Floats, Integers, Scaling, sigmoid
from components.credit.models.card import Card
from components.credit.training.finish import calibrated, scale
from components.credit.training.folds import Folds
from components.credit.training.samples import Training
from components.train_sklearn.regression import BinValues, fit_values

# Strengths of the L2 penalty to choose from, on the sum of the log-likelihood.
PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


@dataclass(frozen=True)
class CardFit:
    """A card with the cross-validation that chose its penalty.

    Args:
        engine: The card, whose points hold the calibration.
        calibration: Its calibration.
        out_of_fold: Calibrated log-odds of bad by cards that had not seen the row, NaN where no fold tested it.
        penalty: Strength of the penalty with the least log loss.
        log_loss: Mean log loss of the tested rows, at that strength.
        binnings: Bins of every feature, on the card or not.
    """

    engine: Card
    calibration: Calibration
    out_of_fold: Floats
    penalty: float
    log_loss: float
    binnings: list[Binning]


def make_card(
    training: Training, features: list[Feature], folds: Folds, config: Config, report: Callable[[int], None]
) -> CardFit:
    """Choose the penalty by cross-validated log loss and fit the card on all rows.

    Args:
        training: The rows.
        features: Their features.
        folds: Folds of these rows.
        config: Bins, scale of the points and seed.
        report: Called with the number of each fold, from 1, before it is fitted.
    """
    tried = np.full((len(PENALTIES), len(training.bad)), np.nan)
    for number, fold in enumerate(folds.folds, start=1):
        report(number)
        learnt, bad = training.columns.iloc[fold.train], training.bad[fold.train]
        fits = fit_values(_informative(_binned(features, learnt, bad, config), config), learnt, bad, PENALTIES)
        for k, fit in enumerate(fits):
            tried[k, fold.test] = fit.log_odds(training.columns.iloc[fold.test])
    tested = ~np.isnan(tried[0])
    losses = [float(log_loss(training.bad[tested], sigmoid(log_odds[tested]))) for log_odds in tried]
    best = int(np.argmin(losses))
    calibration, out_of_fold = calibrated(tried[best], training.bad, training.shift)
    binnings = _binned(features, training.columns, training.bad, config)
    (fit,) = fit_values(_informative(binnings, config), training.columns, training.bad, (PENALTIES[best],))
    engine = whole_points(fit, training.columns, calibration, scale(config.scorecard))
    return CardFit(engine, calibration, out_of_fold, PENALTIES[best], losses[best], binnings)


def _binned(features: list[Feature], columns: Columns, bad: Integers, config: Config) -> list[Binning]:
    settings = config.scorecard
    return [
        set_binning(feature, columns[feature.name], bad, settings.manual_bins[feature.name])
        if feature.name in settings.manual_bins
        else fit_binning(
            feature,
            columns[feature.name],
            bad,
            settings.bins,
            settings.least_bin_share,
            settings.trends.get(feature.name),
        )
        for feature in features
    ]


def _informative(binnings: list[Binning], config: Config) -> list[Binning]:
    least = config.scorecard.least_information_value
    return [binning for binning in binnings if binning.information_value >= least]


def whole_points(fit: BinValues, columns: Columns, calibration: Calibration, scaling: Scaling) -> Card:
    """The card of a regression: its calibrated values as whole points.

    A feature whose bins all have the same points is left off. The base makes up for the sum of the roundings on the
    average training row.
    """
    exact = [-scaling.factor * calibration.slope * values for values in fit.values]
    whole = [np.floor(values + 0.5).astype(np.int64) for values in exact]
    average = scaling.offset - scaling.factor * (calibration.intercept + calibration.slope * fit.intercept)
    rounding = sum(
        float((points - values)[binning.index(columns[binning.feature])].mean())
        for binning, points, values in zip(fit.binnings, whole, exact, strict=True)
    )
    kept = [(binning, points) for binning, points in zip(fit.binnings, whole, strict=True) if points.any()]
    return Card(
        scaling,
        math.floor(average - rounding + 0.5),
        [binning for binning, _ in kept],
        [points.tolist() for _, points in kept],
    )
