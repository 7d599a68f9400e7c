"""What the scorer answers on each route: from a method, a path and a body to a status and a body."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version as package_version

import msgspec

from components.credit.errors import InputError
from components.score.application import score
from components.score.document import read_document
from components.score.model import NAME, REASONS, Model, Models
from components.score.openapi import openapi
from components.score.protocol import (
    POINTS,
    PROBABILITY,
    InferenceResponse,
    OutputTensor,
    ServerMetadata,
    columns_of,
    read_request,
    wanted,
)
from components.score.requests import Request

Handler = Callable[[Model, Request], bytes]


@dataclass(frozen=True)
class Answer:
    """An answer to a request.

    Args:
        status: HTTP status.
        body: JSON.
        route: Method and route, with placeholders where the path names something; for the log.
        version: Model version that answered; empty where none did.
        allow: Methods that the route has, where another one was tried.
    """

    status: int
    body: bytes
    route: str
    version: str = ""
    allow: str = ""


def answer(model: Model, request: Request) -> Answer:
    """The answer to a request.

    Args:
        model: The model that answers, from first to last.
        request: The request.
    """
    method = request.method
    route, name, version = _route(request.path.rstrip("/"))
    handlers = _HANDLERS.get(route)
    if handlers is None:
        return refusal(404, "There is nothing at this path; GET /openapi.json lists the paths.", f"{method} unknown")
    handler = handlers.get(method)
    if handler is None:
        allow = ", ".join(handlers)
        return Answer(405, _error(f"This path takes {allow}."), f"{method} {route}", allow=allow)
    route = f"{method} {route}"
    if name not in ("", NAME):
        return refusal(404, f"There is no model '{name}'; the model here is '{NAME}'.", route)
    if version not in ("", model.version):
        return refusal(404, f"There is no version '{version}' of '{NAME}' here; {model.version} answers.", route)
    try:
        return Answer(200, handler(model, request), route, model.version)
    except InputError as error:
        return refusal(400, str(error), route)


def refusal(status: int, sentence: str, route: str) -> Answer:
    """An answer that says in one sentence why there is no other, in the protocol's form."""
    return Answer(status, _error(sentence), route)


def _error(sentence: str) -> bytes:
    return msgspec.json.encode({"error": sentence})


def _route(path: str) -> tuple[str, str, str]:
    """Route of a path, with the model and version that it names."""
    if not path.startswith("/v2/models/"):
        return path, "", ""
    name, *rest = path.removeprefix("/v2/models/").split("/")
    if len(rest) > 1 and rest[0] == "versions":
        return "/".join(["/v2/models/{model}/versions/{version}", *rest[2:]]), name, rest[1]
    return "/".join(["/v2/models/{model}", *rest]), name, ""


def _live(_model: Model, _request: Request) -> bytes:
    return b'{"live":true}'


def _ready(_model: Model, _request: Request) -> bytes:
    return b'{"ready":true}'


def _server(_model: Model, _request: Request) -> bytes:
    return _SERVER


def _model_ready(_model: Model, _request: Request) -> bytes:
    return _MODEL_READY


def _model_metadata(model: Model, _request: Request) -> bytes:
    return model.metadata


def _infer(model: Model, request: Request) -> bytes:
    inference = read_request(request.body)
    columns, rows = columns_of(inference, model.features)
    probability, points = model.scores(columns)
    outputs = []
    for output in wanted(inference):
        if output == PROBABILITY:
            outputs.append(OutputTensor(output, [rows], "FP64", probability.tolist()))
        elif output == POINTS:
            outputs.append(OutputTensor(output, [rows], "INT64", points.tolist()))
        else:
            outputs.append(OutputTensor(output, [rows, REASONS], "BYTES", model.reason_codes(columns)))
    return msgspec.json.encode(InferenceResponse(NAME, model.version, outputs, inference.id))


def _score(model: Model, request: Request) -> bytes:
    return msgspec.json.encode(score(model, read_document(request.body)))


def _models(model: Model, _request: Request) -> bytes:
    return msgspec.json.encode(Models([model.summary]))


def _openapi(_model: Model, _request: Request) -> bytes:
    return openapi()


_SERVER = msgspec.json.encode(ServerMetadata("quipu", package_version("quipu")))
_MODEL_READY = msgspec.json.encode({"name": NAME, "ready": True})
_MODEL: dict[str, dict[str, Handler]] = {
    "": {"GET": _model_metadata},
    "/ready": {"GET": _model_ready},
    "/infer": {"POST": _infer},
}
_HANDLERS: dict[str, dict[str, Handler]] = {
    "/v2/health/live": {"GET": _live},
    "/v2/health/ready": {"GET": _ready},
    "/v2": {"GET": _server},
    **{f"/v2/models/{{model}}{ending}": handlers for ending, handlers in _MODEL.items()},
    **{f"/v2/models/{{model}}/versions/{{version}}{ending}": handlers for ending, handlers in _MODEL.items()},
    "/v1/score": {"POST": _score},
    "/v1/models": {"GET": _models},
    "/openapi.json": {"GET": _openapi},
}
