"""Fitting of the scorecard: bins, the regression over them, and whole points."""

import math

import numpy as np
from sklearn.metrics import log_loss

from components.credit.binning import Binning, Columns, fit_binning, set_binning
from components.credit.calibration import Calibration, Integers, Scaling, sigmoid
from components.credit.config import Config
from components.credit.dictionary import Feature
from components.credit.errors import GateStopped, InputError, nearest
from components.credit.folds import Folds
from components.credit.progress import Progress
from components.credit.samples import Training
from components.credit.scorecard import Card
from components.credit.trained import Trained, calibrated, scale
from components.train_sklearn.regression import Fitted, fit_values

# Strengths of the L2 penalty to choose from, on the sum of the log-likelihood.
PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


def fit_card(training: Training, features: list[Feature], folds: Folds, config: Config, progress: Progress) -> Trained:
    """Choose the penalty by cross-validated log loss and fit the card on all rows.

    Raises:
        GateStopped: No feature tells bads from goods.
        InputError: Bins that people set do not fit.
    """
    _check_settings(features, config)
    tried = np.full((len(PENALTIES), len(training.bad)), np.nan)
    for place, fold in enumerate(folds.folds):
        progress.report(f"scorecard, fold {place + 1} of {len(folds.folds)}", share=0.25 * place / len(folds.folds))
        learnt, bad = training.columns.iloc[fold.train], training.bad[fold.train]
        found = fit_values(_informative(_binned(features, learnt, bad, config), config), learnt, bad, PENALTIES)
        for k, fitted in enumerate(found):
            tried[k, fold.test] = fitted.log_odds(training.columns.iloc[fold.test])
    tested = ~np.isnan(tried[0])
    losses = [float(log_loss(training.bad[tested], sigmoid(log_odds[tested]))) for log_odds in tried]
    best = int(np.argmin(losses))
    calibration, out_of_fold = calibrated(tried[best], training.bad, training.shift)

    progress.report("scorecard, all rows", share=0.25)
    binnings = _binned(features, training.columns, training.bad, config)
    _warn_of_wrong_trends(features, binnings, training, config, progress)
    kept = _informative(binnings, config)
    (fitted,) = fit_values(kept, training.columns, training.bad, (PENALTIES[best],))
    engine = whole_points(fitted, training.columns, calibration, scale(config.scorecard))
    if not engine.binnings:
        raise GateStopped("No feature tells bads from goods, so no scorecard can be made; check target and mapping.")
    used = {binning.feature for binning in engine.binnings}
    report: dict[str, object] = {
        "candidates": len(PENALTIES),
        "parameters": {"penalty": PENALTIES[best]},
        "log_loss": losses[best],
        "calibration": calibration,
        "left_out": {
            binning.feature: _why_left_out(binning, binning in kept)
            for binning in binnings
            if binning.feature not in used
        },
    }
    reviewed = {name: bins for name, bins in config.scorecard.manual_bins.items() if name in used}
    if reviewed:
        report["manual_bins"] = {
            name: {
                "reviewed_by": bins.reviewed_by,
                "reviewed_on": bins.reviewed_on.isoformat(),
                "version": bins.version,
            }
            for name, bins in reviewed.items()
        }
    inputs = [feature for feature in features if feature.name in used]
    # the calibration is in the points already
    return Trained("scorecard", engine, inputs, Calibration(), out_of_fold, report)


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


def _check_settings(features: list[Feature], config: Config) -> None:
    known = {feature.name: feature.type for feature in features}
    for setting in ("manual_bins", "trends"):
        for name in getattr(config.scorecard, setting):
            if name not in known:
                raise InputError(
                    f"scorecard.{setting} names '{name}', which is no feature{nearest(name, known) or '.'}"
                )
    for name in config.scorecard.trends:
        if known[name] == "category" or name in config.scorecard.manual_bins:
            why = "a category, whose groups follow risk" if known[name] == "category" else "among scorecard.manual_bins"
            raise InputError(f"scorecard.trends.{name} has no use, since it is {why}; leave it out.")


def _warn_of_wrong_trends(
    features: list[Feature], binnings: list[Binning], training: Training, config: Config, progress: Progress
) -> None:
    """Say which features were left out for their trend alone."""
    settings = config.scorecard
    for feature, binning in zip(features, binnings, strict=True):
        wanted = settings.trends.get(feature.name, feature.trend)
        if wanted and wanted != "automatic" and not binning.cuts and feature.type == "number":
            free = fit_binning(
                feature,
                training.columns[feature.name],
                training.bad,
                settings.bins,
                settings.least_bin_share,
                "automatic",
            )
            if free.information_value >= max(config.scorecard.least_information_value, 0.02):
                progress.warn(
                    f"'{feature.name}' tells of risk, but not along its trend '{wanted}', so that the scorecard "
                    "makes no use of it; check the trend and how the feature is mapped."
                )


def _why_left_out(binning: Binning, informative: bool) -> str:
    if informative:
        return "no bin is worth a point"
    return f"information value {max(binning.information_value, 0.0):.4f}"


def _informative(binnings: list[Binning], config: Config) -> list[Binning]:
    least = config.scorecard.least_information_value
    return [binning for binning in binnings if binning.information_value >= least]


def whole_points(fitted: Fitted, columns: Columns, calibration: Calibration, scaling: Scaling) -> Card:
    """The card of a regression: its calibrated values as whole points.

    A feature whose bins all come to the same points is left off. The base makes up for what rounding adds up to on
    the average training row.
    """
    exact = [-scaling.factor * calibration.slope * values for values in fitted.values]
    whole = [np.floor(values + 0.5).astype(np.int64) for values in exact]
    average = scaling.offset - scaling.factor * (calibration.intercept + calibration.slope * fitted.intercept)
    rounding = sum(
        float((points - values)[binning.index(columns[binning.feature])].mean())
        for binning, points, values in zip(fitted.binnings, whole, exact, strict=True)
    )
    kept = [(binning, points) for binning, points in zip(fitted.binnings, whole, strict=True) if points.any()]
    return Card(
        scaling,
        math.floor(average - rounding + 0.5),
        [binning for binning, _ in kept],
        [points.tolist() for _, points in kept],
    )
