"""A model of the registry that was verified and tried out: what batch scoring and the service both score by."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import msgspec
import numpy as np

from components.credit.book.store import Store
from components.credit.config import Rule
from components.credit.dictionary import Feature
from components.credit.errors import InputError, ModelRefused
from components.credit.features.recipe import Recipe
from components.credit.models.binning import Columns
from components.credit.models.scorer import Scorer
from components.credit.reasons.reasons import Reason, reasons
from components.credit.release.registry import Package, champion, fetch

REASONS = 4  # at most, for each application


@dataclass(frozen=True)
class Released:
    """A model as it was released.

    Args:
        package: What the signed manifest says of it.
        scorer: The model itself.
        recipe: How its inputs are made of a lender's tables; None where it takes ready features only.
    """

    package: Package
    scorer: Scorer
    recipe: Recipe | None

    @property
    def version(self) -> str:
        """Its version."""
        return self.package.version

    @cached_property
    def features(self) -> Mapping[str, Feature]:
        """Its inputs by name, in order."""
        return {feature.name: feature for feature in self.scorer.features}

    @property
    def person_decides(self) -> bool:
        """Whether a person must confirm each decision: the lender's policy when the model was released."""
        return self.package.decision.rule.person_decides

    @property
    def rules(self) -> list[Rule]:
        """The hard rules that it was released with, whatever day they hold on."""
        return self.package.decision.rule.policy

    @cached_property
    def rule_columns(self) -> list[str]:
        """Features that the rules look at and the model does not take."""
        return list(dict.fromkeys(rule.column for rule in self.rules if rule.column not in self.features))


def load_released(store: Store, version: str, verify_key: str) -> Released:
    """A model of the registry, once it has verified and scored two trial rows.

    Raises:
        StoreError: The store is away.
        ModelRefused: It does not verify, or its scores of the trial rows make no sense.
    """
    package, scorer = fetch(store, version, verify_key)
    released = Released(package, scorer, _recipe(scorer, version))
    _try_out(released)
    return released


def champion_version(store: Store) -> tuple[str, str | None]:
    """The version that the champion pointer names, and the one that was champion before it.

    Raises:
        InputError: No model was released yet.
    """
    pointer = champion(store)
    if pointer is None:
        raise InputError("The registry has no champion yet; run the training pipeline first.")
    return pointer.version, pointer.previous


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


def _try_out(released: Released) -> None:
    """Score a row of missing values and a row of ones: a model that cannot do that must not score a borrower."""
    columns: Columns = {
        name: np.array([np.nan, 1.0]) if feature.type == "number" else np.array([None, "1"], dtype=object)
        for name, feature in released.features.items()
    }
    scorer, version = released.scorer, released.version
    try:
        probability = scorer.probability(columns)
        contributions = scorer.contributions(columns)
        explained = scorer.base + contributions.sum(axis=1)
        fits = bool(np.abs(explained - scorer.margin(columns)).max() < 1e-4)
        reasons(scorer, columns, contributions)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise ModelRefused(f"Model {version} cannot score a trial row; train it again.") from error
    if not (np.isfinite(probability).all() and fits):
        raise ModelRefused(f"Model {version} gives a trial row a score that does not add up; train it again.")
