"""Reject inference: outcomes of declined applications by hand, and the second card that learns from them."""

from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from components.credit.book.store import Store
from components.credit.config import Config, Rejects
from components.credit.errors import InputError
from components.credit.models.card import Card
from components.credit.models.scorer import Scorer, pack
from components.credit.progress import Progress
from components.credit.training.samples import read_training
from components.train_sklearn.regression import fit_values
from components.train_sklearn.rejects import infer, parcels, train_with_rejects
from components.train_sklearn.training import train
from tests.credit.conftest import Publish
from tests.credit.models.book import CONFIG, DICTIONARY, make_rows

PROGRESS = Progress("train-sklearn")


def _through_the_door(decision: str = "declined") -> pd.DataFrame:
    """A book whose lender turned the late payers away; of these no outcome is known."""
    rows = make_rows(3_000, 41)
    away = (rows["late_payments_12m"] >= 1) & (np.arange(3_000) % 3 > 0)
    return rows.assign(
        decision=np.where(away, decision, "approved"),
        sample=np.where(away, "unlabelled", "train"),
        bad=rows["bad"].astype("Int8").mask(away),
    )


def _config(method: str, **settings: float) -> Config:
    return msgspec.structs.replace(CONFIG, rejects=msgspec.convert({"method": method, **settings}, Rejects))


@pytest.fixture(scope="module")
def trained(publish: Publish, store: Store) -> tuple[Scorer, object]:
    book = publish(_through_the_door())
    return train(book, DICTIONARY, CONFIG, store, PROGRESS)[0], book


def test_parcels_take_the_bands_odds_times_the_factor():
    points = np.repeat([500, 600], 100)
    bad = np.concatenate([np.arange(100) < 49, np.arange(100) < 9]).astype(np.int64)
    declined = np.array([420] * 30 + [700] * 10 + [599] * 10)
    (low, places), (high, _) = parcels(points, bad, declined, 2.0, 2)
    # (49 + .5) / (51 + .5) = .961 to 1: 1.922 for the declined, 65.8 % of 40; (9.5 / 91.5) * 2 = .2077: 17.2 % of 10
    assert (low.n, low.bads, low.declined, low.inferred_bads) == (100, 49, 40, 26)
    assert (high.n, high.bads, high.declined, high.inferred_bads) == (100, 9, 10, 2)
    assert (low.points_from, high.points_from) == (None, 600)
    assert places.tolist() == [*range(30), *range(40, 50)]


def test_one_score_for_all_is_one_parcel():
    ((band, _),) = parcels(np.full(10, 500), np.arange(10) < 5, np.full(4, 300), 1.0, 10)
    assert (band.n, band.declined, band.inferred_bads) == (10, 4, 2)


def test_fuzzy_rows_stand_twice_with_weights_that_add_up_to_one(trained, store: Store):
    card, book = trained
    training = read_training(book, list(card.features), CONFIG, store)
    declined = training.columns.head(50)
    inferred = infer(card, training, declined, _config("fuzzy", factor=3.0))
    probability = card.probability(declined)
    odds = 3 * probability / (1 - probability)
    assert inferred.bad.tolist() == [1] * 50 + [0] * 50
    assert inferred.weights[:50] == pytest.approx(odds / (1 + odds))
    assert inferred.weights[:50] + inferred.weights[50:] == pytest.approx(1)


def test_parcelling_draws_by_the_seed(trained, store: Store):
    card, book = trained
    training = read_training(book, list(card.features), CONFIG, store)
    config = _config("parcelling")
    one, same, other = (
        infer(card, training, training.columns, each).bad
        for each in (config, config, msgspec.structs.replace(config, seed=8))
    )
    assert one.tolist() == same.tolist()
    assert one.sum() == other.sum()
    assert one.tolist() != other.tolist()


@pytest.mark.parametrize("method", ["parcelling", "fuzzy"])
def test_the_card_with_inference_holds_the_declined_for_riskier(method: str, trained, store: Store):
    card, book = trained
    rows = _through_the_door()
    declined = rows[rows["decision"] == "declined"]
    expected = []
    for factor in (1.0, 4.0):
        with_rejects = train_with_rejects(card, book, _config(method, factor=factor), store, PROGRESS)
        assert with_rejects is not None
        told = with_rejects.training.rejects
        assert told is not None
        assert told.declined == len(declined)
        assert 0 < told.inferred_bads < len(declined)
        expected.append(float(with_rejects.probability(declined).mean()))
        assert isinstance(with_rejects.engine, Card)
        bins = {binning.feature: binning.cuts for binning in card.engine.binnings}
        assert all(binning.cuts == bins[binning.feature] for binning in with_rejects.engine.binnings)
    assert expected[1] > expected[0] + 0.02
    again = train_with_rejects(card, book, _config(method, factor=4.0), store, PROGRESS)
    assert pack(again) == pack(with_rejects)


def test_only_what_the_lender_declined_counts(trained, publish: Publish, store: Store, tmp_path: Path, monkeypatch):
    card, book = trained
    assert train_with_rejects(card, book, CONFIG, store, PROGRESS) is None
    for place, rows in enumerate((_through_the_door("withdrawn"), _through_the_door().drop(columns="decision"))):
        monkeypatch.setenv("QUIPU_PROGRESS_FILE", str(tmp_path / f"events{place}"))
        assert train_with_rejects(card, publish(rows), _config("fuzzy"), store, PROGRESS) is None
        (warning,) = [line for line in (tmp_path / f"events{place}").read_text().splitlines() if "warning" in line]
        assert "holds no application that the lender declined" in warning


def test_the_future_teaches_nothing(trained, publish: Publish, store: Store):
    card, _ = trained
    later = _through_the_door()
    away = later["decision"] == "declined"
    later.loc[away, "decided_at"] = later.loc[~away, "decided_at"].max() + pd.Timedelta(days=1)
    assert train_with_rejects(card, publish(later), _config("fuzzy"), store, PROGRESS) is None


def test_a_row_of_weight_two_is_two_rows_and_one_of_weight_zero_none(scorers: dict[str, Scorer]):
    card = scorers["scorecard"].engine
    assert isinstance(card, Card)
    rows, odd = make_rows(400, 42), make_rows(100, 43)
    bad = rows["bad"].to_numpy().astype(np.int64)
    twice = pd.concat([rows, rows.head(100)], ignore_index=True)
    (counted,) = fit_values(card.binnings, twice, np.concatenate([bad, bad[:100]]), (3.0,))
    weights = np.concatenate([np.where(np.arange(400) < 100, 2.0, 1.0), np.zeros(100)])
    joined = pd.concat([rows, odd], ignore_index=True)
    (weighed,) = fit_values(card.binnings, joined, np.concatenate([bad, odd["bad"].to_numpy()]), (3.0,), weights)
    assert weighed.intercept == pytest.approx(counted.intercept, abs=1e-3)
    for one, two in zip(weighed.values, counted.values, strict=True):
        assert one == pytest.approx(two, abs=2e-3)


@pytest.mark.parametrize("kept", [lambda bad: bad * 0.0, lambda bad: bad * 1.0, lambda bad: 1.0 - bad])
def test_weights_that_leave_one_class_are_refused_in_a_sentence(scorers: dict[str, Scorer], kept):
    card = scorers["scorecard"].engine
    assert isinstance(card, Card)
    rows = make_rows(400, 42)
    bad = rows["bad"].to_numpy().astype(np.int64)
    with pytest.raises(InputError, match="weight above 0"):
        fit_values(card.binnings, rows, bad, (3.0,), kept(bad))


def test_declined_applications_like_no_granted_one_are_borne(trained, publish: Publish, store: Store):
    card, _ = trained
    rows = _through_the_door()
    away = np.flatnonzero(rows["decision"] == "declined")
    for place, value in enumerate((np.nan, np.inf, -np.inf, -9.0)):
        rows.loc[away[place::4], ["late_payments_12m", "mean_days_late", "income", "bureau_months"]] = value
    rows.loc[away, "sector"] = "mining"
    for method in ("parcelling", "fuzzy"):
        with_rejects = train_with_rejects(card, publish(rows), _config(method, factor=100.0), store, PROGRESS)
        assert with_rejects is not None
        assert np.isfinite(with_rejects.probability(rows)).all()
