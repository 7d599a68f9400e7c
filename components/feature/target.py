"""The target: what became of each application's loan, as far as it was known on the as-of day.

good           performed through the whole window
bad            peak days past due, a write-off, a court case or a refinancing within the window
indeterminate  between the two; neither trains nor tests
unlabelled     declined, not disbursed, not yet matured, or nothing known of its instalments
out_of_scope   left out by ``target.exclusions``, whatever became of it

Days past due are the peak within the performance window: an instalment counts from the day it was due to the day it
was paid, or to the window's end. Paying up or closing the loan later resets nothing. A loan counts as matured once its
whole window has passed (and ``target.maturity_days``), also a bad one: the early bads of a young vintage, without its
goods, would make it look worse than it is.
"""
# ruff: noqa: S608 - the SQL is made of numbers and the contract's names, never of a text from outside

import datetime
from zoneinfo import ZoneInfo

from components.credit.book.contract import ATTRIBUTE_PREFIX, CATEGORY, TABLES
from components.credit.config import Exclusion, Target
from components.credit.errors import InputError, nearest
from components.credit.features.query import text_of
from components.credit.features.recipe import Recipe
from components.credit.features.repayments import ENDING, INSTALMENT, SETTLED

LABELS = ("good", "bad", "indeterminate", "unlabelled", "out_of_scope")


def label_query(target: Target, recipe: Recipe, as_of: str) -> str:
    """SQL of the label of every application that was decided by the as-of day.

    It runs on a connection of ``features.query.connect`` where the tables are registered by name.

    Args:
        target: What a bad loan is.
        recipe: What to know of the lender.
        as_of: As-of day, YYYY-MM-DD.

    Returns:
        SQL with the columns application_id, borrower_id, decided_at, decided_day, label, exclusion (its code).

    Raises:
        InputError: An exclusion names a column that there is not, or that holds no text.
    """
    end = _end_of(as_of, recipe)
    steps = loan_steps(target, recipe, as_of)
    if repayments_known(recipe):
        steps["performance"] = _PERFORMANCE
    else:
        steps["performance"] = (
            "SELECT row, CAST(NULL AS INTEGER) AS peak, FALSE AS refinanced, FALSE AS reprogrammed, "
            "FALSE AS charged_off FROM application"
        )
    refinanced = "bad" if target.refinanced_is_bad else "indeterminate"
    return f"""WITH {named(steps)}
        SELECT application_id, borrower_id, decided_at, decided_day, CASE
            WHEN exclusion IS NOT NULL THEN 'out_of_scope'
            WHEN outcome IS NOT NULL THEN
                CASE WHEN coalesce(outcome_known_at < {end}, TRUE) THEN outcome ELSE 'unlabelled' END
            WHEN decision IN ('declined', 'withdrawn') THEN 'unlabelled'
            WHEN until + {target.maturity_days} > DATE '{as_of}' THEN 'unlabelled'
            WHEN charged_off OR peak >= {target.bad_days} THEN 'bad'
            WHEN refinanced THEN '{refinanced}'
            WHEN peak >= {target.indeterminate_days} OR reprogrammed THEN 'indeterminate'
            WHEN peak IS NOT NULL THEN 'good'
            ELSE 'unlabelled' END AS label, exclusion
        FROM application LEFT JOIN performance USING (row) LEFT JOIN excluded USING (row)"""


def repayments_known(recipe: Recipe) -> bool:
    """Whether the lender gives what became of its loans."""
    return not {"loans", "repayments"} & set(recipe.absent)


def loan_steps(target: Target, recipe: Recipe, as_of: str) -> dict[str, str]:
    """SQL of what is known on the as-of day of the loans that applications led to, a name for each step.

    ``application`` holds each application with the window's end ``until``, ``excluded`` the exclusion that it falls
    under, ``loan`` its loans. Where repayments are known, ``settled`` holds their instalments with the day on which
    each was due and settled, ``ending`` and ``renewed`` how they ended.

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
            "event": _event(end),
            "instalment": INSTALMENT,
            "ending": ENDING,
            "settled": SETTLED,
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


def _event(end: str) -> str:
    return f"""
        SELECT l.row, l.nth, l.until, r.kind, r.due_on, local_day(r.event_time) AS day, r.amount,
            coalesce(r.instalment, r.due_on - DATE '1900-01-01') AS number
        FROM repayments r JOIN loan l ON r.loan_id = l.loan_id AND r.known_at < {end}
    """


def _renewed(end: str) -> str:
    """SQL of the days on which another loan replaced one of the application's."""
    return f"""
        SELECT l.row, min(CASE WHEN n.kind = 'refinanced' THEN local_day(n.event_time) END) AS refinanced_on,
            min(CASE WHEN n.kind = 'reprogrammed' THEN local_day(n.event_time) END) AS reprogrammed_on
        FROM loans n
        JOIN loan l ON n.replaces_loan_id = l.loan_id AND n.known_at < {end}
        GROUP BY l.row
    """


_PERFORMANCE = """
    SELECT l.row, max(s.peak) AS peak,
        coalesce(bool_or(e.refinanced_on <= l.until), FALSE) OR coalesce(bool_or(r.refinanced_on <= l.until), FALSE)
            AS refinanced,
        coalesce(bool_or(r.reprogrammed_on <= l.until), FALSE) AS reprogrammed,
        coalesce(bool_or(e.charged_off_on <= l.until), FALSE) AS charged_off
    FROM loan l
    LEFT JOIN (
        SELECT row, nth, max(greatest(least(coalesce(settled_on, until), until) - due_on, 0)) AS peak
        FROM settled
        WHERE due_on <= until
        GROUP BY row, nth
    ) s ON s.row = l.row AND s.nth = l.nth
    LEFT JOIN ending e ON e.row = l.row AND e.nth = l.nth
    LEFT JOIN renewed r ON r.row = l.row
    GROUP BY l.row
"""
