"""The study of the target, against a small book whose rates are counted by hand."""

from typing import Any

import pytest

from components.credit.config import Exclusion, Target
from components.credit.features.engine import connect
from components.credit.features.notes import RollCount, StudyNote, VintageCount
from components.credit.features.recipe import Recipe
from components.feature.study import follow_loans, study
from tests.feature.histories import PERU, Rows, arrow, instalment, row

# The window of 60 days of a loan of 10 January 2023 ends on 11 March; its first half on 9 February.
TARGET = Target(bad_days=30, indeterminate_days=9, window_days=60)
AS_OF = "2023-06-30"


def lend(rows: Rows, loan: str, day: str, *instalments: tuple[str, str | None], **about: Any) -> None:
    """Add a loan with its instalments: when each was due and paid."""
    who = {"borrower_id": f"of {loan}"}
    rows["applications"].append(row("applications", day, application_id=loan, loan_id=loan, **who, **about))
    rows["loans"].append(row("loans", day, loan_id=loan, application_id=loan, **who))
    for number, (due, paid) in enumerate(instalments, start=1):
        rows["repayments"] += instalment(loan, number, due, paid, **who)


def ended(rows: Rows, loan: str, day: str, kind: str) -> None:
    rows["repayments"].append(row("repayments", day, loan_id=loan, kind=kind, borrower_id=f"of {loan}"))


def study_of(
    rows: Rows, target: Target = TARGET, as_of: str = AS_OF, recipe: Recipe = PERU, parts: int = 1
) -> StudyNote:
    connection = connect(recipe, threads=1, memory="256MB")
    try:
        for part in range(parts):
            own = {
                name: [each for each in of if hash_of(each["borrower_id"], parts) == part] for name, of in rows.items()
            }
            for name, table in arrow(own, recipe).items():
                connection.register(name, table)
            follow_loans(connection, target, recipe, as_of)
        return study(connection, target, recipe, as_of)
    finally:
        connection.close()


def hash_of(borrower: str, parts: int) -> int:
    return sum(borrower.encode()) % parts


@pytest.fixture
def rows() -> Rows:
    return {"applications": [], "loans": [], "repayments": []}


@pytest.fixture
def book(rows: Rows) -> Rows:
    """Nine loans of one day; the first half's instalment is due on 20 January, the second's on 20 February."""
    day, first, second = "2023-01-10", "2023-01-20", "2023-02-20"
    lend(rows, "punctual", day, (first, first), (second, second))  # 0, then 0
    lend(rows, "slipped", day, (first, first), (second, "2023-03-05"))  # 0, then 13
    lend(rows, "late once", day, (first, "2023-01-25"), (second, second))  # 5, then 0
    lend(rows, "late twice", day, (first, "2023-01-23"), (second, "2023-02-22"))  # 3, then 2
    lend(rows, "sank", day, (first, None), (second, None))  # 20, then 50 by the window's end
    lend(rows, "came back", day, (first, "2023-02-01"), (second, second))  # 12, then 0
    lend(rows, "renewed", day, (first, "2023-02-01"))  # 12, then refinanced
    ended(rows, "renewed", "2023-02-21", "refinancing")
    lend(rows, "lost", day, (first, first))  # 0, then written off
    ended(rows, "lost", "2023-03-01", "write_off")
    lend(rows, "hidden", day, (first, first))  # refinanced in the first half: cannot be followed
    ended(rows, "hidden", "2023-01-30", "refinancing")
    return rows


def test_roll_rates_are_those_counted_by_hand(book: Rows):
    found = study_of(book)
    assert (found.why, found.loans, found.roll_days) == ("", 9, 30)
    assert found.roll_rates == [
        RollCount("0", n=3, worse=2, same=1, better=0, refinanced=0),
        RollCount("1–8", n=2, worse=0, same=1, better=1, refinanced=0),
        RollCount("9–30", n=3, worse=1, same=0, better=1, refinanced=1),
    ]


def test_the_ends_of_a_bucket_and_of_the_first_half_are_counted_right(rows: Rows):
    for name, paid in {"8": "2023-01-28", "9": "2023-01-29", "19": "2023-02-08", "20": "2023-02-09"}.items():
        lend(rows, name, "2023-01-10", ("2023-01-20", paid))
    lend(rows, "22", "2023-01-10", ("2023-01-20", "2023-02-11"))  # two days into the second half: 20, then 22
    assert study_of(rows).roll_rates == [
        RollCount("1–8", n=1, worse=0, same=0, better=1, refinanced=0),
        RollCount("9–30", n=4, worse=0, same=1, better=3, refinanced=0),
    ]


def test_bad_rates_by_definition_are_those_counted_by_hand(book: Rows):
    found = {(row.bad_days, row.window_days): row for row in study_of(book).definitions}
    assert set(found) == {(days, window) for days in (15, 30, 60, 90) for window in (60, 180, 270, 365)}
    # "sank" is 50 days late by the window's end; two were refinanced and one was written off.
    assert [found[days, 60].bads for days in (15, 30, 60, 90)] == [4, 4, 3, 3]
    assert [key for key, row in found.items() if row.configured] == [(30, 60)]
    assert found[30, 60].n == 9
    assert [found[30, days].n for days in (180, 270, 365)] == [0, 0, 0], "not old enough"
    later = {(row.bad_days, row.window_days): row for row in study_of(book, as_of="2023-07-09").definitions}
    assert (later[90, 180].n, later[90, 180].bads) == (9, 4)  # "sank" came to 90 days on 20 April


def test_refinanced_loans_are_bad_only_where_the_target_says_so(book: Rows):
    lenient = Target(bad_days=30, indeterminate_days=9, window_days=60, refinanced_is_bad=False)
    (configured,) = (row for row in study_of(book, lenient).definitions if row.configured)
    assert (configured.n, configured.bads) == (9, 2)


def test_a_loan_that_is_refinanced_by_another_loan_counts_too(rows: Rows):
    lend(rows, "old", "2023-01-10", ("2023-01-20", "2023-01-20"))
    rows["loans"].append(row("loans", "2023-02-15", loan_id="next", kind="refinanced", replaces_loan_id="old"))
    found = study_of(rows)
    (configured,) = (row for row in found.definitions if row.configured)
    assert (configured.n, configured.bads) == (1, 1)
    assert found.roll_rates == [RollCount("0", n=1, worse=0, same=0, better=0, refinanced=1)]


def test_vintages_go_as_far_as_the_whole_quarter_is_old(rows: Rows):
    lend(rows, "a", "2023-01-10", ("2023-02-10", None))  # 30 days late on 12 March, 61 days on: the third month
    lend(rows, "b", "2023-03-31", ("2023-04-10", "2023-04-10"))
    lend(rows, "c", "2023-04-01", ("2023-04-11", None))  # 30 days late on 11 May, 40 days on: the second month
    found = study_of(rows, as_of="2023-07-29").vintages
    # 120 days have passed since 31 March: three months of 365 / 12 days; none since 30 June.
    assert found == [
        VintageCount("2023Q1", n=2, month=1, bads=0),
        VintageCount("2023Q1", n=2, month=2, bads=0),
        VintageCount("2023Q1", n=2, month=3, bads=1),
    ]
    later = study_of(rows, as_of="2023-08-30").vintages
    assert [(row.month, row.bads) for row in later if row.vintage == "2023Q2"] == [(1, 0), (2, 1)]
    older = Target(bad_days=30, indeterminate_days=9, window_days=60, maturity_days=30)
    assert [row.month for row in study_of(rows, older, "2023-07-29").vintages] == [1, 2]


def test_what_is_out_of_scope_or_was_declined_is_not_studied(book: Rows):
    lend(book, "staff", "2023-01-10", ("2023-01-20", None), channel="referral")
    lend(book, "declined", "2023-01-10", ("2023-01-20", None), decision="declined")
    assert study_of(book).loans == 10
    scoped = Target(
        bad_days=30, indeterminate_days=9, window_days=60,
        exclusions=[Exclusion("staff", "applications.channel", ["referral"], "no arm's length")],
    )  # fmt: skip
    assert study_of(book, scoped).loans == 9


def test_partitions_change_nothing(book: Rows):
    assert study_of(book, parts=3) == study_of(book)


def test_a_book_without_repayments_says_why_it_is_not_studied(rows: Rows):
    flat = Recipe("PEN", "America/Lima", ["borrowers", "bureau", "loans", "repayments", "transactions"], {}, [])
    rows["applications"] = [row("applications", "2023-01-10", outcome="good")]
    assert study_of({"applications": rows["applications"]}, recipe=flat).why == (
        "The lender gives outcomes without loans or repayments, so the target cannot be studied."
    )
    assert "has repayments" in study_of(rows).why
