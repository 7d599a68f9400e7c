"""What a release needs: a small scorecard, the decision that chose it, a key pair."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.credit.dictionary import Feature
from components.credit.models.binning import Bin, Binning
from components.credit.models.calibration import Calibration, Scaling
from components.credit.models.card import Card
from components.credit.models.scorer import Scorer, save
from components.credit.models.training_report import TrainingReport
from components.credit.release.decision import Decision
from components.credit.release.registry import Package
from components.credit.release.signing import new_key_pair
from tests.decisions import decision

SCALING = Scaling(points=600.0, odds=30.0, pdo=20.0)


@dataclass(frozen=True)
class Trained:
    """A model as the evaluate stage hands it on, and the package that its manifest describes."""

    scorer: Scorer
    folder: Path
    decision: Decision
    package: Package

    @property
    def version(self) -> str:
        return self.package.version


@pytest.fixture
def train(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], Trained]:
    """Makes a scorecard; another name gives another version, and no two tests share one."""

    def made(name: str = "a") -> Trained:
        bins = [Bin("missing", 10, 2, -0.1), Bin("up to 30", 60, 3, 0.6), Bin("over 30", 30, 9, -0.9)]
        scorer = Scorer(
            family="scorecard",
            features=(Feature("days_late", "number", "Days late", "Días de atraso", "repayments", "late_payments"),),
            engine=Card(
                SCALING, 540, [Binning("days_late", "number", "increasing", bins, cuts=[30.0])], [[0, 25, -30]]
            ),
            calibration=Calibration(),
            scaling=SCALING,
            cutoff=0.2,
            bands=(0.05, 0.1, 0.2, 0.4),
            reference={"days_late": -0.5},
            training=TrainingReport(dataset=f"{request.node.nodeid} {name}"),
        )
        save(scorer, tmp_path / name)
        version = scorer.version()
        chosen = decision("scorecard", version)
        package = Package(version, "scorecard", "2024-06-30", "test", "ab" * 32, {"auc": 0.7}, chosen)
        return Trained(scorer, tmp_path / name, chosen, package)

    return made


@pytest.fixture(scope="session")
def keys() -> tuple[str, str]:
    """Private and public key."""
    return new_key_pair()
