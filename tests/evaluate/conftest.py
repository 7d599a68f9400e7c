"""A small book as the feature stage leaves it, and three models of it made by hand."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xgboost

from components.credit.book.manifest import Manifest
from components.credit.book.store import Store
from components.credit.book.validation import ValidationReport
from components.credit.config import Config
from components.credit.dictionary import Feature
from components.credit.models.binning import fit_binning
from components.credit.models.calibration import Calibration, Scaling
from components.credit.models.card import Card
from components.credit.models.scorer import Scorer
from components.credit.models.trees.engine import Encoded, Encoder, Trees
from components.credit.progress import Progress
from components.evaluate.comparison import Comparison, compare

LATE = Feature("peak_days_late", "number", "peak days late", "máximo de días de atraso", "loans", "late_payments")
DEBT = Feature("debt_to_income", "number", "debt <to> income", "deuda sobre ingreso", "bureau", "debt_level")
WALLET = Feature("wallet_trend", "number", "wallet trend", "tendencia", "transactions", "cash_flow_trend")
SECTOR = Feature("sector", "category", "economic activity", "actividad económica", "borrowers", "business")
SCALING = Scaling(600, 30, 20)
NOTES = {
    "split": {"kind": "out_of_time", "test_from": "2024-03-01", "embargo_days": 365, "reason": ""},
    "leakage": [],
    "checks": [],
    "left_out": {},
    "beginnings": [],
    "exclusions": [],
    "unclear": {"two rows of one instalment": 1_203, "a row in quarantine": 1},
}
NO_REPORT = ValidationReport({}, [])
Publish = Callable[..., Manifest]


@pytest.fixture(scope="session")
def rows() -> pd.DataFrame:
    """Rows of a feature table; wallet_trend, which the scorecard does not read, tells most."""
    random = np.random.default_rng(17)
    rows = 3_000
    late, debt, wallet = random.normal(size=(3, rows))
    sector = random.choice(["commerce", "transport", "agriculture"], rows)
    log_odds = -1.6 + 0.8 * late + 0.4 * debt - 1.2 * wallet + 0.5 * (sector == "transport")
    bad = (random.random(rows) < 1 / (1 + np.exp(-log_odds))).astype("int8")
    sample = np.where(np.arange(rows) < 1_900, "train", "test").astype(object)
    sample[-50:] = "unlabelled"
    return pd.DataFrame(
        {
            "application_id": [f"a{row:05}" for row in range(rows)],
            "borrower_id": [f"b{number:05}" for number in random.integers(0, 2_500, rows)],
            "decided_at": pd.Timestamp("2023-01-01", tz="UTC") + pd.to_timedelta(np.arange(rows), unit="h"),
            "amount": random.lognormal(8.5, 0.8, rows).round(2),
            "currency": "PEN",
            "cost_share": random.uniform(0.1, 0.6, rows).round(4),
            "asked_term": random.choice([180.0, 360.0], rows),
            "decision": "approved",
            "incumbent_score": np.round(600 - 15 * late + 40 * random.normal(size=rows)),
            "sample": sample,
            "bad": pd.array(bad, dtype="Int8").copy(),
            "segment": random.choice(["new", "recurrent"], rows, p=[0.3, 0.7]),
            "thin_file": random.random(rows) < 0.2,
            "protected_sex": random.choice(["female", "male"], rows),
            "protected_language": pd.Series([None] * rows, dtype=object),
            "peak_days_late": np.where(random.random(rows) < 0.1, np.nan, late),
            "debt_to_income": debt,
            "wallet_trend": wallet,
            "sector": sector,
        }
    ).assign(bad=lambda frame: frame["bad"].mask(frame["sample"] == "unlabelled"))


@pytest.fixture(scope="session")
def publish(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Publish:
    """Publishes rows as a feature table in so many partitions."""

    def publish(rows: pd.DataFrame, partitions: int = 2, **notes: object) -> Manifest:
        folder = tmp_path_factory.mktemp("features")
        (folder / "features").mkdir()
        schema = pa.Schema.from_pandas(rows, preserve_index=False)
        schema = pa.schema([field if field.type != pa.null() else field.with_type(pa.string()) for field in schema])
        for part in range(partitions):
            table = pa.Table.from_pandas(rows.iloc[part::partitions], schema, preserve_index=False)
            pq.write_table(table, folder / "features" / f"part-{part:05}.parquet")
        counted = {
            "samples": {str(name): int(n) for name, n in rows["sample"].value_counts().items()},
            "bads": {str(name): int(n) for name, n in rows.groupby("sample")["bad"].sum().items()},
        }
        return store.publish(
            "features", "2025-06-30", folder, inputs={}, code="r1", notes={**NOTES, **counted, **notes}
        )

    return publish


@pytest.fixture(scope="session")
def book(rows: pd.DataFrame, publish: Publish) -> Manifest:
    return publish(rows)


@pytest.fixture(scope="session")
def scorers(rows: pd.DataFrame) -> dict[str, Scorer]:
    training = rows[rows["sample"] == "train"]
    return {
        "scorecard": _approving_70(_scorecard(training), training),
        "random_forest": _approving_70(_trees("random_forest", [LATE, DEBT], training), training),
        "xgboost": _approving_70(_trees("xgboost", [LATE, DEBT, WALLET], training), training),
    }


@pytest.fixture(scope="session")
def comparison(book: Manifest, scorers: dict[str, Scorer], store: Store) -> Comparison:
    return compare(book, scorers, Config(), store, Progress("evaluate"))


def _scorecard(training: pd.DataFrame) -> Scorer:
    features = [LATE, DEBT, SECTOR]
    bad = training["bad"].to_numpy().astype(np.int64)
    binnings = [fit_binning(feature, training[feature.name].to_numpy(), bad, 5, 0.05) for feature in features]
    points = [[round(SCALING.factor * bin.woe) for bin in binning.bins] for binning in binnings]
    base = round(SCALING.offset + SCALING.factor * np.log((1 - bad.mean()) / bad.mean()))
    card = Card(SCALING, base, binnings, points)
    return Scorer("scorecard", tuple(features), card, Calibration(), SCALING, 0.5, (0.05, 0.1, 0.2, 0.4), {})


def _trees(family: str, features: list[Feature], training: pd.DataFrame) -> Scorer:
    names = [feature.name for feature in features]
    matrix = xgboost.DMatrix(training[names].to_numpy(np.float32), training["bad"].to_numpy().astype(np.float32))
    parameters = {"objective": "binary:logistic", "max_depth": 2, "eta": 0.2, "nthread": 1, "seed": 1}
    booster = bytes(xgboost.train(parameters, matrix, 25).save_raw("ubj"))
    engine = Trees(booster, Encoder("log_odds", [Encoded(name) for name in names]))
    return Scorer(family, tuple(features), engine, Calibration(), SCALING, 0.5, (0.05, 0.1, 0.2, 0.4), {})


def _approving_70(scorer: Scorer, training: pd.DataFrame) -> Scorer:
    return replace(scorer, cutoff=float(np.quantile(scorer.probability(training), 0.7)))
