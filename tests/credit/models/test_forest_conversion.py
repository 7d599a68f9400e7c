"""A random forest says the same after its conversion, to the edge of each split."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from components.credit.models.trees.engine import Encoded, Encoder, Trees, fit_encoder, forest_to_booster
from tests.credit.models.book import DICTIONARY, make_rows


@pytest.fixture(scope="module")
def forest() -> RandomForestClassifier:
    random = np.random.default_rng(0)
    rows = random.normal(size=(2_500, 5)).round(1).astype(np.float32)
    rows[random.random(rows.shape) < 0.1] = np.nan
    rows[:, 4] = random.integers(0, 4, len(rows))  # never missing in training
    risk = 1 / (1 + np.exp(-np.nan_to_num(rows[:, 0]) - np.isnan(rows[:, 1])))
    fitted = RandomForestClassifier(60, min_samples_leaf=3, random_state=0)
    return fitted.fit(rows, (random.random(len(rows)) < risk).astype(int))


@pytest.fixture(scope="module")
def engine(forest: RandomForestClassifier) -> Trees:
    return Trees(forest_to_booster(forest), Encoder("probability", [Encoded(str(i)) for i in range(5)]))


def test_same_probability_at_and_beside_each_threshold(forest: RandomForestClassifier, engine: Trees) -> None:
    thresholds = np.unique(np.concatenate([tree.tree_.threshold for tree in forest.estimators_]))
    edges = thresholds[np.isfinite(thresholds)].astype(np.float32)
    near = np.concatenate(
        [
            edges,
            np.nextafter(edges, np.float32(9)),
            np.nextafter(edges, np.float32(-9)),
            np.array([np.nan, 1e30, -1e30]),
        ]
    )
    rows = np.random.default_rng(1).choice(near, (4_000, 5)).astype(np.float32)
    rows[:, 4] = np.nan_to_num(rows[:, 4])
    columns = {str(i): rows[:, i] for i in range(5)}
    assert np.abs(engine.margin(columns) - forest.predict_proba(rows)[:, 1]).max() < 1e-6


def test_contributions_are_shapley_values(forest: RandomForestClassifier, engine: Trees) -> None:
    """A feature that no split reads gets nothing, and a row's parts and the base make its margin."""
    rows = np.random.default_rng(2).normal(size=(50, 5))
    columns = {str(i): rows[:, i] for i in range(5)}
    parts = engine.contributions(columns)
    assert np.abs(engine.base + parts.sum(axis=1) - engine.margin(columns)).max() < 1e-9
    assert engine.base == pytest.approx(np.mean([tree.tree_.value[0, 0, 1] for tree in forest.estimators_]), abs=1e-6)


def test_categories_become_ranks_of_risk() -> None:
    rows = make_rows(3_000, 5)
    sector = [feature for feature in DICTIONARY if feature.name == "sector"]
    encoder = fit_encoder(sector, rows, rows["bad"].to_numpy().astype(np.int64), "log_odds")
    rank = encoder.columns[0].levels
    assert rank is not None
    assert rank.rank["transport"] > rank.rank["commerce"]
    matrix = encoder.matrix({"sector": ["transport", None, "never seen", float("nan")]})
    assert matrix.dtype == np.float32
    assert np.isnan(matrix[[1, 3], 0]).all()
    assert matrix[0, 0] == rank.rank["transport"]


def test_rare_and_unseen_categories_share_a_rank() -> None:
    column = np.array(["a"] * 300 + ["b"] * 300 + [f"rare {i}" for i in range(30)], dtype=object)
    bad = np.array([0] * 300 + [1] * 150 + [0] * 150 + [1] * 30)
    sector = [feature for feature in DICTIONARY if feature.name == "sector"]
    matrix = fit_encoder(sector, {"sector": column}, bad, "log_odds").matrix({"sector": ["a", "b", "rare 7", "new"]})
    assert matrix[:, 0].tolist() == [0, 1, 2, 2]
