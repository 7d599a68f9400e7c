"""What the scorer knows of one route: routing, the limits of a request and the OpenAPI document all read it here."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from components.scorer.decisions.overrides import Override
from components.scorer.decisions.record import Decision
from components.scorer.model import Model
from components.scorer.requests import Request, Role

# A longer body takes milliseconds to answer. A thread of its own answers it, so that it does not hold up the others.
SHORT_BODY = 16 * 1024


class Content(NamedTuple):
    """What a handler answers: a body, the decisions in it, and the decision of a person, each for the audit bucket."""

    body: bytes
    decisions: tuple[Decision, ...] = ()
    override: Override | None = None


Handler = Callable[[Model, Request], Content]


@dataclass(frozen=True)
class Route:
    """A method and a path that the scorer answers.

    Args:
        method: HTTP method; HEAD is answered where GET is.
        path: Path, with placeholders such as ``{model}``.
        handler: Answers the request.
        roles: An actor needs one of them; none where everybody may ask.
        operation: Name in the OpenAPI document; empty where the document leaves the route out.
        summary: What the operation does, for the document.
        response: Type of the answer's JSON, for the document.
        request: Type of the body's JSON, for the document; None where there is no body.
        example: Example of a body, for the document.
        short_body: Bytes of a body that is answered in the event loop; a thread answers a longer one.
        quiet: Whether the log leaves out each answer with status 200.
        readiness: Whether it refuses while the scorer drains, or while the decision log cannot be kept.
        headers: Headers of its answers.
        content_type: Type of its answers.
    """

    method: str
    path: str
    handler: Handler
    roles: frozenset[Role]
    operation: str = ""
    summary: str = ""
    response: Any = None
    request: Any = None
    example: Any = None
    short_body: int = SHORT_BODY
    quiet: bool = False
    readiness: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"

    @cached_property
    def name(self) -> str:
        """Method and path with its placeholders, for the log and the metrics."""
        return f"{self.method} {self.path}"
