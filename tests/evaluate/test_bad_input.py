"""Columns that no book should hold, and bins that people set: each works, or says in one sentence why not."""

import datetime

import numpy as np
import pandas as pd
import pytest

from components.credit.config import Config, ManualBins, Scorecard, parse_config
from components.credit.dictionary import Feature
from components.credit.errors import GateStopped, InputError
from components.credit.models.binning import fit_binning, set_binning
from components.credit.models.card import Card
from components.credit.progress import Progress
from components.credit.training.folds import make_folds
from components.credit.training.samples import Training
from components.train_sklearn.scorecard import fit_scorecard

N = 1_000
RANDOM = np.random.default_rng(3)
BAD = (RANDOM.random(N) < 0.2).astype(np.int64)
MOST_BAD = (RANDOM.random(N) < 0.6).astype(np.int64)
NUMBER = Feature("x", "number", "x", "x", "applications", "attribute")
CATEGORY = Feature("c", "category", "c", "c", "applications", "attribute")


@pytest.mark.parametrize("bad", [BAD, MOST_BAD, np.arange(N) < 30, np.zeros(N, int), np.ones(N, int)])
@pytest.mark.parametrize(
    "column",
    [
        np.full(N, 7.0),
        np.full(N, np.nan),
        np.where(np.arange(N) % 2, np.inf, -np.inf),
        np.where(np.arange(N) % 3, np.nan, np.inf),
        np.full(N, 1e308),
        np.where(np.arange(N) % 2, 5e-324, -1e308),
        RANDOM.normal(size=N),
    ],
)
def test_any_number_gets_bins_with_finite_weights(column: np.ndarray, bad: np.ndarray):
    binning = fit_binning(NUMBER, column, bad.astype(np.int64), 10, 0.02)
    assert sum(bin_.rows for bin_ in binning.bins) == N
    assert np.isfinite([bin_.woe for bin_ in binning.bins]).all()
    assert np.isfinite(binning.information_value)
    assert set(binning.index(np.array([np.nan, np.inf, -np.inf, 0.0]))) <= set(range(len(binning.bins)))


def test_ten_thousand_categories_fall_into_other_and_a_few_groups():
    names = np.array([f"distrito {number}" for number in range(10_000)], dtype=object)
    column = np.concatenate([names, np.repeat(np.array(["Lima", "Cusco"], dtype=object), 2_000)])
    bad = (RANDOM.random(len(column)) < np.where(column == "Cusco", 0.5, 0.1)).astype(np.int64)
    binning = fit_binning(CATEGORY, column, bad, 10, 0.02)
    assert binning.groups == [["Lima"], ["Cusco"]]
    assert binning.bins[1].rows == 10_000
    assert binning.index(["Lima", "distrito 3", "unseen", None]).tolist() == [2, 1, 1, 0]


def test_a_date_of_one_value_leaves_folds_by_borrower():
    folds = make_folds(np.arange(N), np.full(N, np.datetime64("2024-01-01")), BAD, 4, 1)
    assert folds.kind == "random"
    with pytest.raises(GateStopped, match="fewer borrowers than the 4 folds"):
        make_folds(np.arange(N), np.full(N, np.datetime64("2024-01-01")), (np.arange(N) < 3).astype(int), 4, 1)


def test_bins_that_people_set_are_kept_with_the_rows_weights():
    column = np.concatenate([np.array([np.nan, 1.0, 1.999, 2.0]), np.full(N - 4, 5.0)])
    text = (
        "scorecard: {manual_bins: {x: {reviewed_by: Comité 12, reviewed_on: 2024-05-02, cuts: [1, 2]}, "
        "c: {reviewed_by: Comité 12, reviewed_on: 2024-05-02, groups: [[b, a], [z]]}}}"
    )
    manual = parse_config(text, "c.yaml").scorecard.manual_bins
    binning = set_binning(NUMBER, column, BAD, manual["x"])
    assert [bin_.label for bin_ in binning.bins] == ["missing", "< 1", "[1, 2)", "≥ 2"]
    assert [bin_.rows for bin_ in binning.bins] == [1, 0, 2, N - 3]
    assert np.isfinite([bin_.woe for bin_ in binning.bins]).all()
    names = np.resize(np.array(["a", "b", "z", "new", None], dtype=object), N)
    grouped = set_binning(CATEGORY, names, BAD, manual["c"])
    assert [bin_.rows for bin_ in grouped.bins] == [200, 200, 400, 200]


@pytest.mark.parametrize(
    ("feature", "bins", "said"),
    [
        (NUMBER, {"groups": [["a"]]}, "x is a number; give cuts"),
        (CATEGORY, {"cuts": [1.0]}, "c is a category; give groups"),
        (NUMBER, {}, "x is a number; give cuts"),
        (NUMBER, {"cuts": [2.0, 1.0]}, "ascending order"),
        (CATEGORY, {"groups": [["a"], ["a"]]}, "each category in one group"),
    ],
)
def test_bins_that_do_not_fit_are_refused(feature: Feature, bins: dict, said: str):
    manual = ManualBins("Comité", datetime.date(2024, 5, 2), **bins)
    with pytest.raises(InputError, match=said):
        set_binning(feature, np.full(N, None, dtype=object), BAD, manual)


def test_a_card_is_made_with_the_bins_that_people_set():
    values = RANDOM.normal(size=N)
    bad = (RANDOM.random(N) < 1 / (1 + np.exp(1.5 - values))).astype(np.int64)
    book = Training(pd.DataFrame({"x": values}), bad, np.arange(N), np.full(N, np.datetime64("2024-01-01")), N)
    folds = make_folds(book.borrowers, book.decided_at, bad, 3, 1)
    set_by_people = {"x": ManualBins("Comité", datetime.date(2024, 5, 2), cuts=[-0.5, 0.25])}
    config = Config(scorecard=Scorecard(manual_bins=set_by_people))
    card = fit_scorecard(book, [NUMBER], folds, config, Progress("train-sklearn")).engine
    assert isinstance(card, Card)
    assert card.binnings[0].cuts == [-0.5, 0.25]
    assert len(set(card.points[0][1:])) == 3
    unknown = Config(scorecard=Scorecard(manual_bins={"y": set_by_people["x"]}))
    with pytest.raises(InputError, match="names 'y', which is no feature"):
        fit_scorecard(book, [NUMBER], folds, unknown, Progress("train-sklearn"))
