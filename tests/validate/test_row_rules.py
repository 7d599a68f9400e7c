"""A row that breaks a rule goes to quarantine, and so is not scored in a batch; the service refuses it too."""

import datetime
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from components.credit.book import row_rules
from components.credit.errors import InputError
from components.credit.features.recipe import Recipe
from components.scorer.document import decision_time, read_document, tables_of
from components.validate.quarantine import Checked

Row = dict[str, Any]
RECIPE = Recipe(currency="PEN", time_zone="America/Lima", absent=[], attributes={}, rates=[])
SECTIONS = {"applications": "application", "borrowers": "borrower"}
GIVEN = {  # the columns of a sound row that a document holds
    "borrowers": ("birth_month", "sex"),
    "loans": ("loan_id", "event_time", "principal", "kind"),
    "repayments": ("loan_id", "event_time", "kind", "amount"),
    "bureau": ("event_time", "lenders"),
    "transactions": ("event_time", "direction", "kind", "amount"),
    "applications": ("event_time", "decided_at"),
}

BROKEN = [
    ("bureau", {"known_at": "2024-04-30"}, "known_at: before event_time"),
    ("loans", {"known_at": "2024-04-30"}, "known_at: before event_time"),
    ("applications", {"event_time": "2024-05-03", "known_at": "2024-05-03"}, "decided_at: before event_time"),
    ("applications", {"amount": Decimal("900.00"), "total_due": Decimal("899.99")}, "total_due: less than amount"),
    ("loans", {"total_due": Decimal("1499.99")}, "total_due: less than principal"),
    ("borrowers", {"birth_month": datetime.date(2024, 3, 1)}, row_rules.TOO_YOUNG),
    ("borrowers", {"birth_month": datetime.date(2010, 3, 1)}, row_rules.TOO_YOUNG),
    ("borrowers", {"birth_month": datetime.date(1900, 1, 1)}, f"birth_month: {row_rules.OUTSIDE}"),
    ("borrowers", {"business_since": datetime.date(2024, 7, 1)}, "business_since: after the as-of day"),
    ("repayments", {"due_on": datetime.date(24, 3, 15)}, f"due_on: {row_rules.SHORT_YEAR}"),
    ("repayments", {"kind": "due", "amount": Decimal("-1.00")}, row_rules.NEGATIVE),
    ("repayments", {"event_time": "2022-05-01"}, row_rules.BEFORE_LOAN),
]


def document(table: str, row: Row, make: Callable[..., Row]) -> Row:
    """An application with one row of a table that is as given."""
    made: Row = {"application": _json("applications", make("applications")) | {"amount": 900, "term_days": 90}}
    if table == "repayments":
        made["loans"] = [_json("loans", make("loans"))]
    given = _json(table, row)
    if table in SECTIONS:
        made[SECTIONS[table]] = made.get(SECTIONS[table], {}) | given
    else:
        made[table] = [given]
    return made


def _json(table: str, row: Row) -> Row:
    names = {*GIVEN[table], "known_at", "due_on", "business_since", "total_due", "amount"} - {"borrower_id"}
    if table == "borrowers":
        names -= {"known_at"}
    return {
        name: value.isoformat()
        if isinstance(value, datetime.date)
        else str(value)
        if isinstance(value, Decimal)
        else value
        for name, value in row.items()
        if name in names
    }


def scored(made: Row) -> None:
    """Read an application as the service does before it scores it."""
    read = read_document(json.dumps(made).encode())
    tables_of(read, RECIPE, decision_time(read))


@pytest.mark.parametrize(("table", "changes", "reason"), BROKEN)
def test_a_broken_row_is_neither_clean_nor_scored(
    check: Callable[..., Checked],
    read: Callable[..., list[Row]],
    row: Callable[..., Row],
    table: str,
    changes: Row,
    reason: str,
) -> None:
    tables = {name: [row(name)] for name in ("borrowers", "loans", "repayments", "bureau", "transactions")}
    tables["applications"] = [row("applications"), row("applications", application_id="other")]
    tables[table] = [row(table, **changes), *tables[table][1:]]
    if table == "borrowers":
        tables["borrowers"].append(row("borrowers", event_time="2024-04-01"))
    checked = check(tables, limit=1)
    assert [found["reasons"] for found in read(checked.quarantine, table)] == [[reason]]
    with pytest.raises(InputError):
        scored(document(table, row(table, **changes), row))
    scored(document(table, row(table), row))  # as it was, the row is scored
