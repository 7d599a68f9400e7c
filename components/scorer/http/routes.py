"""What the scorer answers on each route: from a method, a path and a body to a status and a body."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version as package_version
from typing import NamedTuple

import msgspec
from msgspec import structs

from components.credit.errors import InputError
from components.credit.features.moments import microseconds
from components.credit.release.released import REASONS, code_of, codes_of
from components.scorer.application import BatchAnswer, Score, Scored, read_batch, score
from components.scorer.decisions.overrides import Override, read_override
from components.scorer.decisions.record import Decision, following_id, sha256
from components.scorer.document import read_document
from components.scorer.http.openapi import Ready, openapi
from components.scorer.http.page import HEADERS as PAGE_HEADERS
from components.scorer.http.page import PAGE
from components.scorer.model import NAME, Model, Models
from components.scorer.protocol import (
    EXPLANATION,
    POINTS,
    PROBABILITY,
    InferenceResponse,
    OutputTensor,
    ServerMetadata,
    columns_of,
    read_request,
    wanted,
)
from components.scorer.requests import Actor, Request, Role


class Content(NamedTuple):
    """What a handler answers: a body, the decisions that it tells, and what a person decided otherwise."""

    body: bytes
    decisions: tuple[Decision, ...] = ()
    override: Override | None = None


_DECISIONS, _OVERRIDE = "/v1/decisions/", "/override"
Handler = Callable[[Model, Request], Content]


class Answer(msgspec.Struct, frozen=True):
    """An answer to a request.

    Args:
        status: HTTP status.
        body: The answer.
        route: Method and route, with placeholders where the path names something; for the log and the metrics.
        version: Model version that answered; empty where none did.
        headers: Headers that this answer has besides those of all.
        type: Type of the body.
        decisions: Decisions that it tells, to be kept before it is sent.
        override: What a person decided, to be kept before it is told; the record that then stands is the body.
    """

    status: int
    body: bytes
    route: str
    version: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    type: str = "application/json"
    decisions: tuple[Decision, ...] = ()
    override: Override | None = None


@dataclass(frozen=True)
class Place:
    """Where a request goes.

    Args:
        route: Method and route, with placeholders where the path names something.
        handler: What answers there.
        roles: An actor needs one of them; none where everybody may ask.
        model: Model that the path names, None where it names none.
        version: Version that the path names, None where it names none.
        headers: Headers that its answers have.
        type: Type of its answers.
    """

    route: str
    handler: Handler
    roles: frozenset[Role]
    model: str | None = None
    version: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    type: str = "application/json"


def answer(model: Model, request: Request) -> Answer:
    """The answer to a request: from its place, if its actor may ask there."""
    place = place_of(request.method, request.path)
    if isinstance(place, Answer):
        return place
    return forbidden(place, request.actor) or answer_at(place, model, request)


def place_of(method: str, path: str) -> Place | Answer:
    """Where a request goes, or the answer that it goes nowhere; HEAD goes where GET does, and gets its head."""
    plain = _PLAIN.get((method, path))
    if plain is not None:
        return plain
    if method == "HEAD":
        return place_of("GET", path)
    route, name, version = _route(path.rstrip("/"))
    handlers = _HANDLERS.get(route)
    if handlers is None:
        return refusal(404, "There is nothing at this path; GET /openapi.json lists the paths.", "unknown")
    if method not in handlers:
        allow = ", ".join((*handlers, "HEAD") if "GET" in handlers else handlers)
        return Answer(405, _error(f"This path takes {allow}."), f"other {route}", headers=(("allow", allow),))
    handler, roles = handlers[method]
    return Place(f"{method} {route}", handler, roles, name, version)


def forbidden(place: Place, actor: Actor) -> Answer | None:
    """The answer to an actor that may not ask there; None if it may."""
    if not place.roles or not place.roles.isdisjoint(actor.roles):
        return None
    if not actor.name:
        return unauthorized("Give a token: 'Authorization: Bearer …'.", place.route)
    needed = " or ".join(sorted(place.roles - {"admin"}) or place.roles)
    told = (("www-authenticate", 'Bearer error="insufficient_scope"'),)
    return Answer(403, _error(f"This needs the role {needed}, which your token lacks."), place.route, headers=told)


def answer_at(place: Place, model: Model, request: Request) -> Answer:
    """The answer of a place to an actor that may ask there.

    Args:
        place: Where the request goes.
        model: The model that answers, from first to last.
        request: The request.
    """
    if place.model not in (None, NAME):
        return refusal(404, f"There is no model '{place.model}'; the model here is '{NAME}'.", place.route)
    if place.version not in (None, model.version):
        known = f"There is no version '{place.version}' of '{NAME}' here; {model.version} answers."
        return refusal(404, known, place.route)
    try:
        body, decisions, override = place.handler(model, request)
        return Answer(200, body, place.route, model.version, place.headers, place.type, decisions, override)
    except InputError as error:
        return refusal(400, str(error), place.route)


def refusal(status: int, sentence: str, route: str) -> Answer:
    """An answer that says in one sentence why there is no other, in the protocol's form."""
    return Answer(status, _error(sentence), route)


def unauthorized(sentence: str, route: str) -> Answer:
    """An answer to one whom no token vouches for."""
    return Answer(401, _error(sentence), route, headers=(("www-authenticate", "Bearer"),))


def too_many(sentence: str, route: str, seconds: float) -> Answer:
    """An answer to one who asks too often, with the seconds to wait."""
    return Answer(429, _error(sentence), route, headers=(("retry-after", str(math.ceil(seconds))),))


def _error(sentence: str) -> bytes:
    return msgspec.json.encode({"error": sentence})


def _route(path: str) -> tuple[str, str | None, str | None]:
    """Route of a path, with the model and version that it names."""
    if path.startswith(_DECISIONS) and path.endswith(_OVERRIDE) and path.count("/") == 4:
        return f"{_DECISIONS}{{id}}{_OVERRIDE}", None, None
    if not path.startswith("/v2/models/"):
        return path, None, None
    name, *rest = path.removeprefix("/v2/models/").split("/")
    if len(rest) > 1 and rest[0] == "versions":
        return "/".join(["/v2/models/{model}/versions/{version}", *rest[2:]]), name, rest[1]
    return "/".join(["/v2/models/{model}", *rest]), name, None


def _live(_model: Model, _request: Request) -> Content:
    return Content(b'{"live":true}')


def _ready(model: Model, _request: Request) -> Content:
    return Content(msgspec.json.encode(Ready(True, model.standing.refused)))


def _server(_model: Model, _request: Request) -> Content:
    return Content(_SERVER)


def _model_ready(_model: Model, _request: Request) -> Content:
    return Content(_MODEL_READY)


def _model_metadata(model: Model, _request: Request) -> Content:
    return Content(model.metadata)


def _infer(model: Model, request: Request) -> Content:
    inference = read_request(request.body, request.head)
    columns, rows = columns_of(inference, model.features)
    asked = wanted(inference)
    explained = model.explained(columns) if EXPLANATION in asked else None
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
        person_decides=model.person_decides,
    )
    outputs = []
    for output in asked:
        if output == PROBABILITY:
            outputs.append(OutputTensor(output, [rows], "FP64", decision.probability))
        elif output == POINTS:
            outputs.append(OutputTensor(output, [rows], "INT64", decision.points))
        elif explained:
            codes = codes_of(explained.reasons)
            reasons = [[code for code in codes[row * REASONS : (row + 1) * REASONS] if code] for row in range(rows)]
            decision = structs.replace(decision, reasons=reasons)
            outputs.append(OutputTensor(output, [rows, REASONS], "BYTES", codes))
    told = InferenceResponse(NAME, model.version, outputs, inference.id, {"decision_id": request.decision})
    return Content(msgspec.json.encode(told), (decision,))


def _score(model: Model, request: Request) -> Content:
    scored = score(model, read_document(request.body), request.decision)
    return Content(msgspec.json.encode(scored), (_decision(scored, request, request.body, model),))


def _score_batch(model: Model, request: Request) -> Content:
    answers: list[Scored] = []
    decisions = []
    for place, application in enumerate(read_batch(request.body).applications):
        try:
            scored = score(model, read_document(application), following_id(request.decision, place))
        except InputError as error:
            answers.append(Scored(error=str(error)))
        else:
            answers.append(Scored(scored))
            decisions.append(_decision(scored, request, application, model))
    return Content(msgspec.json.encode(BatchAnswer(answers)), tuple(decisions))


def _decision(scored: Score, request: Request, asked: bytes | msgspec.Raw, model: Model) -> Decision:
    return Decision(
        id=scored.decision_id,
        at=request.at,
        kind="score",
        request=request.id,
        actor=request.actor.name,
        model=scored.model.version,
        run=model.package.run,
        inputs=sha256(asked),
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


def _override(_model: Model, request: Request) -> Content:
    asked = read_override(request.body)
    decision_id = request.path.removeprefix(_DECISIONS).partition("/")[0]
    told = Override(decision_id, 1, None, asked.decision, asked.reason, request.actor.name, request.id, request.at)
    return Content(msgspec.json.encode(told), override=told)


def _models(model: Model, _request: Request) -> Content:
    return Content(msgspec.json.encode(Models([model.summary], model.standing.previous, model.standing.shadow)))


def _openapi(_model: Model, _request: Request) -> Content:
    return Content(openapi(frozenset((route, method, roles) for (method, route), roles in ROLES_BY_PLACE.items())))


def _page(_model: Model, _request: Request) -> Content:
    return Content(PAGE)


_SERVER = msgspec.json.encode(ServerMetadata("quipu", package_version("quipu")))
_MODEL_READY = msgspec.json.encode({"name": NAME, "ready": True})
# Who may ask: whoever may score may also read what the model takes; an admin may do all.
_ALL: frozenset[Role] = frozenset()
_SCORING: frozenset[Role] = frozenset(("score", "admin"))
_OVERRIDING: frozenset[Role] = frozenset(("override", "admin"))
_READING: frozenset[Role] = frozenset(("read", "score", "override", "admin"))
Handlers = dict[str, tuple[Handler, frozenset[Role]]]
_MODEL: dict[str, Handlers] = {
    "": {"GET": (_model_metadata, _READING)},
    "/ready": {"GET": (_model_ready, _READING)},
    "/infer": {"POST": (_infer, _SCORING)},
}
_HANDLERS: dict[str, Handlers] = {
    "/v2/health/live": {"GET": (_live, _ALL)},
    "/v2/health/ready": {"GET": (_ready, _ALL)},
    "/v2": {"GET": (_server, _READING)},
    **{f"/v2/models/{{model}}{ending}": handlers for ending, handlers in _MODEL.items()},
    **{f"/v2/models/{{model}}/versions/{{version}}{ending}": handlers for ending, handlers in _MODEL.items()},
    "/v1/score": {"POST": (_score, _SCORING)},
    "/v1/score:batch": {"POST": (_score_batch, _SCORING)},
    f"{_DECISIONS}{{id}}{_OVERRIDE}": {"POST": (_override, _OVERRIDING)},
    "/v1/models": {"GET": (_models, _READING)},
    "/openapi.json": {"GET": (_openapi, _READING)},
}
# Places of the paths that need no reading: a request finds its own by one look.
_PLAIN = {
    (method, route.replace("{model}", NAME)): Place(f"{method} {route}", handler, roles)
    for route, handlers in _HANDLERS.items()
    for method, (handler, roles) in handlers.items()
    if "{version}" not in route and "{id}" not in route
}
_PLAIN["GET", "/"] = Place("GET /", _page, _ALL, headers=PAGE_HEADERS, type="text/html; charset=utf-8")
# Who may ask where, for the OpenAPI document.
ROLES_BY_PLACE = {
    (method, route): roles for route, handlers in _HANDLERS.items() for method, (_, roles) in handlers.items()
}
