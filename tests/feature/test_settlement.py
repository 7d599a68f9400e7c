"""When an instalment is settled: each rule by an example, and both engines against a slow reference."""

import datetime
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from components.credit.config import Target
from components.credit.features.engine import connect
from components.credit.features.onerow.history import History
from components.feature.target import label_query
from tests.feature.histories import PERU, Row, Rows, arrow, batch, columns, instalment, row
from tests.feature.settlement_reference import day_of, instalments

Label = Callable[..., str]
Features = Callable[[Rows], Row]
AS_OF = "2024-06-30"
DUES = ("2023-02-10", "2023-03-10", "2023-04-10")


def lent(*events: Row) -> Rows:
    own = row("loans", "2023-01-10", loan_id="own", application_id="a1", term_days=90)
    application = row("applications", "2023-01-10", loan_id="own", amount=300)
    return {"applications": [application], "loans": [own], "repayments": list(events)}


def due(number: int, day: str, amount: float | None = 100, at: str | None = None, **changes: object) -> Row:
    about = {"loan_id": "own", "kind": "due", "instalment": number, "due_on": day, "amount": amount}
    return row("repayments", at or day, **{**about, **changes})


def event(kind: str, day: str, amount: float | None = 100, number: int | None = 1, **changes: object) -> Row:
    return row("repayments", day, **{"loan_id": "own", "kind": kind, "instalment": number, "amount": amount, **changes})


def punctual(*numbers: int) -> list[Row]:
    """The loan of three instalments, each paid on its due day; of some numbers only."""
    return [
        made
        for number, day in enumerate(DUES, 1)
        if not numbers or number in numbers
        for made in instalment("own", number, day, day)
    ]


GOOD = {
    "as agreed": punctual(),
    "a fee, charged and paid months later": [
        *punctual(), event("fee", "2023-06-01", 1), event("payment", "2023-06-01", 1)
    ],
    "a fee that stands as a due row": [*punctual(), due(1, "2023-02-10", 1, at="2023-06-01")],
    "a fee that is never paid": [*punctual(), event("fee", "2023-06-01", 30)],
    "an amount that is raised after it was paid": [*punctual(), due(1, "2023-02-10", 130, at="2023-06-01")],
    "a second receipt": [*punctual(), event("payment", "2023-06-01", 5)],
    "booked, taken back and booked again": [
        *punctual(), event("payment", "2023-06-01", -100), event("payment", "2023-06-01", 100)
    ],
    "a marked reversal and a new booking": [
        *punctual(), event("reversal", "2023-06-01"), event("payment", "2023-06-01")
    ],
    "booked again before it was taken back": [
        *punctual(), event("payment", "2023-02-20"), event("reversal", "2023-06-01")
    ],
    "nothing due, no payment": [due(1, DUES[0], 0), *punctual(2, 3)],
    "the schedule twice, the later one known later": [
        *punctual(), *[due(number, day, at="2023-01-20") for number, day in enumerate(DUES, 1)]
    ],
    "the schedule twice, in versions": [
        *punctual(), *[due(number, day, 90, schedule_version=2) for number, day in enumerate(DUES, 1)]
    ],
    "moved to July": [*punctual(1, 2), due(3, DUES[2]), due(3, "2023-07-10"), event("payment", "2023-07-10", number=3)],
    "moved to July, as was known in March": [
        *punctual(1, 2), due(3, DUES[2], at="2023-01-10"), due(3, "2023-07-10", at="2023-03-20"),
        event("payment", "2023-07-10", number=3),
    ],
    "in parts": [due(1, DUES[0]), event("payment", "2023-02-01", 40), event("payment", "2023-02-20", 59.5)],
    "payments without number": [
        *[due(number, day) for number, day in enumerate(DUES, 1)],
        *[event("payment", day, number=None) for day in DUES],
    ],
    "all paid at once, without number": [
        *[due(number, day) for number, day in enumerate(DUES, 1)], event("payment", "2023-02-10", 300, None)
    ],
    "payments that name the due day alone": [
        *[due(number, day) for number, day in enumerate(DUES, 1)],
        *[event("payment", day, number=None, due_on=day) for day in DUES],
    ],
    "lowered to what was paid": [due(1, DUES[0]), event("payment", DUES[0], 60), due(1, DUES[0], 60, at="2023-02-20")],
    "instalments that the new schedule drops": [
        *punctual(1), due(2, DUES[1], at="2023-01-10"), due(3, DUES[2], at="2023-01-10"),
        due(2, "2023-05-10", 220, at="2023-03-01", schedule_version=1), event("payment", "2023-05-10", 220, 2),
    ],
}  # fmt: skip


@pytest.mark.parametrize("events", GOOD.values(), ids=list(GOOD))
def test_a_loan_repaid_as_agreed_is_good_and_never_late(label: Label, features: Features, events: list[Row]):
    assert label(lent(*events), AS_OF) == "good"
    later = row("applications", "2024-06-30", application_id="a2", amount=100)
    made = features({**lent(*events), "applications": [later]})
    assert made["peak_days_late"] <= 10  # of the one that is paid in parts
    assert made["open_late_instalments"] == 0


BAD = {
    "taken back for good": [*punctual(), event("reversal", "2023-02-20")],
    "taken back, and paid in May": [*punctual(), event("payment", "2023-02-20", -100), event("payment", "2023-05-01")],
    "a part": [*punctual(1, 2), due(3, DUES[2]), event("payment", DUES[2], 98)],
    "moved once it was late": [
        *punctual(1, 2), due(3, DUES[2], at="2023-01-10"), due(3, "2023-07-10", at="2023-06-20"),
        event("payment", "2023-07-10", number=3),
    ],
    "the last of three without number": [
        *[due(number, day) for number, day in enumerate(DUES, 1)],
        *[event("payment", day, number=None) for day in DUES[1:]],
    ],
}  # fmt: skip


@pytest.mark.parametrize("events", BAD.values(), ids=list(BAD))
def test_what_was_late_stays_late(label: Label, events: list[Row]):
    assert label(lent(*events), AS_OF) == "bad"


def test_a_reversal_after_the_window_decides_nothing(label: Label):
    assert label(lent(*punctual(), event("reversal", "2024-03-01")), AS_OF) == "good"


UNCLEAR = {
    "two rows of one instalment": [*punctual(), due(2, DUES[1])],
    "more taken back than paid": [*punctual(1, 2), due(3, DUES[2]), event("payment", DUES[2], -100, 3)],
    "payments without number and amount": [
        *[due(number, day) for number, day in enumerate(DUES, 1)], event("payment", DUES[0], None, None)
    ],
}  # fmt: skip


@pytest.mark.parametrize("events", UNCLEAR.values(), ids=list(UNCLEAR))
def test_what_cannot_be_told_has_no_label(label: Label, events: list[Row]):
    assert label(lent(*events), AS_OF) == "unlabelled"


def _life(draw: random.Random) -> list[Row]:
    """A loan of legal events: schedule and its versions, payments in parts, corrections, reversals, fees, a closing."""
    start = datetime.date(2023, 1, 10)
    numbered, events = draw.random() < 0.8, []

    def on(day: datetime.date, kind: str, amount: Any, number: int | None, **changes: Any) -> Row:
        about = {"instalment": number, "due_on": None, "schedule_version": None, **changes}
        return row("repayments", day.isoformat(), loan_id="own", kind=kind, amount=amount, **about)

    for number in range(1, draw.randrange(2, 6)):
        when = start + datetime.timedelta(days=30 * number)
        amount = draw.choice([100, 100, 100, 0]) if draw.random() < 0.9 or not numbered else None
        known = draw.choice([when, when, start]).isoformat()
        events.append(on(when, "due", amount, number, due_on=when, known_at=known))
        if numbered and draw.random() < 0.25:  # moved, or at another amount
            moved = when + datetime.timedelta(days=draw.choice([0, 15, 120]))
            late = draw.choice([moved, when + datetime.timedelta(days=draw.randrange(-20, 100))])
            version = draw.choice([None, 1])
            if late.isoformat() > known:
                events.append(on(moved, "due", draw.choice([100, 60, 130, 0]), number, due_on=moved,
                                 known_at=late.isoformat(), schedule_version=version))  # fmt: skip
        for _ in range(draw.choice([0, 1, 1, 1, 2, 3])):
            day = when + datetime.timedelta(days=draw.randrange(-10, 100))
            paid = None if draw.random() < 0.1 and numbered else draw.choice([100, 100, 99, 50, 5, 300])
            events.append(on(day, "payment", paid, number if numbered else None))
            if draw.random() < 0.3:
                back = day + datetime.timedelta(days=draw.choice([0, 1, 40]))
                if paid is None or draw.random() < 0.5:
                    events.append(on(back, "reversal", paid, number if numbered else None))
                else:
                    events.append(on(back, "payment", -paid, number if numbered else None))
                if draw.random() < 0.6:
                    again = back + datetime.timedelta(days=draw.choice([0, 0, 30]))
                    events.append(on(again, "payment", paid, number if numbered else None))
        if draw.random() < 0.15:
            day = when + datetime.timedelta(days=draw.randrange(0, 90))
            events.append(on(day, "fee", draw.choice([1, 30]), number))
    if draw.random() < 0.15:
        events.append(on(start + datetime.timedelta(days=draw.randrange(60, 250)), "closing", None, None))
    return draw.sample(events, len(events))


def _known(events: list[Row], application: Row) -> list[Row]:
    return [each for each in events if each["known_at"] <= application["decided_at"]]


def _expected(events: list[Row], until: datetime.date) -> Row:
    found = instalments(events)
    days = []
    for each in found:
        last = each.settled or (until if each.due < until else None)
        known = [each.late_before, (last - each.due).days if last else None]
        days.append(max((day for day in known if day is not None), default=None))
    late = [max(day, 0) for day in days if day is not None]
    still = [(until - each.due).days for each in found if not each.settled and each.due < until]
    return {
        "instalments_known": len(late),
        "peak_days_late": max(late, default=None),
        "mean_days_to_due": sum(day for day in days if day is not None) / len(late) if late else None,
        "mean_days_late": sum(late) / len(late) if late else None,
        "current_days_late": max(still, default=0),
        "open_late_instalments": len(still),
    }


@pytest.fixture(scope="module")
def engine() -> History:
    """The engine of one application."""
    return History(PERU)


@settings(max_examples=8, deadline=None, derandomize=True, phases=[Phase.generate])
@given(seed=st.integers(0, 2**32))
def test_both_engines_agree_with_a_slow_reference(engine: History, seed: int):
    draw = random.Random(seed)
    loan = row("loans", "2023-01-10", loan_id="own")
    rows: Rows = {"applications": [], "loans": [], "repayments": []}
    expected = []
    for number in range(40):
        at = (datetime.date(2023, 1, 20) + datetime.timedelta(days=draw.randrange(500))).isoformat()
        application = row("applications", at, application_id=f"a{number:02}", borrower_id=f"b{number}", amount=100)
        events = _life(draw)
        mine = {"borrower_id": f"b{number}", "loan_id": f"own{number}"}
        own = {
            "applications": [application],
            "loans": [{**loan, **mine}],
            "repayments": [{**each, **mine} for each in events],
        }
        known = _known(events, application)
        if not any(each["kind"] == "due" for each in known):
            continue
        expected.append((events, _expected(known, day_of(application["decided_at"]))))
        made = engine.features_of(columns(arrow(own, PERU)))
        assert {name: made[name] for name in expected[-1][1]} == expected[-1][1], events
        for name, of in own.items():
            rows[name] += of
    for made, (events, wanted) in zip(batch(arrow(rows, PERU), PERU).to_pylist(), expected, strict=True):
        assert {name: made[name] for name in wanted} == wanted, events


@settings(max_examples=6, deadline=None, derandomize=True, phases=[Phase.generate])
@given(seed=st.integers(0, 2**32))
def test_labels_agree_with_a_slow_reference(seed: int):
    draw = random.Random(seed)
    rows: Rows = {"applications": [], "loans": [], "repayments": []}
    expected = {}
    until = datetime.date(2023, 1, 10) + datetime.timedelta(days=150)
    for number in range(60):
        mine = {"borrower_id": f"b{number}", "loan_id": f"own{number}"}
        events = _life(draw)
        rows["applications"].append(row("applications", "2023-01-10", application_id=f"a{number:02}", amount=1, **mine))
        rows["loans"].append(row("loans", "2023-01-10", **mine))
        rows["repayments"] += [{**each, **mine} for each in events]
        within = [
            each
            for each in events
            if day_of(each["event_time"]) <= until
            or (each["kind"] == "due" and min(each["due_on"], day_of(each["known_at"])) <= until)
        ]
        late = []
        for each in instalments(within):
            if each.due <= until or each.late_before:
                past = (min(each.settled or until, until) - each.due).days if each.due <= until else 0
                late.append(max(past, each.late_before or 0, 0))
        paid = sum((each["amount"] or Decimal(0) for each in within if each["kind"] == "payment"), Decimal(0))
        peak = max(late, default=None)
        assert paid >= 0
        expected[f"a{number:02}"] = (
            "unlabelled" if peak is None else "bad" if peak >= 60 else "indeterminate" if peak >= 31 else "good"
        )
    connection = connect(PERU, threads=1, memory="256MB")
    for name, table in arrow(rows, PERU).items():
        connection.register(name, table)
    query = label_query(Target(window_days=150), PERU, "2024-12-31")
    found = dict(connection.sql(query).select("application_id, label").fetchall())
    connection.close()
    assert found == expected
