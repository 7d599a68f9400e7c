"""Training on books that are not as one would wish: it works, or says in one sentence why not."""

from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from components.credit.book.store import Store
from components.credit.config import Config, Limits, Search
from components.credit.dictionary import Feature
from components.credit.errors import GateStopped, InputError
from components.credit.models.scorer import Scorer
from components.credit.progress import Progress
from components.credit.training import samples
from components.credit.training.samples import read_training
from components.train_sklearn.training import train as train_sklearn
from components.train_xgboost.training import train as train_xgboost
from tests.credit.conftest import Publish
from tests.credit.models.book import CONFIG, DICTIONARY, NAMES, make_rows

SEARCH = Search(folds=3, forest_candidates=1, xgboost_candidates=2, xgboost_space={"max_depth": [2, 3]})
QUICK = Config(seed=1, limits=Limits(least_bads=20), search=SEARCH)
PROGRESS = Progress("train")


def _odd_columns(rows: pd.DataFrame) -> pd.DataFrame:
    """The book with columns of which nothing can be learnt, on one day."""
    places = np.arange(len(rows))
    return rows.assign(
        decided_at=pd.Timestamp("2023-01-01", tz="UTC"),
        branch_code=np.nan,
        bureau_months=-9.0,
        sector=[f"sector {place}" for place in places],
        mean_days_late=np.where(places % 3 == 0, np.inf, np.where(places % 3 == 1, -np.inf, rows["mean_days_late"])),
    )


def _mostly_bad(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([rows[rows["bad"] == 1], rows[rows["bad"] == 0].head(int(rows["bad"].sum() * 2 / 3))])


def _thirty_bads(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([rows[rows["bad"] == 1].head(30), rows[rows["bad"] == 0]])


@pytest.mark.parametrize("change", [_odd_columns, _mostly_bad, _thirty_bads])
def test_odd_books_train_and_score(change: object, publish: Publish, store: Store) -> None:
    assert callable(change)
    rows = change(make_rows(1_200, 21))
    book = publish(rows)
    card, forest = train_sklearn(book, DICTIONARY, QUICK, store, PROGRESS)
    for scorer in (card, forest, train_xgboost(book, DICTIONARY, QUICK, store, PROGRESS)):
        probability = scorer.probability(rows)
        assert np.isfinite(probability).all()
        assert probability.mean() == pytest.approx(rows["bad"].mean(), abs=0.06)
        assert scorer.training.auc is not None
        assert scorer.training.auc > 0.55


def test_too_few_bads_stop_the_run(publish: Publish, store: Store) -> None:
    book = publish(_thirty_bads(make_rows(900, 22)))
    for train in (train_sklearn, train_xgboost):
        with pytest.raises(GateStopped, match=r"holds 30 bads, fewer than the 50 .*\.$"):
            train(book, DICTIONARY, CONFIG, store, PROGRESS)


def test_one_class_alone_stops_the_run(publish: Publish, store: Store) -> None:
    with pytest.raises(GateStopped, match="holds 0 goods"):
        train_xgboost(publish(make_rows(300, 23).assign(bad=np.int8(1))), DICTIONARY, CONFIG, store, PROGRESS)


def test_nothing_to_learn_makes_no_scorecard(publish: Publish, store: Store) -> None:
    rows = make_rows(900, 24).assign(**{name: 1.0 for name in NAMES if name != "sector"}, sector="commerce")
    with pytest.raises(GateStopped, match="No feature tells bads from goods"):
        train_sklearn(publish(rows), DICTIONARY, QUICK, store, PROGRESS)


def test_a_feature_that_the_table_lacks_is_named(publish: Publish, store: Store) -> None:
    lacking = [*DICTIONARY, Feature("rent_paid", "number", "Rent", "Alquiler", "transactions", "bills_late")]
    with pytest.raises(InputError, match="lacks 'rent_paid'"):
        train_xgboost(publish(make_rows(300, 25)), lacking, CONFIG, store, PROGRESS)


@pytest.mark.parametrize(
    ("train", "search", "sentence"),
    [
        (train_sklearn, Search(forest_space={"max_dept": [3]}), "names 'max_dept'.*did you mean 'max_depth'"),
        (train_sklearn, Search(forest_space={"max_depth": [-3]}), "search.forest_space: .*max_depth"),
        (train_sklearn, Search(forest_space={"max_depth": []}), "forest_space.max_depth has no values"),
        (train_xgboost, Search(xgboost_space={"max_deep": [3]}), "names 'max_deep'.*did you mean 'max_depth'"),
        (train_xgboost, Search(xgboost_space={"subsample": [3.0]}), "search.xgboost_space: .*subsample"),
    ],
)
def test_a_space_that_does_not_fit_is_named(
    train: object, search: Search, sentence: str, publish: Publish, store: Store
) -> None:
    assert callable(train)
    config = msgspec.structs.replace(QUICK, search=search)
    with pytest.raises(InputError, match=sentence) as refused:
        train(publish(make_rows(500, 26)), DICTIONARY, config, store, PROGRESS)
    assert "\n" not in str(refused.value)


def test_a_trend_that_the_data_deny_is_warned_of(
    publish: Publish, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUIPU_PROGRESS_FILE", str(tmp_path / "events"))
    wrong = [
        msgspec.structs.replace(feature, trend="increasing") if feature.name == "income" else feature
        for feature in DICTIONARY
    ]
    card, _ = train_sklearn(publish(make_rows(1_500, 27)), wrong, QUICK, store, PROGRESS)
    warnings = [line for line in (tmp_path / "events").read_text().splitlines() if "warning" in line]
    assert len(warnings) == 1
    assert "'income' tells of risk, but not along its trend 'increasing'" in warnings[0]
    assert "income" not in {feature.name for feature in card.features}


def test_progress_never_goes_back(
    publish: Publish, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = publish(make_rows(900, 28))
    for name, train in (("sklearn", train_sklearn), ("xgboost", train_xgboost)):
        monkeypatch.setenv("QUIPU_PROGRESS_FILE", str(tmp_path / name))
        train(book, DICTIONARY, QUICK, store, PROGRESS)  # type: ignore[operator]
        events = [msgspec.json.decode(line) for line in (tmp_path / name).read_text().splitlines()]
        shares = [event["share"] for event in events]
        assert shares == sorted(shares)
        assert 0 <= shares[0] < shares[-1] <= 1


def test_only_labelled_training_rows_are_read_in_one_order(publish: Publish, store: Store) -> None:
    rows = make_rows(1_000, 29)
    rows["sample"] = np.where(np.arange(1_000) % 4 == 0, "test", "train")
    training = read_training(publish(rows), DICTIONARY, CONFIG, store)
    expected = rows[rows["sample"] == "train"].sort_values("application_id")
    assert training.bad.tolist() == expected["bad"].tolist()
    assert list(training.columns) == NAMES
    np.testing.assert_array_equal(training.columns["income"], expected["income"])
    shuffled = read_training(publish(rows.sample(frac=1, random_state=1)), DICTIONARY, CONFIG, store)
    assert shuffled.borrowers.tolist() == training.borrowers.tolist()


def test_a_book_beyond_the_bound_is_thinned_by_borrower(
    publish: Publish, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = make_rows(2_000, 30)
    monkeypatch.setattr(samples, "MOST_ROWS", 1_000)
    training = read_training(publish(rows), DICTIONARY, CONFIG, store)
    assert training.available == 2_000
    assert 850 < len(training.bad) < 1_150
    assert len(training.bad) == rows["borrower_id"].isin(training.borrowers).sum(), "borrowers stay whole"


def test_the_report_tells_how_the_model_was_found(scorers: dict[str, Scorer]) -> None:
    for scorer in scorers.values():
        report = scorer.training
        for part in ("rows", "bads", "folds", "auc", "auc_sd", "candidates", "parameters", "calibration"):
            assert getattr(report, part) is not None, part
        assert report.folds == "3 ordered, grouped by borrower"
    assert "branch_code" in (scorers["scorecard"].training.left_out or {})
    assert scorers["xgboost"].training.monotone == {"late_payments_12m": "increasing", "income": "decreasing"}
