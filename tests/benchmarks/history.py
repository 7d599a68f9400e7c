"""Time of the features of one application with 200 rows of history, beside the batch's engine: decode, wanted, all.

Run: ``python -m tests.benchmarks.history``. Prints the least and the median time, and how many times faster.
"""

import datetime
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

from components.credit.features.onerow.history import History
from components.credit.features.query import dictionary
from components.scorer.document import decision_time, read_document, tables_of
from tests.benchmarks.serving_models import DECIDED, RECIPE
from tests.feature.batch import Batch
from tests.scorer.test_application import tables

DAY = datetime.timedelta(days=1)
WANTED = [feature.name for feature in dictionary(RECIPE) if feature.type == "number"][:40]


def document() -> dict[str, Any]:
    """12 loans, 60 repayments, 24 bureau months and 100 transactions."""
    lent = [DECIDED - (1200 - 95 * number) * DAY for number in range(12)]
    loans = [
        {"loan_id": f"L{place}", "event_time": day.isoformat(), "principal": 1500.5, "total_due": 1800, "term_days": 90,
         "kind": "new"}
        for place, day in enumerate(lent)
    ]  # fmt: skip
    repayments = [
        {"loan_id": f"L{number // 5}", "event_time": (lent[number // 5] + (30 + number % 5 * 15) * DAY).isoformat(),
         "kind": ("due", "payment", "due", "payment", "closing")[number % 5], "instalment": number % 5 // 2 + 1,
         "due_on": (lent[number // 5] + (30 + number % 5 // 2 * 30) * DAY).date().isoformat(), "amount": 600.25}
        for number in range(60)
    ]  # fmt: skip
    bureau = [
        {"event_time": (DECIDED - (20 + 30 * month) * DAY).isoformat(), "lenders": 2, "debt": 4200 + month,
         "unused_lines": 100, "contingent": 0, "monthly_instalments": 310.4, "worst_class": month % 3,
         "days_past_due": month, "inquiries": 1}
        for month in range(24)
    ]  # fmt: skip
    transactions = [
        {"event_time": (DECIDED - number * 3.5 * DAY).isoformat(), "direction": ("in", "out")[number % 2],
         "kind": ("takings", "utility", "wallet", "purchase")[number % 4], "amount": round(20.35 + number, 2),
         "balance_after": 300 - number}
        for number in range(100)
    ]  # fmt: skip
    application = {"application_id": "A", "decided_at": DECIDED.isoformat(), "amount": 2500, "total_due": 3000,
                   "term_days": 360, "channel": "branch", "declared_income": 1800.5}  # fmt: skip
    return {"application": application, "borrower": {"dependants": 2}, "loans": loans, "repayments": repayments,
            "bureau": bureau, "transactions": transactions}  # fmt: skip


def measured(name: str, call: Callable[[], object], runs: int) -> float:
    """Print a call's least and median time in microseconds; gives the median."""
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        call()
        times.append((time.perf_counter() - started) * 1e6)
    print(f"{name:32} min {min(times):9.0f} µs   median {statistics.median(times):9.0f} µs")
    return statistics.median(times)


def main() -> None:
    """Measure, after a check that both engines agree."""
    given = document()
    body = json.dumps(given).encode()
    read = read_document(body)
    rows = tables_of(read, RECIPE, decision_time(read))
    arrow = tables(given, RECIPE)
    measured("decode", lambda: read_document(body), 300)
    measured("checks and exact columns", lambda: tables_of(read, RECIPE, decision_time(read)), 300)
    for name, wanted in (("40 features", WANTED), ("all features", None)):
        one, batch = History(RECIPE, wanted), Batch(RECIPE, wanted)
        (expected,) = batch.features_of(arrow).to_pylist()
        made = one.features_of(rows)
        assert made == {feature: expected[feature] for feature in made}
        fast = measured(name, lambda one=one: one.features_of(rows), 300)  # type: ignore[misc]
        slow = measured(f"{name}, DuckDB", lambda batch=batch: batch.features_of(arrow), 10)  # type: ignore[misc]
        print(f"{name:32} {slow / fast:.0f} times faster")


if __name__ == "__main__":
    main()
