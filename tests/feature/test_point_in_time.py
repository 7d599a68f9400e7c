"""Features see nothing of the future, and are the same bits whichever way they are made."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from components.credit.book.contract import TABLES
from components.credit.features.query import dictionary
from tests.feature.batch import Batch
from tests.feature.histories import PERU, Row, Rows, arrow, batch, instalment, moment, row

HISTORY = ("borrowers", "loans", "repayments", "bureau", "transactions")
FEATURES = {feature.name for feature in dictionary(PERU)}
KINDS = TABLES["transactions"].field("kind").allowed


@pytest.fixture(scope="module")
def book() -> Rows:
    """Forty borrowers with up to three applications each, and a history before, between and after them."""
    rng = random.Random(11)
    rows: Rows = {name: [] for name in TABLES}
    first = moment("2021-01-01T00:00")

    def day(low: int = 0, high: int = 1200) -> str:
        return (first + timedelta(days=rng.randrange(low, high), minutes=rng.randrange(1440))).isoformat()[:16]

    def later(at: str, most: int) -> str:
        return (moment(at) + timedelta(days=rng.randrange(most))).isoformat()[:16]

    for number in range(40):
        who = {"borrower_id": f"b{number:02}"}
        for nth in range(rng.randrange(1, 4)):
            amount = rng.randrange(300, 5000)
            rows["applications"].append(
                row("applications", day(300, 1100), application_id=f"a{number:02}-{nth}", amount=amount,
                    total_due=amount + rng.randrange(50, 900), term_days=rng.choice([30, 180, 360]),
                    declared_income=rng.choice([900, 1500]), declared_expenses=rng.choice([None, 700]),
                    product=rng.choice(["micro", "consumer"]), purpose=rng.choice(["housing", "education"]),
                    channel=rng.choice(["branch", "field"]),
                    incumbent_score=rng.choice([None, 600]), decision=rng.choice(["approved", "declined"]), **who)
            )  # fmt: skip
        for at in [day() for _ in range(rng.randrange(4))]:
            rows["borrowers"].append(
                row("borrowers", at, known_at=later(at, 60), sector=rng.choice(["commerce", "food"]),
                    dependants=rng.randrange(5), birth_month="1985-05-01",
                    employment=rng.choice(["permanent", "temporary"]), education=rng.choice(["primary", "technical"]),
                    marital_status=rng.choice(["single", "married"]), housing=rng.choice(["owned", "rented"]),
                    account_type=rng.choice(["savings", "current"]),
                    business_since=rng.choice(["2012-03-01", "2019-08-01"]), **who)
            )  # fmt: skip
        for nth in range(rng.randrange(5)):
            loan, at = f"l{number:02}-{nth}", day()
            rows["loans"].append(
                row("loans", at, loan_id=loan, term_days=180, total_due=900, principal=800,
                    kind=rng.choice(["new", "new", "refinanced"]), **who)
            )  # fmt: skip
            for each in range(1, 7):
                due = (moment(at) + timedelta(days=30 * each)).date().isoformat()
                paid = later(due, 50) if rng.random() < 0.9 else None
                rows["repayments"] += instalment(loan, each, due, paid, 150, **who)
            for kind in rng.sample(["closing", "refinancing", "write_off"], rng.randrange(2)):
                ended = later(at, 300)
                rows["repayments"].append(
                    row("repayments", ended, known_at=later(ended, 30), loan_id=loan, kind=kind, **who)
                )
        for month in range(rng.choice([0, 0, 24]), rng.randrange(36)):
            at = (first + timedelta(days=31 * month)).isoformat()[:16]
            rows["bureau"].append(
                row("bureau", at, known_at=later(at, 60), lenders=rng.randrange(5), debt=rng.randrange(9000),
                    unused_lines=500, contingent=rng.randrange(900), inquiries=rng.randrange(4),
                    monthly_instalments=rng.randrange(600), worst_class=rng.randrange(4),
                    days_past_due=rng.randrange(40), **who)
            )  # fmt: skip
        first_movement = rng.choice([0, 0, 900])
        for _ in range(rng.choice([0, 15, 60])):
            at = day(first_movement)
            rows["transactions"].append(
                row("transactions", at, known_at=later(at, 20), direction=rng.choice(["in", "out"]),
                    kind=rng.choice(KINDS), amount=rng.randrange(1, 99_999) / 100,
                    balance_after=rng.randrange(-50, 900), due_on=rng.choice([None, at[:10]]), **who)
            )  # fmt: skip
    return rows


def ids(rows: Rows) -> Rows:
    """The rows with the identifiers that ``arrow`` gives by position, so that they stay when rows are shuffled."""
    found = arrow(rows, PERU)
    return {name: found[name].to_pylist() for name in found}


def bits(table: pa.Table) -> dict[str, list[Any]]:
    """The values of each column, floats to their last bit."""
    return {
        name: [value.hex() if isinstance(value, float) else value for value in table[name].to_pylist()]
        for name in table.column_names
    }


def moved(one: pa.Table, other: pa.Table) -> set[str]:
    """Names of the columns in which two answers differ."""
    assert one.schema == other.schema
    ones, others = bits(one), bits(other)
    return {name for name in ones if ones[name] != others[name]}


def test_every_feature_of_the_dictionary_has_several_values_in_the_book(book: Rows):
    made = batch(arrow(book, PERU), PERU)
    constant = [name for name in sorted(FEATURES) if len(pc.unique(made[name])) == 1]
    assert constant == ["foreign_currency"]  # it looks at the application alone; this lender has no rates


def known_by(decided_at: Any, made: Row) -> Row:
    """The row as if it had happened and been known at the decision already, and been due two months before."""
    early = {name: min(made[name], decided_at) for name in ("event_time", "known_at")}
    if made.get("due_on") and made["event_time"] > decided_at:
        early["due_on"] = min(made["due_on"], (decided_at - timedelta(days=60)).date())
    return {**made, **early}


def test_every_feature_of_the_history_would_move_if_the_future_were_known(book: Rows, planned: Batch):
    """The tests below would see a feature that looks ahead: each moves once the future is known at the decision."""
    rows = ids(book)
    found: set[str] = set()
    for application in rows["applications"]:
        own = {name: [each for each in of if each["borrower_id"] == application["borrower_id"]]
               for name, of in rows.items()} | {"applications": [application]}  # fmt: skip
        early = {name: [known_by(application["decided_at"], each) for each in own[name]] for name in HISTORY}
        found |= moved(planned.features_of(arrow(own, PERU)), planned.features_of(arrow({**own, **early}, PERU)))
    of_history = {feature.name for feature in dictionary(PERU) if feature.source in HISTORY}
    assert sorted(of_history - found) == []


def deleted(future: list[Row], _: random.Random) -> list[Row]:
    return []


def shifted(future: list[Row], rng: random.Random) -> list[Row]:
    by = timedelta(days=rng.randrange(1, 400))
    return [{**made, "event_time": made["event_time"] - by, "known_at": made["known_at"] + by} for made in future]


def shuffled(future: list[Row], rng: random.Random) -> list[Row]:
    """Each column but the keys and times is dealt out anew among the rows."""
    fixed = {"event_time", "known_at", "loan_id", "repayment_id", "transaction_id", "borrower_id"}
    names = [name for name in (future[0] if future else {}) if name not in fixed]
    dealt = {name: rng.sample([made[name] for made in future], len(future)) for name in names}
    return [{**made, **{name: dealt[name][index] for name in names}} for index, made in enumerate(future)]


def inflated(future: list[Row], _: random.Random) -> list[Row]:
    return [
        {name: value * 1000 if isinstance(value, Decimal) else value for name, value in made.items()} for made in future
    ]


@pytest.mark.parametrize("change", [deleted, shifted, shuffled, inflated])
def test_no_feature_moves_when_the_future_does(book: Rows, change: Callable[..., list[Row]], planned: Batch):
    rng = random.Random(5)
    rows = ids(book)
    changes = Counter[str]()
    for application in rng.sample(rows["applications"], 12):
        own = {**rows, "applications": [application]}
        changed: Rows = {**own}
        for name in HISTORY:
            future = [made for made in rows[name] if made["known_at"] > application["decided_at"]]
            past = [made for made in rows[name] if made["known_at"] <= application["decided_at"]]
            changes[name] += len(future)
            changed[name] = past + change(future, rng)
        assert not moved(planned.features_of(arrow(own, PERU)), planned.features_of(arrow(changed, PERU)))
    assert all(changes[name] > 0 for name in HISTORY)


def test_a_row_of_the_past_does_move_features(book: Rows, planned: Batch):
    rows = ids(book)
    for name in HISTORY:
        past = [
            (made, application)
            for application in rows["applications"]
            for made in rows[name]
            if made["borrower_id"] == application["borrower_id"]
            and timedelta() <= application["decided_at"] - made["known_at"] < timedelta(days=100)
        ]
        seen = set()
        for made, application in past[:4]:  # a month of the bureau with no debt may move nothing
            own = {**rows, "applications": [application]}
            without = {**own, name: [other for other in rows[name] if other is not made]}
            seen |= moved(planned.features_of(arrow(own, PERU)), planned.features_of(arrow(without, PERU)))
        assert seen, name


def test_what_is_known_at_the_very_decision_counts(planned: Batch):
    application = row("applications", "2024-06-15T10:00", amount=100)
    for known, count in (("2024-06-15T10:00", 1), ("2024-06-15T10:00:00.000001", 0)):
        loan = row("loans", "2024-01-01", known_at=known)
        (made,) = planned.features_of(arrow({"applications": [application], "loans": [loan]}, PERU)).to_pylist()
        assert made["loans_before"] == count


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_neither_order_of_rows_nor_threads_change_a_bit(book: Rows, threads: int):
    rows = arrow(ids(book), PERU)
    rng = random.Random(threads)
    permuted = {name: table.take(rng.sample(range(len(table)), len(table))) for name, table in rows.items()}
    assert not moved(batch(rows, PERU), batch(permuted, PERU, threads))


def test_one_application_in_the_scorer_has_the_bits_of_the_batch(book: Rows, planned: Batch):
    rows = ids(book)
    made = batch(arrow(rows, PERU), PERU, threads=2)
    for index, identifier in enumerate(made["application_id"].to_pylist()):
        (application,) = [each for each in rows["applications"] if each["application_id"] == identifier]
        own = {
            name: [each for each in rows[name] if each["borrower_id"] == application["borrower_id"]] for name in HISTORY
        }
        single = planned.features_of(arrow({**own, "applications": [application]}, PERU))
        assert not moved(single, made.slice(index, 1))


def test_features_that_a_model_does_not_take_change_no_bit_of_the_others(book: Rows, planned: Batch):
    rows = arrow(ids(book), PERU)
    wanted = ["loans_before", "mean_days_late", "bureau_debt_growth", "inflow_variation", "sector"]
    history = Batch(PERU, wanted)
    few, every = history.features_of(rows), planned.features_of(rows)
    history.close()
    assert few.column_names == [name for name in every.column_names if name in wanted or name not in FEATURES]
    assert not moved(few, every.select(few.column_names))


def test_one_call_of_the_scorer_leaves_nothing_to_the_next(planned: Batch):
    application = row("applications", "2024-06-15", amount=100)
    planned.features_of(arrow({"applications": [application], "loans": [row("loans", "2024-01-01")]}, PERU))
    (made,) = planned.features_of(
        {"applications": arrow({"applications": [application]}, PERU)["applications"]}
    ).to_pylist()
    assert made["loans_before"] == 0
