"""Training of the scorecard: the card of all rows, and own cards of segments where they pay."""

from components.credit.config import Config
from components.credit.dictionary import Feature
from components.credit.errors import GateStopped, InputError, nearest
from components.credit.models.binning import Binning, fit_binning
from components.credit.models.calibration import Calibration
from components.credit.models.training_report import BinsReview, FamilyReport
from components.credit.progress import Progress
from components.credit.training.finish import Trained
from components.credit.training.folds import Folds
from components.credit.training.samples import Training
from components.train_sklearn.card import PENALTIES, make_card
from components.train_sklearn.own_cards import own_cards


def fit_scorecard(
    training: Training, features: list[Feature], folds: Folds, config: Config, progress: Progress
) -> Trained:
    """The card of all rows, or one for each side of the book where a segment's own card pays.

    Args:
        training: The rows.
        features: Their features.
        folds: Folds of these rows.
        config: Bins, penalties, limits and the scale of points.
        progress: Receives each fold, and warnings of features whose trend is wrong.

    Raises:
        GateStopped: No feature tells bads from goods.
        InputError: Bins that people set do not fit.
    """
    _check_settings(features, config)

    def report_fold(number: int) -> None:
        progress.report(f"scorecard, fold {number} of {len(folds.folds)}", share=0.2 * (number - 1) / len(folds.folds))

    fit = make_card(training, features, folds, config, report_fold)
    if not fit.engine.binnings:
        raise GateStopped("No feature tells bads from goods, so no scorecard can be fitted; check target and mapping.")
    _warn_of_wrong_trends(features, fit.binnings, training, config, progress)
    engine, out_of_fold, compared = own_cards(fit, training, features, folds, config, progress)
    on_cards = {binning.feature for _, card in engine.cards for binning in card.binnings}
    used = set(engine.features)
    manual_bins = {
        name: BinsReview(bins.reviewed_by, bins.reviewed_on.isoformat(), bins.version)
        for name, bins in config.scorecard.manual_bins.items()
        if name in on_cards
    }
    report = FamilyReport(
        candidates=len(PENALTIES),
        parameters={"penalty": fit.penalty},
        log_loss=fit.log_loss,
        calibration=fit.calibration,
        left_out={
            binning.feature: "no bin is worth a point"
            if binning.information_value >= config.scorecard.least_information_value
            else f"information value {max(binning.information_value, 0.0):.4f}"
            for binning in fit.binnings
            if binning.feature not in used
        },
        own_cards=compared,
        manual_bins=manual_bins or None,
    )
    inputs = [feature for feature in features if feature.name in used]
    # the calibration is in the points already
    return Trained("scorecard", engine, inputs, Calibration(), out_of_fold, report)


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
