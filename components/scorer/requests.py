"""A request as the handlers see it, and its actor."""

from dataclasses import dataclass
from typing import Literal, get_args

from msgspec import Struct

Role = Literal["score", "read", "override", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True)
class Actor:
    """Who asks.

    Args:
        name: Subject of the token, or name of the API key; kept in the decision log.
        roles: What the actor may do.
    """

    name: str
    roles: frozenset[Role]


# Who asks where no tokens are configured: a scorer on one's own machine.
ANYONE = Actor("anyone", frozenset(ROLES))
# Who asks without a token where tokens are needed.
STRANGER = Actor("", frozenset())


class Request(Struct, frozen=True):
    """A request whose body has arrived and whose actor is known.

    Args:
        method: HTTP method.
        path: Path, percent-decoded; a slash at its end is of no account.
        body: Body.
        id: Id of the request, for the log.
        actor: Who asks.
        head: Bytes of JSON that the body begins with, where tensors follow them; 0 where it is all JSON.
        decision: Id of the decision in its answer; in a batch, of the first one.
        at: When it arrived, microseconds since 1970 in UTC.
    """

    method: str
    path: str
    body: bytes = b""
    id: str = ""
    actor: Actor = ANYONE
    head: int = 0
    decision: str = "00000000-0000-7000-8000-000000000000"
    at: int = 0
