"""What became of a loan: labels computed by hand."""

import re
from collections.abc import Callable

import pytest

from components.credit.config import Exclusion, Target, parse_config
from components.credit.errors import InputError
from components.credit.features.recipe import Recipe
from tests.feature.histories import Row, Rows, instalment, row

Label = Callable[..., str]
AS_OF = "2024-06-30"


def application(**changes: object) -> Row:
    return row("applications", "2023-01-10", **{"loan_id": "own", "amount": 300, **changes})


def lent(*events: Row, application_: Row | None = None, loans: tuple[Row, ...] = ()) -> Rows:
    own = row("loans", "2023-01-10", loan_id="own", application_id="a1", term_days=90)
    return {"applications": [application_ or application()], "loans": [own, *loans], "repayments": list(events)}


def closed(day: str) -> Row:
    return row("repayments", day, loan_id="own", kind="closing")


def punctual() -> list[Row]:
    return [*instalment("own", 1, "2023-02-10", "2023-02-10"), *instalment("own", 2, "2023-03-10", "2023-03-09")]


@pytest.mark.parametrize(
    ("paid", "expected"),
    [
        ("2023-03-12", "good"),  # 30 days late
        ("2023-03-13", "indeterminate"),  # 31
        ("2023-04-10", "indeterminate"),  # 59
        ("2023-04-11", "bad"),  # 60
        (None, "bad"),
    ],
)
def test_peak_days_past_due_decide(label: Label, paid: str | None, expected: str):
    assert label(lent(*instalment("own", 1, "2023-02-10", paid)), AS_OF) == expected


def test_paying_up_and_closing_reset_nothing(label: Label):
    events = [
        *instalment("own", 1, "2023-02-10", "2023-05-10"),
        *instalment("own", 2, "2023-06-10", "2023-06-10"),
        closed("2023-06-10"),
    ]
    assert label(lent(*events), AS_OF) == "bad"


def test_a_closing_settles_what_was_open_on_its_day_only(label: Label):
    assert label(lent(*instalment("own", 1, "2023-02-10", None), closed("2023-02-20")), AS_OF) == "good"
    assert label(lent(*instalment("own", 1, "2023-02-10", None), closed("2023-05-20")), AS_OF) == "bad"


def test_what_happens_after_the_window_does_not_count(label: Label):
    # The window ends on 10 January 2024.
    late_later = [*punctual(), *instalment("own", 3, "2023-12-20", "2024-05-01")]  # 21 days late at the window's end
    assert label(lent(*late_later), AS_OF) == "good"
    assert label(lent(*punctual(), *instalment("own", 3, "2024-01-11", None)), AS_OF) == "good"
    assert label(lent(*punctual(), row("repayments", "2024-01-11", loan_id="own", kind="write_off")), AS_OF) == "good"


@pytest.mark.parametrize("kind", ["write_off", "judicial", "refinancing"])
def test_a_write_off_a_court_case_and_a_refinancing_are_bad(label: Label, kind: str):
    assert label(lent(*punctual(), row("repayments", "2023-09-01", loan_id="own", kind=kind)), AS_OF) == "bad"


def test_a_refinanced_loan_is_never_good(label: Label):
    lenient = Target(refinanced_is_bad=False)
    for events, loans in (
        ([row("repayments", "2023-09-01", loan_id="own", kind="refinancing")], ()),
        ([], (row("loans", "2023-09-01", loan_id="next", kind="refinanced", replaces_loan_id="own"),)),
    ):
        rows = lent(*punctual(), *events, loans=loans)
        assert (label(rows, AS_OF), label(rows, AS_OF, lenient)) == ("bad", "indeterminate")
    reprogrammed = row("loans", "2023-09-01", loan_id="next", kind="reprogrammed", replaces_loan_id="own")
    assert label(lent(*punctual(), loans=(reprogrammed,)), AS_OF) == "indeterminate"


def test_a_loan_counts_once_its_whole_window_has_passed(label: Label):
    good, bad = lent(*punctual()), lent(*instalment("own", 1, "2023-02-10", None))
    assert [label(good, day) for day in ("2024-01-09", "2024-01-10")] == ["unlabelled", "good"]
    assert [label(bad, day) for day in ("2024-01-09", "2024-01-10")] == ["unlabelled", "bad"]


def test_a_loan_may_have_to_be_older_than_its_window(label: Label):
    late_books = Target(maturity_days=30)
    assert [label(lent(*punctual()), day, late_books) for day in ("2024-02-08", "2024-02-09")] == ["unlabelled", "good"]


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("applications.product", ["consumer"], "out_of_scope"),
        ("applications.product", ["micro", "mortgage"], "good"),
        ("loans.kind", ["refinanced", "reprogrammed"], "out_of_scope"),
        ("loans.kind", ["new"], "good"),
        ("applications.channel", ["branch"], "good"),  # missing
    ],
)
def test_what_the_configuration_leaves_out_has_a_label_of_its_own(
    label: Label, column: str, values: list[str], expected: str
):
    rows = lent(*punctual(), application_=application(product="consumer"))
    rows["loans"][0]["kind"] = "refinanced"
    target = Target(exclusions=[Exclusion("scope", column, values, "another policy")])
    assert label(rows, AS_OF, target) == expected
    ready = application(product="consumer", outcome="good")
    assert label({"applications": [ready], "loans": rows["loans"]}, AS_OF, target) == expected


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("applications.prodct", "'scope': applications has no column of text 'prodct'; did you mean 'product'?"),
        ("applications.amount", "has no column of text 'amount'"),
        ("loans.kind", "the mapping calls the table 'loans' absent"),
    ],
)
def test_an_exclusion_that_cannot_be_read_is_refused(label: Label, column: str, message: str):
    flat = Recipe("PEN", "America/Lima", ["borrowers", "bureau", "loans", "repayments", "transactions"], {}, [])
    target = Target(exclusions=[Exclusion("scope", column, ["x"], "why")])
    with pytest.raises(InputError, match=re.escape(message)):
        label({"applications": [application(outcome="bad")]}, AS_OF, target, flat)


def test_what_was_not_known_on_the_as_of_day_does_not_count(label: Label):
    due, payment = instalment("own", 1, "2023-02-10", "2023-02-10")
    late_news = {**payment, "known_at": row("loans", "2024-07-01T00:00")["known_at"]}
    assert label(lent(due, payment), AS_OF) == "good"
    assert label(lent(due, late_news), AS_OF) == "bad"
    assert label(lent(due, late_news), "2024-07-01") == "good"
    assert label(lent(*punctual(), application_=application(decided_at="2024-07-01T00:00")), AS_OF) == "not there"


@pytest.mark.parametrize("decision", ["declined", "withdrawn"])
def test_what_was_not_lent_has_no_label(label: Label, decision: str):
    assert label({"applications": [application(loan_id=None, decision=decision)]}, AS_OF) == "unlabelled"
    assert label(lent(*punctual(), application_=application(decision=decision)), AS_OF) == "unlabelled"


def test_a_loan_without_known_instalments_has_no_label(label: Label):
    assert label(lent(), AS_OF) == "unlabelled"
    assert label({"applications": [application()]}, AS_OF) == "unlabelled"


def test_the_loan_is_found_by_either_table(label: Label):
    assert label(lent(*punctual(), application_=application(loan_id=None)), AS_OF) == "good"
    own = row("loans", "2023-01-10", loan_id="own")
    assert label({"applications": [application()], "loans": [own], "repayments": punctual()}, AS_OF) == "good"


def test_other_loans_of_the_borrower_do_not_matter(label: Label):
    other = row("loans", "2023-01-10", loan_id="other")
    events = [*punctual(), *instalment("other", 1, "2023-02-10", None)]
    assert label(lent(*events, loans=(other,)), AS_OF) == "good"


def test_a_ready_outcome_wins_once_it_is_known(label: Label):
    bad = instalment("own", 1, "2023-02-10", None)
    assert label(lent(*bad, application_=application(outcome="good")), AS_OF) == "good"
    ready = application(outcome="indeterminate", outcome_known_at="2024-06-30T23:00")
    assert label(lent(*bad, application_=ready), AS_OF) == "indeterminate"
    assert label(lent(*bad, application_=ready), "2024-06-29") == "unlabelled"


def test_a_lender_without_repayments_has_ready_outcomes_only(label: Label):
    flat = Recipe("PEN", "America/Lima", ["borrowers", "bureau", "loans", "repayments", "transactions"], {}, [])
    assert label({"applications": [application(outcome="bad")]}, AS_OF, recipe=flat) == "bad"
    assert label({"applications": [application()]}, AS_OF, recipe=flat) == "unlabelled"


def test_the_configured_days_count(label: Label):
    rows = lent(*instalment("own", 1, "2023-02-10", "2023-03-02"))  # 20 days late
    assert label(rows, AS_OF, Target(bad_days=20, indeterminate_days=10)) == "bad"
    assert label(rows, AS_OF, Target(bad_days=21, indeterminate_days=20)) == "indeterminate"
    assert label(rows, AS_OF, Target(window_days=600)) == "unlabelled"
    short = Target(bad_days=20, indeterminate_days=20, window_days=40)
    assert label(rows, AS_OF, short) == "good"  # 9 days late by 19 February
    with pytest.raises(InputError, match="indeterminate_days is 31 and bad_days 30; give"):
        parse_config("target: {bad_days: 30}", "c.yaml")
