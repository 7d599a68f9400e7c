import dataclasses
import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from components.credit.book.store import Store
from components.credit.config import Config, Money, Policy, RateCap, Rule, parse_config
from components.credit.models.scorer import Scorer
from components.credit.progress import Progress
from components.evaluate.approvals import approval_steps, approved, passes, rule_effects
from components.evaluate.comparison import Comparison, compare
from components.evaluate.figures import Outcomes
from components.evaluate.money import cost_share, loans, profit, rate_cap
from components.evaluate.report import page
from components.evaluate.swaps import swap_set, swap_sets
from tests.evaluate.conftest import NO_REPORT

DAY = datetime.date(2024, 7, 31)
PLAIN = Money(0.0, 0.0, 0.5, 0.8, Decimal("10.00"), [])


def asked(n: int = 4, **columns: object) -> pd.DataFrame:
    return pd.DataFrame({"amount": [1000.0] * n, "currency": "PEN", "cost_share": 0.2, "asked_term": 360.0} | columns)


def test_a_loan_earns_and_loses_what_a_clerk_would_reckon():
    made = loans(asked(), PLAIN, DAY)
    assert (made.margin[0], made.loss[0], made.visit) == (20_000, 40_000, 1_000)
    assert made.profit(np.array([0.0, 1.0, 0.25, 0.0])).tolist() == [19_000, -41_000, 4_000, 19_000]


def test_the_cost_of_equal_instalments_is_the_annuitys():
    # Twelve instalments at 1 % a month: 0.0888487887 of the amount each.
    (share,) = cost_share(1.01**12 - 1, np.array([12.0]))
    assert share == pytest.approx(12 * 0.0888487887 - 1, abs=1e-9)
    assert cost_share(0.0, np.array([12.0])) == 0


def test_no_loan_earns_more_than_the_cap_allows():
    cap = RateCap(0.20, "PEN", datetime.date(2024, 5, 1), datetime.date(2024, 10, 31), "norm")
    dear = asked(2, cost_share=[0.05, 0.90])
    made = loans(dear, Money(0.0, 0.0, 0.5, 0.8, Decimal(0), [cap]), DAY)
    assert made.margin[0] == 5_000
    assert made.margin[1] == round(100_000 * float(cost_share(0.20, np.array([12.0]))[0]))
    assert made.capped == 0.5
    assert made.cap_in_force


def test_the_cap_is_that_of_the_day_or_the_nearest_known():
    caps = Config().money.rate_caps
    for day, rate, in_force in (
        (datetime.date(2024, 10, 31), 1.0983, True),
        (datetime.date(2024, 11, 1), 1.1298, True),
        (datetime.date(2026, 1, 1), 1.1298, False),
        (datetime.date(2020, 1, 1), 1.0983, False),
    ):
        cap, holds = rate_cap(caps, "PEN", day)
        assert (cap.annual_rate, holds) == (rate, in_force)
    assert rate_cap(caps, "USD", DAY) == (None, False)
    assert all("31143" in cap.norm for cap in caps)


@pytest.mark.parametrize(
    "rows",
    [asked().drop(columns="amount"), asked(cost_share=[0.2, None, 0.2, 0.2]), asked(currency=["PEN", "USD"] * 2)],
)
def test_where_loans_are_not_fully_known_nothing_is_said(rows: pd.DataFrame):
    assert loans(rows, PLAIN, DAY) is None


def test_profit_by_cut_off_is_the_sum_over_the_approved():
    random = np.random.default_rng(1)
    n = 1_000
    probability = np.round(random.random(n) * 0.5, 3)
    bad = (random.random(n) < probability).astype(int)
    made = loans(asked(n, amount=random.integers(500, 5_000, n).astype(float)), PLAIN, DAY)
    keeps = np.arange(n) % 10 > 0
    outcomes = Outcomes(bad, probability, np.zeros(n, int), np.arange(n), cutoff=0.35, cutoff_points=500)
    found = profit(outcomes, keeps, made, Config().money, 0.95, 1)
    for row in found.rows[::7]:
        within = keeps & (probability <= row.cutoff)
        assert row.approved == within.sum()
        assert row.approval_rate == within.sum() / n
        assert row.approval_rate_low < row.approval_rate < row.approval_rate_high
        assert row.bad_rate == pytest.approx(bad[within].mean())
        assert row.realised == Decimal(int(made.profit(bad)[within].sum())) / 100
        assert abs(row.expected - Decimal(made.profit(probability)[within].sum() / 100)) < 1
        assert row.realised_low <= row.realised <= row.realised_high
    best = found.rows[found.best]
    assert best.expected == max(row.expected for row in found.rows)
    # An approval pays for itself up to a probability of (margin - visit) / (margin + loss).
    assert best.cutoff == pytest.approx(0.32, abs=0.03)
    assert found.rows[found.configured].approved == (keeps & (probability <= 0.35)).sum()
    assert found.rows[-1].approved == keeps.sum(), "whoever breaks a rule is approved at no cut-off"
    nobody = profit(dataclasses.replace(outcomes, cutoff=-1.0), keeps, made, Config().money, 0.95, 1)
    assert nobody.configured is None


def test_money_is_stated_exactly_with_its_currency(comparison: Comparison):
    decision = comparison.decision
    assert decision.money.currency == "PEN"
    row = decision.money.rows[-1]
    assert row.realised == row.realised.quantize(Decimal("0.01"))
    assert decision.money.assumptions.visit_cost == Decimal("25.00")


def test_a_book_without_terms_has_no_profit_and_its_page_says_so(
    publish, rows: pd.DataFrame, scorers: dict[str, Scorer], store: Store
):
    bare = compare(publish(rows.drop(columns="asked_term")), scorers, Config(), store, Progress("evaluate"))
    assert bare.decision.money is None
    assert "profit cannot be told" in page(bare, NO_REPORT)


def test_the_swap_set_loses_nobody_and_knows_no_outcome_of_the_declined():
    before = np.array([True, True, False, False, True, False])
    after = np.array([True, False, True, False, True, True])
    bad = np.array([0, 1, -1, -1, 1, -1])
    cells = {row.cell: row for row in swap_set(before, after, bad, np.full(6, 0.3), 0.95)}
    assert [cells[name].n for name in ("both_approve", "swap_in", "swap_out", "both_decline")] == [2, 2, 1, 1]
    assert (cells["both_approve"].bad_rate, cells["swap_out"].bad_rate) == (0.5, 1.0)
    assert (cells["swap_in"].known, cells["swap_in"].bad_rate) == (0, None)
    assert cells["swap_in"].predicted == pytest.approx(0.3)


def test_the_incumbent_score_approves_as_many_as_the_champion():
    rows = pd.DataFrame(
        {
            "bad": [0, 0, 1, 1, -1],
            "incumbent_score": [700.0, 500, 650, 400, 300],
            "probability_xgboost": [0.1, 0.1, 0.4, 0.4, 0.1],
            "passes_rules": True,
        }
    )
    decisions, incumbent = swap_sets(rows, "xgboost", 0.2, 0.95)
    assert [cell.n for cell in decisions.cells] == [2, 1, 2, 0]
    assert (incumbent.against, [cell.n for cell in incumbent.cells]) == ("incumbent", [1, 1, 1, 1])
    assert swap_sets(rows.iloc[:4].drop(columns="incumbent_score"), "xgboost", 0.2, 0.95) == []


def test_whoever_breaks_a_rule_is_declined_in_every_figure():
    rows = pd.DataFrame(
        {
            "debt": [1.0, 9, 1, 9, np.nan, 1],
            "bad": [0, 1, 1, 0, 0, 0],
            "incumbent_score": [5.0, 9, 4, 8, 3, 1],
            "probability_xgboost": [0.1, 0.1, 0.9, 0.9, 0.1, 0.1],
        }
    )
    rules = [Rule("debt", "debt", 2, "e", "s", "norm")]
    rows["passes_rules"] = passes(rows, rules)
    assert approved(rows, "xgboost", 0.5).tolist() == [True, False, False, False, True, True]
    assert passes(rows, []).all()
    steps = {row.step: (row.n, row.bads) for row in approval_steps(rows, "xgboost", 0.5, 0.95)}
    assert steps == {
        "applications": (6, 2), "declined_by_rules": (2, 1), "declined_by_score": (1, 1), "approved": (3, 0),
    }  # fmt: skip
    (incumbent,) = swap_sets(rows, "xgboost", 0.5, 0.95)
    assert [cell.n for cell in incumbent.cells] == [2, 1, 1, 2], "the incumbent score is under the rules too"


def test_a_rule_is_told_with_what_the_score_would_have_approved():
    rows = pd.DataFrame({"debt": [1.0, 3, 3, np.nan], "bad": [0, 1, 0, 0], "probability_xgboost": [0.1, 0.1, 0.9, 0.1]})
    (found,) = rule_effects(rows, [Rule("debt", "debt", 2, "e", "s", "norm")], "xgboost", 0.5, 0.95)
    assert (found.n, found.bads, found.bad_rate, found.score_approves) == (2, 1, 0.5, 1)
    assert rule_effects(rows, [], "xgboost", 0.5, 0.95) == []


def test_money_comes_from_the_configuration():
    text = "money: {visit_cost: '18.50', rate_caps: [{annual_rate: 1.05, currency: PEN, valid_from: 2025-05-01}]}"
    settings = parse_config(text, "c.yaml").money
    assert settings.visit_cost == Decimal("18.50")
    assert settings.rate_caps == [RateCap(1.05, "PEN", datetime.date(2025, 5, 1))]
    assert Config(policy=Policy(rules=[])).policy.rules == []
