from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import demographic_parity_ratio

from components.credit.config import Limits
from components.credit.drift import training_reference
from components.credit.errors import GateStopped
from components.credit.models.scorer import Scorer
from components.credit.models.training_report import TrainingReport
from components.evaluate.comparison import Comparison
from components.evaluate.groups import attribute_gaps, protected_groups, refuse_unfair
from components.evaluate.stability import calibration_by_part, input_shifts


def test_the_input_that_moved_leads_and_the_others_are_stable(rows: pd.DataFrame, scorers: dict[str, Scorer]):
    scorer = scorers["scorecard"]
    training, test = rows[rows["sample"] == "train"], rows[rows["sample"] == "test"]
    seen = training_reference(np.arange(len(training)), scorer.features, training)
    scorer = replace(scorer, training=TrainingReport(reference=seen))
    moved = test.assign(debt_to_income=test["debt_to_income"] + 1.5)
    first, *others = input_shifts(scorer, moved, 0.999)
    assert (first.feature, first.verdict, first.n, first.n_training) == (
        "debt_to_income", "large", len(test), len(training),
    )  # fmt: skip
    assert {row.verdict for row in others} == {"stable"}
    assert input_shifts(scorers["scorecard"], moved, 0.95) == []


def test_calibration_is_told_by_segment_and_vintage_with_a_light():
    n = 800
    rows = pd.DataFrame(
        {
            "bad": [1, 0, 0, 0] * 200,
            "segment": np.where(np.arange(n) < 400, "new", "recurrent"),
            "thin_file": False,
            "decided_at": pd.to_datetime(np.where(np.arange(n) % 2, "2024-02-01", "2024-05-01")).tz_localize("UTC"),
            "probability_xgboost": np.where(np.arange(n) < 400, 0.25, 0.10),
        }
    )
    found = {(row.by, row.value): row for row in calibration_by_part(rows, "xgboost", 0.95)}
    assert found["segment", "new"].light == "green"
    assert found["segment", "recurrent"].light == "red"
    assert found["segment", "recurrent"].predicted == pytest.approx(0.10)
    assert {value for by, value in found if by == "vintage"} == {"2024Q1", "2024Q2"}
    assert calibration_by_part(rows.head(40), "xgboost", 0.95) == []


def groups_of(women_approved: int) -> pd.DataFrame:
    n = 500
    return pd.DataFrame(
        {
            "borrower_id": np.arange(n),
            "bad": [1, 0, 0, 0] * 125,
            "protected_sex": ["female"] * 200 + ["male"] * 300,
            "probability_xgboost": [0.1] * women_approved + [0.9] * (200 - women_approved) + [0.1] * 240 + [0.9] * 60,
            "passes_rules": True,
        }
    )


def test_a_group_below_the_configured_ratio_stops_the_run_and_chance_does_not():
    unfair, _ = protected_groups(groups_of(60), "xgboost", 0.5, 0.95)
    refuse_unfair(unfair, Limits())
    with pytest.raises(GateStopped, match=r"sex female \(0\.3[78] on 200 applications\).*limits.approval_ratio is 0.8"):
        refuse_unfair(unfair, Limits(approval_ratio=0.8))
    near, _ = protected_groups(groups_of(126), "xgboost", 0.5, 0.95)
    refuse_unfair(near, Limits(approval_ratio=0.8))
    none, _ = protected_groups(groups_of(0), "xgboost", 0.5, 0.95)
    with pytest.raises(GateStopped, match="sex female"):
        refuse_unfair(none, Limits(approval_ratio=0.5))


def test_attributes_have_fairlearns_measures():
    rows = groups_of(60)
    (found,) = attribute_gaps(rows, "xgboost", 0.5, 0.95, 3)
    assert found == attribute_gaps(rows, "xgboost", 0.5, 0.95, 3)[0]
    approved = (rows["probability_xgboost"] <= 0.5).astype(int)
    expected = demographic_parity_ratio(1 - rows["bad"], approved, sensitive_features=rows["protected_sex"])
    assert found.demographic_parity_ratio == pytest.approx(expected) == pytest.approx(0.375)
    assert found.n == 500
    # 30 % of 200 against 80 % of 300: the logarithm of the ratio has a standard error of sqrt(.7/60 + .2/240) = .112
    low, high = found.demographic_parity_ratio_low, found.demographic_parity_ratio_high
    assert (low, high) == (pytest.approx(0.301, abs=0.02), pytest.approx(0.467, abs=0.02))
    gap = found.equalized_odds_difference
    assert 0 < found.equalized_odds_difference_low < gap < found.equalized_odds_difference_high < 1


def test_the_decision_holds_calibration_by_group_and_part(comparison: Comparison):
    decision = comparison.decision
    assert all(row.light in ("green", "amber", "red") for row in decision.fairness.groups)
    assert {row.by for row in decision.stability.calibration} == {"segment", "thin_file", "vintage"}
    assert [row.attribute for row in decision.fairness.attributes] == ["sex"]
