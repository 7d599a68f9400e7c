"""A challenger that scores beside the champion: the same requests, answers that nobody gets and the log keeps.

The field calls this shadow mode, and so do the registry's pointer, the decision log, ``/v1/models`` and the metrics.
"""

import queue
import threading
import time
from dataclasses import replace

from msgspec import structs

from components.scorer.decisions.record import lines
from components.scorer.decisions.spool import Spool, SpoolError
from components.scorer.http.routes import Match, answer_matched
from components.scorer.model import Model
from components.scorer.requests import Request
from components.scorer.watching.log import log_event
from components.scorer.watching.metrics import SHADOW_LEFT_OUT, SHADOW_SCORED

_MOST_WAITING = 256


class Challenger:
    """A challenger in a thread of its own; it leaves out and counts the requests that it cannot keep up with.

    Args:
        model: The challenger.
        spool: Takes its decisions, of the kind ``shadow``, each with the id of the champion's.
    """

    def __init__(self, model: Model, spool: Spool) -> None:
        self.model, self._spool = model, spool
        self._waiting: queue.Queue[tuple[Match, Request] | None] = queue.Queue(_MOST_WAITING)
        self._thread = threading.Thread(target=self._work, name="challenger", daemon=True)
        self._thread.start()

    def offer(self, matched: Match, request: Request) -> None:
        """Have a request that the champion has answered scored too, soon; never waits."""
        try:
            self._waiting.put_nowait((matched, request))
        except queue.Full:
            SHADOW_LEFT_OUT.labels(self.model.version).inc()

    def end(self) -> None:
        """Score no more; requests that still wait are left out."""
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
            matched, request = offered
            started = time.perf_counter()
            try:
                decisions = answer_matched(replace(matched, version=None), self.model, request).decisions
                shadows = [structs.replace(decision, kind="shadow") for decision in decisions]
                if shadows:
                    self._spool.append(lines(shadows, int((time.perf_counter() - started) * 1e6)))
                counter = SHADOW_SCORED if shadows else SHADOW_LEFT_OUT  # none where its inputs are not in the request
                counter.labels(self.model.version).inc()
            except SpoolError:
                SHADOW_LEFT_OUT.labels(self.model.version).inc()
            except Exception as error:  # the challenger is on trial: whatever it does, the champion goes on
                log_event("error", type=type(error).__name__, place="shadow")
                SHADOW_LEFT_OUT.labels(self.model.version).inc()
