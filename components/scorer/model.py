"""The model that answers requests: a released model, the engine of one application's features, and its histograms."""

from dataclasses import dataclass, field
from functools import cached_property

import msgspec
from msgspec import Struct

from components.credit.book.store import Store
from components.credit.features.onerow.history import History
from components.credit.models.binning import Columns
from components.credit.models.calibration import Floats, Integers, sigmoid
from components.credit.reasons.reasons import Reason, reasons
from components.credit.release.released import REASONS, Released, champion_version, load_released
from components.scorer.protocol import Inputs, model_metadata
from components.scorer.watching.distributions import Histograms

NAME = "quipu"


class ModelSummary(Struct, frozen=True):
    """What a model is, as its signed manifest says; the fields are those of ``registry.Package``."""

    name: str
    version: str
    family: str
    as_of: str
    code: str
    data: str
    run: str
    metrics: dict[str, float]


class Models(Struct, frozen=True):
    """The models that answer here.

    Args:
        models: The model that answers.
        previous: Version that was the champion before; None where it is not known.
        shadow: Version that scores beside it without being told; None where there is none.
    """

    models: list[ModelSummary]
    previous: str | None
    shadow: str | None


@dataclass
class Standing:
    """How a model stands among the others; ``following`` keeps it up to date.

    Args:
        previous: Version that was the champion before.
        challenger: Version that scores beside it.
        refused: Why the model that the champion pointer names does not answer instead, in one sentence.
    """

    previous: str | None = None
    challenger: str | None = None
    refused: str | None = None


@dataclass(frozen=True)
class Explained:
    """Scores of some rows, and their reasons.

    Args:
        probability: Calibrated probability of bad, shape (n,).
        points: Whole points, shape (n,).
        reasons: Reasons of each row, the weightiest first.
        margin: Margin of the engine before calibration, shape (n,).
        contributions: Contribution of each feature to the margin, shape (n, features).
    """

    probability: Floats
    points: Integers
    reasons: list[list[Reason]]
    margin: Floats
    contributions: Floats


@dataclass(frozen=True)
class Model(Released):
    """A released model, ready to answer requests.

    Args:
        history: Makes its inputs of one application's raw history; None where it takes ready features only.
        standing: How it stands among the others.
    """

    history: History | None = None
    standing: Standing = field(default_factory=Standing)

    @cached_property
    def features(self) -> Inputs:
        """Its inputs by name, in order."""
        return Inputs(self.scorer.features)

    @cached_property
    def histograms(self) -> Histograms:
        """Histograms of the values in its requests and of the points in its answers, for drift."""
        return Histograms(self.scorer)

    @property
    def summary(self) -> ModelSummary:
        """What its signed manifest says of it."""
        package = self.package
        return ModelSummary(
            NAME, package.version, package.family, package.as_of, package.code, package.data, package.run,
            package.metrics,
        )  # fmt: skip

    @cached_property
    def metadata(self) -> bytes:
        """Its metadata in the Open Inference Protocol (JSON)."""
        return msgspec.json.encode(
            model_metadata(NAME, self.version, self.scorer.family, self.scorer.features, REASONS)
        )

    def scores(self, columns: Columns) -> tuple[Floats, Integers]:
        """Probability of bad and points, each of shape (n,).

        Their bits are those of ``Scorer.probability`` and ``Scorer.points``, but the engine runs once for both.
        """
        return self._scores(columns, self.scorer.margin(columns))

    def explained(self, columns: Columns) -> Explained:
        """Scores and at most ``REASONS`` reasons a row; the engine runs once for both."""
        margin, contributions = self.scorer.explained(columns)
        probability, points = self._scores(columns, margin)
        weightiest = reasons(self.scorer, columns, contributions, keep=REASONS, margin=margin)
        return Explained(probability, points, weightiest, margin, contributions)

    def _scores(self, columns: Columns, margin: Floats) -> tuple[Floats, Integers]:
        log_odds = self.scorer.log_odds(margin)
        points = self.scorer.scaling.whole_points(log_odds)
        self.histograms.add(columns, points)
        return sigmoid(log_odds), points


def load_model(store: Store, version: str, verify_key: str) -> Model:
    """A model of the registry, ready to answer; errors as in ``load_released``."""
    released = load_released(store, version, verify_key)
    names = [*released.features, *released.rule_columns]
    history = History(released.recipe, names) if released.recipe else None
    return Model(released.package, released.scorer, released.recipe, history)


def load_champion(store: Store, verify_key: str) -> Model:
    """The model that the champion pointer names; errors as in ``load_released`` and ``champion_version``."""
    version, previous = champion_version(store)
    model = load_model(store, version, verify_key)
    model.standing.previous = previous
    return model
