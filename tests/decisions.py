"""The decision of a comparison, made by hand for tests that need no comparison."""

from collections.abc import Sequence
from typing import Literal

from components.credit.config import Rule
from components.credit.release.decision import (
    Bilingual,
    ChosenModel,
    Criteria,
    CrossValidation,
    Data,
    Decision,
    JudgedModel,
    ReleaseTerms,
    Samples,
    TargetTerms,
)


def decision(
    family: str,
    version: str,
    rules: Sequence[Rule] = (),
    person_decides: bool = True,
    approval: bool = False,
    strategy: Literal["blue_green", "rolling"] = "blue_green",
    as_of: str = "2024-06-30",
) -> Decision:
    """The decision that a model becomes the champion."""
    return Decision(
        champion=ChosenModel(family, version),
        reason=Bilingual("It has no challenger.", "No tiene retador."),
        rule=Criteria(0.01, 0.95, 0.7, person_decides, list(rules), []),
        release=ReleaseTerms(approval, strategy),
        target=TargetTerms(60, 31, 365, 0, refinanced_is_bad=True, exclusions=[]),
        data=Data("ab" * 32, as_of, "test"),
        samples=Samples({"train": 100, "test": 50}, {"train": 20, "test": 10}),
        models={family: judged(version)},
    )


def judged(version: str) -> JudgedModel:
    """A model with an AUC of .7, and figures that nobody looks at."""
    middle = {"auc": 0.7, "gini": 0.4, "ks": 0.3, "brier": 0.15, "log_loss": 0.5, "accuracy": 0.7, "precision": 0.4,
              "recall": 0.5, "f1": 0.44, "approval_rate": 0.7}  # fmt: skip
    ends = {f"{name}_{end}": value for name, value in middle.items() for end in ("low", "high")}
    return JudgedModel(
        n=50,
        bads=10,
        cutoff=0.3,
        cutoff_points=550,
        predicted_bad_rate=0.2,
        bad_rate=0.2,
        version=version,
        psi=None,
        calibration=[],
        grades=[],
        features=[],
        training=CrossValidation(),
        **middle,
        **ends,
    )
