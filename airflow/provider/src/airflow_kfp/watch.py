"""When the waiting for a run is over. The plain way and the trigger ask the same rules."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from airflow_kfp.errors import KfpError, KfpNotFound, KfpRejected
from airflow_kfp.runs import ACTIVE, ENDED, state_of, waiting_since

log = logging.getLogger(__name__)

Outcome = Literal["ended", "not_started", "too_long", "unreachable", "gone"]


@dataclass
class Watch:
    """Decides over one run from what the server answers.

    Attributes:
        run_id: The run.
        until: Moment, in seconds since 1970, at which the run has taken too long.
        pending_timeout: Seconds that a pod may take to start; None for as long as it likes.
        outage_timeout: Seconds that the server may be away.
    """

    run_id: str
    until: float
    pending_timeout: float | None
    outage_timeout: float
    _away_since: float | None = field(default=None, init=False)
    _strange: set[str] = field(default_factory=set, init=False)

    def answered(self, run: Mapping[str, Any], now: float) -> dict[str, str] | None:
        """The event that ends the waiting, or None to go on.

        Args:
            run: The run as the server tells it.
            now: Seconds since 1970.
        """
        self._away_since = None
        state = state_of(run)
        if state in ENDED:
            return self._event("ended", state)
        if state not in ACTIVE and state not in self._strange:
            self._strange.add(state)
            log.warning(
                "The run %s is in the state %s, which this provider does not know; it is taken as still running. "
                "Upgrade airflow-provider-kfp.",
                self.run_id,
                state,
            )
        waiting = waiting_since(run)
        if waiting and self.pending_timeout is not None and now - waiting[0].timestamp() > self.pending_timeout:
            return self._event("not_started", state, f"{waiting[1]} since {waiting[0]:%Y-%m-%d %H:%M:%S %Z}")
        if now > self.until:
            return self._event("too_long", state)
        return None

    def failed(self, problem: KfpError, now: float) -> dict[str, str] | None:
        """The event that ends the waiting after the server could not be asked, or None to ask again."""
        if isinstance(problem, KfpNotFound):
            return self._event("gone", "", str(problem))
        if self._away_since is None:
            self._away_since = now
        if isinstance(problem, KfpRejected) or now - self._away_since > self.outage_timeout:
            return self._event("unreachable", "", str(problem))
        log.warning("The run %s cannot be asked about: %s", self.run_id, problem)
        return None

    def _event(self, outcome: Outcome, state: str, reason: str = "") -> dict[str, str]:
        return {"run_id": self.run_id, "outcome": outcome, "state": state, "reason": reason}


def now() -> float:
    """This moment in seconds since 1970."""
    return datetime.now(UTC).timestamp()
