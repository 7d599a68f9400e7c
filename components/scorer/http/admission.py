"""Who may ask for a route: the actor of a token, its roles and its rate."""

from granian.rsgi import Scope

from components.scorer.access.addresses import address_of
from components.scorer.access.limits import Buckets
from components.scorer.access.tokens import TokenRefused
from components.scorer.http.answers import Refused, too_many, unauthorized
from components.scorer.http.route import Route
from components.scorer.http.routes import check_role
from components.scorer.requests import ANYONE, Actor
from components.scorer.settings import Listening


class Admission:
    """Finds out who asks, and refuses whoever may not.

    Args:
        listening: The tokens that are believed, the rate of an actor and the proxies.
    """

    def __init__(self, listening: Listening) -> None:
        self._tokens, self._proxies = listening.tokens, listening.proxies
        self._buckets = Buckets(listening.rate, listening.rate) if listening.rate else None

    def actor(self, route: Route, scope: Scope) -> Actor:
        """Who asks for a route.

        Raises:
            Refused: The token is not believed, lacks the role, or its actor asks too often.
        """
        actor = ANYONE
        if self._tokens is not None and route.roles:
            try:
                actor = self._tokens.actor(scope.headers.get("authorization"), self.address(scope))
            except TokenRefused as error:
                if error.retry:
                    raise Refused(too_many(str(error), error.retry)) from error
                raise Refused(unauthorized(str(error))) from error
        check_role(route, actor)
        if self._buckets is not None and route.roles and (wait := self._buckets.take(actor.name)):
            raise Refused(too_many("You ask more often than you may; wait a while.", wait))
        return actor

    def address(self, scope: Scope) -> str:
        """Address of the client: the one that a proxy of ours names, else the other end of the connection."""
        forwarded = scope.headers.get_all("x-forwarded-for") if self._proxies else []  # type: ignore[attr-defined]  # granian's stub lacks it
        return address_of(scope.client, forwarded, self._proxies)
