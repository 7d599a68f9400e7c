"""Rows that break the contract go to quarantine with every reason; all others stay."""

import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from components.credit.book import row_rules
from components.credit.book.contract import HISTORY, TABLES
from components.credit.book.manifest import Manifest
from components.credit.book.mapping import Attribute, Mapping, TableSource
from components.credit.book.store import DATA_BUCKET, Store
from components.credit.book.validation import QuarantineReason, RowCounts
from components.credit.errors import GateStopped, StoreError
from components.validate.quarantine import Checked

Row = dict[str, Any]
Check = Callable[..., Checked]
Make = Callable[..., Row]
Read = Callable[[Manifest, str], list[Row]]


@pytest.fixture
def reasons(check: Check, read: Read, row: Make) -> Callable[..., list[str]]:
    """Reasons that one changed row gets beside a sound portfolio."""

    def of(table: str, **changes: Any) -> list[str]:
        tables = {name: [row(name)] for name in ("borrowers", "loans", "applications")}
        tables[table] = [{**row(table), **_new_key(table)}, row(table, **changes)]
        found = read(check(tables).quarantine, table)
        assert [bad["source_row"] for bad in found] == [2] * len(found)
        return [reason for bad in found for reason in bad["reasons"]]

    return of


def _new_key(table: str) -> Row:
    return {"borrower_id": "ana", "event_time": datetime.datetime(2024, 4, 1, tzinfo=datetime.UTC)} | (
        {TABLES[table].key[0]: "first"} if len(TABLES[table].key) == 1 else {}
    )


def test_a_sound_portfolio_stays_whole(check: Check, read: Read, row: Make) -> None:
    checked = check({name: [row(name)] for name in TABLES})
    assert checked.report.rows == {name: RowCounts(1, 1, 0) for name in TABLES}
    assert checked.report.reasons == []
    for name, table in TABLES.items():
        assert list(read(checked.clean, name)[0]) == table.schema.names
        assert read(checked.clean, name)[0].items() >= row(name).items()


@pytest.mark.parametrize(
    ("table", "changes", "reason"),
    [
        ("loans", {"currency": "XXX"}, "currency: not one of PEN, USD, EUR, NGN, TWD, DEM"),
        ("loans", {"currency": None}, "currency: required, but missing"),
        ("loans", {"principal": Decimal("-5.00")}, "principal: less than 0.01"),
        ("loans", {"principal": Decimal("0.00")}, "principal: less than 0.01"),
        ("loans", {"term_days": 18_301}, "term_days: more than 18300"),
        ("applications", {"incumbent_score": float("nan")}, "incumbent_score: not a finite number"),
        ("transactions", {"amount": Decimal("-0.01")}, "amount: less than 0"),
        ("borrowers", {"birth_month": datetime.date(2024, 7, 1)}, "birth_month: after the as-of day"),
        ("borrowers", {"sex": "F"}, "sex: not one of female, male, other"),
        ("bureau", {"event_time": "2024-07-02", "known_at": "2024-07-02"}, "event_time: after the as-of day"),
        ("bureau", {"known_at": "2024-04-30"}, "known_at: before event_time"),
        ("applications", {"decided_at": "2024-04-30"}, "decided_at: before event_time"),
        ("applications", {"decided_at": "2024-07-02"}, "decided_at: after the as-of day"),
        ("repayments", {"due_on": datetime.date(24, 5, 15)}, f"due_on: {row_rules.SHORT_YEAR}"),
        ("repayments", {"due_on": datetime.date(1900, 1, 1)}, f"due_on: {row_rules.OUTSIDE}"),
        ("repayments", {"due_on": datetime.date(2999, 12, 31)}, f"due_on: {row_rules.OUTSIDE}"),
        ("applications", {"outcome_known_at": "2024-05-01"}, "outcome_known_at: before decided_at"),
        ("loans", {"borrower_id": "nobody"}, "borrower_id: no such borrower"),
        ("repayments", {"loan_id": "none"}, "loan_id: no such loan of this borrower"),
    ],
)
def test_a_broken_rule_is_named(reasons: Callable[..., list[str]], table: str, changes: Row, reason: str) -> None:
    assert reasons(table, **changes) == [reason]


@pytest.mark.parametrize(
    ("table", "changes"),
    [
        ("loans", {"principal": Decimal("0.01")}),
        ("loans", {"term_days": 18_300}),
        ("borrowers", {"birth_month": datetime.date(2008, 6, 1)}),
        ("borrowers", {"birth_month": datetime.date(1900, 2, 1)}),
        ("loans", {"total_due": Decimal("1500.00")}),
        ("repayments", {"kind": "payment", "amount": Decimal("-99.10")}),
        ("bureau", {"known_at": "2024-09-01"}),  # published later: no feature may use it, but it is no error
        # The as-of day ends at midnight in Lima, five hours later than in UTC.
        (
            "bureau",
            {name: datetime.datetime(2024, 7, 1, 4, 59, tzinfo=datetime.UTC) for name in ("event_time", "known_at")},
        ),
    ],
)
def test_what_just_keeps_a_rule_stays(reasons: Callable[..., list[str]], table: str, changes: Row) -> None:
    assert reasons(table, **changes) == []


def test_an_application_needs_what_is_decided_about_where_the_lender_has_it(
    check: Check, read: Read, row: Make, lender: Mapping
) -> None:
    rows = [row("applications", amount=Decimal("900.00"), term_days=90)]
    rows += [row("applications", application_id=name, term_days=days) for name, days in (("a2", 90), ("a3", None))]
    tables = {"borrowers": [row("borrowers")], "applications": rows}
    source = TableSource("book", {"amount": "MONTO", "term_days": "PLAZO"})
    mapped = msgspec.structs.replace(lender, tables={"applications": [source]})
    assert [found["reasons"] for found in read(check(tables, mapping=mapped).quarantine, "applications")] == [
        ["amount: required, but missing"],
        ["amount: required, but missing", "term_days: required, but missing"],
    ]
    ready = {"INCOME": Attribute("INCOME", "number", "income", "ingreso")}
    by_attributes = msgspec.structs.replace(mapped, attributes=ready, absent=list(HISTORY))
    for unasked in (lender, by_attributes):
        assert read(check(tables, mapping=unasked).quarantine, "applications") == []


def test_a_row_carries_all_its_reasons_in_the_order_of_its_columns(check: Check, read: Read, row: Make) -> None:
    bad = row("loans", borrower_id="nobody", principal=None, currency="XXX", problems=["principal: not a number"])
    checked = check({"borrowers": [row("borrowers")], "loans": [bad], "applications": [row("applications")]})
    assert read(checked.quarantine, "loans") == [
        {
            **dict.fromkeys(TABLES["loans"].schema.names),
            **bad,
            "source_file": "loans.csv",
            "source_row": 1,
            "reasons": [
                "principal: not a number",
                "currency: not one of PEN, USD, EUR, NGN, TWD, DEM",
                "borrower_id: no such borrower",
            ],
        }
    ]


def test_what_could_not_be_read_is_not_called_missing_too(check: Check, read: Read, row: Make) -> None:
    nothing = dict.fromkeys(TABLES["loans"].schema.names)
    rows = [
        {**nothing, "problems": ["line: has 3 columns instead of 4"]},
        row("loans", event_time=None, known_at=None, problems=["event_time: FECHA is no date like %d/%m/%Y"]),
        row("loans", loan_id="l2", principal=None, problems=["total_due: DEUDA is not a number"]),
    ]
    checked = check({"loans": rows, "applications": [row("applications")]})
    assert [found["reasons"] for found in read(checked.quarantine, "loans")] == [
        ["line: has 3 columns instead of 4"],
        ["event_time: FECHA is no date like %d/%m/%Y"],
        ["total_due: DEUDA is not a number", "principal: required, but missing"],
    ]
    assert {reason.reason.partition(":")[0]: reason.column for reason in checked.report.reasons} == {
        "line": "", "event_time": "event_time", "total_due": "total_due", "principal": "principal"
    }  # fmt: skip


def test_the_first_row_of_a_key_stays(check: Check, read: Read, row: Make) -> None:
    rows = [
        row("loans", source_file="b.csv", source_row=1),
        row("loans", source_file="a.csv", source_row=10),
        row("loans", source_file="a.csv", source_row=9),
    ]
    checked = check({"loans": rows, "applications": [row("applications")]})
    bad = read(checked.quarantine, "loans")
    assert {(found["source_file"], found["source_row"]) for found in bad} == {("b.csv", 1), ("a.csv", 10)}
    assert [found["reasons"] for found in bad] == [["duplicate of an earlier row"]] * 2


def test_a_sound_row_is_no_duplicate_of_a_broken_one(check: Check, read: Read, row: Make) -> None:
    rows = [row("loans", currency="XXX"), row("loans"), row("loans", currency="XXX")]
    checked = check({"loans": rows, "applications": [row("applications")]})
    assert len(read(checked.clean, "loans")) == 1
    assert [(found["source_row"], len(found["reasons"])) for found in read(checked.quarantine, "loans")] == [
        (1, 1),
        (3, 2),
    ]


def test_duplicates_are_found_across_partitions(check: Check, read: Read, row: Make) -> None:
    people = [f"person{n}" for n in range(8)]
    tables = {
        "borrowers": [row("borrowers", borrower_id=person) for person in people],
        "loans": [row("loans", borrower_id=person) for person in people],
        "applications": [row("applications", borrower_id="person0")],
    }
    checked = check(tables, partitions=4)
    assert read(checked.clean, "loans")[0]["borrower_id"] == "person0"
    assert checked.report.rows["loans"] == RowCounts(8, 1, 7)


@pytest.mark.parametrize("partitions", [1, 4])
def test_a_payment_of_another_borrower_than_its_loans_is_told(
    check: Check, read: Read, row: Make, partitions: int
) -> None:
    tables = {
        "borrowers": [row("borrowers", borrower_id=name) for name in ("ana", "eva", "luz", "sol")],
        "loans": [row("loans")],
        "repayments": [row("repayments", repayment_id=name, borrower_id=name) for name in ("ana", "eva", "luz", "sol")],
        "applications": [row("applications")],
    }
    checked = check(tables, partitions=partitions)
    assert [each["borrower_id"] for each in read(checked.clean, "repayments")] == ["ana"]
    assert {str(each["reasons"]) for each in read(checked.quarantine, "repayments")} == {
        "['loan_id: no such loan of this borrower']"
    }


def test_children_of_a_quarantined_row_follow_it(check: Check, read: Read, row: Make) -> None:
    tables = {name: [row(name)] for name in TABLES}
    tables["borrowers"] = [row("borrowers", sex="?")]
    tables["applications"].append(row("applications", application_id="a2", borrower_id="eva"))
    tables["borrowers"].append(row("borrowers", borrower_id="eva"))
    checked = check(tables)
    assert read(checked.quarantine, "repayments")[0]["reasons"] == [
        "loan_id: its loan is in quarantine",
        "borrower_id: its borrower is in quarantine",
    ]
    assert [clean["application_id"] for clean in read(checked.clean, "applications")] == ["a2"]


def test_a_borrower_with_one_sound_row_is_known(check: Check, row: Make) -> None:
    tables = {
        "borrowers": [row("borrowers"), row("borrowers", event_time="2024-04-01", sex="?")],
        "applications": [row("applications")],
    }
    assert check(tables).report.rows["applications"].clean == 1


def test_unknown_borrowers_may_be_kept(check: Check, lender: Mapping, row: Make) -> None:
    tables = {
        "borrowers": [row("borrowers")],
        "loans": [row("loans", borrower_id="nobody")],
        "repayments": [row("repayments", loan_id="none", borrower_id="nobody")],
        "applications": [row("applications", borrower_id="nobody")],
    }
    kept = check(tables, mapping=msgspec.structs.replace(lender, unknown_borrowers="keep"))
    assert {name: counts.clean for name, counts in kept.report.rows.items()} == {
        "borrowers": 1, "loans": 1, "repayments": 0, "applications": 1
    }  # fmt: skip


def test_references_to_absent_tables_are_not_asked(check: Check, row: Make) -> None:
    checked = check({"repayments": [row("repayments")], "applications": [row("applications")]})
    assert checked.report.rows["repayments"].clean == 1
    assert set(checked.clean.tables) == {"repayments", "applications", "doubtful_loans"}


def test_loans_of_which_a_row_is_in_quarantine_are_doubtful(check: Check, read: Read, row: Make) -> None:
    tables = {
        "loans": [row("loans", loan_id=f"l{number}") for number in range(5)]
        + [row("loans", loan_id="l5", replaces_loan_id="l4", currency="XXX")],
        "repayments": [
            row("repayments", repayment_id="r0", loan_id="l0"),
            row("repayments", repayment_id="r0", loan_id="l0"),  # an exact repeat decides nothing
            row("repayments", repayment_id="r1", loan_id="l1", event_time="2024-08-01"),
            row("repayments", repayment_id="r2", loan_id="l2"),
            row("repayments", repayment_id="r3", loan_id="l2", problems=["amount: not a number"]),
        ],
        "applications": [row("applications")],
    }
    checked = check(tables, limit=1)
    assert [found["loan_id"] for found in read(checked.clean, "doubtful_loans")] == ["l1", "l2", "l4", "l5"]
    assert checked.report.doubtful_loans == 4


def test_ready_attributes_stay_with_their_application(check: Check, read: Read, row: Make) -> None:
    attributes = pa.schema([("attribute_income", pa.float64()), ("attribute_class", pa.string())])
    rows = [
        row("applications", attribute_income=1.5, attribute_class="x"),
        row("applications", application_id="a2", attribute_income=None),
        row("applications", application_id="a3", attribute_income=float("inf")),
        row("applications", application_id="a4", problems=["attribute_income: not a number"]),
    ]
    checked = check({"applications": rows}, attributes=attributes)
    clean = read(checked.clean, "applications")
    assert [(found["attribute_income"], found["attribute_class"]) for found in clean] == [(1.5, "x"), (None, None)]
    assert [found["reasons"] for found in read(checked.quarantine, "applications")] == [
        ["attribute_income: not a finite number"],
        ["attribute_income: not a number"],
    ]


def test_the_report_counts_reasons_with_their_first_place(check: Check, row: Make) -> None:
    rows = [row("loans", loan_id=f"l{n}", currency="XXX", source_row=9 - n) for n in range(3)]
    rows += [row("loans"), row("loans", loan_id="l0"), row("loans", loan_id="l0", source_row=6)]
    checked = check({"loans": rows, "applications": [row("applications")]})
    currency = "currency: not one of PEN, USD, EUR, NGN, TWD, DEM"
    assert checked.report.reasons == [
        QuarantineReason("loans", currency, "currency", 3, "loans.csv", 7),
        QuarantineReason("loans", "duplicate of an earlier row", "loan_id", 3, "loans.csv", 6),
    ]


def test_the_report_stands_in_the_notes_of_both_datasets(check: Check, row: Make) -> None:
    checked = check({"loans": [row("loans"), row("loans", source_row=2)], "applications": [row("applications")]})
    assert checked.clean.notes == checked.quarantine.notes == msgspec.to_builtins(checked.report)
    assert checked.clean.notes["rows"] == {
        "applications": {"in": 1, "clean": 1, "quarantined": 0},
        "loans": {"in": 2, "clean": 1, "quarantined": 1},
    }


def test_too_many_broken_rows_stop_the_run(check: Check, store: Store, row: Make) -> None:
    rows = [row("loans", loan_id=f"l{n}", principal=Decimal(-1 if n < 3 else 1)) for n in range(50)]
    before = store.keys(DATA_BUCKET, "clean/")
    with pytest.raises(GateStopped) as stopped:
        check({"loans": rows, "applications": [row("applications")]}, limit=0.05)
    sentence = str(stopped.value)
    for part in (
        "loans: 6.0%",
        "(3 of 50)",
        "'principal: less than 0.01'",
        "loans.csv row 1",
        "limits.quarantined_share",
    ):
        assert part in sentence
    place = sentence.partition("see them in ")[2].partition(", ")[0].removeprefix(f"{DATA_BUCKET}/")
    assert f"{place}/MANIFEST.json" in store.keys(DATA_BUCKET, place)
    assert store.keys(DATA_BUCKET, "clean/") == before


def test_where_most_rows_are_broken_no_limit_is_advised(check: Check, row: Make) -> None:
    rows = [row("loans", loan_id=f"l{n}", principal=Decimal(-1)) for n in range(20)]
    with pytest.raises(GateStopped, match=r"100.0% of the rows .* or see whether the mapping fits") as stopped:
        check({"loans": rows, "applications": [row("applications")]}, limit=0.05)
    assert "quarantined_share" not in str(stopped.value)


def test_a_share_at_the_limit_goes_on(check: Check, row: Make) -> None:
    rows = [row("loans", loan_id=f"l{n}", principal=Decimal(-1 if n < 1 else 1)) for n in range(20)]
    checked = check({"loans": rows, "applications": [row("applications")]}, limit=0.05)
    assert checked.report.rows["loans"].clean == 19


@pytest.mark.parametrize("rows", [[], [{"currency": "XXX"}]], ids=["none", "all broken"])
def test_no_clean_application_stops_the_run(check: Check, row: Make, rows: list[Row]) -> None:
    with pytest.raises(GateStopped, match=r"applications: no row is clean.*quarantine/as_of="):
        check({"borrowers": [row("borrowers")], "applications": [row("applications", **changes) for changes in rows]})


def test_a_row_lost_on_the_way_stops_the_run(check: Check, row: Make) -> None:
    with pytest.raises(StoreError, match=r"loans: ingest read 3 rows, but .* holds 1"):
        check({"loans": [row("loans")], "applications": [row("applications")]}, told={"loans": 3, "applications": 1})


def test_the_same_rows_give_the_same_bytes(check: Check, row: Make) -> None:
    people = [f"person{n}" for n in range(40)]
    tables = {
        "borrowers": [row("borrowers", borrower_id=person) for person in people],
        "transactions": [
            row("transactions", transaction_id=f"t{n % 180}", borrower_id=people[n % 41 % 40]) for n in range(200)
        ],
        "applications": [
            row("applications", application_id=f"a{n}", borrower_id=person) for n, person in enumerate(people)
        ],
    }
    first, second = check(tables, partitions=3), check(tables, partitions=3)
    assert (first.clean.sha256, first.quarantine.sha256) == (second.clean.sha256, second.quarantine.sha256)
    assert [len(table.parts) for table in first.clean.tables.values()] == [3, 3, 3]


def test_rows_stay_in_their_order(check: Check, read: Read, row: Make) -> None:
    rows = [row("loans", loan_id=f"l{n:03d}", currency="XXX" if n % 7 == 0 else "PEN") for n in range(300)]
    checked = check({"loans": rows, "applications": [row("applications")]})
    assert [found["loan_id"] for found in read(checked.clean, "loans")] == [f"l{n:03d}" for n in range(300) if n % 7]
    assert [found["loan_id"] for found in read(checked.quarantine, "loans")] == [f"l{n:03d}" for n in range(0, 300, 7)]
