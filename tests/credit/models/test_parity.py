"""One row at a time says, bit for bit, what ten thousand rows at once say; and XGBoost itself agrees."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.ensemble import RandomForestClassifier

from components.credit.models.scorer import Scorer, save
from components.credit.models.trees import deeptables
from components.credit.models.trees.engine import Encoded, Encoder, Trees, forest_to_booster
from components.credit.models.trees.ranks import ranked
from components.credit.models.trees.treeshap import tabulated
from components.credit.models.trees.treetables import ANSWERS
from components.credit.reasons.reasons import reasons
from tests.credit.models.book import NAMES, make_odd_rows, make_rows


@pytest.fixture(scope="module")
def many() -> pd.DataFrame:
    """Ten thousand rows: ordinary ones, and any column of any row missing, unseen or extreme."""
    frame = make_rows(10_000, 31)[NAMES]
    random = np.random.default_rng(32)
    odd = make_odd_rows().head(6)
    for name in NAMES:
        at = np.flatnonzero(random.random(len(frame)) < 0.05)
        frame.loc[at, name] = odd[name].to_numpy()[random.integers(0, len(odd), len(at))]
    return frame


def test_one_row_has_the_bits_of_ten_thousand(scorer: Scorer, many: pd.DataFrame) -> None:
    columns = {name: many[name].to_numpy() for name in NAMES}
    margin, parts = scorer.explained(columns)
    probability, points = scorer.probability(columns), scorer.points(columns)
    given = reasons(scorer, columns, parts, margin=margin)
    assert (scorer.margin(columns) == margin).all()
    assert (scorer.contributions(columns) == parts).all()
    for row in range(0, len(many), 7):
        one = {name: column[row : row + 1] for name, column in columns.items()}
        one_margin, one_parts = scorer.explained(one)
        assert one_margin.tobytes() == margin[row : row + 1].tobytes()
        assert one_parts.tobytes() == parts[row : row + 1].tobytes()
        assert scorer.probability(one)[0] == probability[row]
        assert scorer.points(one)[0] == points[row]
        assert reasons(scorer, one, one_parts)[0] == given[row]


@pytest.mark.parametrize("size", [2, 3, 8, 9, 33, 1_000])
def test_a_batch_of_any_size_has_the_same_bits(scorer: Scorer, many: pd.DataFrame, size: int) -> None:
    columns = {name: many[name].to_numpy() for name in NAMES}
    part = {name: column[100 : 100 + size] for name, column in columns.items()}
    assert (scorer.probability(part) == scorer.probability(columns)[100 : 100 + size]).all()
    assert (scorer.contributions(part) == scorer.contributions(columns)[100 : 100 + size]).all()


@pytest.mark.parametrize("family", ["random_forest", "xgboost"])
def test_xgboost_itself_says_the_same(family: str, scorers: dict[str, Scorer], many: pd.DataFrame) -> None:
    scorer = scorers[family]
    assert isinstance(scorer.engine, Trees)
    agree(scorer.engine, scorer.engine.encoder.matrix(many.head(500)))


@pytest.mark.parametrize("depth", [1, 2, 3, 6, 14])
@pytest.mark.parametrize("features", [1, 3, 20])
def test_trees_of_any_depth_are_explained_exactly(depth: int, features: int) -> None:
    """Tables hold the shallow trees, the deep ones are walked; the same feature is asked again and again."""
    random = np.random.default_rng(depth * 100 + features)
    rows = random.normal(size=(1_500, features)).round(2).astype(np.float32)
    rows[random.random(rows.shape) < 0.1] = np.nan
    bad = (random.random(len(rows)) < 1 / (1 + np.exp(-3 * np.nan_to_num(rows).sum(axis=1)))).astype(int)
    names = [Encoded(str(place)) for place in range(features)]
    forest = RandomForestClassifier(12, max_depth=depth, random_state=0).fit(rows, bad)
    agree(Trees(forest_to_booster(forest), Encoder("probability", names)), rows[:600])
    settings = {"objective": "binary:logistic", "max_depth": depth, "min_child_weight": 0, "gamma": 0.1, "nthread": 1}
    booster = xgboost.train(settings, xgboost.DMatrix(rows, bad, nthread=1), 12)
    agree(Trees(bytes(booster.save_raw("ubj")), Encoder("log_odds", names)), rows[:600])


@pytest.mark.parametrize(("most", "high"), [(8_000_000, 2), (40_000, 1), (1_000, 0)])
def test_deep_trees_are_explained_exactly_in_whatever_memory_there_is(
    monkeypatch: pytest.MonkeyPatch, most: int, high: int
) -> None:
    monkeypatch.setattr(deeptables, "_MOST_TABULATED", most)
    random = np.random.default_rng(8)
    rows = random.normal(size=(1_500, 20)).round(2).astype(np.float32)
    rows[random.random(rows.shape) < 0.1] = np.nan
    bad = (random.random(len(rows)) < 1 / (1 + np.exp(-3 * np.nan_to_num(rows).sum(axis=1)))).astype(int)
    forest = RandomForestClassifier(8, max_depth=16, random_state=0).fit(rows, bad)
    engine = Trees(forest_to_booster(forest), Encoder("probability", [Encoded(str(place)) for place in range(20)]))
    agree(engine, rows[:600])
    blocks = tabulated(engine.nodes).deep.blocks
    assert {2: 3, 1: 1, 0: 0}[high] == blocks[:, ANSWERS].max()


def test_a_feature_may_have_more_thresholds_than_a_byte_tells_apart() -> None:
    random = np.random.default_rng(5)
    rows = random.normal(size=(4_000, 2)).astype(np.float32)
    bad = (random.random(len(rows)) < 1 / (1 + np.exp(-rows.sum(axis=1)))).astype(int)
    rows[random.random(rows.shape) < 0.1] = np.nan
    settings = {"objective": "binary:logistic", "max_depth": 5, "min_child_weight": 0, "max_bin": 2048, "nthread": 1}
    booster = xgboost.train(settings, xgboost.DMatrix(rows, bad, nthread=1), 60)
    engine = Trees(bytes(booster.save_raw("ubj")), Encoder("log_odds", [Encoded("0"), Encoded("1")]))
    thresholds = engine.nodes.threshold[engine.nodes.questions[:, 0] == 0]
    assert len(np.unique(thresholds)) > 300
    assert ranked(engine.nodes) is not None
    agree(engine, rows[:600])


def test_trees_that_are_single_leaves_have_no_parts() -> None:
    rows, bad = np.zeros((50, 2), dtype=np.float32), np.arange(50) % 2
    settings = {"objective": "binary:logistic", "base_score": 0.3, "nthread": 1}
    booster = xgboost.train(settings, xgboost.DMatrix(rows, bad, nthread=1), 3)
    engine = Trees(bytes(booster.save_raw("ubj")), Encoder("log_odds", [Encoded("0"), Encoded("1")]))
    agree(engine, np.zeros((300, 2), dtype=np.float32))
    assert not engine.contributions({"0": rows[:, 0], "1": rows[:, 1]}).any()


def test_a_booster_of_another_kind_is_refused_in_words() -> None:
    rows, label = np.random.default_rng(0).normal(size=(60, 2)), np.arange(60) % 3
    three = xgboost.train(
        {"objective": "multi:softprob", "num_class": 3, "nthread": 1}, xgboost.DMatrix(rows, label, nthread=1), 1
    )
    linear = xgboost.train({"booster": "gblinear", "nthread": 1}, xgboost.DMatrix(rows, label, nthread=1), 1)
    for booster in (three, linear):
        with pytest.raises(ValueError, match=r"is damaged|one output"):
            Trees(bytes(booster.save_raw("ubj")), Encoder("log_odds", [Encoded("0"), Encoded("1")]))


def test_scoring_needs_neither_xgboost_nor_pandas_nor_scikit_learn(
    scorers: dict[str, Scorer], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("model")
    save(scorers["xgboost"], folder)
    program = """
import sys
import numpy as np
from components.credit.models.scorer import load
from components.credit.models.trees.ranks import ranked
from components.credit.models.trees.treeshap import tabulated
from components.credit.models.trees.treetables import ANSWERS
from components.credit.reasons.reasons import reasons
scorer = load(sys.argv[1])
columns = {f.name: np.array([None], object) if f.type == "category" else np.array([1.0]) for f in scorer.features}
margin, parts = scorer.explained(columns)
reasons(scorer, columns, parts, margin=margin)
assert scorer.probability(columns).shape == (1,)
print(*sorted({"xgboost", "pandas", "sklearn"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


def agree(engine: Trees, rows: np.ndarray) -> None:
    """The margin to the bit of XGBoost's float32, the parts as near as its float32 sums are."""
    booster = xgboost.Booster({"nthread": 1}, model_file=bytearray(engine.booster))
    columns = {column.feature: rows[:, place].astype(np.float64) for place, column in enumerate(engine.encoder.columns)}
    if any(column.levels for column in engine.encoder.columns):
        engine = Trees(engine.booster, Encoder(engine.encoder.margin, [Encoded(name) for name in columns]))
    margin, parts = engine.explained(columns)
    assert (margin == booster.inplace_predict(rows, predict_type="margin")).all()
    by_rank = ranked(engine.nodes)
    assert by_rank is None or (by_rank.margins(rows) == margin).all()
    margin, parts = margin[:200], parts[:200]
    theirs = booster.predict(xgboost.DMatrix(rows[:200], nthread=1), pred_contribs=True)
    assert np.abs(parts - theirs[:, :-1]).max() < 2e-6 * max(1.0, float(np.abs(theirs).max()))
    assert engine.base == pytest.approx(float(theirs[0, -1]), abs=2e-6)
    assert np.abs(engine.base + parts.sum(axis=1) - margin).max() < 1e-12
