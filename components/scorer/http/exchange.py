"""One request's life: admission, body, answer, and the decision log before the answer is sent."""

import asyncio
import itertools
import secrets
import time
from concurrent.futures import ThreadPoolExecutor

import msgspec
from granian.rsgi import Headers, HTTPProtocol, Scope  # type: ignore[attr-defined]  # the names that granian documents
from msgspec import structs

from components.credit.book.store import Store
from components.credit.errors import StoreError
from components.scorer.access.addresses import network_of
from components.scorer.answering import Answering
from components.scorer.decisions.overrides import Override, UnknownDecision, record
from components.scorer.decisions.record import lines, new_id, now
from components.scorer.decisions.spool import Spool, SpoolError
from components.scorer.http.admission import Admission
from components.scorer.http.answers import Answer, Refused, busy, refusal
from components.scorer.http.bodies import Bodies
from components.scorer.http.routes import Match, NoRoute, answer_matched, match
from components.scorer.requests import Request
from components.scorer.settings import Listening
from components.scorer.watching.failures import report_failure
from components.scorer.watching.log import log_event, log_request
from components.scorer.watching.metrics import count_request

_ANSWER_SECONDS = 20.0  # for a request that waits for the worker
_MOST_WAITING = 256  # requests for the worker; more would only wait until they are too late
_OVERRIDE_SECONDS = 5.0  # for the store to take an override
_MOST_OVERRIDES = 4  # at once; a store that hangs holds these threads, and no others
_TURNED_AWAY = (401, 403, 429)


class Exchange:
    """What granian calls for each request.

    Args:
        answering: The models that answer.
        listening: For whom, and within which bounds.
        spool: Takes the decisions.
        store: Takes the overrides.
    """

    def __init__(self, answering: Answering, listening: Listening, spool: Spool, store: Store) -> None:
        self.bodies = Bodies(listening.body_seconds)
        self.draining = False
        self._answering, self._spool, self._store = answering, spool, store
        self._admission = Admission(listening)
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="score")
        self._waiting = 0
        self._overriders = ThreadPoolExecutor(_MOST_OVERRIDES, thread_name_prefix="override")
        self._overriding = 0
        self._ids = itertools.count()
        self._id_start = secrets.token_hex(4)

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """Answer one request."""
        started = time.perf_counter()
        headers = scope.headers
        request_id = self._request_id(headers.get("x-request-id"))
        name, quiet, size = "unknown", False, 0
        try:
            matched = match(scope.method, scope.path)
            name, quiet = matched.route.name, matched.route.quiet
            actor = self._admission.actor(matched.route, scope)
            body = await self.bodies.read(scope, protocol) if scope.method == "POST" else b""
            size, at = len(body), now()
            request = Request(scope.method, scope.path, body, request_id, actor, _head(headers), new_id(at), at)
            answered = await self._kept(matched, request, await self._answered(matched, request), started)
        except NoRoute as missing:
            name, answered = missing.name, missing.answer
        except Refused as refused:
            answered = refused.answer
        except Exception as error:  # whatever it is, a client gets a sentence and the log the line, without values
            report_failure(error)
            answered = refusal(500, "The scorer failed on this request; its log says where.")
        finally:
            self.bodies.release()
        protocol.response_bytes(
            answered.status,
            [("content-type", answered.content_type), ("x-request-id", request_id), *answered.headers],
            answered.body,
        )
        count_request(name, answered.status, answered.version, time.perf_counter() - started)
        if not quiet or answered.status != 200:
            log_request(request_id, name, answered.status, started, size, answered.version)
        if answered.status in _TURNED_AWAY:  # whoever guesses or floods can be traced, as far as a log may say
            network = network_of(self._admission.address(scope))
            log_event("turned_away", request=request_id, status=answered.status, network=network)

    async def _answered(self, matched: Match, request: Request) -> Answer:
        """The answer of the model, in this loop for a short body and in the worker for a long one.

        Raises:
            Refused: The scorer is not ready, or too many long requests wait.
        """
        model, route = self._answering.model, matched.route  # this model answers, even if the pointer moves meanwhile
        if route.readiness:
            if self.draining:
                raise Refused(refusal(503, "The scorer is about to stop."))
            if problem := self._spool.problem():
                raise Refused(refusal(503, problem))
        if len(request.body) <= route.short_body:
            return answer_matched(matched, model, request)
        if self._waiting >= _MOST_WAITING:
            raise Refused(busy("The scorer has too many requests waiting; ask again in a moment."))
        self._waiting += 1
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._worker, answer_matched, matched, model, request)
        except TimeoutError:
            raise Refused(busy(f"There was no answer within {_ANSWER_SECONDS:.0f} s; ask again.")) from None
        finally:
            self._waiting -= 1

    async def _kept(self, matched: Match, request: Request, answered: Answer, started: float) -> Answer:
        """The answer, once the spool has its decisions or the store its override.

        Raises:
            Refused: They cannot be kept, so that nobody may read the answer.
        """
        if answered.override is not None:
            standing = await self._recorded(answered.override)
            return structs.replace(answered, body=msgspec.json.encode(standing))
        if not answered.decisions:
            return answered
        try:
            self._spool.append(lines(answered.decisions, int((time.perf_counter() - started) * 1e6)))
        except SpoolError as error:
            raise Refused(busy(str(error))) from error
        if self._answering.challenger:
            self._answering.challenger.offer(matched, request)
        return answered

    async def _recorded(self, override: Override) -> Override:
        """The record of an override that stands in the store.

        Raises:
            Refused: The decision is unknown, or the store does not take the override now.
        """
        if self._overriding >= _MOST_OVERRIDES:  # counted here: after its time-out an override still has a thread
            raise Refused(busy("The store is slow to take overrides; ask again in a moment."))
        self._overriding += 1
        recording = asyncio.wrap_future(self._overriders.submit(record, override, self._store, self._spool.folder))
        recording.add_done_callback(self._override_ended)
        try:
            async with asyncio.timeout(_OVERRIDE_SECONDS):
                return await asyncio.shield(recording)
        except TimeoutError:  # the store may take it later; the next request then gets that record
            late = f"The store did not take the override within {_OVERRIDE_SECONDS:.0f} s; ask again."
            raise Refused(busy(late)) from None
        except UnknownDecision as error:
            raise Refused(refusal(404, str(error))) from error
        except StoreError as error:
            raise Refused(busy(str(error))) from error

    def _override_ended(self, recording: "asyncio.Future[Override]") -> None:
        self._overriding -= 1
        if not recording.cancelled():
            recording.exception()  # after a time-out nobody else looks at it, and asyncio would complain

    def _request_id(self, given: str | None) -> str:
        """The client's id of the request where it is a plain one, else a new one."""
        if given and len(given) <= 64 and given.isascii() and given.replace("-", "").replace("_", "").isalnum():
            return given
        return f"{self._id_start}{next(self._ids):08x}"


def _head(headers: Headers) -> int:
    """Bytes of JSON before the tensors, by the binary extension of the Open Inference Protocol; 0 without it."""
    given = headers.get("inference-header-content-length")
    return int(given) if given and given.isdecimal() and len(given) < 10 else 0
