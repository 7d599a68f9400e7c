"""Whatever rows come in, each comes out once: clean where a plain reading of the contract says so, else quarantined."""

import datetime
import math
import string
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from components.credit.book.contract import TABLES, Field, Table
from components.credit.book.manifest import Manifest
from components.validate.quarantine import Checked

Row = dict[str, Any]
NAMES = ("borrowers", "loans", "repayments", "applications")
LAST_DAY = datetime.date(2024, 6, 30)
FIRST_AFTER = datetime.datetime(2024, 7, 1, 5, tzinfo=datetime.UTC)  # midnight in Lima after the as-of day

_SPECIAL: dict[str, st.SearchStrategy[Any]] = {
    "borrower_id": st.sampled_from(["ana", "eva", "luz"]),
    "loan_id": st.sampled_from(["l1", "l2", "l3"]),
    "repayment_id": st.sampled_from([f"r{n}" for n in range(9)]),
    "application_id": st.sampled_from([f"a{n}" for n in range(9)]),
}
_TIMES = st.sampled_from([datetime.datetime(2024, 5, day, tzinfo=datetime.UTC) for day in (1, 2)]) | st.datetimes(
    datetime.datetime(2024, 6, 29), datetime.datetime(2024, 7, 3), timezones=st.just(datetime.UTC)
)


def values(field: Field) -> st.SearchStrategy[Any]:
    """Values of a column, most of which keep its rules."""
    if field.name in _SPECIAL:
        some = _SPECIAL[field.name]
    elif field.allowed:
        some = st.sampled_from([*field.allowed * 4, "other thing"])
    elif pa.types.is_timestamp(field.type):
        some = _TIMES
    elif field.name == "birth_month":
        some = st.dates(datetime.date(2008, 6, 20), datetime.date(2008, 7, 10))
    elif pa.types.is_date(field.type):
        some = st.dates(datetime.date(2024, 6, 1), datetime.date(2024, 7, 5))
    elif pa.types.is_decimal(field.type):
        some = st.decimals(Decimal("-0.05"), Decimal(10**6), places=2)
    elif pa.types.is_integer(field.type):
        some = st.integers(-1, 20_000)
    elif pa.types.is_floating(field.type):
        some = st.floats(-1, 30) | st.sampled_from([math.nan, math.inf])
    elif pa.types.is_boolean(field.type):
        some = st.booleans()
    else:
        some = st.text(string.printable, max_size=3)
    return st.one_of(*[some] * 12, st.none()) if field.required else st.none() | some


ROWS = st.fixed_dictionaries(
    {
        name: st.lists(
            st.fixed_dictionaries(
                {field.name: values(field) for field in TABLES[name].fields if field.required},
                optional={field.name: values(field) for field in TABLES[name].fields if not field.required},
            ),
            max_size=6,
        )
        for name in NAMES
    }
)


def keeps_the_rules(table: Table, row: Row) -> bool:
    """Whether a row keeps the contract by itself."""
    for field in table.fields:
        value = row.get(field.name)
        if value is None:
            if field.required:
                return False
            continue
        if isinstance(value, float) and not math.isfinite(value):
            return False
        if field.allowed and value not in field.allowed:
            return False
        if field.minimum is not None and value < Decimal(str(field.minimum)):
            return False
        if field.maximum is not None and value > field.maximum:
            return False
    late = [row[name] for name in ("event_time", "decided_at") if name in row and row[name] >= FIRST_AFTER]
    late += [row[name] for name in ("business_since",) if (row.get(name) or LAST_DAY) > LAST_DAY]
    young = (row.get("birth_month") or datetime.date.min) > datetime.date(2008, 7, 1)
    negative = (row.get("amount") or 0) < 0 and row.get("kind") != "payment"
    pairs = [("known_at", "event_time"), ("decided_at", "event_time"), ("outcome_known_at", "decided_at"),
             ("total_due", "principal"), ("total_due", "amount")]  # fmt: skip
    held = [(row.get(column), row.get(least)) for column, least in pairs]
    backwards = any(value is not None and least is not None and value < least for value, least in held)
    return not (late or young or backwards or negative)


def expected(tables: dict[str, list[Row]]) -> dict[str, list[int]]:
    """Numbers of the rows of each table that are clean."""
    clean: dict[str, list[int]] = {}
    for name in NAMES:
        table, clean[name], seen = TABLES[name], [], set()
        for number, row in enumerate(tables[name], start=1):
            parents = [target.split(".") for target in table.references.values()]
            known = all(
                any(tables[parent][n - 1][column] == row[column] for n in clean[parent]) for parent, column in parents
            )
            key = tuple(row[column] for column in table.key)
            if keeps_the_rules(table, row) and known and key not in seen:
                clean[name].append(number)
                seen.add(key)
    return clean


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # an example takes half a second: a failure is shown as it was found
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(tables=ROWS, partitions=st.integers(1, 2))
def test_every_row_is_clean_or_in_quarantine_with_reasons(
    check: Callable[..., Checked],
    read: Callable[[Manifest, str], list[Row]],
    tables: dict[str, list[Row]],
    partitions: int,
) -> None:
    sound = {"borrower_id": "eva", "event_time": FIRST_AFTER - datetime.timedelta(days=9)}
    sound |= {"known_at": sound["event_time"], "decided_at": sound["event_time"], "currency": "PEN"}
    tables["borrowers"].append({name: sound[name] for name in ("borrower_id", "event_time", "known_at")})
    tables["applications"].append({**sound, "application_id": "sound"})
    checked = check(tables, partitions=partitions)
    for name, numbers in expected(tables).items():
        bad = read(checked.quarantine, name)
        assert sorted(row["source_row"] for row in bad) == sorted(set(range(1, len(tables[name]) + 1)) - set(numbers))
        assert all(row["reasons"] for row in bad)
        columns = TABLES[name].schema.names
        clean = [{column: tables[name][number - 1].get(column) for column in columns} for number in numbers]
        assert read(checked.clean, name) == clean or partitions > 1
        assert len(read(checked.clean, name)) == len(clean)
