"""The target: what became of each application's loan, as far as it was known on the as-of day.

good           performed through the whole window
bad            peak days past due, a write-off, a court case or a refinancing within the window
indeterminate  between the two; neither trains nor tests
unlabelled     declined, not disbursed, not yet matured, nothing known of its instalments, or unclear: a row of its loan
               is in quarantine, or its rows contradict each other (``settlement.UNCLEAR``)
out_of_scope   left out by ``target.exclusions``, whatever became of it

Days past due are the peak within the performance window: an instalment counts from the day it was due to the day it
was paid, or to the window's end. Paying up or closing the loan later resets nothing. A loan counts as matured once its
whole window has passed (and ``target.maturity_days``), also a bad one: the early bads of a young vintage, without its
goods, would make it look worse than it is.
"""
# ruff: noqa: S608 - the SQL is made of numbers and the contract's names, never of a text from outside

import datetime
from zoneinfo import ZoneInfo

import duckdb

from components.credit.book.contract import ATTRIBUTE_PREFIX, CATEGORY, TABLES
from components.credit.config import Exclusion, Limits, Target
from components.credit.errors import GateStopped, InputError, nearest
from components.credit.features.query import text_of
from components.credit.features.recipe import Recipe
from components.credit.features.settlement import POOLED, SETTLEMENT, TAKEN_BACK, TWO_ROWS, UNCLEAR, event
from components.credit.progress import Progress

QUARANTINED = "a row in quarantine"
_REMEDIES = {
    QUARANTINED: "see the quarantine of loans and repayments and mend its rows at their source",
    TAKEN_BACK: "map payments that are taken back as negative amounts or as kind 'reversal', each beside its payment",
    TWO_ROWS: "map repayments.schedule_version or known_at, by which the later row counts, and fees as kind 'fee'",
    POOLED: "map repayments.instalment of payments, or the amounts",
}
LABELS = ("good", "bad", "indeterminate", "unlabelled", "out_of_scope")


def label_query(target: Target, recipe: Recipe, as_of: str, *, doubtful: bool = False) -> str:
    """SQL of the label of every application that was decided by the as-of day.

    It runs on a connection of ``features.query.connect`` where the tables are registered by name.

    Args:
        target: What a bad loan is.
        recipe: What to know of the lender.
        as_of: As-of day, YYYY-MM-DD.
        doubtful: Whether there is a table ``doubtful_loans`` with the ``loan_id`` of each loan of which validate put a
            row in quarantine.

    Returns:
        SQL with the columns application_id, borrower_id, decided_at, decided_day, label, exclusion (its code) and
        unclear (why a loan that is old enough has no label).

    Raises:
        InputError: An exclusion names a column that there is not, or that holds no text.
    """
    end = _end_of(as_of, recipe)
    steps = loan_steps(target, recipe, as_of)
    if repayments_known(recipe):
        steps["performance"] = _PERFORMANCE
        steps["unclear"] = UNCLEAR + (_DOUBTFUL if doubtful else "")
        steps["doubt"] = "SELECT row, min(why) AS why FROM unclear GROUP BY row"
    else:
        steps["performance"] = (
            "SELECT row, CAST(NULL AS INTEGER) AS peak, FALSE AS refinanced, FALSE AS reprogrammed, "
            "FALSE AS charged_off FROM application"
        )
        steps["doubt"] = "SELECT row, CAST(NULL AS VARCHAR) AS why FROM application LIMIT 0"
    refinanced = "bad" if target.refinanced_is_bad else "indeterminate"
    return f"""WITH {named(steps)}
        SELECT application_id, borrower_id, decided_at, decided_day, CASE
            WHEN exclusion IS NOT NULL THEN 'out_of_scope'
            WHEN outcome IS NOT NULL THEN
                CASE WHEN coalesce(outcome_known_at < {end}, TRUE) THEN outcome ELSE 'unlabelled' END
            WHEN decision IN ('declined', 'withdrawn') THEN 'unlabelled'
            WHEN until + {target.maturity_days} > DATE '{as_of}' THEN 'unlabelled'
            WHEN why IS NOT NULL THEN 'unlabelled'
            WHEN charged_off OR peak >= {target.bad_days} THEN 'bad'
            WHEN refinanced THEN '{refinanced}'
            WHEN peak >= {target.indeterminate_days} OR reprogrammed THEN 'indeterminate'
            WHEN peak IS NOT NULL THEN 'good'
            ELSE 'unlabelled' END AS label, exclusion,
            CASE WHEN exclusion IS NULL AND outcome IS NULL AND coalesce(decision, 'approved') = 'approved'
                AND until + {target.maturity_days} <= DATE '{as_of}' THEN why END AS unclear
        FROM application LEFT JOIN performance USING (row) LEFT JOIN excluded USING (row)
            LEFT JOIN doubt USING (row)"""


def unclear_loans(connection: duckdb.DuckDBPyConnection, limits: Limits, progress: Progress) -> dict[str, int]:
    """Loans in ``labels`` that are old enough and have no label since their rows cannot be believed, by reason.

    Raises:
        GateStopped: They are too many.
    """
    found = connection.execute(
        "SELECT unclear, count(*) FROM labels WHERE unclear IS NOT NULL GROUP BY unclear ORDER BY unclear"
    ).fetchall()
    for why, rows in found:
        progress.warn(f"{rows:,} loans of applications have no label, since their repayments are unclear: {why}.")
    [(labelled,)] = connection.execute(
        "SELECT count(*) FROM labels WHERE label IN ('good', 'bad', 'indeterminate')"
    ).fetchall()
    rows = sum(each for _, each in found)
    if rows > limits.unclear_share * (rows + labelled):
        often, most = max(found, key=lambda each: each[1])
        raise GateStopped(
            f"{rows:,} of {rows + labelled:,} loans that are old enough for a label are unclear, most often by "
            f"'{often}' ({most:,}); {_REMEDIES[often]}, or raise limits.unclear_share above {limits.unclear_share:g}."
        )
    return dict(found)


def repayments_known(recipe: Recipe) -> bool:
    """Whether the lender gives what became of its loans."""
    return not {"loans", "repayments"} & set(recipe.absent)


def loan_steps(target: Target, recipe: Recipe, as_of: str, *, beyond: bool = False) -> dict[str, str]:
    """SQL of what is known on the as-of day of the loans that applications led to, a name for each step.

    ``application`` holds each application with the window's end ``until``, ``excluded`` the exclusion that it falls
    under, ``loan`` its loans. Where repayments are known, ``settled`` holds their instalments with the day on which
    each was due and settled, ``ending`` and ``renewed`` how they ended. ``beyond`` follows them to
    the as-of day, not to the window's end.

    Raises:
        InputError: An exclusion names a column that there is not, or that holds no text.
    """
    end = _end_of(as_of, recipe)
    steps = {
        "application": _application(target, end),
        "loan": _loan(recipe, end),
        "excluded": _excluded(target.exclusions, recipe),
    }
    if repayments_known(recipe):
        steps |= {
            "all_event": event(f"JOIN loan l ON r.loan_id = l.loan_id AND r.known_at < {end}", "l.until"),
            "event": "SELECT * FROM all_event" if beyond else _WITHIN,
            **SETTLEMENT,
            "renewed": _renewed(end),
        }
    return steps


def named(steps: dict[str, str]) -> str:
    """The steps as the common table expressions of one query."""
    return ",\n".join(f"{name} AS ({sql})" for name, sql in steps.items())


def _end_of(as_of: str, recipe: Recipe) -> str:
    """The end of the as-of day in the lender's zone, as SQL: what is known at or after it does not exist yet."""
    after = datetime.date.fromisoformat(as_of) + datetime.timedelta(days=1)
    midnight = datetime.datetime.combine(after, datetime.time(), ZoneInfo(recipe.time_zone))
    return f"TIMESTAMPTZ '{midnight.isoformat()}'"


def _application(target: Target, end: str) -> str:
    return f"""
        SELECT row_number() OVER (ORDER BY application_id) AS row, application_id, borrower_id, decided_at,
            local_day(decided_at) AS decided_day, decided_day + {target.window_days} AS until, decision, loan_id,
            outcome, outcome_known_at
        FROM applications
        WHERE decided_at < {end} AND known_at < {end}
    """


def _loan(recipe: Recipe, end: str) -> str:
    """SQL of the loans that were disbursed for an application, whichever of the two tables says so."""
    found = "SELECT row, loan_id, until FROM application WHERE loan_id IS NOT NULL"
    if "loans" not in recipe.absent:
        found += f""" UNION
            SELECT a.row, l.loan_id, a.until
            FROM loans l JOIN application a ON l.application_id = a.application_id AND l.known_at < {end}
        """
    return f"SELECT *, row_number() OVER (PARTITION BY row ORDER BY loan_id) AS nth FROM ({found})"


def _excluded(exclusions: list[Exclusion], recipe: Recipe) -> str:
    """SQL of the exclusion that each excluded application falls under: the first that fits."""
    if not exclusions:
        return "SELECT row, CAST(NULL AS VARCHAR) AS exclusion FROM application LIMIT 0"
    found = []
    for place, exclusion in enumerate(exclusions):
        table, _, column = exclusion.column.partition(".")
        _check_column(exclusion, table, column, recipe)
        joined = "application a JOIN applications t USING (application_id)"
        if table == "loans":
            joined = "loan a JOIN loans t USING (loan_id)"
        values = ", ".join(text_of(value) for value in exclusion.values)
        found.append(
            f"SELECT a.row, {place} AS place, {text_of(exclusion.code)} AS code FROM {joined} "
            f'WHERE t."{column}" IN ({values})'
        )
    return f"SELECT row, arg_min(code, place) AS exclusion FROM ({' UNION ALL '.join(found)}) GROUP BY row"


def _check_column(exclusion: Exclusion, table: str, column: str, recipe: Recipe) -> None:
    place = f"target.exclusions, '{exclusion.code}'"
    if table in recipe.absent:
        raise InputError(f"{place}: the mapping calls the table '{table}' absent; name a column of applications.")
    known = {field.name for field in TABLES[table].fields if field.type == CATEGORY}
    if table == "applications":
        known |= {ATTRIBUTE_PREFIX + name for name, each in recipe.attributes.items() if each.type == "category"}
    if column not in known:
        raise InputError(f"{place}: {table} has no column of text '{column}'{nearest(column, known) or '.'}")


def _renewed(end: str) -> str:
    """SQL of the days on which another loan replaced one of the application's."""
    return f"""
        SELECT l.row, min(CASE WHEN n.kind = 'refinanced' THEN local_day(n.event_time) END) AS refinanced_on,
            min(CASE WHEN n.kind = 'reprogrammed' THEN local_day(n.event_time) END) AS reprogrammed_on
        FROM loans n
        JOIN loan l ON n.replaces_loan_id = l.loan_id AND n.known_at < {end}
        GROUP BY l.row
    """


# What happens after the window, or is known after it of instalments that fall due after it, decides nothing.
_WITHIN = """
    SELECT * FROM all_event WHERE day <= until OR (kind = 'due' AND least(due_on, known_day) <= until)
"""

_DOUBTFUL = f"""
    UNION ALL
    SELECT l.row, l.nth, '{QUARANTINED}' FROM loan l SEMI JOIN doubtful_loans USING (loan_id)
"""

_PERFORMANCE = """
    SELECT l.row, max(s.peak) AS peak,
        coalesce(bool_or(e.refinanced_on <= l.until), FALSE) OR coalesce(bool_or(r.refinanced_on <= l.until), FALSE)
            AS refinanced,
        coalesce(bool_or(r.reprogrammed_on <= l.until), FALSE) AS reprogrammed,
        coalesce(bool_or(e.charged_off_on <= l.until), FALSE) AS charged_off
    FROM loan l
    LEFT JOIN (
        SELECT row, nth, max(greatest(
            CASE WHEN due_on <= until THEN least(coalesce(settled_on, until), until) - due_on END, late_before, 0
        )) AS peak
        FROM settled
        WHERE due_on <= until OR late_before > 0
        GROUP BY row, nth
    ) s ON s.row = l.row AND s.nth = l.nth
    LEFT JOIN ending e ON e.row = l.row AND e.nth = l.nth
    LEFT JOIN renewed r ON r.row = l.row
    GROUP BY l.row
"""
