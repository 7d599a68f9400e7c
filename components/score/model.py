"""The model that answers: loaded from the registry once it verifies, tried out, and kept up with the pointer."""

from dataclasses import dataclass, field
from functools import cached_property

import msgspec
import numpy as np
from msgspec import Struct

from components.credit.calibration import Floats, Integers, sigmoid
from components.credit.config import Rule
from components.credit.errors import InputError, ModelRefused
from components.credit.features.history import History
from components.credit.features.recipe import Recipe
from components.credit.policy import released_rules
from components.credit.reasons import Reason, reasons
from components.credit.registry import Package, champion, fetch
from components.credit.scorer import Scorer
from components.credit.store import Store
from components.score.drift import Seen
from components.score.protocol import Columns, Inputs, model_metadata

NAME = "quipu"
REASONS = 4


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
    """How a model stands among the others; what follows the pointers keeps it up to date.

    Args:
        previous: Version that was the champion before.
        shadow: Version that scores beside it.
        refused: Why the model that the pointer names does not answer instead, in one sentence.
    """

    previous: str | None = None
    shadow: str | None = None
    refused: str | None = None


@dataclass(frozen=True)
class Explained:
    """Scores of some rows, with why.

    Args:
        probability: Probability of bad, shape (n,).
        points: Whole points, shape (n,).
        reasons: Reasons of each row.
        margin: What the engine itself says, shape (n,).
        contributions: Part of each feature in the margin, shape (n, features).
    """

    probability: Floats
    points: Integers
    reasons: list[list[Reason]]
    margin: Floats
    contributions: Floats


@dataclass(frozen=True)
class Model:
    """A model of the registry, ready to answer."""

    package: Package
    scorer: Scorer
    recipe: Recipe | None
    history: History | None
    standing: Standing = field(default_factory=Standing)

    @property
    def version(self) -> str:
        """Its version."""
        return self.package.version

    @cached_property
    def features(self) -> Inputs:
        """Its inputs by name, in order."""
        return Inputs(self.scorer.features)

    @cached_property
    def seen(self) -> Seen:
        """What it was asked and what it answered, for drift."""
        return Seen(self.scorer)

    @property
    def summary(self) -> ModelSummary:
        """What it is."""
        made = self.package
        return ModelSummary(NAME, made.version, made.family, made.as_of, made.code, made.data, made.run, made.metrics)

    @property
    def person_decides(self) -> bool:
        """Whether a person must confirm each decision: the lender's policy when the model was released."""
        rule = self.package.decision.get("rule")
        return bool(rule.get("person_decides", True)) if isinstance(rule, dict) else True

    @cached_property
    def rules(self) -> list[Rule]:
        """The hard rules that it was released with, whatever day they hold on."""
        return released_rules(self.package.decision)

    @cached_property
    def rule_columns(self) -> list[str]:
        """Features that the rules look at and the model does not take."""
        return list(dict.fromkeys(rule.column for rule in self.rules if rule.column not in self.features))

    @cached_property
    def metadata(self) -> bytes:
        """Its metadata in the Open Inference Protocol (JSON)."""
        return msgspec.json.encode(
            model_metadata(NAME, self.version, self.scorer.family, self.scorer.features, REASONS)
        )

    def scores(self, columns: Columns) -> tuple[Floats, Integers]:
        """Probability of bad and points, each of shape (n,): the bits of ``Scorer.probability`` and ``points``, but
        the engine is asked once.
        """
        return self._scores(columns, self.scorer.margin(columns))

    def explained(self, columns: Columns) -> Explained:
        """Scores and reasons, the weightiest first and at most ``REASONS`` a row; the engine is asked once."""
        margin, contributions = self.scorer.explained(columns)
        probability, points = self._scores(columns, margin)
        found = reasons(self.scorer, columns, contributions, keep=REASONS, margin=margin)
        return Explained(probability, points, found, margin, contributions)

    def _scores(self, columns: Columns, margin: Floats) -> tuple[Floats, Integers]:
        log_odds = self.scorer.log_odds(margin)
        points = self.scorer.scaling.whole_points(log_odds)
        self.seen.add(columns, points)
        return sigmoid(log_odds), points


def load_model(store: Store, version: str, verify_key: str) -> Model:
    """A model of the registry, once it has verified and answered a trial.

    Raises:
        StoreError: The store is away.
        ModelRefused: It does not verify, or its answers to the trial make no sense.
    """
    package, scorer = fetch(store, version, verify_key)
    recipe = _recipe(scorer, version)
    names = [feature.name for feature in scorer.features]
    names += [rule.column for rule in released_rules(package.decision)]
    model = Model(package, scorer, recipe, History(recipe, names) if recipe else None)
    _try_out(model)
    return model


def load_champion(store: Store, verify_key: str) -> Model:
    """The model that the champion pointer names; errors as in ``load_model``.

    Raises:
        InputError: No model was released yet.
    """
    pointer = champion(store)
    if pointer is None:
        raise InputError("The registry has no champion yet; run the training pipeline first.")
    model = load_model(store, pointer.version, verify_key)
    model.standing.previous = pointer.previous
    return model


def code_of(reason: Reason) -> str:
    """A reason in one word: its cause, or the attribute itself where it is one of the lender's own."""
    return reason.feature if reason.cause == "attribute" else reason.cause


def codes_of(given: list[list[Reason]]) -> list[str]:
    """Codes of each row's reasons, ``REASONS`` a row, empty where there are fewer; row after row."""
    return [code for row in given for code in [*map(code_of, row), *[""] * (REASONS - len(row))]]


def _recipe(scorer: Scorer, version: str) -> Recipe | None:
    if scorer.recipe is None:
        return None
    try:
        return msgspec.convert(scorer.recipe, Recipe)
    except msgspec.ValidationError as error:
        raise ModelRefused(f"The recipe of model {version} is not one that this code reads; train it again.") from error


def _try_out(model: Model) -> None:
    """Score a row of nothing but missing values and one of ones: a model that cannot do that answers no one."""
    columns: Columns = {
        name: np.array([np.nan, 1.0]) if feature.type == "number" else np.array([None, "1"], dtype=object)
        for name, feature in model.features.items()
    }
    scorer = model.scorer
    try:
        probability = scorer.probability(columns)
        contributions = scorer.contributions(columns)
        explained = scorer.base + contributions.sum(axis=1)
        fits = bool(np.abs(explained - scorer.margin(columns)).max() < 1e-4)
        reasons(scorer, columns, contributions)  # not by the model itself: what it is asked counts as a borrower's
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise ModelRefused(f"Model {model.version} cannot score a trial row; train it again.") from error
    if not (np.isfinite(probability).all() and fits):
        raise ModelRefused(f"Model {model.version} gives a trial row a score that does not add up; train it again.")
