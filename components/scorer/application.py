"""The score of one application, from its raw history: features, probability, points, band, proposal and reasons."""

import datetime
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from msgspec import Meta, Struct

from components.credit.errors import InputError
from components.credit.features.recipe import Recipe
from components.credit.models.binning import Columns
from components.credit.models.matrix import MatrixColumns
from components.credit.reasons.advice import with_changes
from components.credit.reasons.reasons import Reason
from components.credit.release.policy import in_force, policy
from components.scorer.decoding import decoded
from components.scorer.document import decision_time, tables_of
from components.scorer.model import NAME, Model

MOST_APPLICATIONS = 100  # of a batch


class ModelName(Struct, frozen=True):
    """Which model answered, and the training run that made it."""

    name: str
    version: str
    family: str
    run: str


class Notice(Struct, frozen=True):
    """What the borrower must be told, in Spanish and in English."""

    es: str
    en: str


# Peru: Ley 29733 with D.S. 016-2024-JUS (people are told of automated decisions and may have them reviewed), and Ley
# 31814 with D.S. 115-2025-PCM (credit evaluation is of high risk: notice beforehand, and a person who oversees it).
PERSON_DECIDES = Notice(
    "Esta es una propuesta hecha por un sistema automatizado; la decisión la toma una persona. Usted puede pedir que "
    "se la expliquen y que se revise (Ley N.° 29733 y D.S. N.° 016-2024-JUS; Ley N.° 31814 y D.S. N.° 115-2025-PCM).",
    "This is a proposal by an automated system; a person decides. You may ask for an explanation and for a review "
    "(Peru: Law 29733 and D.S. 016-2024-JUS; Law 31814 and D.S. 115-2025-PCM).",
)


class Declined(Struct, frozen=True):
    """A hard rule of the lender's policy that declines, whatever the points: why, and the norm that it follows."""

    code: str
    es: str
    en: str
    norm: str


class Score(Struct, frozen=True):
    """The score of one application.

    Args:
        decision_id: Id of this decision in the decision log; empty where none is kept.
        application_id: As given.
        decided_at: Time of the decision, as given or else now: what is known later does not count, and the rules are
            those of its day.
        model: Which model answered.
        probability: Calibrated probability of bad, 0 to 1.
        points: Points, the more the better.
        band: Band from A, the best, to E.
        proposal: What the cut-off and the rules propose.
        cutoff: Greatest probability of bad that is approved.
        cutoff_points: Least points that are approved.
        rules: The rules that decline.
        person_decides: Whether a person must confirm the decision, by the lender's policy.
        notice: What the borrower must be told of that; None where no person must confirm.
        reasons: What weighs most against the applicant, compared with applicants who are approved.
    """

    decision_id: str
    application_id: str | None
    decided_at: datetime.datetime
    model: ModelName
    probability: float
    points: int
    band: str
    proposal: Literal["approve", "decline"]
    cutoff: float
    cutoff_points: int
    rules: list[Declined]
    person_decides: bool
    notice: Notice | None
    reasons: list[Reason]


class Batch(Struct, frozen=True, forbid_unknown_fields=True):
    """Several applications, each with its raw history; one that does not fit gets an error in its place."""

    applications: Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=MOST_APPLICATIONS)]


class Scored(Struct, frozen=True, omit_defaults=True):
    """The score of one application of a batch, or in one sentence why it has none."""

    score: Score | None = None
    error: str | None = None


class BatchAnswer(Struct, frozen=True):
    """What became of each application, in their order."""

    answers: list[Scored]


_BATCH = msgspec.json.Decoder(Batch)


def read_batch(body: bytes) -> Batch:
    """The applications in a body, not yet read themselves.

    Raises:
        InputError: It does not fit, or holds too many.
    """
    return decoded(body, _BATCH, "The batch")


def score(model: Model, document: Any, decision_id: str = "") -> Score:
    """The score of an application.

    Args:
        model: The model that answers.
        document: As ``document.read_document`` gives it.
        decision_id: Id of the decision in the decision log.

    Raises:
        InputError: There is nothing to decide about, a row contradicts another, an amount or a date has no meaning, or
            the model takes ready features only.
    """
    if model.recipe is None or model.history is None:
        raise InputError(f"Model {model.version} takes ready features only; ask /v2/models/{NAME}/infer.")
    decided_at = decision_time(document)
    features = model.history.features_of(tables_of(document, model.recipe, decided_at))
    columns: Columns
    if model.features.category is None:
        row = np.array([[features[name] for name in model.features]], dtype=np.float64)
        columns = MatrixColumns(model.features.positions, row)
    else:
        columns = {
            name: np.array([features[name]], dtype=np.float64 if feature.type == "number" else object)
            for name, feature in model.features.items()
        }
    explained = model.explained(columns)
    probability = explained.probability
    declined = _declined(model, model.recipe, features, decided_at)
    scorer = model.scorer
    proposal: Literal["approve", "decline"] = (
        "approve" if probability[0] <= scorer.cutoff and not declined else "decline"
    )
    reasons = explained.reasons
    if proposal == "decline":  # who is approved need not change anything
        reasons = with_changes(scorer, columns, explained.contributions, reasons, explained.margin)
    return Score(
        decision_id=decision_id,
        application_id=document.application.application_id,
        decided_at=decided_at,
        model=ModelName(NAME, model.version, scorer.family, model.package.run),
        probability=float(probability[0]),
        points=int(explained.points[0]),
        band=scorer.band(probability)[0],
        proposal=proposal,
        cutoff=scorer.cutoff,
        cutoff_points=scorer.cutoff_points,
        rules=declined,
        person_decides=model.person_decides,
        notice=PERSON_DECIDES if model.person_decides else None,
        reasons=reasons[0],
    )


def _declined(
    model: Model, recipe: Recipe, features: Mapping[str, float | str | None], decided_at: datetime.datetime
) -> list[Declined]:
    """The rules that decline the application and hold on the day of its decision."""
    rules = in_force(model.rules, decided_at.astimezone(ZoneInfo(recipe.time_zone)).date())
    values = {rule.column: np.array([features[rule.column]], dtype=np.float64) for rule in rules}
    [codes] = policy(values, rules) or [[]]
    return [Declined(rule.code, rule.es, rule.en, rule.norm) for rule in rules if rule.code in codes]
