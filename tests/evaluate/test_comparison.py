import json
from dataclasses import replace

import jsonschema
import msgspec
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, roc_auc_score

from components.credit.book.manifest import Manifest
from components.credit.book.store import Store
from components.credit.config import Config, Policy
from components.credit.dictionary import Feature
from components.credit.errors import GateStopped, InputError
from components.credit.features.notes import Leak
from components.credit.models.scorer import Scorer
from components.credit.progress import Progress
from components.credit.release.decision import ChosenModel, Data, Decision
from components.evaluate.comparison import Comparison, compare
from components.evaluate.figures import Outcomes, figures, resampled
from components.evaluate.record import Evaluation, JudgedSample
from pipelines.compiled import DECISION_SCHEMA

PROGRESS = Progress("evaluate")
MODELS = ("scorecard", "random_forest", "xgboost")


def test_figures_are_those_of_the_labelled_test_rows_alone(
    comparison: Comparison, rows: pd.DataFrame, scorers: dict[str, Scorer]
):
    test = rows[rows["sample"] == "test"]
    bad = test["bad"].to_numpy().astype(int)
    assert comparison.decision.split == JudgedSample("out_of_time", "2024-03-01", 365, "", 1_050, int(bad.sum()))
    for name in MODELS:
        found = comparison.decision.models[name]
        probability = scorers[name].probability({column: test[column] for column in test})
        assert (found.n, found.bads) == (1_050, bad.sum())
        assert found.auc == pytest.approx(roc_auc_score(bad, probability), abs=1e-6)
        assert found.gini == pytest.approx(2 * found.auc - 1, abs=1e-5)
        assert found.brier == pytest.approx(brier_score_loss(bad, probability), abs=1e-6)
        assert found.log_loss == pytest.approx(log_loss(bad, probability), abs=1e-6)
        declined = probability > scorers[name].cutoff
        assert found.accuracy == pytest.approx(accuracy_score(bad, declined), abs=1e-6)
        assert found.approval_rate == pytest.approx(1 - declined.mean(), abs=1e-6)
        assert found.version == scorers[name].version()


def test_every_figure_lies_within_its_interval(comparison: Comparison):
    for found in comparison.decision.models.values():
        figures = msgspec.structs.asdict(found)
        named = [name.removesuffix("_low") for name in figures if name.endswith("_low")]
        assert {"auc", "gini", "ks", "brier", "log_loss", "accuracy", "precision", "recall", "f1"} <= set(named)
        for name in named:
            assert figures[f"{name}_low"] <= figures[name] <= figures[f"{name}_high"], name
            assert figures[f"{name}_low"] < figures[f"{name}_high"], name


def test_a_challenger_that_knows_more_becomes_champion(comparison: Comparison, scorers: dict[str, Scorer]):
    decision = comparison.decision
    assert decision.champion == ChosenModel("xgboost", scorers["xgboost"].version())
    assert comparison.champion is scorers["xgboost"]
    tests = {test.challenger: test for test in decision.tests}
    assert [tests["random_forest"].beats, tests["xgboost"].beats] == [False, True]
    gap = decision.models["xgboost"].auc - decision.models["scorecard"].auc
    assert tests["xgboost"].difference == pytest.approx(gap, abs=2e-6)
    assert tests["xgboost"].bootstrap_low == pytest.approx(tests["xgboost"].low, abs=0.015)
    assert "XGBoost" in decision.reason.en
    assert "reemplaza" in decision.reason.es


def test_a_greater_margin_keeps_the_scorecard(book: Manifest, scorers: dict[str, Scorer], store: Store):
    found = compare(book, scorers, Config(policy=Policy(champion_margin=0.5)), store, PROGRESS)
    assert found.decision.champion.family == "scorecard"
    assert found.champion is scorers["scorecard"]
    assert found.headline["auc"] == pytest.approx(found.decision.models["scorecard"].auc, abs=1e-6)


def test_headline_curves_and_confusion_are_the_champions(comparison: Comparison):
    found = comparison.decision.models["xgboost"]
    assert comparison.headline["auc"] == pytest.approx(found.auc, abs=1e-6)
    assert all(isinstance(value, float) and np.isfinite(value) for value in comparison.headline.values())
    fpr, tpr, thresholds = comparison.roc
    assert len(fpr) == len(tpr) == len(thresholds) <= 200
    assert np.isfinite([fpr, tpr, thresholds]).all()
    assert [fpr[0], tpr[0], fpr[-1], tpr[-1]] == [0, 0, 1, 1]
    assert all(np.diff(fpr) >= 0)
    assert all(np.diff(thresholds) <= 0)
    assert np.trapezoid(tpr, fpr) == pytest.approx(found.auc, abs=0.003)
    (good_approved, good_declined), (bad_approved, bad_declined) = comparison.confusion
    assert good_approved + good_declined + bad_approved + bad_declined == found.n
    assert (good_approved + bad_declined) / found.n == pytest.approx(found.accuracy, abs=1e-6)
    assert bad_declined / (bad_approved + bad_declined) == pytest.approx(found.recall, abs=1e-6)


def test_the_same_inputs_give_the_same_bytes(
    book: Manifest, scorers: dict[str, Scorer], store: Store, comparison: Comparison
):
    again = compare(book, scorers, Config(), store, PROGRESS)
    assert encoded(again) == encoded(comparison)
    assert again.roc == comparison.roc


def encoded(comparison: Comparison) -> bytes:
    return msgspec.json.encode(comparison.decision, order="sorted")


def test_the_decision_is_read_from_its_json_as_it_was(comparison: Comparison):
    assert msgspec.json.decode(encoded(comparison), type=Evaluation) == comparison.decision


def test_later_stages_read_the_decision_and_carry_its_sections(comparison: Comparison):
    carried = msgspec.json.decode(encoded(comparison), type=Decision)
    assert carried.models == comparison.decision.models
    assert msgspec.json.encode(carried, order="sorted") == encoded(comparison)
    names = ({field.encode_name for field in msgspec.structs.fields(kind)} for kind in (Decision, Evaluation))
    assert next(names) == next(names)


def test_the_decision_keeps_the_published_schema(comparison: Comparison):
    schema = json.loads(DECISION_SCHEMA.read_text(encoding="utf-8"))
    jsonschema.validate(json.loads(encoded(comparison)), schema)
    with pytest.raises(jsonschema.ValidationError, match="releese"):
        jsonschema.validate(json.loads(encoded(comparison).replace(b'"release"', b'"releese"')), schema)


def test_bands_strategy_and_segments_lose_nobody(comparison: Comparison):
    decision = comparison.decision
    for found in decision.models.values():
        assert sum(row.n for row in found.grades) == found.n
        assert sum(row.n for row in found.calibration) == found.n
        assert sum(row.bads for row in found.calibration) == found.bads
    assert sum(row.n for row in decision.segments if row.by == "segment") == decision.split.n
    for row in decision.strategy:
        for strategy in row.models.values():
            assert strategy.approved >= round(row.share * decision.split.n)
            assert strategy.bad_rate_low < strategy.bad_rate < strategy.bad_rate_high
    rates = [row.models["xgboost"].bad_rate for row in decision.strategy]
    assert rates[0] < rates[-1]


def test_what_a_model_reads_most_leads_its_features(comparison: Comparison):
    features = comparison.decision.models["xgboost"].features
    assert features[0].name == "wallet_trend"
    assert sum(feature.share for feature in features) == pytest.approx(1, abs=1e-5)


def test_a_shift_of_the_scores_is_seen(publish, rows: pd.DataFrame, scorers: dict[str, Scorer], store: Store):
    moved = rows.copy()
    moved.loc[moved["sample"] == "test", ["wallet_trend", "debt_to_income"]] += 1.5
    found = compare(publish(moved), scorers, Config(), store, PROGRESS).decision.models["xgboost"].psi
    assert found.value > 0.25
    assert found.verdict == "large"


def test_findings_and_split_are_handed_on(publish, rows: pd.DataFrame, scorers: dict[str, Scorer], store: Store):
    split = {"kind": "random grouped by borrower", "test_from": None, "embargo_days": 0, "reason": "no dates"}
    leak = {"kind": "repeated rows", "share": 0.2, "limit": 0.1, "rows": 7, "place": "here", "reason": "so"}
    features = publish(rows, leakage=[leak], split=split)
    decision = compare(features, scorers, Config(), store, PROGRESS).decision
    assert decision.leakage == [Leak(kind="repeated rows", share=0.2, limit=0.1, rows=7, place="here", reason="so")]
    assert decision.split.kind == "random grouped by borrower"
    assert decision.data == Data(features.sha256, "2025-06-30", "r1")


@pytest.mark.parametrize(
    ("note", "value", "said"), [("checks", None, "checks"), ("left_out", ["x"], "left_out"), ("split", {}, "kind")]
)
def test_notes_that_lack_something_are_refused_with_its_name(
    publish, rows: pd.DataFrame, scorers: dict[str, Scorer], store: Store, note: str, value: object, said: str
):
    with pytest.raises(InputError, match=rf"notes of the feature table .* \(.*{said}.*\); make the table again\.$"):
        compare(publish(rows, **{note: value}), scorers, Config(), store, PROGRESS)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bad": 0}, "1,050 applications that are all good"),
        ({"bad": 1}, "1,050 applications that are all bad"),
        ({"sample": "unlabelled"}, "no labelled application"),
    ],
)
def test_a_test_sample_of_one_class_stops_the_run(
    change: dict[str, object], said: str, publish, rows: pd.DataFrame, scorers: dict[str, Scorer], store: Store
):
    changed = rows.copy()
    for column, value in change.items():
        changed.loc[changed["sample"] == "test", column] = value
    with pytest.raises(GateStopped, match=r"test_share") as stopped:
        compare(publish(changed), scorers, Config(), store, PROGRESS)
    assert said in str(stopped.value)
    assert "2024-03-01" in str(stopped.value)


def test_a_model_of_another_table_is_named(book: Manifest, scorers: dict[str, Scorer], store: Store):
    foreign = Feature("debt_ratio", "number", "debt", "deuda", "bureau", "debt_level")
    other = replace(scorers["xgboost"], features=(foreign,))
    with pytest.raises(InputError, match=r"no column 'debt_ratio', which the model 'xgboost' reads"):
        compare(book, {**scorers, "xgboost": other}, Config(), store, PROGRESS)


def test_every_figure_is_resampled_by_its_own_formula():
    # With one borrower each sample of borrowers is the book itself.
    random = np.random.default_rng(0)
    probability = np.round(random.random(400), 2)
    bad = (random.random(400) < probability).astype(np.int64)
    outcomes = Outcomes(bad, probability, np.arange(400), np.zeros(400), 0.4, 550)
    drawn = resampled({"xgboost": outcomes}, seed=1)["xgboost"]
    found = figures(outcomes, drawn, 0.95)
    for name, values in drawn.items():
        assert values[0] == pytest.approx(getattr(found, name)), name
