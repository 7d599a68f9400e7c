"""The notes of a feature table: what the feature stage counted and looked for, as its manifest hands it on."""

import msgspec
from msgspec import Struct, field

from components.credit.book.manifest import Manifest
from components.credit.errors import InputError
from components.credit.features.recipe import Recipe


class SplitNote(Struct, frozen=True):
    """How the applications were split.

    Args:
        kind: ``out_of_time``, or how else.
        test_from: First day of the test sample, YYYY-MM-DD; None where the split does not follow time.
        embargo_days: Days before the test sample that are left out.
        reason: Why a dated book is split at random, or empty.
    """

    kind: str
    test_from: str | None
    embargo_days: int | None
    reason: str


class Finding(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A check of the feature stage that exceeds its ``limit``, with its figure and the ``rows`` that it concerns."""

    kind: str
    feature: str | None = None
    auc: float | None = None
    share: float | None = None
    borrowers: int | None = None
    limit: float
    rows: int


class Leak(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A leak that was found and that somebody answers for; each kind has figures of its own.

    Args:
        kind: What was looked for.
        feature: The feature that predicts alone.
        features: Of a clock, the inputs that tell most.
        auc: AUC of the feature, or of the classifier that tells the samples apart.
        auc_low: Lower end of its interval.
        auc_high: Its upper end.
        share: Share of the applications that repeat another's features.
        borrowers: Borrowers on both sides of the split.
        n: Rows that were looked at.
        limit: Value from which on it is a leak.
        rows: Applications concerned.
        place: Where they are listed.
        reason: Why the run went on, as ``limits.leakage_reason`` says.
    """

    kind: str
    feature: str | None = None
    features: list[str] | None = None
    auc: float | None = None
    auc_low: float | None = None
    auc_high: float | None = None
    share: float | None = None
    borrowers: int | None = None
    n: int | None = None
    limit: float
    rows: int | None = None
    place: str | None = None
    reason: str


class Check(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A leak that was looked for, with the figure of its kind, its limit and whether that ``exceeds`` it."""

    kind: str
    feature: str | None = None
    auc: float | None = None
    share: float | None = None
    borrowers: int | None = None
    limit: float
    exceeds: bool


class HistoryStart(Struct, frozen=True):
    """The day on which a table's rows begin, and of ``n`` training applications those decided in the year after it."""

    table: str
    begins: str
    early: int
    n: int


class ExclusionCount(Struct, frozen=True):
    """An exclusion of the target, as the configuration has it, and the applications that it left out."""

    code: str
    column: str
    values: list[str]
    reason: str
    applications: int


class DefinitionCount(Struct, frozen=True):
    """Loans that a definition of bad can judge and the bads among them; ``configured`` marks the target's own."""

    bad_days: int
    window_days: int
    n: int
    bads: int
    configured: bool


class RollCount(Struct, frozen=True):
    """Loans of a bucket of peak days past due in the window's first half, and where the second half's peak lay."""

    bucket: str
    n: int
    worse: int
    same: int
    better: int
    refinanced: int


class VintageCount(Struct, frozen=True):
    """Loans of a quarter of decisions (2024Q1), and those that were bad by the end of a month since."""

    vintage: str
    n: int
    month: int
    bads: int


class StudyNote(Struct, frozen=True):
    """The study of the target, as counts; ``why`` says why there is none.

    Args:
        why: Empty where there is a study.
        loans: Loans followed.
        definitions: By definition of bad.
        roll_days: Days of the window's first half.
        roll_rates: By bucket.
        vintages: By quarter and month.
    """

    why: str
    loans: int
    definitions: list[DefinitionCount]
    roll_days: int | None
    roll_rates: list[RollCount]
    vintages: list[VintageCount]


class FeatureNotes(Struct, frozen=True):
    """The notes of a feature table.

    Args:
        split: The split.
        samples: Applications by sample.
        bads: Bads by sample.
        leakage: Leaks found.
        checks: Leaks looked for.
        left_out: Features that models are not given, with the reason of each.
        history_starts: Where the tables' history begins; ``beginnings`` on disk.
        exclusions: Exclusions of the target.
        unclear: Loans that are old enough for a label and have none, since their rows cannot be believed, by reason;
            empty in a table of before they were counted.
        study: The study of the target; None in a table of before there was one.
        recipe: How the features follow from a borrower's history; None in a table of before it was noted.
    """

    split: SplitNote
    samples: dict[str, int]
    bads: dict[str, int]
    leakage: list[Leak]
    checks: list[Check]
    left_out: dict[str, str]
    history_starts: list[HistoryStart] = field(name="beginnings")
    exclusions: list[ExclusionCount]
    unclear: dict[str, int] = {}
    study: StudyNote | None = None
    recipe: Recipe | None = None


def feature_notes(features: Manifest) -> FeatureNotes:
    """The notes of a feature table.

    Raises:
        InputError: A note is missing or not what it must be, which the sentence names.
    """
    try:
        return msgspec.convert(features.notes, FeatureNotes)
    except msgspec.ValidationError as error:
        raise InputError(
            f"The notes of the feature table {features.prefix} are not those that this code reads ({error}); make the "
            "table again."
        ) from error
