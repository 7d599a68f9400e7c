"""The score of one application, from its raw history: features, probability, points, band, proposal and reasons."""

from typing import Any, Literal

import numpy as np
from msgspec import Struct

from components.credit.errors import InputError
from components.credit.reasons import Reason
from components.score.document import tables_of
from components.score.model import NAME, Model
from components.score.protocol import Columns


class ModelName(Struct, frozen=True):
    """Which model answered."""

    name: str
    version: str
    family: str


class Score(Struct, frozen=True):
    """The score of one application.

    Args:
        application_id: As given.
        model: Which model answered.
        probability: Calibrated probability of bad, 0 to 1.
        points: Points, the more the better.
        band: Band from A, the best, to E.
        proposal: What the cut-off proposes.
        cutoff: Greatest probability of bad that is approved.
        cutoff_points: Least points that are approved.
        person_decides: Whether a person must confirm the decision, by the lender's policy.
        reasons: What weighs most against the applicant, compared with applicants who are approved.
    """

    application_id: str | None
    model: ModelName
    probability: float
    points: int
    band: str
    proposal: Literal["approve", "decline"]
    cutoff: float
    cutoff_points: int
    person_decides: bool
    reasons: list[Reason]


def score(model: Model, document: Any) -> Score:
    """The score of an application.

    Args:
        model: The model that answers.
        document: As ``document.read_document`` gives it.

    Raises:
        InputError: A row contradicts another, an amount or a date has no meaning, or the model takes ready features
            only.
    """
    if model.recipe is None or model.history is None:
        raise InputError(f"Model {model.version} takes ready features only; ask /v2/models/{NAME}/infer.")
    made = model.history.features_of(tables_of(document, model.recipe))
    columns: Columns = {
        name: made[name].to_numpy() if feature.type == "number" else np.array(made[name].to_pylist(), dtype=object)
        for name, feature in model.features.items()
    }
    probability, points = model.scores(columns)
    scorer = model.scorer
    return Score(
        application_id=document.application.application_id,
        model=ModelName(NAME, model.version, scorer.family),
        probability=float(probability[0]),
        points=int(points[0]),
        band=scorer.band(probability)[0],
        proposal="approve" if probability[0] <= scorer.cutoff else "decline",
        cutoff=scorer.cutoff,
        cutoff_points=scorer.cutoff_points,
        person_decides=model.person_decides,
        reasons=model.reasons(columns)[0],
    )
