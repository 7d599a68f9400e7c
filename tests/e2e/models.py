"""Small models to roll out, with the decision that chose each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import xgboost

from components.credit.dictionary import Feature
from components.credit.models.calibration import Calibration, Scaling
from components.credit.models.scorer import Scorer, save
from components.credit.models.training_report import TrainingReport
from components.credit.models.trees.engine import Encoded, Encoder, Levels, Trees
from components.credit.release.decision import Decision
from tests.decisions import decision

FEATURES = ("days_late", "income", "channel")


@dataclass(frozen=True)
class Candidate:
    """A model as the evaluate stage hands it on."""

    scorer: Scorer
    folder: Path
    decision: Decision

    @property
    def version(self) -> str:
        return self.scorer.version()


def candidate(folder: Path, seed: int, strategy: Literal["blue_green", "rolling"] = "blue_green") -> Candidate:
    """An XGBoost model of two numbers and a category; another seed gives another version."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(300, 3)) * [20, 500, 0.5] + [15, 900, 0]
    bad = (rows[:, 0] / 20 - rows[:, 1] / 900 + rng.logistic(size=300) > 0).astype(int)
    data = xgboost.DMatrix(rows.astype(np.float32), label=bad)
    booster = xgboost.train({"max_depth": 3, "objective": "binary:logistic", "nthread": 1}, data, 15)
    channel = Levels({"branch": 0.0, "other": 1.0}, 2.0)
    scorer = Scorer(
        family="xgboost",
        features=tuple(
            Feature(name, "category" if name == "channel" else "number", name, name, "loans", "attribute")
            for name in FEATURES
        ),
        engine=Trees(
            bytes(booster.save_raw("ubj")),
            Encoder("log_odds", [Encoded("days_late"), Encoded("income"), Encoded("channel", channel)]),
        ),
        calibration=Calibration(slope=0.9, intercept=-0.1),
        scaling=Scaling(points=600.0, odds=30.0, pdo=20.0),
        cutoff=0.3,
        bands=(0.05, 0.1, 0.3, 0.5),
        reference=dict.fromkeys(FEATURES, -0.2),
        training=TrainingReport(seed=seed),
    )
    save(scorer, folder)
    chosen = decision("xgboost", scorer.version(), strategy=strategy, as_of="2026-10-31")
    return Candidate(scorer, folder, chosen)
