"""The decision: which model becomes the champion, why, and how it is to be released.

The evaluate stage makes it, and its JSON travels in the signed manifest of the model. ``Decision`` types what later
stages read and refuses any other field, so that a misspelt field stops a release instead of loosening it. The sections
that the report and the tables alone read belong to the evaluate stage; here they are JSON that nobody decodes.
"""

from pathlib import Path
from typing import Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from components.credit.config import Exclusion, Rule
from components.credit.errors import InputError


class ChosenModel(Struct, frozen=True, forbid_unknown_fields=True):
    """The model that won: its family, and its version (first 12 hex of the SHA-256 over the saved model)."""

    family: str
    version: str


class Bilingual(Struct, frozen=True, forbid_unknown_fields=True):
    """One text in English and in Spanish."""

    en: str
    es: str


class Criteria(Struct, frozen=True, forbid_unknown_fields=True):
    """The policy that the decision follows.

    Args:
        margin: AUC by which a challenger must beat the scorecard.
        confidence: Confidence of all intervals and tests.
        approval_share: Share of applications that each cut-off was set to approve.
        person_decides: Whether a person must confirm each decision on an application.
        policy: The hard rules whose columns the feature table has, whatever day they hold on.
        policy_without_column: Codes of the rules whose columns it lacks.
    """

    margin: float
    confidence: float
    approval_share: float
    person_decides: bool
    policy: list[Rule]
    policy_without_column: list[str]


class ReleaseTerms(Struct, frozen=True, forbid_unknown_fields=True):
    """How the champion is released: whether somebody must approve it first, and how it is rolled out on a cluster."""

    approval: bool
    strategy: Literal["blue_green", "rolling"]


class TargetTerms(Struct, frozen=True, forbid_unknown_fields=True):
    """What counts as bad; the fields are those of ``config.Target``, none of which may be missing here."""

    bad_days: int
    indeterminate_days: int
    window_days: int
    maturity_days: int
    refinanced_is_bad: bool
    exclusions: list[Exclusion]


class Data(Struct, frozen=True, forbid_unknown_fields=True):
    """The feature table: its hex SHA-256, its as-of day (YYYY-MM-DD), and the revision of the code that made it."""

    features: str
    as_of: str
    code: str


class Samples(Struct, frozen=True, forbid_unknown_fields=True):
    """Applications and bads of each sample of the split, by the sample's name."""

    rows: dict[str, int]
    bads: dict[str, int]


class ScoreShift(Struct, frozen=True, forbid_unknown_fields=True):
    """PSI of a model's probability, test sample against training sample.

    Args:
        value: The index, 0 or more.
        critical: What chance alone seldom passes.
        verdict: ``stable``, ``small``, ``moderate`` or ``large``.
        n: Rows of the training sample.
    """

    value: float
    critical: float
    verdict: str
    n: int


class CalibrationBin(Struct, frozen=True, forbid_unknown_fields=True):
    """A tenth of the test sample by probability: its mean probability and its bad rate with Jeffreys' interval."""

    n: int
    bads: int
    predicted: float
    observed: float
    low: float
    high: float


class Grade(Struct, frozen=True, forbid_unknown_fields=True):
    """A band of the test sample: its mean probability, and its bad rate with Jeffreys' interval and backtest.

    Args:
        band: ``A`` (safest) to ``E``.
        n: Its rows.
        bads: The bads among them.
        predicted: Their mean probability of bad.
        observed: Their bad rate.
        low: Lower end of its interval.
        high: Upper end of its interval.
        p_value: Small where risk was understated.
        light: ``green``, ``amber`` (p below 1 - confidence) or ``red`` (below a fifth of that).
    """

    band: str
    n: int
    bads: int
    predicted: float
    observed: float
    low: float
    high: float
    p_value: float | None
    light: str


class FeatureShare(Struct, frozen=True, forbid_unknown_fields=True):
    """A feature with its names, and its share in the mean absolute contribution to a model's scores."""

    name: str
    en: str
    es: str
    share: float


class CrossValidation(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the decision repeats of a model's training report; None where the report lacks it.

    Args:
        rows: Training rows.
        bads: The bads among them.
        folds: The folds in words.
        auc: Mean AUC of the folds.
        auc_sd: Its standard deviation over the folds.
        tested: Rows that a fold tested.
    """

    rows: int | None = None
    bads: int | None = None
    folds: str | None = None
    auc: float | None = None
    auc_sd: float | None = None
    tested: int | None = None


class Figures(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Figures of a model on the test sample at its own cut-off; ``_low`` and ``_high`` end the interval of each.

    An end is None where the samples of borrowers give no number; the calibration line is left out where the rows give
    none.
    """

    n: int
    bads: int
    cutoff: float
    cutoff_points: int
    auc: float
    auc_low: float
    auc_high: float
    gini: float
    gini_low: float
    gini_high: float
    ks: float
    ks_low: float
    ks_high: float
    brier: float
    brier_low: float | None
    brier_high: float | None
    log_loss: float
    log_loss_low: float | None
    log_loss_high: float | None
    accuracy: float
    accuracy_low: float | None
    accuracy_high: float | None
    precision: float
    precision_low: float | None
    precision_high: float | None
    recall: float
    recall_low: float | None
    recall_high: float | None
    f1: float
    f1_low: float | None
    f1_high: float | None
    approval_rate: float
    approval_rate_low: float | None
    approval_rate_high: float | None
    predicted_bad_rate: float
    bad_rate: float
    calibration_slope: float | None = None
    calibration_slope_low: float | None = None
    calibration_slope_high: float | None = None
    calibration_intercept: float | None = None
    calibration_intercept_low: float | None = None
    calibration_intercept_high: float | None = None


class JudgedModel(Figures, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A model with its figures on the test sample.

    Args:
        version: Its version.
        psi: Shift of its score since training; None without training rows.
        calibration: Tenths of the test sample, the safest first.
        grades: The bands that have rows.
        features: The features that move its scores most, at most twelve.
        training: Of its training report.
    """

    version: str
    psi: ScoreShift | None
    calibration: list[CalibrationBin]
    grades: list[Grade]
    features: list[FeatureShare]
    training: CrossValidation


class DecisionCore(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The part of the decision that later stages read.

    Args:
        champion: The model that won.
        reason: Why, in one sentence.
        rule: The policy that it followed.
        release: How the champion is released.
        target: What counts as bad.
        data: The feature table.
        samples: Rows and bads of each sample.
        models: Each model with its figures, by family; the champion's among them.
    """

    champion: ChosenModel
    reason: Bilingual
    rule: Criteria
    release: ReleaseTerms
    target: TargetTerms
    data: Data
    samples: Samples
    models: dict[str, JudgedModel]


_Section = Raw | UnsetType


class Decision(DecisionCore, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The decision as later stages take it: its own part typed, the sections of the report as JSON.

    A decision of before a section was introduced lacks it.
    """

    approvals: _Section = UNSET
    checks: _Section = UNSET
    exclusions: _Section = UNSET
    fairness: _Section = UNSET
    history_starts: _Section = field(default=UNSET, name="beginnings")
    inclusion: _Section = UNSET
    leakage: _Section = UNSET
    left_out: _Section = UNSET
    money: _Section = UNSET
    own_cards: _Section = UNSET
    random_split: _Section = UNSET
    rejects: _Section = UNSET
    rules: _Section = UNSET
    segments: _Section = UNSET
    split: _Section = UNSET
    stability: _Section = UNSET
    strategy: _Section = UNSET
    study: _Section = UNSET
    swaps: _Section = UNSET
    tests: _Section = UNSET
    unclear: _Section = UNSET


def read_decision(path: str) -> Decision:
    """The decision in a JSON file of the evaluate stage.

    Raises:
        InputError: It is not a decision, lacks a field or has one that is not known, which the sentence names.
    """
    try:
        compact = msgspec.json.format(Path(path).read_bytes(), indent=-1)
        return msgspec.json.decode(compact, type=Decision)
    except msgspec.DecodeError as error:
        raise InputError(
            f"The decision {path} is not one that this code reads ({error}); run the evaluate stage again."
        ) from error
