"""What the serving benchmark serves: one table, three models on it, and the requests to send."""

import datetime
import json
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import xgboost
from sklearn.ensemble import RandomForestClassifier

from components.credit.dictionary import Feature
from components.credit.features.query import dictionary
from components.credit.features.recipe import Recipe
from components.credit.models.binning import fit_binning
from components.credit.models.calibration import Calibration, Scaling
from components.credit.models.card import Card
from components.credit.models.scorer import Family, Scorer
from components.credit.models.trees.engine import Trees, fit_encoder, forest_to_booster

RECIPE = Recipe(currency="PEN", time_zone="America/Lima", absent=[], attributes={}, rates=[])
SCALING = Scaling(points=600.0, odds=30.0, pdo=20.0)
WIDTH, ROWS = 40, 30_000
DECIDED = datetime.datetime(2024, 6, 15, 15, tzinfo=datetime.UTC)


def features() -> list[Feature]:
    """The first 40 numbers of the dictionary."""
    return [feature for feature in dictionary(RECIPE) if feature.type == "number"][:WIDTH]


def table(seed: int) -> tuple[pd.DataFrame, np.ndarray[Any, np.dtype[np.int64]]]:
    """Rows of 40 numbers, a twentieth of them missing, and their outcome; the best AUC is about .8."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(ROWS, WIDTH))
    risk = numbers[:, :12] @ np.linspace(0.6, 0.1, 12) + np.sin(2 * numbers[:, 12]) + numbers[:, 13] * numbers[:, 14]
    bad = (risk + rng.logistic(size=ROWS) > 1.5).astype(np.int64)
    numbers[rng.random(numbers.shape) < 0.05] = np.nan
    return pd.DataFrame(numbers, columns=[feature.name for feature in features()]), bad


def booster(columns: pd.DataFrame, bad: np.ndarray[Any, np.dtype[np.int64]]) -> xgboost.Booster:
    """300 trees of depth 6."""
    parameters = {"objective": "binary:logistic", "max_depth": 6, "eta": 0.05, "seed": 1, "nthread": 2}
    return xgboost.train(parameters, xgboost.DMatrix(columns.to_numpy(np.float32), label=bad), 300)


def scorers(columns: pd.DataFrame, bad: np.ndarray[Any, np.dtype[np.int64]], boosted: bytes) -> dict[Family, Scorer]:
    """The three families on the same rows."""
    names = features()
    boosted_encoder = fit_encoder(names, columns, bad, "log_odds")
    forest_encoder = fit_encoder(names, columns, bad, "probability")
    forest = RandomForestClassifier(150, max_depth=10, min_samples_leaf=20, max_samples=5000, n_jobs=2, random_state=1)
    forest.fit(forest_encoder.matrix(columns), bad)
    bins = [fit_binning(feature, columns[feature.name].to_numpy(), bad, 6, 0.05) for feature in names]
    points = [[round(20 * bin.woe) for bin in binning.bins] for binning in bins]
    engines: dict[Family, Card | Trees] = {
        "scorecard": Card(SCALING, 540, bins, points),
        "random_forest": Trees(forest_to_booster(forest), forest_encoder),
        "xgboost": Trees(boosted, boosted_encoder),
    }
    return {family: _scorer(family, engine, columns) for family, engine in engines.items()}


def _scorer(family: Family, engine: Card | Trees, columns: pd.DataFrame) -> Scorer:
    mean = engine.contributions(columns.iloc[:200]).mean(axis=0)
    return Scorer(
        family=family,
        features=tuple(features()),
        engine=engine,
        calibration=Calibration(slope=0.9, intercept=-0.1),
        scaling=SCALING,
        cutoff=0.3,
        bands=(0.05, 0.1, 0.3, 0.5),
        reference={feature.name: float(value) for feature, value in zip(features(), mean, strict=True)},
        recipe=msgspec.to_builtins(RECIPE),
    )


def infer_request(columns: pd.DataFrame, outputs: tuple[str, ...] = ()) -> bytes:
    """One row as an Open Inference Protocol request; a missing value is null."""
    row = [None if np.isnan(value) else round(float(value), 4) for value in columns.iloc[3]]
    asked: dict[str, Any] = {"outputs": [{"name": name} for name in outputs]} if outputs else {}
    return json.dumps(
        {"inputs": [{"name": "rows", "shape": [1, WIDTH], "datatype": "FP32", "data": row}], **asked}
    ).encode()


def bento_request(columns: pd.DataFrame) -> bytes:
    """The same row as BentoML takes it, which knows no null: 0 stands for it."""
    return json.dumps(
        {"rows": [[0 if np.isnan(value) else round(float(value), 4) for value in columns.iloc[3]]]}
    ).encode()


def application_request() -> bytes:
    """One application with a raw history of 200 rows: 12 loans, 60 repayments, 24 bureau months, 104 transactions."""
    day = datetime.timedelta(days=1)
    lent = [DECIDED - (60 + 110 * place) * day for place in range(12)]
    loans = [
        {"loan_id": f"L{place}", "event_time": moment.isoformat(), "principal": 1500 + 100 * place, "term_days": 90,
         "kind": "new"}
        for place, moment in enumerate(lent)
    ]  # fmt: skip
    repayments = [
        {"loan_id": f"L{place % 12}", "event_time": (lent[place % 12] + (30 + place % 5) * day).isoformat(),
         "kind": "due" if place < 30 else "payment", "instalment": 1 + place // 12,
         "due_on": (lent[place % 12] + 30 * day).date().isoformat(), "amount": 540.25}
        for place in range(60)
    ]  # fmt: skip
    bureau = [
        {"event_time": (DECIDED - (45 + 30 * place) * day).isoformat(), "debt": 4200 + 10 * place, "lenders": 2,
         "known_at": (DECIDED - (15 + 30 * place) * day).isoformat(), "worst_class": place % 2}
        for place in range(24)
    ]  # fmt: skip
    transactions = [
        {"event_time": (DECIDED - place * 3 * day).isoformat(), "direction": "in" if place % 3 else "out",
         "kind": ("wallet", "takings", "utility", "top_up")[place % 4], "amount": 120.4 + place}
        for place in range(104)
    ]  # fmt: skip
    application = {"application_id": "A-1", "decided_at": DECIDED.isoformat(), "amount": 2500, "total_due": "3000.00",
                   "term_days": 360, "channel": "branch", "declared_income": 1800.5}  # fmt: skip
    borrower = {"birth_month": "1985-02-01", "education": "secondary", "dependants": 2}
    return json.dumps(
        {"application": application, "borrower": borrower, "loans": loans, "repayments": repayments, "bureau": bureau,
         "transactions": transactions}
    ).encode()  # fmt: skip
