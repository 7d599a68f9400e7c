"""Small models of the registry for the tests of both ways to score: an XGBoost, a scorecard, and one in two parts."""

import dataclasses
from collections.abc import Callable
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import pytest
import xgboost

from components.credit.book.mapping import Attribute
from components.credit.book.store import Store
from components.credit.dictionary import Feature
from components.credit.features.query import dictionary
from components.credit.features.recipe import Recipe
from components.credit.models.binning import fit_binning
from components.credit.models.calibration import Calibration, Scaling
from components.credit.models.card import Card
from components.credit.models.cards import Cards
from components.credit.models.scorer import Scorer, save
from components.credit.models.training_report import TrainingReport
from components.credit.models.trees.engine import Encoded, Encoder, Trees
from components.credit.release.registry import Package, register
from components.credit.release.signing import new_key_pair
from components.scorer.model import Model, load_model
from tests.decisions import decision

SCALING = Scaling(points=600.0, odds=30.0, pdo=20.0)
RECIPE = Recipe(
    currency="PEN",
    time_zone="America/Lima",
    absent=[],
    attributes={"shop_score": Attribute("X", "number", "Score of the shop", "Puntaje de la tienda")},
    rates=[],
)

NUMBERS = ["peak_days_late", "late_share", "bureau_debt", "inflow_monthly", "asked_amount"]
MIXED = ["late_share", "channel", "attribute_shop_score"]


def _features(names: list[str]) -> tuple[Feature, ...]:
    known = {feature.name: feature for feature in dictionary(RECIPE)}
    return tuple(known[name] for name in names)


def xgboost_scorer(seed: int) -> Scorer:
    """Five numbers, of which the first two count against the applicant and the last two for."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(400, 5)) * [20, 0.3, 3000, 500, 2000] + [15, 0.4, 4000, 900, 3000]
    risk = rows[:, 0] / 20 + rows[:, 1] * 2 - rows[:, 3] / 900
    bad = (risk + rng.logistic(size=400) > 1.5).astype(int)
    data = xgboost.DMatrix(rows.astype(np.float32), label=bad)
    booster = xgboost.train({"max_depth": 3, "objective": "binary:logistic", "nthread": 1}, data, 20)
    return Scorer(
        family="xgboost",
        features=_features(NUMBERS),
        engine=Trees(bytes(booster.save_raw("ubj")), Encoder("log_odds", [Encoded(name) for name in NUMBERS])),
        calibration=Calibration(slope=0.9, intercept=-0.1),
        scaling=SCALING,
        cutoff=0.3,
        bands=(0.05, 0.1, 0.3, 0.5),
        reference=dict.fromkeys(NUMBERS, -0.2),
        training=TrainingReport(seed=seed),
        recipe=msgspec.to_builtins(RECIPE),
    )


def card_scorer() -> Scorer:
    """A share, a category and a ready attribute."""
    rng = np.random.default_rng(7)
    columns = {
        "late_share": rng.random(300),
        "channel": rng.choice(np.array(["branch", "field", "app"], dtype=object), 300),
        "attribute_shop_score": rng.normal(50, 10, 300),
    }
    bad = (columns["late_share"] + rng.random(300) > 1.2).astype(np.int64)
    features = _features(MIXED)
    bins = [fit_binning(feature, columns[feature.name], bad, 4, 0.1) for feature in features]
    points = [[round(20 * bin.woe) for bin in binning.bins] for binning in bins]
    return Scorer(
        family="scorecard",
        features=features,
        engine=Card(SCALING, 540, bins, points),
        calibration=Calibration(),
        scaling=SCALING,
        cutoff=0.2,
        bands=(0.05, 0.1, 0.2, 0.4),
        reference=dict.fromkeys(MIXED, 0.0),
        recipe=msgspec.to_builtins(RECIPE),
    )


def parted_scorer() -> Scorer:
    """That card for recurrent clients, and one of its share alone for new ones."""
    single = card_scorer()
    card = single.engine
    assert isinstance(card, Card)
    names = [*MIXED, "loans_before"]
    new = Card(SCALING, 500, card.binnings[:1], card.points[:1])
    return dataclasses.replace(
        single,
        features=_features(names),
        engine=Cards("loans_before", 1.0, names, new, card),
        reference=dict.fromkeys(names, 0.0),
    )


@pytest.fixture(scope="session")
def make_scorer() -> Callable[[int], Scorer]:
    """Makes an XGBoost model; another seed gives another version."""
    return xgboost_scorer


@cache
def _key_pair() -> tuple[str, str]:
    """One pair for all folders that take these fixtures: the store that they share keeps the first manifest."""
    return new_key_pair()


@pytest.fixture(scope="session")
def keys() -> tuple[str, str]:
    """Private and public key."""
    return _key_pair()


def put_model(store: Store, scorer: Scorer, signing_key: str, folder: Path, person_decides: bool = True) -> str:
    """Put a scorer into a registry; gives its version."""
    save(scorer, folder)
    chosen = decision(scorer.family, scorer.version(), person_decides=person_decides)
    made = ("2024-06-30", "test", "ab" * 32, {"auc": 0.7}, chosen, "run-1")
    register(store, folder, Package(scorer.version(), scorer.family, *made), signing_key)
    return scorer.version()


@pytest.fixture(scope="session")
def put(store: Store, keys: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Puts a scorer into the registry; gives its version."""

    def done(scorer: Scorer, signing_key: str = keys[0], person_decides: bool = True) -> str:
        return put_model(store, scorer, signing_key, tmp_path_factory.mktemp("model"), person_decides)

    return done


@pytest.fixture
def put_into(keys: tuple[str, str], tmp_path: Path) -> Callable[[Store], str]:
    """Puts an XGBoost model into the registry of another store; gives its version."""
    return lambda store: put_model(store, xgboost_scorer(1), keys[0], tmp_path / "model")


@pytest.fixture(scope="session")
def xgboost_version(put: Callable[..., str]) -> str:
    return put(xgboost_scorer(1))


@pytest.fixture(scope="session")
def newer_version(put: Callable[..., str]) -> str:
    return put(xgboost_scorer(2))


@pytest.fixture(scope="session")
def numbers(store: Store, keys: tuple[str, str], xgboost_version: str) -> Model:
    """An XGBoost model of five numbers."""
    return load_model(store, xgboost_version, keys[1])


@pytest.fixture(scope="session")
def mixed(store: Store, keys: tuple[str, str], put: Callable[..., str]) -> Model:
    """A scorecard of two numbers and a category."""
    return load_model(store, put(card_scorer(), person_decides=False), keys[1])


@pytest.fixture(scope="session")
def parted(store: Store, keys: tuple[str, str], put: Callable[..., str]) -> Model:
    """A scorecard for recurrent clients and one for new ones."""
    return load_model(store, put(parted_scorer(), person_decides=False), keys[1])
