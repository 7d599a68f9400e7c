"""One application of the test set with its raw history, as the document that ``POST /v1/score`` takes."""

import datetime
from decimal import Decimal
from typing import Any

import pyarrow.compute as pc
import pyarrow.dataset as ds

from components.credit.book.contract import ATTRIBUTE_PREFIX
from components.credit.book.manifest import Manifest
from components.credit.book.store import Store
from components.credit.errors import InputError

_HISTORY = ("loans", "repayments", "bureau", "transactions")
_DECIDED_LATER = {"decision", "loan_id", "outcome", "outcome_known_at"}


def example_document(features: Manifest, clean: Manifest, store: Store) -> dict[str, Any]:
    """The first bad of the test set, by application: a case whose reasons are worth reading.

    Args:
        features: Manifest of the feature table.
        clean: Manifest of the clean tables that it was made from.
        store: The store that holds both.

    Returns:
        The document as plain JSON values, with the rows that were known when the application was decided.

    Raises:
        InputError: The test set holds no bad.
    """
    tested = store.table(features, "features").to_table(
        columns=["application_id"], filter=(ds.field("sample") == "test") & (ds.field("bad") == 1)
    )
    if not tested.num_rows:
        raise InputError("The test set holds no bad, so there is no example to score.")
    chosen = pc.min(tested["application_id"]).as_py()
    application = _rows(clean, "applications", ds.field("application_id") == chosen, store)[0]
    borrower = application.pop("borrower_id")
    known = (ds.field("borrower_id") == borrower) & (ds.field("known_at") <= application["decided_at"])
    document: dict[str, Any] = {
        "application": {
            name: plain(value)
            for name, value in application.items()
            if name not in _DECIDED_LATER and not name.startswith(ATTRIBUTE_PREFIX)
        },
        "attributes": {
            name.removeprefix(ATTRIBUTE_PREFIX): plain(value)
            for name, value in application.items()
            if name.startswith(ATTRIBUTE_PREFIX)
        },
    }
    for table in ("borrowers", *_HISTORY):
        if table not in clean.tables:
            continue
        rows = sorted(_rows(clean, table, known, store), key=lambda row: row["event_time"])
        told = [{name: plain(value) for name, value in row.items() if name != "borrower_id"} for row in rows]
        if table == "borrowers" and told:
            document["borrower"] = told[-1]
        elif table != "borrowers":
            document[table] = told
    loans = {loan["loan_id"] for loan in document.get("loans", [])}
    if "repayments" in document:
        document["repayments"] = [row for row in document["repayments"] if row["loan_id"] in loans]
    return document


def _rows(manifest: Manifest, table: str, filter_: ds.Expression, store: Store) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = store.table(manifest, table).to_table(filter=filter_).to_pylist()
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def plain(value: object) -> object:
    """A value as JSON has it: times and days in ISO format, amounts as text."""
    if isinstance(value, datetime.datetime | datetime.date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value
