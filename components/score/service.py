"""The scorer as an HTTP service, and its way with the champion pointer.

It runs on granian's RSGI: with a second core free it answers twice the requests of uvicorn (26,000 against 13,000 a
second for an echo of a one-row request, at the same CPU time a request), since its I/O has a thread of its own, and
it bounds how slowly a client may send its headers.
"""

import asyncio
import secrets
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.rsgi import HTTPProtocol, Scope  # type: ignore[attr-defined]  # the names that granian documents
from granian.server.embed import Server

from components.credit.errors import InputError, QuipuError
from components.credit.store import Access, Store
from components.score.log import flush, log_event, log_request
from components.score.model import Model, load_champion, newer_champion
from components.score.requests import Request
from components.score.routes import Answer, answer, refusal

MOST_BYTES = 8 * 1024 * 1024  # of a body: some 20,000 rows of 40 features
_BODY_SECONDS = 10.0
_HEADER_SECONDS = 30  # and of a connection that is kept open without a request
_SHORT = 16 * 1024  # bytes of a body that is answered on the spot; a longer one must not hold up the others
_FLUSH_SECONDS = 0.2
_CONNECTIONS = 4096
_QUIET = ("GET /v2/health/live", "GET /v2/health/ready")


class Service:
    """What granian calls for each request."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="score")

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """Answer one request."""
        started = time.perf_counter()
        request = _request_id(scope.headers.get("x-request-id"))
        body = b""
        try:
            if scope.method == "POST":
                async with asyncio.timeout(_BODY_SECONDS):
                    body = await _body(scope, protocol)
            answered = await self._answer(Request(scope.method, scope.path, body, request))
        except TimeoutError:
            answered = refusal(408, f"The body did not arrive within {_BODY_SECONDS:.0f} s.", f"{scope.method} slow")
        except _TooLargeError:
            answered = refusal(413, f"The body is over {MOST_BYTES} bytes; send fewer rows.", f"{scope.method} large")
        headers = [("content-type", "application/json"), ("x-request-id", request)]
        headers += answered.headers
        protocol.response_bytes(answered.status, headers, answered.body)
        if answered.route not in _QUIET or answered.status != 200:
            log_request(request, answered.route, answered.status, started, len(body), answered.version)

    async def _answer(self, request: Request) -> Answer:
        model = self.model  # the one that answers, even where the pointer moves meanwhile
        try:
            if len(request.body) <= _SHORT and not request.path.startswith("/v1/score"):
                return answer(model, request)
            return await asyncio.get_running_loop().run_in_executor(self._worker, answer, model, request)
        except Exception as error:  # whatever it is, a client gets a sentence and the log the place, without values
            frame = error.__traceback__
            while frame and frame.tb_next:
                frame = frame.tb_next
            place = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame else ""
            log_event("error", type=type(error).__name__, place=place)
            return refusal(500, "The scorer failed on this request; its log says where.", f"{request.method} failed")


class _TooLargeError(Exception):
    """A body of more than ``MOST_BYTES``."""


async def _body(scope: Scope, protocol: HTTPProtocol) -> bytes:
    length = scope.headers.get("content-length")
    if length is not None:
        if int(length) > MOST_BYTES:
            raise _TooLargeError
        return bytes(await protocol())
    body = bytearray()
    async for chunk in protocol:
        body += chunk
        if len(body) > MOST_BYTES:
            raise _TooLargeError
    return bytes(body)


def _request_id(given: str | None) -> str:
    """The client's id of the request where it is a plain one, else a new one."""
    if given and len(given) <= 64 and given.isascii() and given.replace("-", "").replace("_", "").isalnum():
        return given
    return secrets.token_hex(8)


async def follow(service: Service, store: Store, verify_key: str, seconds: float) -> None:
    """Look at the champion pointer every few seconds, and let a newer model answer once it has verified.

    A model that does not verify, or a store that is away, leaves the old one answering; the log says so once.
    """
    told = ""
    while True:
        await asyncio.sleep(seconds)
        try:
            newer = await asyncio.to_thread(newer_champion, store, verify_key, service.model.version)
        except QuipuError as error:
            if str(error) != told:
                told = str(error)
                log_event("model_refused", reason=told, version=service.model.version)
            continue
        except Exception as error:  # a pointer that cannot be followed today must not end the following
            if type(error).__name__ != told:
                told = type(error).__name__
                log_event("error", type=told, place="follow")
            continue
        told = ""
        if newer is not None:
            log_event("model_changed", version=newer.version, previous=service.model.version)
            service.model = newer


def serve(access: Access, verify_key: str, host: str, port: int, poll_seconds: float = 5.0) -> None:
    """Serve the champion until SIGTERM or Ctrl-C; requests under way are answered first.

    Args:
        access: Access to the store; reading the model bucket is enough.
        verify_key: Public key of the models' signatures, as PEM.
        host: Address to listen on.
        port: Port to listen on.
        poll_seconds: How often the champion pointer is looked at.

    Raises:
        InputError: No model was released yet, or the port is taken.
        ModelRefused: The champion does not verify.
        StoreError: The store is away.
    """
    _check_free(host, port)
    store = Store(access)
    service = Service(load_champion(store, verify_key))
    uvloop.run(_serve(service, store, verify_key, host, port, poll_seconds))


async def _serve(service: Service, store: Store, verify_key: str, host: str, port: int, poll_seconds: float) -> None:
    server = Server(
        service,
        address=host,
        port=port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=1024,
        backpressure=_CONNECTIONS,
        http1_settings=HTTP1Settings(header_read_timeout=_HEADER_SECONDS * 1000),
        log_enabled=False,
    )
    server.on_startup(lambda: log_event("ready", address=f"http://{host}:{port}", version=service.model.version))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    async with asyncio.TaskGroup() as tasks:
        beside = [tasks.create_task(follow(service, store, verify_key, poll_seconds)), tasks.create_task(_flush())]
        await server.serve()
        for task in beside:
            task.cancel()
    log_event("stopped")


async def _flush() -> None:
    while True:
        await asyncio.sleep(_FLUSH_SECONDS)
        flush()


def _check_free(host: str, port: int) -> None:
    """Granian shares a port with another process that does, so an older scorer would go on answering in part."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
        except OSError as error:
            raise InputError(f"{host}:{port} cannot be listened on ({error.strerror}); choose another port.") from error
