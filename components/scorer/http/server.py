"""The scorer as an HTTP service, and its way with the champion pointer.

It runs on granian's RSGI: with a second core free it answers twice the requests of uvicorn (26,000 against 13,000 a
second for an echo of a one-row request, at the same CPU time a request), since its I/O has a thread of its own, and
it bounds how slowly a client may send its headers.
"""

import asyncio
import gc
import itertools
import resource
import secrets
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec
import uvloop
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.rsgi import Headers, HTTPProtocol, ProtocolClosed, Scope  # type: ignore[attr-defined]  # the names that granian documents
from granian.server.embed import Server
from msgspec import structs

from components.credit.book.store import Access, Store
from components.credit.errors import InputError, StoreError
from components.scorer.access.addresses import address_of, network_of
from components.scorer.access.limits import Buckets
from components.scorer.access.tokens import TokenRefused
from components.scorer.challenger import Shadow
from components.scorer.decisions.keeping import end_spool, keep_shipping, keep_synced
from components.scorer.decisions.overrides import Override, UnknownDecision, record
from components.scorer.decisions.record import lines, new_id, now
from components.scorer.decisions.spool import Spool, SpoolError
from components.scorer.following import follow
from components.scorer.http.routes import (
    Answer,
    Place,
    answer_at,
    forbidden,
    place_of,
    refusal,
    too_many,
    unauthorized,
)
from components.scorer.model import Model, load_champion, load_model
from components.scorer.requests import ANYONE, Actor, Request
from components.scorer.settings import Listening
from components.scorer.watching.distributions import Drift
from components.scorer.watching.log import flush, log_event, log_request
from components.scorer.watching.metrics import (
    REGISTRY,
    count_error,
    count_request,
    serve_metrics,
    tell_model,
)

MOST_BYTES = 8 * 1024 * 1024  # of a body: some 20,000 rows of 40 features
_LATE = 0.0  # instead of the time at which a body was begun
_ANSWER_SECONDS = 20.0  # for a request that waits for the worker
_IDLE_SECONDS = 75  # of a connection without a whole request: longer than a proxy keeps one, which is 60 s for nginx
# Bytes of a body that is answered on the spot; a longer one, which takes milliseconds, must not hold up the others.
_SHORT = 16 * 1024
_SHORT_AT = {"POST /v1/score": 32 * 1024, "POST /v1/score:batch": 0}
_MOST_WAITING = 256  # requests for the worker; more would only wait until they are too late
_MOST_HELD = 8 * MOST_BYTES  # bytes of long bodies at once, those that are still arriving among them
_FLUSH_SECONDS = 0.2
_OVERRIDE_SECONDS = 5.0  # for the store to take an override
_MOST_OVERRIDES = 4  # at once; a store that hangs holds these threads, and no others
# How long a thread beside, such as that of a shadow or of a model that is being loaded, may hold the interpreter while
# a request waits for it; usual are 5 ms.
_SWITCH_SECONDS = 0.0002
# Open connections at most, and the descriptors that are left for the spool, the store and what else must go on.
_CONNECTIONS, _OWN_FILES = 4096, 256
# How soon something that goes on beside the requests is begun again after it failed: at first, and at most.
_AGAIN_SECONDS, _AGAIN_AT_MOST = 1.0, 60.0
_TURNED_AWAY = (401, 403, 429)
_QUIET = ("GET /v2/health/live", "GET /v2/health/ready")
_READY = ("GET /v2/health/ready", "GET /v2/models/{model}/ready", "GET /v2/models/{model}/versions/{version}/ready")


class Service:
    """What granian calls for each request."""

    def __init__(self, model: Model, listening: Listening, spool: Spool, store: Store) -> None:
        self.drift = Drift()
        self.take(model)
        self.draining = False
        self.spool, self._store = spool, store
        self._shadow: Shadow | None = None
        self._tokens, self._proxies = listening.tokens, listening.proxies
        self._buckets = Buckets(listening.rate, listening.rate) if listening.rate else None
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="score")
        self._waiting = 0
        self._long: dict[asyncio.Task[None] | None, int] = {}
        self._overriders = ThreadPoolExecutor(_MOST_OVERRIDES, thread_name_prefix="override")
        self._overriding = 0
        self._body_seconds = listening.body_seconds
        self._reading: dict[asyncio.Task[None], float] = {}
        self._ids = itertools.count()
        self._id_start = secrets.token_hex(4)

    def take(self, model: Model) -> None:
        """Let this model answer from now on."""
        self.model = model
        self.drift.follow(model.version, model.seen)
        tell_model(model.version, model.scorer.family, model.package.as_of)

    @property
    def challenger(self) -> str:
        """Version that scores beside the champion; empty where none does."""
        return self._shadow.model.version if self._shadow else ""

    def take_shadow(self, model: Model | None) -> None:
        """Let this model, or none, score beside the champion from now on."""
        if self._shadow:
            self._shadow.end()
        self._shadow = Shadow(model, self.spool) if model else None
        self.model.standing.shadow = model.version if model else None

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """Answer one request."""
        started = time.perf_counter()
        headers = scope.headers
        request_id = self._request_id(headers.get("x-request-id"))
        size = 0
        place = place_of(scope.method, scope.path)
        if isinstance(place, Answer):
            answered = place
        else:
            try:
                actor = self._admitted(place, headers.get("authorization"), scope)
                if isinstance(actor, Answer):
                    answered = actor
                else:
                    body = await self._body(place, scope, protocol) if scope.method == "POST" else b""
                    if isinstance(body, Answer):
                        answered = body
                    else:
                        size = len(body)
                        at = now()
                        request = Request(
                            scope.method, scope.path, body, request_id, actor, _head(headers), new_id(at), at
                        )
                        answered = await self._kept(place, request, await self._answer(place, request), started)
            except Exception as error:  # whatever it is, a client gets a sentence and the log the place, without values
                _log_failure(error)
                answered = refusal(500, "The scorer failed on this request; its log says where.", place.route)
            finally:
                if self._long:
                    self._long.pop(asyncio.current_task(), None)
        protocol.response_bytes(
            answered.status,
            [("content-type", answered.type), ("x-request-id", request_id), *answered.headers],
            answered.body,
        )
        count_request(answered.route, answered.status, answered.version, time.perf_counter() - started)
        if answered.route not in _QUIET or answered.status != 200:
            log_request(request_id, answered.route, answered.status, started, size, answered.version)
        if answered.status in _TURNED_AWAY:  # who guesses or floods is to be found, as far as a log may say
            network = network_of(self._address(scope))
            log_event("turned_away", request=request_id, status=answered.status, network=network)

    def end_slow_bodies(self) -> None:
        """End the requests whose body has not arrived in time (a timer for each would cost 5 µs)."""
        now = time.perf_counter()
        for task, started in list(self._reading.items()):
            if started and now - started > self._body_seconds:
                self._reading[task] = _LATE
                task.cancel()

    def _admitted(self, place: Place, token: str | None, scope: Scope) -> Actor | Answer:
        """Who asks, or the answer to one who may not."""
        actor = ANYONE
        if self._tokens is not None and place.roles:
            try:
                actor = self._tokens.actor(token, self._address(scope))
            except TokenRefused as error:
                if error.retry:
                    return too_many(str(error), place.route, error.retry)
                return unauthorized(str(error), place.route)
        if refused := forbidden(place, actor):
            return refused
        if self._buckets is not None and place.roles and (wait := self._buckets.take(actor.name)):
            return too_many("You ask more often than you may; wait a while.", place.route, wait)
        return actor

    def _address(self, scope: Scope) -> str:
        """Where a request comes from: what a proxy of ours says, else the other end of the connection."""
        forwarded = scope.headers.get_all("x-forwarded-for") if self._proxies else []  # type: ignore[attr-defined]  # granian's stub lacks it
        return address_of(scope.client, forwarded, self._proxies)

    async def _body(self, place: Place, scope: Scope, protocol: HTTPProtocol) -> bytes | Answer:
        """The body, or the answer that it is too large or too slow."""
        length = scope.headers.get("content-length")
        if length is not None and int(length) > MOST_BYTES:
            return refusal(413, _TOO_LARGE, place.route)
        task = asyncio.current_task()
        assert task is not None
        self._reading[task] = time.perf_counter()
        try:
            if length is not None:
                if not self._may_hold(task, int(length)):
                    return _busy(_HELD, place.route)
                return bytes(await protocol())
            body = bytearray()
            async for chunk in protocol:
                body += chunk
                if len(body) > MOST_BYTES:
                    return refusal(413, _TOO_LARGE, place.route)
                if not self._may_hold(task, len(body)):
                    return _busy(_HELD, place.route)
            return bytes(body)
        except asyncio.CancelledError:
            if self._reading[task] != _LATE:
                raise
            task.uncancel()
            return refusal(408, f"The body did not arrive within {self._body_seconds:g} s.", place.route)
        except ProtocolClosed:  # 499 is what nginx has in its log for it
            return refusal(499, "The client went away.", place.route)
        finally:
            del self._reading[task]

    def _may_hold(self, task: asyncio.Task[None], size: int) -> bool:
        """Whether a body of so many bytes may be in memory until it is answered; a short one always may."""
        if size <= _SHORT:
            return True
        self._long[task] = size
        return sum(self._long.values()) <= _MOST_HELD

    async def _answer(self, place: Place, request: Request) -> Answer:
        model = self.model  # the one that answers, even where the pointer moves meanwhile
        if self.draining and place.route in _READY:
            return refusal(503, "The scorer is about to stop.", place.route)
        if place.route in _READY and (problem := self.spool.problem()):
            return refusal(503, problem, place.route)
        try:
            if len(request.body) <= _SHORT_AT.get(place.route, _SHORT):
                return answer_at(place, model, request)
            if self._waiting >= _MOST_WAITING:
                return _busy("The scorer has too many requests waiting; ask again in a moment.", place.route)
            self._waiting += 1
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    loop = asyncio.get_running_loop()
                    return await loop.run_in_executor(self._worker, answer_at, place, model, request)
            finally:
                self._waiting -= 1
        except TimeoutError:
            return _busy(f"There was no answer within {_ANSWER_SECONDS:.0f} s; ask again.", place.route)

    async def _kept(self, place: Place, request: Request, answered: Answer, started: float) -> Answer:
        """The answer, once what it tells is kept; where that cannot be, a refusal instead."""
        if answered.override is not None:
            return await self._overridden(answered, answered.override)
        if not answered.decisions:
            return answered
        try:
            self.spool.append(lines(answered.decisions, int((time.perf_counter() - started) * 1e6)))
        except SpoolError as error:
            return _busy(str(error), answered.route)
        if self._shadow:
            self._shadow.offer(place, request)
        return answered

    async def _overridden(self, answered: Answer, asked: Override) -> Answer:
        if self._overriding >= _MOST_OVERRIDES:  # counted here, since who waited too long still holds a thread
            return _busy("The store is slow to take overrides; ask again in a moment.", answered.route)
        self._overriding += 1
        kept = self._overriders.submit(record, asked, self._store, self.spool.folder)
        waited = asyncio.wrap_future(kept)
        waited.add_done_callback(self._override_ended)
        try:
            async with asyncio.timeout(_OVERRIDE_SECONDS):
                standing = await asyncio.shield(waited)
        except TimeoutError:  # asked again, the same override is found where it was kept after all
            return _busy(
                f"The store did not take the override within {_OVERRIDE_SECONDS:.0f} s; ask again.", answered.route
            )
        except UnknownDecision as error:
            return refusal(404, str(error), answered.route)
        except StoreError as error:
            return _busy(str(error), answered.route)
        return structs.replace(answered, body=msgspec.json.encode(standing))

    def _override_ended(self, waited: "asyncio.Future[Override]") -> None:
        self._overriding -= 1
        if not waited.cancelled():
            waited.exception()  # who waited too long did not look at it

    def _request_id(self, given: str | None) -> str:
        """The client's id of the request where it is a plain one, else a new one."""
        if given and len(given) <= 64 and given.isascii() and given.replace("-", "").replace("_", "").isalnum():
            return given
        return f"{self._id_start}{next(self._ids):08x}"


def _head(headers: Headers) -> int:
    """Bytes of JSON before the tensors, by the binary extension of the Open Inference Protocol; 0 without it."""
    given = headers.get("inference-header-content-length")
    return int(given) if given and given.isdecimal() and len(given) < 10 else 0


def _log_failure(error: Exception) -> None:
    """Tell the log where something failed, and the metrics that it did; without values, which may be personal."""
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    where = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame else ""
    log_event("error", type=type(error).__name__, place=where)
    count_error(type(error).__name__)


_HELD = "The scorer has too many long requests at once; ask again in a moment."
_TOO_LARGE = f"The body is over {MOST_BYTES} bytes; send fewer rows."


def _busy(sentence: str, route: str) -> Answer:
    return structs.replace(refusal(503, sentence, route), headers=(("retry-after", "1"),))


def serve(
    access: Access,
    verify_key: str,
    listening: Listening,
    spool: Spool,
    poll_seconds: float = 5.0,
    version: str = "",
) -> None:
    """Serve the champion, or one version, until SIGTERM or Ctrl-C; requests under way are answered first.

    Args:
        access: Access to the store: reading the model bucket, and writing decisions to the audit bucket.
        verify_key: Public key of the models' signatures, as PEM.
        listening: Where and for whom to listen.
        spool: Where decisions wait for the store.
        poll_seconds: How often the champion pointer is looked at.
        version: Version to serve whatever the pointer says; empty to follow the pointer.

    Raises:
        InputError: No model was released yet, or the port is taken.
        ModelRefused: The model does not verify.
        StoreError: The store is away.
    """
    _check_free(listening.host, listening.port)
    store = Store(access)
    model = load_model(store, version, verify_key) if version else load_champion(store, verify_key)
    service = Service(model, listening, spool, store)
    if listening.metrics_port is not None:
        _check_free(listening.host, listening.metrics_port)
        REGISTRY.register(service.drift)
        serve_metrics(listening.host, listening.metrics_port)
    sys.setswitchinterval(_SWITCH_SECONDS)
    # What is here stays, and need not be looked through whenever a newer model is loaded. Looking through it now, for
    # the 10,000 objects that could go, would take a tenth of the start.
    gc.freeze()
    gc.enable()
    beside: list[Callable[[], Awaitable[None]]] = [
        lambda: _housekeeping(service),
        lambda: keep_synced(spool),
        lambda: keep_shipping(spool),
    ]
    if not version:
        beside.append(lambda: follow(service, store, verify_key, poll_seconds))
    if listening.tokens is not None:
        beside.append(listening.tokens.keep_fresh)
    uvloop.run(_serve(service, listening, beside, _most_connections()))


async def _serve(
    service: Service, listening: Listening, beside: list[Callable[[], Awaitable[None]]], connections: int
) -> None:
    server = Server(
        service,
        address=listening.host,
        port=listening.port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=1024,
        backpressure=connections,
        http1_settings=HTTP1Settings(header_read_timeout=_IDLE_SECONDS * 1000),
        log_enabled=False,
        ssl_cert=listening.certificate,
        ssl_key=listening.key,
        ssl_protocol_min=SSLProtocols.tls12,
    )
    address = f"{'https' if listening.certificate else 'http'}://{listening.host}:{listening.port}"
    server.on_startup(lambda: log_event("ready", address=address, version=service.model.version))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, server.stop)
    loop.add_signal_handler(signal.SIGTERM, _drain, service, server, listening.drain_seconds)
    async with asyncio.TaskGroup() as tasks:
        going = [tasks.create_task(_kept_going(begin)) for begin in beside]
        await server.serve()
        for task in going:
            task.cancel()
    await end_spool(service.spool)
    log_event("stopped")


def _drain(service: Service, server: Server, seconds: float) -> None:
    """Say at once that the scorer is not ready, and stop when those who ask have heard it; a second signal stops it."""
    if service.draining or not seconds:
        server.stop()  # type: ignore[no-untyped-call]
        return
    service.draining = True
    log_event("draining", seconds=seconds)
    asyncio.get_running_loop().call_later(seconds, server.stop)


async def _kept_going(begin: Callable[[], Awaitable[None]]) -> None:
    """What goes on beside the requests, begun again where it fails: the answers must not end with it."""
    wait = _AGAIN_SECONDS
    while True:
        began = time.monotonic()
        try:
            await begin()
        except Exception as error:
            _log_failure(error)
        if time.monotonic() - began > _AGAIN_AT_MOST:
            wait = _AGAIN_SECONDS
        await asyncio.sleep(wait)
        wait = min(2 * wait, _AGAIN_AT_MOST)


def _most_connections() -> int:
    """Connections that may be open at once, once as many files may be as the system lets this process have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _CONNECTIONS + _OWN_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return _CONNECTIONS if soft == resource.RLIM_INFINITY else max(min(_CONNECTIONS, soft - _OWN_FILES), soft // 2)


async def _housekeeping(service: Service) -> None:
    while True:
        await asyncio.sleep(_FLUSH_SECONDS)
        flush()
        service.end_slow_bodies()
        service.drift.count()


def _check_free(host: str, port: int) -> None:
    """Granian shares a port with another process that does, so an older scorer would go on answering in part."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
        except OSError as error:
            raise InputError(f"{host}:{port} cannot be listened on ({error.strerror}); choose another port.") from error
