"""Scores that know less: cards made of a part of the data, by one recipe, so that only the data tell them apart.

What alternative data are worth shows in the difference between a card that reads them and one that does not. All
cards here are made alike: the same rows, the same bins, one logistic regression over the weights of evidence.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from components.credit.config import Scorecard
from components.credit.dictionary import Feature
from components.credit.models.binning import Binning, fit_binning
from components.credit.models.calibration import Calibration, Scaling
from components.credit.models.card import Card
from components.credit.models.scorer import Scorer

# Tables that each score reads; alternative data are the movements of accounts and wallets, bills and takings.
ALTERNATIVE = "transactions"
_USUAL = ("bureau", "loans", "repayments", "applications", "borrowers")
SOURCES: dict[str, tuple[str, ...]] = {
    "bureau": ("bureau",),
    "own_history": ("loans", "repayments"),
    "without": _USUAL,
    "with": (*_USUAL, ALTERNATIVE),
}
_LEAST_INFORMATION_VALUE = 0.02
_STRENGTH = 0.1  # scikit-learn's C: the penalty of a card over correlated evidence
_FINE = 4  # points are cut so much finer than a card's, so that rounding adds no ties


# A feature with its bins.
_Binned = tuple[Feature, Binning]


def fit_baselines(features: Iterable[Feature], training: pd.DataFrame, settings: Scorecard) -> dict[str, Scorer]:
    """A card for each part of the data of ``SOURCES`` that has a feature.

    Args:
        features: All features of the table.
        training: Their columns and ``bad``, at least one of each class.
        settings: Bins and points.
    """
    binned = _binned(features, training, settings)
    found = {}
    for name, tables in SOURCES.items():
        read = [(feature, binning) for feature, binning in binned if feature.source in tables]
        if read:
            found[name] = _fit(read, training, settings)
    return found


def fit_card(features: Iterable[Feature], training: pd.DataFrame, settings: Scorecard) -> Scorer | None:
    """The card of all the data, as ``with`` of ``fit_baselines``; None where no feature tells anything."""
    binned = _binned(features, training, settings)
    return _fit(binned, training, settings) if binned else None


def _binned(features: Iterable[Feature], training: pd.DataFrame, settings: Scorecard) -> list[_Binned]:
    """The features that tell something, with their bins, in order of their names."""
    bad = training["bad"].to_numpy()
    found = [
        (
            feature,
            fit_binning(feature, training[feature.name].to_numpy(), bad, settings.bins, settings.least_bin_share),
        )
        for feature in sorted(features, key=lambda feature: feature.name)
    ]
    return [each for each in found if each[1].information_value >= _LEAST_INFORMATION_VALUE]


def _fit(read: list[_Binned], training: pd.DataFrame, settings: Scorecard) -> Scorer:
    scaling = Scaling(float(settings.points), float(settings.odds), settings.pdo * _FINE)
    woe = [np.array([bin_.woe for bin_ in binning.bins]) for _, binning in read]
    index = [binning.index(training[feature.name].to_numpy()) for feature, binning in read]
    design = np.column_stack([values[rows] for values, rows in zip(woe, index, strict=True)])
    fitted = LogisticRegression(C=_STRENGTH, max_iter=1000).fit(design, training["bad"].to_numpy())
    points = [
        np.rint(-scaling.factor * weight * values).astype(int).tolist()
        for weight, values in zip(fitted.coef_[0], woe, strict=True)
    ]
    base = round(float(scaling.offset - scaling.factor * fitted.intercept_[0]))
    card = Card(scaling, base, [binning for _, binning in read], points)
    inputs = tuple(feature for feature, _ in read)
    return Scorer("scorecard", inputs, card, Calibration(), scaling, 0.5, (0.1, 0.2, 0.3, 0.4), {})
