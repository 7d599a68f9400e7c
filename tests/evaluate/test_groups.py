import numpy as np
import pandas as pd
import pytest

from components.evaluate.groups import SmallGroup, protected_groups, segments


def sample(rows: int = 1_000, **columns: object) -> pd.DataFrame:
    """Test rows of which every fourth is bad and the riskier half would be declined at .5."""
    place = np.arange(rows)
    return pd.DataFrame(
        {
            "borrower_id": [f"b{row}" for row in place],
            "bad": (place % 4 == 0).astype(int),
            "segment": np.where(place % 10 < 3, "new", "recurrent"),
            "thin_file": place % 10 == 0,
            "passes_rules": True,
            "probability_scorecard": (place % 100) / 100,
            **columns,
        }
    )


def test_each_segment_has_its_own_row_and_loses_nobody():
    found = {(row.by, row.value): row for row in segments(sample(), ["scorecard"], 0.95)}
    assert [found["segment", value].n for value in ("new", "recurrent")] == [300, 700]
    assert [found["thin_file", value].n for value in ("yes", "no")] == [100, 900]
    for by in ("segment", "thin_file"):
        assert sum(row.bads for (of, _), row in found.items() if of == by) == 250
    row = found["segment", "recurrent"]
    assert row.bad_rate_low < row.bad_rate < row.bad_rate_high
    model = row.models["scorecard"]
    assert model.auc_low < model.auc < model.auc_high


def test_a_segment_without_bads_has_a_row_but_no_auc():
    rows = sample()
    rows.loc[rows["segment"] == "new", "bad"] = 0
    new = next(row for row in segments(rows, ["scorecard"], 0.95) if row.value == "new")
    assert (new.n, new.bads, new.bad_rate) == (300, 0, 0.0)
    assert new.bad_rate_high < 0.02
    assert new.models["scorecard"].auc is None


def test_a_table_without_segments_has_no_rows():
    assert segments(sample(segment=None, thin_file=None), ["scorecard"], 0.95) == []


def test_treatment_of_a_group_is_counted_as_by_hand():
    # Of 200 women 80 are approved, of them 20 bad; of 200 men 160 are approved, of them 40 bad; 50 bads declined each.
    def half(sex: str, approved: int, bad_approved: int) -> pd.DataFrame:
        rows = pd.DataFrame({"probability_scorecard": [0.1] * approved + [0.9] * (200 - approved)})
        rows["bad"] = [1] * bad_approved + [0] * (approved - bad_approved) + [1] * 20 + [0] * (180 - approved)
        return rows.assign(protected_sex=sex, passes_rules=True)

    rows = pd.concat([half("female", 80, 20), half("male", 160, 40), half("male", 160, 40)], ignore_index=True)
    rows["borrower_id"] = [f"b{row}" for row in range(600)]
    told, left_out = protected_groups(rows, "scorecard", 0.5, 0.95)
    assert left_out == []
    men, women = told
    assert (men.group, men.n, men.ratio, men.review) == ("male", 400, 1.0, False)
    assert (women.attribute, women.group, women.n, women.bads) == ("sex", "female", 200, 40)
    assert women.approval_rate == pytest.approx(0.4)
    assert women.bad_rate_approved == pytest.approx(20 / 80)
    assert women.goods_declined == pytest.approx(100 / 160)
    assert women.ratio == pytest.approx(0.4 / 0.8)
    assert women.ratio_low < 0.5 < women.ratio_high < 0.8
    assert women.review is True


def test_like_treatment_is_not_marked():
    told, _ = protected_groups(sample(protected_sex=["female", "male"] * 500), "scorecard", 0.5, 0.95)
    assert [row.review for row in told] == [False, False]


def test_a_low_ratio_that_may_be_chance_is_not_marked():
    rows = pd.DataFrame({"protected_sex": ["female"] * 100 + ["male"] * 900, "bad": [0, 1] * 500})
    rows["probability_scorecard"] = [0.1] * 7 + [0.9] * 93 + [0.1] * 90 + [0.9] * 810
    rows["passes_rules"] = True
    rows["borrower_id"] = np.arange(1_000)
    women = protected_groups(rows, "scorecard", 0.5, 0.95)[0][1]
    assert women.ratio == pytest.approx(0.7)
    assert women.review is False


def test_small_groups_are_named_but_not_judged():
    age = ["18-25"] * 40 + ["26-35"] * 500 + ["36-45"] * 460
    told, left_out = protected_groups(sample(protected_age_band=age), "scorecard", 0.5, 0.95)
    assert [row.group for row in told] == ["26-35", "36-45"]
    assert left_out == [SmallGroup("age_band", "18-25", 40)]


def test_an_attribute_of_one_large_group_tells_nothing():
    told, left_out = protected_groups(sample(protected_sex=["female"] * 60 + ["male"] * 940), "scorecard", 0.5, 0.95)
    assert told == []
    assert {(row.group, row.n) for row in left_out} == {("female", 60), ("male", 940)}


def test_attributes_that_are_not_recorded_are_left_out_and_missing_values_are_a_group():
    rows = sample(protected_language=None, protected_sex=["female", None] * 500)
    told, left_out = protected_groups(rows, "scorecard", 0.5, 0.95)
    assert {row.group for row in told} == {"female", "not recorded"}
    assert left_out == []


def test_a_group_that_is_wholly_declined_is_marked_for_review():
    rows = sample(protected_rural=["yes"] * 200 + ["no"] * 800)
    rows.loc[rows["protected_rural"] == "yes", "probability_scorecard"] = 0.9
    rural = next(row for row in protected_groups(rows, "scorecard", 0.5, 0.95)[0] if row.group == "yes")
    assert (rural.approval_rate, rural.bad_rate_approved, rural.review) == (0.0, None, True)
