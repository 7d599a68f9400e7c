"""Answers to a request, and the refusals that stand in for one."""

import math

import msgspec

from components.scorer.decisions.overrides import Override
from components.scorer.decisions.record import Decision


class Answer(msgspec.Struct, frozen=True):
    """An answer to a request.

    Args:
        status: HTTP status.
        body: Body.
        version: Version of the model that answers; empty where none does.
        headers: Headers beside those that each answer has.
        content_type: Type of the body.
        decisions: Decisions in the body; the decision log keeps them before the answer is sent.
        override: A person's decision, which the store keeps before the answer is sent; the record that stands
            afterwards replaces the body.
    """

    status: int
    body: bytes
    version: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"
    decisions: tuple[Decision, ...] = ()
    override: Override | None = None


class Problem(msgspec.Struct, frozen=True):
    """Why there is no other answer, in one sentence."""

    error: str


class Refused(Exception):
    """A request is refused; ``answer`` says why."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def refusal(status: int, sentence: str, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """An answer that says in one sentence why there is no other, in the form of the Open Inference Protocol."""
    return Answer(status, msgspec.json.encode(Problem(sentence)), headers=headers)


def unauthorized(sentence: str) -> Answer:
    """The answer to a client without a valid token."""
    return refusal(401, sentence, (("www-authenticate", "Bearer"),))


def too_many(sentence: str, seconds: float) -> Answer:
    """The answer to a client that asks too often, with the seconds to wait."""
    return refusal(429, sentence, (("retry-after", str(math.ceil(seconds))),))


def busy(sentence: str) -> Answer:
    """The answer while the scorer cannot take the request; a second later it may."""
    return refusal(503, sentence, (("retry-after", "1"),))
