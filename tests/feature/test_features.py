"""What single features hold, computed by hand."""

import datetime
import statistics
from collections.abc import Callable

import pytest

from components.credit.book.contract import ATTRIBUTE_PREFIX
from components.credit.book.mapping import Attribute, Rate
from components.credit.errors import InputError
from components.credit.features.query import SOURCES, dictionary
from components.credit.features.recipe import Recipe
from tests.feature.batch import Batch
from tests.feature.histories import PERU, Row, Rows, arrow, batch, instalment, row

Features = Callable[[Rows], Row]


def asked(**changes: object) -> Row:
    return row("applications", "2024-06-15", **{"amount": 1200, "total_due": 1500, "term_days": 360, **changes})


def test_a_borrower_without_history_is_new_and_thin_not_zero(features: Features):
    made = features({"applications": [asked()]})
    assert (made["segment"], made["thin_file"]) == ("new", True)
    assert (made["loans_before"], made["no_bureau_file"], made["no_movements"]) == (0, 1, 1)
    assert made["bureau_debt"] is None
    assert made["peak_days_late"] is None
    assert made["inflow_monthly"] is None


def test_terms_of_the_application(features: Features):
    made = features({"applications": [asked(declared_income=500, declared_expenses=300)]})
    assert made["cost_share"] == 0.25  # 300 of interest on 1,200
    assert made["monthly_cost_share"] == pytest.approx(0.25 / 12)
    assert made["asked_to_income"] == 2.4
    assert made["instalment_to_income"] == 0.25  # 125 of 500
    assert made["surplus_to_instalment"] == 1.6  # 200 over 125
    assert (made["decision_month"], made["campaign"]) == ("06", "none")


def test_a_loan_of_less_than_a_month_falls_due_in_one_sum(features: Features):
    made = features({"applications": [asked(declared_income=3000, term_days=15)]})
    assert made["instalment_to_income"] == 0.5


def test_missing_and_zero_amounts_give_missing_shares(features: Features):
    made = features({"applications": [asked(total_due=None, declared_income=0)]})
    assert made["cost_share"] is None
    assert made["asked_to_income"] is None


def test_earlier_loans(features: Features):
    made = features(
        {
            "applications": [asked()],
            "loans": [
                row("loans", "2022-06-16", loan_id="l1", principal=400, term_days=180),
                row("loans", "2023-06-17", loan_id="l2", principal=2000, term_days=360, kind="refinanced"),
                row("loans", "2024-03-07", loan_id="l3", principal=800, term_days=180),
            ],
        }
    )
    assert made["segment"] == "recurrent"
    assert (made["loans_before"], made["loans_before_12m"]) == (3, 2)
    assert (made["days_since_first_loan"], made["days_since_last_loan"]) == (730, 100)
    assert made["days_between_loans"] == 315
    assert (made["asked_to_last"], made["asked_to_largest"], made["loan_growth"]) == (1.5, 0.6, 2)
    assert (made["term_to_last"], made["refinanced_loans"]) == (2, 1)


@pytest.mark.parametrize(("loan_says", "application_says"), [("a1", None), (None, "own"), ("a1", "own")])
def test_the_own_loan_is_no_history(features: Features, loan_says: str | None, application_says: str | None):
    own = row("loans", "2024-06-14", loan_id="own", application_id=loan_says)
    late = instalment("own", 1, "2024-06-01", None)
    made = features({"applications": [asked(loan_id=application_says)], "loans": [own], "repayments": late})
    assert (made["loans_before"], made["instalments_known"], made["current_days_late"]) == (0, 0, 0)


def test_days_late_are_the_peak_and_closing_resets_nothing(features: Features):
    loan = row("loans", "2023-01-10", loan_id="l1", term_days=90)
    events = [
        *instalment("l1", 1, "2023-02-10", "2023-02-08"),  # 2 days early
        *instalment("l1", 2, "2023-03-10", "2023-05-19"),  # 70 days late
        *instalment("l1", 3, "2023-04-10", "2023-05-20"),  # 40 days late
        row("repayments", "2023-05-20", loan_id="l1", kind="closing"),
    ]
    made = features({"applications": [asked()], "loans": [loan], "repayments": events})
    assert (made["peak_days_late"], made["last_loan_peak_days_late"]) == (70, 70)
    assert made["late_share"] == pytest.approx(2 / 3)
    assert made["mean_days_late"] == pytest.approx(110 / 3)
    assert made["mean_days_to_due"] == 36
    assert made["last_loan_first_days"] == -2
    assert made["last_loan_end_days"] == 40  # closed on 20 May, contract ended on 10 April
    assert (made["open_loans"], made["current_days_late"]) == (0, 0)
    assert made["peak_days_late_12m"] is None


def test_what_is_unpaid_at_the_decision_is_late_until_then(features: Features):
    loan = row("loans", "2024-03-15", loan_id="l1")
    events = [
        *instalment("l1", 1, "2024-04-15", "2024-04-15"),
        *instalment("l1", 2, "2024-05-16", "2024-06-20"),  # its payment comes after the decision
        *instalment("l1", 3, "2024-06-15", None),  # due today: not late
        *instalment("l1", 4, "2024-07-15", None, known_at="2024-03-15"),  # the contract's schedule, not due yet
    ]
    made = features({"applications": [asked()], "loans": [loan], "repayments": events})
    assert (made["current_days_late"], made["open_late_instalments"]) == (30, 1)
    assert made["instalments_known"] == 2
    assert (made["peak_days_late_12m"], made["open_loans"]) == (30, 1)


def test_an_instalment_is_paid_once_its_payments_reach_what_was_due(features: Features):
    loan = row("loans", "2024-01-01", loan_id="l1")
    due = row("repayments", "2024-02-01", kind="due", instalment=1, due_on="2024-02-01", amount=100)

    def paid(day: str, amount: float) -> Row:
        return row("repayments", day, kind="payment", instalment=1, due_on="2024-02-01", amount=amount)

    def peak(*payments: Row) -> float | None:
        made = features({"applications": [asked()], "loans": [loan], "repayments": [due, *payments]})
        return made["peak_days_late"]

    assert peak(paid("2024-02-01", 99.5)) == 0  # a rounding
    assert peak(paid("2024-02-01", 60), paid("2024-02-11", 40)) == 10
    assert peak(paid("2024-02-01", 60)) == 135  # until the decision


def test_an_evening_payment_counts_on_its_day_in_lima(features: Features):
    loan = row("loans", "2024-01-01", loan_id="l1")
    due, payment = instalment("l1", 1, "2024-02-01", "2024-02-01T21:30")  # 2 February in UTC
    made = features({"applications": [asked()], "loans": [loan], "repayments": [due, payment]})
    assert made["peak_days_late"] == 0


def test_bureau_reports_count_from_the_day_they_are_known(features: Features):
    def report(month: str, known: str, **of: object) -> Row:
        return row("bureau", month, known_at=known, **of)

    made = features(
        {
            "applications": [asked(declared_income=1000)],
            "bureau": [
                report("2023-10-31", "2023-12-15", debt=2000, lenders=1, worst_class=3, days_past_due=70),
                report("2024-04-30", "2024-06-14", debt=3000, lenders=3, worst_class=0, days_past_due=2,
                       unused_lines=1000, monthly_instalments=250, inquiries=2),
                report("2024-05-31", "2024-07-15", debt=9000, lenders=9, worst_class=4),  # comes too late
            ],
        }
    )  # fmt: skip
    assert (made["thin_file"], made["no_bureau_file"], made["bureau_months"]) == (False, 0, 2)
    assert (made["bureau_debt"], made["bureau_debt_growth"], made["bureau_debt_to_income"]) == (3000, 1.5, 3)
    assert (made["bureau_lenders"], made["bureau_lenders_growth"]) == (3, 2)
    assert (made["bureau_class"], made["bureau_class_12m"], made["bureau_months_in_arrears"]) == (0, 3, 1)
    assert (made["bureau_days_late"], made["bureau_peak_days_late"]) == (2, 70)
    assert (made["bureau_utilisation"], made["inquiries_3m"]) == (0.75, 2)
    assert made["all_instalments_to_income"] == 0.375  # 250 elsewhere and 125 here


def test_cash_flow_of_the_months_before_the_decision(features: Features):
    days = ["2024-06-10", "2024-05-10", "2024-04-10", "2024-03-10", "2024-02-10", "2024-01-10"]  # months 0 to 5
    takings = [row("transactions", day, amount=amount, balance_after=amount - 150)
               for day, amount in zip(days, [600, 500, 400, 300, 200, 100], strict=True)]  # fmt: skip
    out = row("transactions", "2024-06-11", direction="out", kind="withdrawal", amount=420)
    made = features({"applications": [asked()], "transactions": [*takings, out]})
    assert (made["inflow_monthly"], made["takings_monthly"], made["net_flow_share"]) == (350, 350, 0.8)
    assert made["inflow_slope"] == pytest.approx(100 / 350)
    assert made["inflow_growth"] == 2.5
    assert made["inflow_variation"] == pytest.approx(statistics.pstdev([600, 500, 400, 300, 200, 100]) / 350)
    assert (made["lowest_balance"], made["overdrawn_months"]) == (-50, 1)
    assert (made["days_since_movement"], made["movement_months"]) == (4, 6)
    assert made["asked_to_inflow"] == pytest.approx(1200 / 350)


def test_bills_paid_late(features: Features):
    def bill(kind: str, day: str, due: str | None) -> Row:
        return row("transactions", day, direction="out", kind=kind, due_on=due)

    made = features(
        {
            "applications": [asked()],
            "transactions": [
                bill("utility", "2024-06-05", "2024-06-01"),
                bill("utility", "2024-05-01", "2024-05-01"),
                bill("utility", "2024-04-01", None),
                bill("rent", "2024-03-02", "2024-03-10"),
            ],
        }
    )
    assert (made["utility_late_share"], made["rent_late_share"], made["bill_months"]) == (0.5, 0, 4)


def test_the_latest_profile_known_counts_whole(features: Features):
    made = features(
        {
            "applications": [asked()],
            "borrowers": [
                row("borrowers", "2020-01-01", sector="transport", dependants=1, business_since="2019-01-01"),
                row("borrowers", "2023-01-01", sector="commerce", dependants=None, business_since="2023-06-21"),
                row("borrowers", "2024-01-01", known_at="2024-07-01", sector="fishing"),
            ],
        }
    )
    assert (made["sector"], made["dependants"], made["business_age"]) == ("commerce", None, 12)


def test_what_models_never_see_is_kept_apart(features: Features):
    profile = row("borrowers", "2020-01-01", sex="female", language="quechua", department="08", rural=True,
                  birth_month="1989-06-01", marital_status="widowed")  # fmt: skip
    made = features({"applications": [asked()], "borrowers": [profile]})
    protected = {name.removeprefix("protected_"): value for name, value in made.items() if "protected" in name}
    assert protected == {
        "sex": "female", "language": "quechua", "department": "08", "rural": "true", "age_band": "35 to 44",
        "marital_status": "widowed",
    }  # fmt: skip
    names = {feature.name for feature in dictionary(PERU)}
    assert not names & {"sex", "marital_status", "language", "department", "rural", "birth_month", "age_band", "branch"}
    assert not [name for name in names if name.startswith("protected_")]


def test_amounts_are_converted_at_the_rate_of_their_day():
    rates = [Rate("USD", datetime.date(2024, 1, 1), 4.0), Rate("USD", datetime.date(2024, 3, 1), 3.5)]
    recipe = Recipe("PEN", "America/Lima", [], {}, rates)
    rows = {
        "applications": [asked(amount=700)],
        "loans": [
            row("loans", "2024-02-29", loan_id="l1", principal=100, currency="USD"),
            row("loans", "2024-03-01", loan_id="l2", principal=100, currency="USD"),
        ],
        # Due at one rate and paid at another: paid all the same.
        "repayments": instalment("l1", 1, "2024-02-20", "2024-03-05", currency="USD"),
    }
    (made,) = batch(arrow(rows, recipe), recipe).to_pylist()
    assert (made["largest_loan"], made["asked_to_last"], made["amount"]) == (400, 2, 700)
    assert (made["peak_days_late"], made["foreign_currency"]) == (14, 0)
    rows["applications"][0]["currency"] = "USD"
    (made,) = batch(arrow(rows, recipe), recipe).to_pylist()
    assert (made["amount"], made["foreign_currency"], made["currency"]) == (2450, 1, "PEN")


def test_an_amount_without_a_rate_is_refused(planned: Batch):
    rows = {"applications": [asked()], "loans": [row("loans", "2024-01-01", currency="USD")]}
    with pytest.raises(InputError, match=r"table loans holds amounts in USD, .* no rate"):
        planned.features_of(arrow(rows, PERU))
    dated = Recipe("PEN", "America/Lima", [], {}, [Rate("USD", datetime.date(2024, 2, 1), 4)])
    history = Batch(dated)
    with pytest.raises(InputError, match="before the first rate"):
        history.features_of(arrow(rows, dated))
    history.close()


def test_features_of_absent_tables_are_left_out():
    recipe = Recipe("PEN", "America/Lima", ["borrowers", "bureau", "repayments", "transactions"], {}, [])
    assert {feature.source for feature in dictionary(recipe)} == {"applications", "loans"}
    (made,) = batch(arrow({"applications": [asked()]}, recipe), recipe).to_pylist()
    assert made["thin_file"] is True
    assert made["protected_sex"] is None
    assert "bureau_debt" not in made


def test_ready_attributes_become_features_and_protected_ones_do_not():
    attributes = {
        "Pay 0": Attribute("PAY_0", "number", "Months late", "Meses de atraso", special=[-2.0], trend="increasing"),
        "job": Attribute("JOB", "category", "Job", "Empleo"),
        "sex": Attribute("SEX", "category", "Sex", "Sexo", protected=True),
    }
    recipe = Recipe(
        "TWD", "Asia/Taipei", ["borrowers", "bureau", "loans", "repayments", "transactions"], attributes, []
    )
    given = {ATTRIBUTE_PREFIX + "Pay 0": 2.0, ATTRIBUTE_PREFIX + "job": "clerk", ATTRIBUTE_PREFIX + "sex": "1"}
    (made,) = batch(arrow({"applications": [asked(currency="TWD", **given)]}, recipe), recipe).to_pylist()
    assert (made["attribute_Pay 0"], made["attribute_job"], made["protected_sex"]) == (2.0, "clerk", "1")
    entries = {feature.name: feature for feature in dictionary(recipe)}
    assert entries["attribute_Pay 0"].special == [-2.0]
    assert entries["attribute_Pay 0"].cause == "attribute"
    assert "attribute_sex" not in entries


def test_the_dictionary_describes_every_feature_once():
    entries = dictionary(PERU)
    assert len(entries) >= 40
    assert len({entry.name for entry in entries}) == len(entries)
    assert len({entry.es for entry in entries}) == len({entry.en for entry in entries}) == len(entries)
    assert {entry.source for entry in entries} == {source.table for source in SOURCES}
    made = batch(arrow({"applications": [asked()]}, PERU), PERU)
    assert made.column_names[-len(entries) :] == [entry.name for entry in entries]
    for entry in entries:
        assert str(made.schema.field(entry.name).type) == {"number": "double", "category": "string"}[entry.type]
