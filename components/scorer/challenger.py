"""A challenger that scores beside the champion: it is asked the same, tells nobody, and its answers are kept."""

import queue
import threading
import time
from dataclasses import replace

from msgspec import structs

from components.scorer.decisions.record import lines
from components.scorer.decisions.spool import Spool, SpoolError
from components.scorer.http.routes import Place, answer_at
from components.scorer.model import Model
from components.scorer.requests import Request
from components.scorer.watching.log import log_event
from components.scorer.watching.metrics import SHADOW_LEFT_OUT, SHADOW_SCORED

_MOST_WAITING = 256


class Shadow:
    """A challenger in a thread of its own; what it cannot keep up with is left out and counted.

    Args:
        model: The challenger.
        spool: Where its decisions are kept, as ``shadow``, each with the id of the answer beside which it was made.
    """

    def __init__(self, model: Model, spool: Spool) -> None:
        self.model, self._spool = model, spool
        self._waiting: queue.Queue[tuple[Place, Request] | None] = queue.Queue(_MOST_WAITING)
        self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)
        self._thread.start()

    def offer(self, place: Place, request: Request) -> None:
        """Have a request that the champion has answered scored too, soon; never waits."""
        try:
            self._waiting.put_nowait((place, request))
        except queue.Full:
            SHADOW_LEFT_OUT.labels(self.model.version).inc()

    def end(self) -> None:
        """Score no more; what waits is left out."""
        while True:
            try:
                self._waiting.put_nowait(None)
            except queue.Full:
                try:
                    self._waiting.get_nowait()
                except queue.Empty:
                    continue
            else:
                return

    def _work(self) -> None:
        while (offered := self._waiting.get()) is not None:
            place, request = offered
            started = time.perf_counter()
            try:
                decisions = answer_at(replace(place, version=None), self.model, request).decisions
                kept = [structs.replace(decision, kind="shadow") for decision in decisions]
                if kept:
                    self._spool.append(lines(kept, int((time.perf_counter() - started) * 1e6)))
                counter = SHADOW_SCORED if kept else SHADOW_LEFT_OUT  # it has no answer to what it has no inputs for
                counter.labels(self.model.version).inc()
            except SpoolError:
                SHADOW_LEFT_OUT.labels(self.model.version).inc()
            except Exception as error:  # the challenger is on trial: whatever it does, the champion goes on
                log_event("error", type=type(error).__name__, place="shadow")
                SHADOW_LEFT_OUT.labels(self.model.version).inc()
