"""The training report of a model: what it learnt from, how it was chosen, and what its family noted."""

from msgspec import Struct

from components.credit.models.binning import Binning
from components.credit.models.calibration import Calibration
from components.credit.models.distribution import Reference


class OwnCard(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A segment on the folds of the training sample; where it has no card of its own, ``why`` stands for the figures.

    Args:
        by: How the book is parted: ``segment`` or ``thin_file``.
        value: Which segment.
        n: Rows that the folds tested; of the whole segment where they tested none.
        bads: The bads among them.
        why: Why the segment has no card of its own.
        auc_single: AUC of the card of all rows (DeLong by borrower).
        auc_single_low: Its lower end.
        auc_single_high: Its upper end.
        auc_own: AUC of the own card.
        auc_own_low: Its lower end.
        auc_own_high: Its upper end.
        difference: AUC of the own card less that of the card of all rows.
        difference_low: Its lower end.
        difference_high: Its upper end.
        p_value: P-value of the difference (DeLong by borrower).
        pays: Whether the difference is beyond the margin and chance.
        served: Whether the own card scores the segment.
    """

    auc_own: float | None = None
    auc_own_high: float | None = None
    auc_own_low: float | None = None
    auc_single: float | None = None
    auc_single_high: float | None = None
    auc_single_low: float | None = None
    bads: int
    by: str
    difference: float | None = None
    difference_high: float | None = None
    difference_low: float | None = None
    n: int
    p_value: float | None = None
    pays: bool
    served: bool
    value: str
    why: str | None = None


class ScoreBand(Struct, frozen=True, forbid_unknown_fields=True):
    """A band of points in parcelling, and how many of its declined applications count as bad.

    Args:
        points_from: Least points of the band; None of the riskiest.
        n: Granted loans.
        bads: The bads among them.
        bad_rate: Their bad rate.
        declined: Declined applications.
        inferred_bads: How many of them count as bad.
    """

    bad_rate: float
    bads: int
    declined: int
    inferred_bads: int
    n: int
    points_from: int | None


class InferredOutcomes(Struct, frozen=True, forbid_unknown_fields=True):
    """What training took the declined applications for; ``bands`` are those of parcelling."""

    method: str
    factor: float
    declined: int
    inferred_bads: float
    bands: list[ScoreBand]


class BinsReview(Struct, frozen=True, forbid_unknown_fields=True):
    """Who reviewed the bins that people set for a feature, when (YYYY-MM-DD), and in which version."""

    reviewed_by: str
    reviewed_on: str
    version: str


class FoldFigures(Struct, frozen=True):
    """How out-of-fold log-odds separate bads from goods.

    Args:
        folds: The folds in words.
        auc: Mean AUC of the folds.
        auc_sd: Its standard deviation over the folds.
        auc_by_fold: AUC of each fold.
        tested: Rows that a fold tested.
    """

    folds: str
    auc: float
    auc_sd: float
    auc_by_fold: list[float]
    tested: int


class FamilyReport(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A family's part of the report; None where the family has no such part, or the model was not trained.

    Args:
        candidates: Candidates tried.
        parameters: Parameters of the one that was chosen.
        calibration: Its calibration.
        log_loss: Of a scorecard, its mean log loss on the folds.
        left_out: Of a scorecard, each feature that it does without, and why.
        own_cards: Of a scorecard, the comparison of each segment's own card with the card of all rows.
        manual_bins: Of a scorecard, the review of each feature whose bins people set; None where they set none.
        rejects: Of a scorecard that learnt from declined applications too, what they were taken for.
        monotone: Of XGBoost, the way that risk must move with a feature.
    """

    candidates: int | None = None
    parameters: dict[str, float | int | str] | None = None
    calibration: Calibration | None = None
    log_loss: float | None = None
    left_out: dict[str, str] | None = None
    own_cards: list[OwnCard] | None = None
    manual_bins: dict[str, BinsReview] | None = None
    rejects: InferredOutcomes | None = None
    monotone: dict[str, str] | None = None


class TrainingReport(FamilyReport, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The whole report; None where a model was not trained on rows, such as one that is put together by hand.

    Args:
        rows: Rows that it learnt from.
        rows_available: Rows of the training sample.
        bads: Bads among ``rows``.
        dataset: Hex SHA-256 of the feature table.
        seed: Seed of all draws.
        reference: Distributions of its out-of-fold points and of its inputs.
        bins: Of trees, bins of each feature with their rows in training.
        folds: The folds in words.
        auc: Mean AUC of the folds.
        auc_sd: Its standard deviation over the folds.
        auc_by_fold: AUC of each fold.
        tested: Rows that a fold tested.
    """

    rows: int | None = None
    rows_available: int | None = None
    bads: int | None = None
    dataset: str | None = None
    seed: int | None = None
    reference: Reference | None = None
    bins: list[Binning] | None = None
    folds: str | None = None
    auc: float | None = None
    auc_sd: float | None = None
    auc_by_fold: list[float] | None = None
    tested: int | None = None
