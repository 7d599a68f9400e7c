"""The study of the target as the report tells it: the feature stage's counts, as shares with Wilson's intervals."""

from msgspec import Struct

from components.credit import metrics
from components.credit.features.notes import DefinitionCount, RollCount, StudyNote, VintageCount

SHOWN_MONTHS = (3, 6, 9, 12, 18, 24)
_NONE = StudyNote("The feature table was made without a study of the target; make it again.", 0, [], None, [], [])


class Definition(Struct, frozen=True, forbid_unknown_fields=True):
    """The bad rate by one definition of bad, with its interval; None of no loans."""

    bad_days: int
    bads: int
    configured: bool
    n: int
    window_days: int
    bad_rate: float | None
    bad_rate_low: float | None
    bad_rate_high: float | None


class RollRate(Struct, frozen=True, forbid_unknown_fields=True):
    """Of ``n`` loans in a bucket of peak days past due, the shares that went each way, each with its interval."""

    bucket: str
    n: int
    worse: float | None
    worse_low: float | None
    worse_high: float | None
    same: float | None
    same_low: float | None
    same_high: float | None
    better: float | None
    better_low: float | None
    better_high: float | None
    refinanced: float | None
    refinanced_low: float | None
    refinanced_high: float | None


class VintagePoint(Struct, frozen=True, forbid_unknown_fields=True):
    """The bad rate of a quarter of decisions by the end of a month since, with its interval."""

    bads: int
    month: int
    n: int
    vintage: str
    bad_rate: float
    bad_rate_low: float
    bad_rate_high: float


class Study(Struct, frozen=True, forbid_unknown_fields=True):
    """The study of the target.

    Args:
        why: Why there is none; empty where there is one.
        loans: Loans followed.
        definitions: Bad rates by definition of bad.
        roll_days: Days of the window's first half; None without a study.
        roll_rates: Shares by bucket.
        vintages: Bad rates by quarter and month.
    """

    why: str
    loans: int
    definitions: list[Definition]
    roll_days: int | None
    roll_rates: list[RollRate]
    vintages: list[VintagePoint]


def study_of(note: StudyNote | None, confidence: float) -> Study:
    """The study that came with the feature table, its counts as shares."""
    note = note or _NONE
    return Study(
        why=note.why,
        loans=note.loans,
        definitions=[_definition(row, confidence) for row in note.definitions],
        roll_days=note.roll_days,
        roll_rates=[_roll_rate(row, confidence) for row in note.roll_rates],
        vintages=[_vintage_point(row, confidence) for row in note.vintages if row.n],
    )


def definition_table(study: Study) -> tuple[list[int], list[tuple[int, list[Definition]]]]:
    """Windows of the columns, and for each number of bad days its definitions in that order."""
    windows = sorted({row.window_days for row in study.definitions})
    days = sorted({row.bad_days for row in study.definitions})
    return windows, [(bad_days, [row for row in study.definitions if row.bad_days == bad_days]) for bad_days in days]


def vintage_table(study: Study) -> tuple[list[int], list[tuple[str, int, dict[int, VintagePoint]]]]:
    """Months of the columns, and for each vintage its loans and what is known of it by month, the latest first."""
    months = [month for month in SHOWN_MONTHS if any(row.month == month for row in study.vintages)]
    by_vintage: dict[str, dict[int, VintagePoint]] = {}
    for row in study.vintages:
        by_vintage.setdefault(row.vintage, {})[row.month] = row
    return months, [(name, by_month[1].n, by_month) for name, by_month in sorted(by_vintage.items(), reverse=True)]


def _definition(row: DefinitionCount, confidence: float) -> Definition:
    return Definition(
        bad_days=row.bad_days,
        window_days=row.window_days,
        n=row.n,
        bads=row.bads,
        configured=row.configured,
        **metrics.share("bad_rate", row.bads, row.n, confidence),
    )


def _roll_rate(row: RollCount, confidence: float) -> RollRate:
    return RollRate(
        bucket=row.bucket,
        n=row.n,
        **metrics.share("worse", row.worse, row.n, confidence),
        **metrics.share("same", row.same, row.n, confidence),
        **metrics.share("better", row.better, row.n, confidence),
        **metrics.share("refinanced", row.refinanced, row.n, confidence),
    )


def _vintage_point(row: VintageCount, confidence: float) -> VintagePoint:
    return VintagePoint(
        vintage=row.vintage,
        n=row.n,
        month=row.month,
        bads=row.bads,
        **metrics.share_of_some("bad_rate", row.bads, row.n, confidence),
    )
