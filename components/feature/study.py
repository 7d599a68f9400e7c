"""The study that justifies the target: bad rates by definition, roll rates and vintage curves, as counts.

It follows each loan that an application led to, by the same days past due as the label: the peak, as far as it was
known on the as-of day. Applications that are out of scope are left out. All loans that are old enough count, also those
that the target calls indeterminate and those that neither train nor test.
"""
# ruff: noqa: S608 - the SQL is made of numbers, days and the module's own names, never of a text from outside

import datetime

import duckdb

from components.credit.config import Target
from components.credit.features.notes import DefinitionCount, RollCount, StudyNote, VintageCount
from components.credit.features.recipe import Recipe
from components.feature.target import loan_steps, named, repayments_known

BAD_DAYS = (15, 30, 60, 90)
WINDOW_DAYS = (180, 270, 365)
# Least peak days past due of each bucket, and its name; SBS ends its classes at 8, 30 and 60.
BUCKETS = ((0, "0"), (1, "1–8"), (9, "9–30"), (31, "31–60"), (61, "61–90"), (91, "over 90"))
_MONTHS = 24
_OUTCOMES = ("worse", "same", "better", "refinanced")


def follow_loans(connection: duckdb.DuckDBPyConnection, target: Target, recipe: Recipe, as_of: str) -> None:
    """Add to the table ``followed`` what became of the loans of the partition whose tables are registered.

    A row an application: ``decided_day``; ``first_due`` (first instalment's due date), ``late_<days>`` (the day on
    which it became so many days past due), ``refinanced_on`` and ``charged_off_on``, each null where it did not happen;
    ``peak_first`` and ``peak_second`` (peak days past due in each half of the window).
    """
    if not repayments_known(recipe):
        return
    thresholds = sorted({*BAD_DAYS, target.bad_days})
    # An instalment is open on the day after the half's last one where it was settled later, or never.
    late = ", ".join(
        f"least(min(CASE WHEN coalesce(settled_on - due_on >= {days}, TRUE) THEN due_on + {days} END), "
        f"min(CASE WHEN late_before >= {days} THEN moved_from + {days} END)) AS late_{days}"
        for days in thresholds
    )
    reached = ", ".join(f"min(s.late_{days}) AS late_{days}" for days in thresholds)
    steps = loan_steps(target, recipe, as_of, beyond=True) | {
        "halved": f"""
            SELECT *, until - {target.window_days - target.window_days // 2} AS half FROM settled
        """,
        "lateness": f"""
            SELECT row, nth, min(due_on) AS first_due, {late},
                max(CASE WHEN due_on <= half THEN greatest(least(coalesce(settled_on, half), half) - due_on, 0) END)
                    AS peak_first,
                max(CASE WHEN due_on <= until AND coalesce(settled_on > half, TRUE)
                    THEN greatest(least(coalesce(settled_on, until), until) - due_on, 0) END) AS peak_second
            FROM halved GROUP BY row, nth
        """,
    }
    found = f"""WITH {named(steps)}
        SELECT a.decided_day, min(s.first_due) AS first_due, {reached},
            least(min(e.refinanced_on), min(r.refinanced_on)) AS refinanced_on,
            min(e.charged_off_on) AS charged_off_on,
            max(s.peak_first) AS peak_first, coalesce(max(s.peak_second), 0) AS peak_second
        FROM loan l
        JOIN application a ON a.row = l.row AND coalesce(a.decision, 'approved') = 'approved'
        LEFT JOIN excluded x ON x.row = l.row
        LEFT JOIN lateness s ON s.row = l.row AND s.nth = l.nth
        LEFT JOIN ending e ON e.row = l.row AND e.nth = l.nth
        LEFT JOIN renewed r ON r.row = l.row
        WHERE x.exclusion IS NULL
        GROUP BY l.row, a.decided_day
        HAVING min(s.first_due) IS NOT NULL OR min(e.charged_off_on) IS NOT NULL
    """
    connection.execute(f"CREATE TABLE IF NOT EXISTS followed AS {found} LIMIT 0")
    connection.sql(found).insert_into("followed")


def study(connection: duckdb.DuckDBPyConnection, target: Target, recipe: Recipe, as_of: str) -> StudyNote:
    """What the loans in ``followed`` say of the target."""
    half = target.window_days // 2
    if not repayments_known(recipe):
        why = "The lender gives outcomes without loans or repayments, so the target cannot be studied."
        return StudyNote(why, 0, [], half, [], [])
    [(loans,)] = connection.execute("SELECT count(*) FROM followed").fetchall()
    if not loans:
        why = "No application's own loan has repayments, so the target cannot be studied."
        return StudyNote(why, 0, [], half, [], [])
    return StudyNote(
        "",
        loans,
        definition_counts(connection, target, as_of),
        half,
        roll_counts(connection, target, as_of),
        vintage_counts(connection, target, as_of),
    )


def definition_counts(connection: duckdb.DuckDBPyConnection, target: Target, as_of: str) -> list[DefinitionCount]:
    """Loans whose window has passed, and the bads among them, by definition of bad.

    A charged-off loan is bad by every definition, and a refinanced one where the target says so.
    """
    counts = []
    for bad_days in sorted({*BAD_DAYS, target.bad_days}):
        for window in sorted({*WINDOW_DAYS, target.window_days}):
            n, bads = connection.execute(f"""
                SELECT count(*), count_if({_bad_on(target, bad_days)} <= decided_day + {window}) FROM followed
                WHERE decided_day + {window + target.maturity_days} <= DATE '{as_of}'
                    AND (first_due <= decided_day + {window} OR charged_off_on <= decided_day + {window})
            """).fetchall()[0]
            configured = (bad_days, window) == (target.bad_days, target.window_days)
            counts.append(DefinitionCount(bad_days, window, n, bads, configured))
    return counts


def roll_counts(connection: duckdb.DuckDBPyConnection, target: Target, as_of: str) -> list[RollCount]:
    """Of the loans in each bucket of peak days past due in the window's first half: where the second half's peak lay.

    A loan counts as refinanced where that happened in the second half, which hides what would have come. A charged-off
    loan counts as over 90; one that was refinanced in the first half cannot be followed. Loans without an instalment in
    the first half are left out.
    """
    half, window = target.window_days // 2, target.window_days
    rows = connection.execute(f"""
        SELECT from_, CASE WHEN to_ < {len(BUCKETS) - 1} AND refinanced_on <= decided_day + {window} THEN 'refinanced'
            WHEN to_ > from_ THEN 'worse' WHEN to_ = from_ THEN 'same' ELSE 'better' END AS outcome, count(*)
        FROM (
            SELECT *, {_bucket("peak_first", half)} AS from_, {_bucket("peak_second", window)} AS to_ FROM followed
            WHERE decided_day + {window + target.maturity_days} <= DATE '{as_of}'
                AND coalesce(refinanced_on > decided_day + {half}, TRUE)
                AND (peak_first IS NOT NULL OR charged_off_on <= decided_day + {half})
        )
        GROUP BY ALL
    """).fetchall()
    counts = {(place, outcome): count for place, outcome, count in rows}
    buckets = []
    for place, (_, name) in enumerate(BUCKETS):
        of = {outcome: counts.get((place, outcome), 0) for outcome in _OUTCOMES}
        if any(of.values()):
            buckets.append(RollCount(bucket=name, n=sum(of.values()), **of))
    return buckets


def vintage_counts(connection: duckdb.DuckDBPyConnection, target: Target, as_of: str) -> list[VintageCount]:
    """Loans that had become bad by each month since the decision, by quarter of the decision.

    Months are of 365/12 days, 1 to 24; only those that have passed for the whole quarter are counted.
    """
    rows: list[tuple[datetime.date, int | None, int]] = connection.execute(f"""
        SELECT CAST(date_trunc('quarter', decided_day) AS DATE) AS quarter,
            CASE WHEN bad_on IS NOT NULL THEN greatest(CAST(ceil((bad_on - decided_day) * 12 / 365) AS INTEGER), 1)
                END AS month,
            count(*)
        FROM (SELECT decided_day, {_bad_on(target, target.bad_days)} AS bad_on FROM followed)
        GROUP BY ALL ORDER BY ALL
    """).fetchall()
    today = datetime.date.fromisoformat(as_of)
    counts = []
    for quarter in sorted({quarter for quarter, _, _ in rows}):
        month_of = {month: count for day, month, count in rows if day == quarter}
        last = _quarter_after(quarter) - datetime.timedelta(days=1)
        bads = 0
        for month in range(1, _MONTHS + 1):
            passed = last + datetime.timedelta(days=month * 365 // 12 + target.maturity_days)
            if passed > today:
                break
            bads += month_of.get(month, 0)
            vintage = f"{quarter.year}Q{quarter.month // 3 + 1}"
            counts.append(VintageCount(vintage, sum(month_of.values()), month, bads))
    return counts


def _bad_on(target: Target, bad_days: int) -> str:
    """SQL of the day on which a loan became bad; null where it did not."""
    refinanced = ", refinanced_on" if target.refinanced_is_bad else ""
    return f"least(late_{bad_days}, charged_off_on{refinanced})"


def _bucket(peak: str, days: int) -> str:
    """SQL of the place of a peak among the buckets, so many days after the decision."""
    cases = " ".join(f"WHEN {peak} >= {least} THEN {place}" for place, (least, _) in reversed([*enumerate(BUCKETS)]))
    return f"CASE WHEN charged_off_on <= decided_day + {days} THEN {len(BUCKETS) - 1} {cases} END"


def _quarter_after(quarter: datetime.date) -> datetime.date:
    return (quarter.replace(day=1) + datetime.timedelta(days=93)).replace(day=1)
