"""A second scorecard that learns from declined applications too, by outcomes inferred for them.

Sources: N. Siddiqi, "Credit Risk Scorecards" (2006), chapter 6, for parcelling and fuzzy augmentation; J. Crook and
J. Banasik, "Does reject inference really improve the performance of application scoring models?" (Journal of Banking
and Finance 28, 2004), for why the card without it stays: inference seldom helps, and no outcome shows when.
"""

from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import numpy as np
import pandas as pd

from components.credit.book.manifest import Manifest
from components.credit.book.store import Store
from components.credit.config import Config
from components.credit.models.binning import Binning
from components.credit.models.calibration import Calibration, Floats, Integers, sigmoid
from components.credit.models.scorer import Scorer
from components.credit.models.training_report import FamilyReport, InferredOutcomes, ScoreBand
from components.credit.progress import Progress
from components.credit.training.finish import Trained, calibrated, finish, scale
from components.credit.training.folds import Folds, make_folds
from components.credit.training.samples import Training, read_rejects, read_training
from components.train_sklearn.card import whole_points
from components.train_sklearn.regression import BinValues, fit_values


@dataclass(frozen=True)
class Inference:
    """Declined applications with inferred outcomes.

    Args:
        columns: Their features; a row stands twice where it is partly bad and partly good.
        bad: 0 or 1, shape (n,).
        weights: How many rows each counts for, 0 to 1, shape (n,).
        bands: Of parcelling, from the riskiest.
    """

    columns: pd.DataFrame
    bad: Integers
    weights: Floats
    bands: list[ScoreBand]


class Parcel(NamedTuple):
    """A score band, and the indices of its declined applications."""

    band: ScoreBand
    declined: Integers


def train_with_rejects(
    scorer: Scorer, features: Manifest, config: Config, store: Store, progress: Progress
) -> Scorer | None:
    """The scorecard with inference; None where none is asked for, nobody was declined, or segments have own cards.

    Args:
        scorer: The scorecard of granted loans alone.
        features: Manifest of the feature table that it learnt from.
        config: The configuration that it was trained with.
        store: Where the table lies.
        progress: Receives the step, and a warning where nobody was declined.
    """
    if config.rejects.method == "none":
        return None
    if scorer.single_card is None:
        progress.warn(
            f"rejects.method is '{config.rejects.method}', but segments have cards of their own, so that no second "
            "scorecard is fitted: there is no one card to set it beside."
        )
        return None
    progress.report("scorecard with declined applications", share=0.97)
    inputs = list(scorer.features)
    training = read_training(features, inputs, config, store)
    declined = read_rejects(features, [feature.name for feature in inputs], training.decided_at.max(), store)
    if declined.empty:
        progress.warn(
            f"rejects.method is '{config.rejects.method}', but the book holds no application that the lender declined "
            "in the training sample's time, so that no second scorecard is fitted."
        )
        return None
    folds = make_folds(training.borrowers, training.decided_at, training.bad, config.search.folds, config.seed)
    return finish(fit_with_rejects(scorer, training, declined, folds, config), training, folds, config, features)


def fit_with_rejects(
    scorer: Scorer, training: Training, declined: pd.DataFrame, folds: Folds, config: Config
) -> Trained:
    """The card's own bins and penalty, fitted to the granted loans and the declined applications together.

    As the bins are the same, the cards can be compared bin by bin; their counts stay those of granted loans. It is
    calibrated on the granted loans of folds, whose outcomes are known.

    Args:
        scorer: The scorecard of granted loans alone, which says how risky the declined are.
        training: The granted loans.
        declined: The card's features of the declined applications.
        folds: Folds of the granted loans.
        config: How outcomes are inferred, and the seed.
    """
    card, parameters = scorer.single_card, msgspec.convert(scorer.training.parameters, dict[str, float])
    assert card is not None, "``train_with_rejects`` asks before"
    inferred = infer(scorer, training, declined, config)
    everyone = np.arange(len(training.bad))

    def fit(rows: Integers) -> BinValues:
        return _fit(card.binnings, training, rows, inferred, parameters["penalty"])

    log_odds = np.full(len(training.bad), np.nan)
    for fold in folds.folds:
        log_odds[fold.test] = fit(fold.train).log_odds(training.columns.iloc[fold.test])
    calibration, out_of_fold = calibrated(log_odds, training.bad, training.shift)
    engine = whole_points(fit(everyone), training.columns, calibration, scale(config.scorecard))
    used = {binning.feature for binning in engine.binnings}
    report = FamilyReport(
        candidates=1,
        parameters={"penalty": parameters["penalty"]},
        calibration=calibration,
        rejects=InferredOutcomes(
            method=config.rejects.method,
            factor=config.rejects.factor,
            declined=len(declined),
            inferred_bads=float(inferred.weights @ inferred.bad),
            bands=inferred.bands,
        ),
    )
    inputs = [feature for feature in scorer.features if feature.name in used]
    return Trained("scorecard", engine, inputs, Calibration(), out_of_fold, report)


def infer(scorer: Scorer, training: Training, declined: pd.DataFrame, config: Config) -> Inference:
    """Outcomes of declined applications by the card of the granted loans.

    Parcelling: in each score band of the granted loans, as many of the declined are drawn as bad as the band's odds
    times the factor say. Fuzzy: each stands twice, as bad with the weight p and as good with the weight 1 - p, where p
    has the card's own odds times the factor.
    """
    factor = config.rejects.factor
    if config.rejects.method == "parcelling":
        parts = parcels(
            scorer.points(training.columns),
            training.bad,
            scorer.points(declined),
            factor,
            config.rejects.score_bands,
        )
        bad = np.zeros(len(declined), dtype=np.int64)
        random = np.random.default_rng(config.seed)
        for band, members in parts:
            bad[random.choice(members, band.inferred_bads, replace=False)] = 1
        return Inference(declined, bad, np.ones(len(declined)), [band for band, _ in parts])
    # the training rows' own odds: those of the book follow from the shift
    odds = scorer.log_odds(scorer.margin(declined)) - training.shift + np.log(factor)
    weight = sigmoid(odds)
    return Inference(
        pd.concat([declined, declined], ignore_index=True),
        np.repeat([1, 0], len(declined)).astype(np.int64),
        np.concatenate([weight, 1 - weight]),
        [],
    )


def parcels(points: Integers, bad: Integers, declined: Integers, factor: float, count: int) -> list[Parcel]:
    """Score bands, from the riskiest.

    Args:
        points: Of the granted loans, shape (n,).
        bad: Their outcomes, 0 or 1, shape (n,).
        declined: Points of the declined applications, shape (m,).
        factor: Odds of the declined over those of the granted of the same band.
        count: Number of bands; fewer where points are few.
    """
    edges = np.unique(np.quantile(points, np.arange(1, count) / count, method="higher"))
    edges = edges[edges > points.min()]
    band, band_declined = (np.searchsorted(edges, values, side="right") for values in (points, declined))
    bands = []
    for number in range(len(edges) + 1):
        granted, members = bad[band == number], np.flatnonzero(band_declined == number)
        # half a bad and half a good more: no band is without risk, none without hope
        odds = factor * (granted.sum() + 0.5) / (len(granted) - granted.sum() + 0.5)
        bads = int(np.floor(len(members) * odds / (1 + odds) + 0.5))
        score_band = ScoreBand(
            points_from=int(edges[number - 1]) if number else None,
            n=len(granted),
            bads=int(granted.sum()),
            bad_rate=float(granted.mean()),
            declined=len(members),
            inferred_bads=bads,
        )
        bands.append(Parcel(score_band, members))
    return bands


def _fit(binnings: list[Binning], training: Training, rows: Integers, inferred: Inference, penalty: float) -> BinValues:
    columns = pd.concat([training.columns.iloc[rows], inferred.columns], ignore_index=True)
    bad = np.concatenate([training.bad[rows], inferred.bad])
    weights = np.concatenate([np.ones(len(rows)), inferred.weights])
    (fit,) = fit_values(binnings, columns, bad, (penalty,), weights)
    return fit
