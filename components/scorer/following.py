"""The pointers of the registry, which the scorer follows: to the champion, and to the challenger beside it."""

import asyncio
from collections.abc import Awaitable, Callable

from components.credit.book.store import Store
from components.credit.errors import ModelRefused, QuipuError
from components.credit.release.registry import champion, shadow
from components.scorer.answering import Answering
from components.scorer.model import load_model
from components.scorer.watching.log import log_event
from components.scorer.watching.metrics import MODEL_CHANGES, MODEL_REFUSED, POINTER_READ, count_error


async def follow(answering: Answering, store: Store, verify_key: str, seconds: float) -> None:
    """Look at the pointers every few seconds, and let a newer model answer once it has verified.

    A thread fetches, verifies and tries it out while the old one answers. If a model does not verify, or the store is
    away, the old one goes on; the log says so once, and readiness and a metric say it for as long as it lasts. A
    refusal stands while the store is away, and another metric says when the pointer was last read.
    """
    problems: dict[str, str] = {}
    POINTER_READ.set_to_current_time()  # the start has just read it
    while True:
        await asyncio.sleep(seconds)
        refused = await _tried("champion", _follow_champion, answering, store, verify_key, problems)
        if refused is not None:
            MODEL_REFUSED.set(bool(refused))
            answering.model.standing.refused = refused or None
        await _tried("shadow", _follow_challenger, answering, store, verify_key, problems)


async def _follow_champion(answering: Answering, store: Store, verify_key: str) -> None:
    pointer = await asyncio.to_thread(champion, store)
    POINTER_READ.set_to_current_time()
    if pointer is None or pointer.version == answering.model.version:
        return
    former = answering.model
    newer = await asyncio.to_thread(load_model, store, pointer.version, verify_key)
    newer.standing.previous, newer.standing.challenger = pointer.previous, former.standing.challenger
    log_event("model_changed", version=newer.version, previous=former.version)
    answering.take(newer)
    MODEL_CHANGES.inc()


async def _follow_challenger(answering: Answering, store: Store, verify_key: str) -> None:
    version = await asyncio.to_thread(shadow, store)
    wanted = version if version and version != answering.model.version else ""
    if wanted == (answering.challenger.model.version if answering.challenger else ""):
        return
    model = await asyncio.to_thread(load_model, store, wanted, verify_key) if wanted else None
    log_event("shadow_changed", version=wanted)
    answering.take_challenger(model)


async def _tried(
    pointer: str,
    follow_one: Callable[[Answering, Store, str], Awaitable[None]],
    answering: Answering,
    store: Store,
    verify_key: str,
    problems: dict[str, str],
) -> str | None:
    """Follow one pointer, and log a problem that is not the last one of this pointer in ``problems``.

    Returns:
        The sentence of the model's refusal; empty where it was not refused; None where that is not known.
    """
    refused: str | None
    try:
        await follow_one(answering, store, verify_key)
    except QuipuError as error:
        problem, refused = str(error), str(error) if isinstance(error, ModelRefused) else None
        if problems.get(pointer) != problem:
            log_event("model_refused", reason=problem, version=answering.model.version)
    except Exception as error:  # a pointer that cannot be followed today must not end the following
        problem, refused = type(error).__name__, None
        if problems.get(pointer) != problem:
            log_event("error", type=problem, place="follow")
            count_error(problem)
    else:
        problem = refused = ""
    problems[pointer] = problem
    return refused
