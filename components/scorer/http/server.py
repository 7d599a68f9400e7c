"""The scorer as a process: its sockets, its start and end, and what goes on beside the requests.

It runs on granian's RSGI: with a second core free it answers twice the requests of uvicorn (26,000 against 13,000 a
second for an echo of a one-row request, at the same CPU time a request), since its I/O has a thread of its own, and
it bounds how slowly a client may send its headers.
"""

import asyncio
import gc
import resource
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable

import uvloop
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.server.embed import Server

from components.credit.book.store import Access, Store
from components.credit.errors import InputError
from components.scorer.answering import Answering
from components.scorer.decisions.keeping import end_spool, keep_shipping, keep_synced
from components.scorer.decisions.spool import Spool
from components.scorer.following import follow
from components.scorer.http.exchange import Exchange
from components.scorer.model import load_champion, load_model
from components.scorer.settings import Listening
from components.scorer.watching.failures import report_failure
from components.scorer.watching.log import flush, log_event
from components.scorer.watching.metrics import REGISTRY, serve_metrics

_IDLE_SECONDS = 75  # of a connection without a whole request: longer than a proxy keeps one, which is 60 s for nginx
_FLUSH_SECONDS = 0.2
# How long another thread, such as the challenger's or one that loads a model, may hold the interpreter while a request
# waits for it; Python's default is 5 ms.
_SWITCH_SECONDS = 0.0002
# Open connections at most, and the descriptors that are left for the spool, the store and what else must go on.
_CONNECTIONS, _OWN_FILES = 4096, 256
# How soon a failed task beside the requests starts again: at first, and at most.
_AGAIN_SECONDS, _AGAIN_AT_MOST = 1.0, 60.0


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
    answering = Answering(model, spool)
    exchange = Exchange(answering, listening, spool, store)
    if listening.metrics_port is not None:
        _check_free(listening.host, listening.metrics_port)
        REGISTRY.register(answering.distributions)
        serve_metrics(listening.host, listening.metrics_port)
    sys.setswitchinterval(_SWITCH_SECONDS)
    # The objects of the start stay, so a collection need not look through them whenever a newer model is loaded.
    # Collecting them first, for the 10,000 that could go, would take a tenth of the start.
    gc.freeze()
    gc.enable()
    beside: list[Callable[[], Awaitable[None]]] = [
        lambda: _housekeeping(exchange, answering),
        lambda: keep_synced(spool),
        lambda: keep_shipping(spool),
    ]
    if not version:
        beside.append(lambda: follow(answering, store, verify_key, poll_seconds))
    if listening.tokens is not None:
        beside.append(listening.tokens.keep_fresh)
    uvloop.run(_serve(exchange, answering, spool, listening, beside))


async def _serve(
    exchange: Exchange,
    answering: Answering,
    spool: Spool,
    listening: Listening,
    beside: list[Callable[[], Awaitable[None]]],
) -> None:
    """Answer requests until a signal, with what goes on beside them."""
    server = Server(
        exchange,
        address=listening.host,
        port=listening.port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=1024,
        backpressure=_most_connections(),
        http1_settings=HTTP1Settings(header_read_timeout=_IDLE_SECONDS * 1000),
        log_enabled=False,
        ssl_cert=listening.certificate,
        ssl_key=listening.key,
        ssl_protocol_min=SSLProtocols.tls12,
    )
    address = f"{'https' if listening.certificate else 'http'}://{listening.host}:{listening.port}"
    server.on_startup(lambda: log_event("ready", address=address, version=answering.model.version))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, server.stop)
    loop.add_signal_handler(signal.SIGTERM, _drain, exchange, server, listening.drain_seconds)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(_restarted(begin)) for begin in beside]
        await server.serve()
        for task in running:
            task.cancel()
    await end_spool(spool)
    log_event("stopped")


def _drain(exchange: Exchange, server: Server, seconds: float) -> None:
    """Refuse readiness at once, and stop after some seconds, when the balancers have seen it; a second signal stops."""
    if exchange.draining or not seconds:
        server.stop()  # type: ignore[no-untyped-call]
        return
    exchange.draining = True
    log_event("draining", seconds=seconds)
    asyncio.get_running_loop().call_later(seconds, server.stop)


async def _restarted(begin: Callable[[], Awaitable[None]]) -> None:
    """Run a task beside the requests, and start it again where it fails: the answers must go on."""
    wait = _AGAIN_SECONDS
    while True:
        began = time.monotonic()
        try:
            await begin()
        except Exception as error:
            report_failure(error)
        if time.monotonic() - began > _AGAIN_AT_MOST:
            wait = _AGAIN_SECONDS
        await asyncio.sleep(wait)
        wait = min(2 * wait, _AGAIN_AT_MOST)


def _most_connections() -> int:
    """Connections that may be open at once, after this process has taken as many open files as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _CONNECTIONS + _OWN_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return _CONNECTIONS if soft == resource.RLIM_INFINITY else max(min(_CONNECTIONS, soft - _OWN_FILES), soft // 2)


async def _housekeeping(exchange: Exchange, answering: Answering) -> None:
    """What a few times a second is soon enough for: the log, bodies that are late, the distributions."""
    while True:
        await asyncio.sleep(_FLUSH_SECONDS)
        flush()
        exchange.bodies.end_slow_bodies()
        answering.distributions.count()


def _check_free(host: str, port: int) -> None:
    """Refuse a port that another process listens on.

    Granian shares a port with a process that shares it too, so an older scorer would go on answering in part.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            raise InputError(f"{host}:{port} cannot be listened on ({error.strerror}); choose another port.") from error
