import numpy as np
import pandas as pd
import pytest

from components.credit.config import Config
from components.credit.dictionary import Feature
from components.evaluate.baselines import fit_baselines
from components.evaluate.comparison import Comparison
from components.evaluate.inclusion import inclusion
from components.evaluate.report import inclusion_sentences

SCORES = ("bureau", "own_history", "without", "with")


def applicants(n: int = 4_000, seed: int = 5) -> pd.DataFrame:
    """Half without a bureau record, of whom a fifth is bad; only alternative data tell these apart."""
    random = np.random.default_rng(seed)
    thin = np.arange(n) % 2 == 0
    bad = (random.random(n) < np.where(thin, 0.2, 0.1)).astype(int)
    knowing = np.where(bad == 1, random.beta(4, 4, n), random.beta(2, 8, n))
    return pd.DataFrame(
        {
            "borrower_id": np.arange(n),
            "bad": bad,
            "thin_file": thin,
            "segment": np.where(np.arange(n) % 4 < 2, "new", "recurrent"),
            "protected_sex": np.where(np.arange(n) % 3 == 0, "female", "male"),
            "incumbent_score": 600 + random.normal(size=n),
            "passes_rules": True,
            "probability_bureau": np.where(thin, 0.2, random.random(n) / 5),
            "probability_own_history": np.full(n, 0.15),
            "probability_without": np.where(thin, 0.2, knowing),
            "probability_with": knowing,
        }
    )


def told(rows: pd.DataFrame, **changed: object) -> dict:
    arguments = {"baselines": list(SCORES), "champion": "with", "share": 0.7, "confidence": 0.95, "seed": 1}
    return inclusion(rows, **(arguments | changed)).figures


def test_alternative_data_let_more_be_approved_at_the_same_bad_rate():
    rows = applicants()
    figures = told(rows)
    everyone = figures.groups[0]
    thin = rows[rows["thin_file"]]
    assert (everyone.group, everyone.n, everyone.bads) == ("all", 2_000, thin["bad"].sum())
    # The score without them ties all, at a bad rate above the limit: it approves nobody.
    assert everyone.scores["without"].share == 0
    ranked = thin.sort_values("probability_with")["bad"].to_numpy()
    below = np.flatnonzero(np.cumsum(ranked) / np.arange(1, 2_001) <= figures.bad_rate)
    assert everyone.scores["with"].share == pytest.approx((below[-1] + 1) / 2_000, abs=0.001)
    gain = everyone.gains["without"]
    assert 0.5 < gain.gain_low < gain.gain < gain.gain_high
    assert gain.gain == pytest.approx(everyone.scores["with"].share)


def test_the_bad_rate_is_that_of_the_present_policys_score_at_the_configured_share():
    rows = applicants()
    best = rows.sort_values("incumbent_score", ascending=False).head(2_800)
    assert told(rows).bad_rate == pytest.approx(best["bad"].mean(), abs=1e-9)
    without = told(rows.drop(columns="incumbent_score"))
    assert without.basis == "without"
    assert "incumbent" not in without.groups[0].scores


def test_groups_stand_apart_and_small_ones_are_named():
    rows = applicants().assign(protected_rural="false")
    rows.loc[:19, "protected_rural"] = "true"
    figures = told(rows)
    assert [row.group for row in figures.groups] == ["all", "women", "first_loan"]
    assert {row.group: row.n for row in figures.left_out} == {"rural": 10, "young": 0}


def test_the_present_policy_is_compared_at_its_own_bad_rate_with_the_declined_as_predicted():
    rows = applicants()
    declined = rows.head(400).assign(bad=-1, probability_with=0.01)
    present = told(pd.concat([rows, declined], ignore_index=True)).groups[0].present
    assert (present.decided, present.approved) == (2_200, 2_000)
    assert present.bad_rate == pytest.approx(rows.loc[rows["thin_file"], "bad"].mean())
    # All who were approved and, since they are predicted to pay, all who were declined.
    assert present.share == 1
    assert present.more == pytest.approx(200)


@pytest.mark.parametrize(
    ("rows", "changed", "why"),
    [
        (applicants().assign(thin_file=False), {}, "Nobody in the test sample is without a bureau record"),
        (applicants(), {"baselines": ["bureau", "without"]}, "hold no alternative data"),
    ],
)
def test_where_there_is_nothing_to_compare_the_report_says_why(rows: pd.DataFrame, changed: dict, why: str):
    figures = told(rows, **changed)
    assert not figures.told
    assert why in figures.why
    assert inclusion_sentences(figures) is None


def test_the_sentence_holds_the_figures():
    en, es = inclusion_sentences(told(applicants())) or ("", "")
    assert "n = 2,000" in en
    assert "without these data it is 0" in en
    assert "sin ellos son 0" in es


def test_scores_that_know_less_read_their_part_of_the_data_alone(rows: pd.DataFrame):
    training = rows[rows["sample"] == "train"].astype({"bad": "int64"})
    features = [
        Feature("debt_to_income", "number", "d", "d", "bureau", "debt_level"),
        Feature("peak_days_late", "number", "l", "l", "loans", "late_payments"),
        Feature("wallet_trend", "number", "w", "w", "transactions", "cash_flow_trend"),
    ]
    scores = fit_baselines(features, training, Config().scorecard)
    read = {name: [feature.name for feature in scorer.features] for name, scorer in scores.items()}
    assert read == {
        "bureau": ["debt_to_income"],
        "own_history": ["peak_days_late"],
        "without": ["debt_to_income", "peak_days_late"],
        "with": ["debt_to_income", "peak_days_late", "wallet_trend"],
    }
    known = np.corrcoef(scores["with"].probability(training), training["bad"])[0, 1]
    assert known > np.corrcoef(scores["without"].probability(training), training["bad"])[0, 1] > 0
    ready = [replace_source(feature) for feature in features]
    assert list(fit_baselines(ready, training, Config().scorecard)) == ["without", "with"]


def replace_source(feature: Feature) -> Feature:
    return Feature(feature.name, feature.type, feature.en, feature.es, "applications", "attribute")


def test_the_decision_tells_of_inclusion(comparison: Comparison):
    included = comparison.decision.inclusion
    assert included.told
    assert included.groups is not None
    everyone = included.groups[0]
    assert everyone.n > 100
    assert set(everyone.scores) == {"incumbent", "bureau", "own_history", "without", "with"}
    assert everyone.gains["without"].gain_low <= everyone.gains["without"].gain
    assert set(comparison.inclusion_curves) == set(everyone.scores)
