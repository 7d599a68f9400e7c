"""What each route answers: from the model and a request to a body, and the decisions in it."""

from importlib.metadata import version as package_version

import msgspec
from msgspec import Struct

from components.credit.errors import InputError
from components.credit.features.moments import microseconds
from components.credit.release.released import REASONS, code_of, codes_of
from components.scorer.application import BatchAnswer, Score, Scored, read_batch, score
from components.scorer.decisions.overrides import Override, read_override
from components.scorer.decisions.record import Decision, following_id, sha256
from components.scorer.document import read_document
from components.scorer.http.page import PAGE
from components.scorer.http.route import Content
from components.scorer.model import NAME, Explained, Model, Models
from components.scorer.protocol import (
    EXPLANATION,
    POINTS,
    PROBABILITY,
    InferenceResponse,
    OutputTensor,
    ServerMetadata,
    feature_columns,
    read_request,
    wanted,
)
from components.scorer.requests import Request


class Live(Struct, frozen=True):
    """The process answers."""

    live: bool


class Ready(Struct, frozen=True, omit_defaults=True):
    """A model that verified is loaded; ``refused`` says why it is not the one that the champion pointer names."""

    ready: bool
    refused: str | None = None


class ModelReady(Struct, frozen=True):
    """The model is loaded."""

    name: str
    ready: bool


_LIVE = msgspec.json.encode(Live(True))
_SERVER = msgspec.json.encode(ServerMetadata("quipu", package_version("quipu")))
_MODEL_READY = msgspec.json.encode(ModelReady(NAME, True))


def live(_model: Model, _request: Request) -> Content:
    """The process answers."""
    return Content(_LIVE)


def ready(model: Model, _request: Request) -> Content:
    """A verified model is loaded."""
    return Content(msgspec.json.encode(Ready(True, model.standing.refused)))


def server_metadata(_model: Model, _request: Request) -> Content:
    """Name and version of the server."""
    return Content(_SERVER)


def model_ready(_model: Model, _request: Request) -> Content:
    """The model of the path is loaded."""
    return Content(_MODEL_READY)


def model_metadata(model: Model, _request: Request) -> Content:
    """Inputs and outputs of the model."""
    return Content(model.metadata)


def models(model: Model, _request: Request) -> Content:
    """The model that answers, the champion before it and the challenger beside it."""
    standing = model.standing
    return Content(msgspec.json.encode(Models([model.summary], standing.previous, standing.challenger)))


def page(_model: Model, _request: Request) -> Content:
    """The page to try the scorer."""
    return Content(PAGE)


def infer(model: Model, request: Request) -> Content:
    """Scores of rows of ready features, as the Open Inference Protocol has them."""
    inference = read_request(request.body, request.head)
    columns, rows = feature_columns(inference, model.features)
    names = wanted(inference)
    explained = model.explained(columns) if EXPLANATION in names else None
    probability, points = (explained.probability, explained.points) if explained else model.scores(columns)
    decision = Decision(
        id=request.decision,
        at=request.at,
        kind="infer",
        request=request.id,
        actor=request.actor.name,
        model=model.version,
        run=model.package.run,
        inputs=sha256(request.body),
        probability=probability.tolist(),
        points=points.tolist(),
        reasons=_reason_codes(explained) if explained else [],
        person_decides=model.person_decides,
    )
    outputs = []
    for name in names:
        if name == PROBABILITY:
            outputs.append(OutputTensor(name, [rows], "FP64", decision.probability))
        elif name == POINTS:
            outputs.append(OutputTensor(name, [rows], "INT64", decision.points))
        elif explained:
            outputs.append(OutputTensor(name, [rows, REASONS], "BYTES", codes_of(explained.reasons)))
    response = InferenceResponse(NAME, model.version, outputs, inference.id, {"decision_id": request.decision})
    return Content(msgspec.json.encode(response), (decision,))


def _reason_codes(explained: Explained) -> list[list[str]]:
    """Codes of the reasons, by row."""
    return [[code_of(reason) for reason in row] for row in explained.reasons]


def score_application(model: Model, request: Request) -> Content:
    """The score of one application with its raw history."""
    scored = score(model, read_document(request.body), request.decision)
    return Content(msgspec.json.encode(scored), (_decision(scored, request, request.body, model),))


def score_batch(model: Model, request: Request) -> Content:
    """The scores of several applications; one that does not fit gets a sentence instead."""
    answers: list[Scored] = []
    decisions = []
    for number, application in enumerate(read_batch(request.body).applications):
        try:
            scored = score(model, read_document(application), following_id(request.decision, number))
        except InputError as error:
            answers.append(Scored(error=str(error)))
        else:
            answers.append(Scored(scored))
            decisions.append(_decision(scored, request, application, model))
    return Content(msgspec.json.encode(BatchAnswer(answers)), tuple(decisions))


def _decision(scored: Score, request: Request, application: bytes | msgspec.Raw, model: Model) -> Decision:
    """What the decision log keeps of the score of an application, whose JSON is ``application``."""
    return Decision(
        id=scored.decision_id,
        at=request.at,
        kind="score",
        request=request.id,
        actor=request.actor.name,
        model=scored.model.version,
        run=model.package.run,
        inputs=sha256(application),
        decided_at=microseconds(scored.decided_at),
        application=sha256(scored.application_id.encode()) if scored.application_id else "",
        probability=[scored.probability],
        points=[scored.points],
        reasons=[[code_of(reason) for reason in scored.reasons]],
        band=scored.band,
        proposal=scored.proposal,
        rules=[rule.code for rule in scored.rules],
        person_decides=scored.person_decides,
    )


def override(_model: Model, request: Request) -> Content:
    """The decision of a person, which the store keeps before the answer is sent."""
    asked = read_override(request.body)
    decision_id = request.path.split("/")[3]  # /v1/decisions/{id}/override
    first = Override(decision_id, 1, None, asked.decision, asked.reason, request.actor.name, request.id, request.at)
    return Content(msgspec.json.encode(first), override=first)
