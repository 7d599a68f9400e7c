"""The scorer's way with the pointers of the registry: the champion's, and the shadow's beside it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from components.credit.book.store import Store
from components.credit.errors import ModelRefused, QuipuError
from components.credit.release.registry import champion, shadow
from components.scorer.model import Model, load_model
from components.scorer.watching.log import log_event
from components.scorer.watching.metrics import MODEL_CHANGES, MODEL_REFUSED, POINTER_READ, count_error


class Answering(Protocol):
    """What answers: the champion, and perhaps a challenger in its shadow."""

    model: Model

    @property
    def challenger(self) -> str:
        """Version of the challenger; empty where there is none."""

    def take(self, model: Model) -> None:
        """Let this model answer from now on."""

    def take_shadow(self, model: Model | None) -> None:
        """Let this model, or none, score beside the champion from now on."""


async def follow(service: Answering, store: Store, verify_key: str, seconds: float) -> None:
    """Look at the pointers every few seconds, and let a newer model answer once it has verified.

    It is fetched, verified and tried out in a thread, while the old one answers. A model that does not verify, or a
    store that is away, leaves the old one answering; the log says so once, readiness and a metric while it lasts. A
    refusal stands while the store is away, and another metric says when the pointer was last read.
    """
    told: dict[str, str] = {}
    POINTER_READ.set_to_current_time()  # the model that answers was just found by it
    while True:
        await asyncio.sleep(seconds)
        refused = await _tried("champion", _follow_champion, service, store, verify_key, told)
        if refused is not None:
            MODEL_REFUSED.set(bool(refused))
            service.model.standing.refused = refused or None
        await _tried("shadow", _follow_shadow, service, store, verify_key, told)


async def _follow_champion(service: Answering, store: Store, verify_key: str) -> None:
    pointer = await asyncio.to_thread(champion, store)
    POINTER_READ.set_to_current_time()
    if pointer is None or pointer.version == service.model.version:
        return
    previous = service.model
    newer = await asyncio.to_thread(load_model, store, pointer.version, verify_key)
    newer.standing.previous, newer.standing.shadow = pointer.previous, previous.standing.shadow
    log_event("model_changed", version=newer.version, previous=previous.version)
    service.take(newer)
    MODEL_CHANGES.inc()


async def _follow_shadow(service: Answering, store: Store, verify_key: str) -> None:
    version = await asyncio.to_thread(shadow, store)
    wanted = version if version and version != service.model.version else ""
    if wanted == service.challenger:
        return
    challenger = await asyncio.to_thread(load_model, store, wanted, verify_key) if wanted else None
    log_event("shadow_changed", version=wanted)
    service.take_shadow(challenger)


async def _tried(
    which: str,
    follow_one: Callable[[Answering, Store, str], Awaitable[None]],
    service: Answering,
    store: Store,
    verify_key: str,
    told: dict[str, str],
) -> str | None:
    """Follow one pointer; the sentence of its refusal, empty where it was not refused, None where that is not known."""
    refused: str | None
    try:
        await follow_one(service, store, verify_key)
    except QuipuError as error:
        problem, refused = str(error), str(error) if isinstance(error, ModelRefused) else None
        if told.get(which) != problem:
            log_event("model_refused", reason=problem, version=service.model.version)
    except Exception as error:  # a pointer that cannot be followed today must not end the following
        problem, refused = type(error).__name__, None
        if told.get(which) != problem:
            log_event("error", type=problem, place="follow")
            count_error(problem)
    else:
        problem = refused = ""
    told[which] = problem
    return refused
