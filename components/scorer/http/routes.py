"""The routes of the scorer, and which of them a request asks for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from components.credit.errors import InputError
from components.scorer.application import Batch, BatchAnswer, Score
from components.scorer.decisions.overrides import Override, OverrideRequest
from components.scorer.document import EXAMPLE, Document
from components.scorer.http.answers import Answer, Refused, refusal, unauthorized
from components.scorer.http.handlers import (
    Live,
    ModelReady,
    Ready,
    infer,
    live,
    model_metadata,
    model_ready,
    models,
    override,
    page,
    ready,
    score_application,
    score_batch,
    server_metadata,
)
from components.scorer.http.openapi import document
from components.scorer.http.page import HEADERS as PAGE_HEADERS
from components.scorer.http.route import Content, Route
from components.scorer.model import NAME, Model, Models
from components.scorer.protocol import InferenceRequest, InferenceResponse, ModelMetadata, ServerMetadata
from components.scorer.requests import Actor, Request, Role


@cache
def _document() -> Content:
    return Content(document([route for route in ROUTES if route.operation]))


def _openapi(_model: Model, _request: Request) -> Content:
    return _document()


# Who may ask: whoever may score may also read what the model takes; an admin may do all.
_ALL: frozenset[Role] = frozenset()
_SCORING: frozenset[Role] = frozenset(("score", "admin"))
_OVERRIDING: frozenset[Role] = frozenset(("override", "admin"))
_READING: frozenset[Role] = frozenset(("read", "score", "override", "admin"))


def _model_routes(path: str, operation: str) -> list[Route]:
    """The routes of a model; the Open Inference Protocol has each of them with and without a version."""
    return [
        Route(
            "GET", path, model_metadata, _READING,
            f"{operation}Metadata", "What the model takes and gives", ModelMetadata,
        ),
        Route(
            "GET", f"{path}/ready", model_ready, _READING,
            f"{operation}Ready", "Whether the model is loaded", ModelReady, readiness=True,
        ),
        Route(
            "POST", f"{path}/infer", infer, _SCORING,
            f"{operation}Infer", "Score rows of ready features", InferenceResponse, InferenceRequest,
        ),
    ]  # fmt: skip


ROUTES = (
    Route(
        "POST", "/v1/score", score_application, _SCORING,
        "score", "Score an application with its raw history", Score, Document, EXAMPLE, short_body=32 * 1024,
    ),
    Route(
        "POST", "/v1/score:batch", score_batch, _SCORING,
        "scoreBatch", "Score several applications, each by itself", BatchAnswer, Batch, short_body=0,
    ),
    Route(
        "POST", "/v1/decisions/{id}/override", override, _OVERRIDING,
        "override", "Record that a person decided otherwise, and why", Override, OverrideRequest,
    ),
    Route("GET", "/v1/models", models, _READING, "models", "What answers here", Models),
    Route("GET", "/openapi.json", _openapi, _READING, "description", "This document", dict[str, Any]),
    Route("GET", "/v2/health/live", live, _ALL, "live", "Whether the process answers", Live, quiet=True),
    Route(
        "GET", "/v2/health/ready", ready, _ALL,
        "ready", "Whether a verified model is loaded", Ready, quiet=True, readiness=True,
    ),
    Route("GET", "/v2", server_metadata, _READING, "server", "Who answers", ServerMetadata),
    *_model_routes("/v2/models/{model}", "model"),
    *_model_routes("/v2/models/{model}/versions/{version}", "modelVersion"),
    Route("GET", "/", page, _ALL, headers=PAGE_HEADERS, content_type="text/html; charset=utf-8"),
)  # fmt: skip


@dataclass(frozen=True)
class Match:
    """The route that a request asks for.

    Args:
        route: The route.
        model: Model that the path names; None where it names none.
        version: Version that the path names; None where it names none.
    """

    route: Route
    model: str | None = None
    version: str | None = None


class NoRoute(Refused):
    """A request asks for no route; ``name`` stands for the route in the log and the metrics."""

    def __init__(self, answer: Answer, name: str) -> None:
        super().__init__(answer)
        self.name = name


# The paths that name nothing, or the one model that there is: one look-up finds their route.
_PLAIN = {
    (route.method, plain): Match(route)
    for route in ROUTES
    for plain in [route.path.replace("{model}", NAME)]
    if "{" not in plain
}
_BY_PATH = {path: {route.method: route for route in ROUTES if route.path == path} for path in [r.path for r in ROUTES]}
# The paths with placeholders by their number of slashes, each with what a request's path must be; a placeholder takes
# one segment.
_PATTERNS: dict[int, list[tuple[str, re.Pattern[str]]]] = {}
for _path in _BY_PATH:
    if "{" in _path:
        _pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]*)", _path))
        _PATTERNS.setdefault(_path.count("/"), []).append((_path, _pattern))


def match(method: str, path: str) -> Match:
    """The route of a method and a path; HEAD goes where GET does.

    Raises:
        NoRoute: No route has this path, or none has it with this method.
    """
    plain = _PLAIN.get((method, path))
    if plain is not None:
        return plain
    if method == "HEAD":
        return match("GET", path)
    template, names = _template(path.rstrip("/"))
    by_method = _BY_PATH.get(template)
    if by_method is None:
        raise NoRoute(refusal(404, "There is nothing at this path; GET /openapi.json lists the paths."), "unknown")
    route = by_method.get(method)
    if route is None:
        allow = ", ".join([*by_method, "HEAD"] if "GET" in by_method else by_method)
        raise NoRoute(refusal(405, f"This path takes {allow}.", (("allow", allow),)), f"other {template}")
    return Match(route, names.get("model"), names.get("version"))


def _template(path: str) -> tuple[str, Mapping[str, str]]:
    """The path with placeholders that a path fits, and what stands in their places; else the path itself."""
    for template, pattern in _PATTERNS.get(path.count("/"), ()):
        if fits := pattern.fullmatch(path):
            return template, fits.groupdict()
    return path, {}


def check_role(route: Route, actor: Actor) -> None:
    """Refuse an actor that lacks a role of the route.

    Raises:
        Refused: The actor may not ask there.
    """
    if not route.roles or not route.roles.isdisjoint(actor.roles):
        return
    if not actor.name:
        raise Refused(unauthorized("Give a token: 'Authorization: Bearer …'."))
    needed = " or ".join(sorted(route.roles - {"admin"}) or route.roles)
    scope = (("www-authenticate", 'Bearer error="insufficient_scope"'),)
    raise Refused(refusal(403, f"This needs the role {needed}, which your token lacks.", scope))


def answer(model: Model, request: Request) -> Answer:
    """The answer to a request, once its actor has a role of the route."""
    try:
        matched = match(request.method, request.path)
        check_role(matched.route, request.actor)
    except Refused as refused:
        return refused.answer
    return answer_matched(matched, model, request)


def answer_matched(matched: Match, model: Model, request: Request) -> Answer:
    """The answer to a request whose route is known and whose actor may ask there.

    Args:
        matched: The route.
        model: The model that answers, from first to last.
        request: The request.
    """
    route = matched.route
    if matched.model not in (None, NAME):
        return refusal(404, f"There is no model '{matched.model}'; the model here is '{NAME}'.")
    if matched.version not in (None, model.version):
        return refusal(404, f"There is no version '{matched.version}' of '{NAME}' here; {model.version} answers.")
    try:
        body, decisions, decided = route.handler(model, request)
        return Answer(200, body, model.version, route.headers, route.content_type, decisions, decided)
    except InputError as error:
        return refusal(400, str(error))
