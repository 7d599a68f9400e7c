"""When the waiting for a run is over, and what one is warned of meanwhile. Every way of waiting asks these rules."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

import msgspec

from kfp_runs.answers import Run
from kfp_runs.errors import NotFound, Rejected, ServerError
from kfp_runs.runs import ACTIVE, ENDED, Waiting, final_state, waiting_in

_WARN_AFTER = 60.0  # seconds that a pod may take to start before one is warned


class Ending(msgspec.Struct, frozen=True):
    """What ended the waiting for a run.

    Attributes:
        run_id: The run.
        outcome: The run ``ended``; a pod did ``not_start``; it takes ``too_long``; the server is ``unreachable``; the
            run is ``gone`` from it.
        state: State of the run, CANCELED where it was cancelled; empty where it is not known.
        reason: More on the outcome; empty for a run that ended.
    """

    run_id: str
    outcome: Literal["ended", "not_started", "too_long", "unreachable", "gone"]
    state: str
    reason: str = ""


@dataclass
class Watch:
    """Decides over one run from what the server answers.

    Attributes:
        run_id: The run.
        until: Moment, in seconds since 1970, at which the run has taken too long; None for never.
        start_timeout: Seconds that a pod may take to start; None for as long as it likes.
        outage_timeout: Seconds that the server may be away.
        warn: Called with a sentence on what a person should look at, once each.
        cause: Asked why the pods of a run do not start; gives a sentence, or nothing where it does not know.
    """

    run_id: str
    until: float | None
    start_timeout: float | None
    outage_timeout: float
    warn: Callable[[str], None]
    cause: Callable[[str], str] = lambda run_id: ""
    _away_since: float | None = field(default=None, init=False)
    _warned: set[str] = field(default_factory=set, init=False)

    def answered(self, run: Run, now: float) -> Ending | None:
        """What ends the waiting, or None to go on.

        Args:
            run: The run as the server tells it.
            now: Seconds since 1970.
        """
        self._away_since = None
        if run.state in ENDED:
            return Ending(self.run_id, "ended", final_state(run))
        if run.state not in ACTIVE:
            self._warn_once(
                run.state,
                f"The run {self.run_id} is in the state {run.state}, which is not known here; it is taken as still "
                "running. Upgrade quipu-kfp-runs.",
            )
        waiting = waiting_in(run)
        seconds = now - waiting.since.timestamp() if waiting else 0.0
        if waiting and self.start_timeout is not None and seconds > self.start_timeout:
            reason = self._has_not_started(waiting)
            return Ending(self.run_id, "not_started", run.state, reason)
        if waiting and seconds > _WARN_AFTER:
            key = f"{waiting.what} {waiting.since}"
            if key not in self._warned:  # to look for the cause takes a request
                self._warn_once(key, self._has_not_started(waiting))
        if self.until is not None and now > self.until:
            return Ending(self.run_id, "too_long", run.state)
        return None

    def failed(self, problem: ServerError, now: float) -> Ending | None:
        """What ends the waiting after the server could not be asked, or None to ask again."""
        if isinstance(problem, NotFound):
            return Ending(self.run_id, "gone", "", str(problem))
        if self._away_since is None:
            self._away_since = now
        if isinstance(problem, Rejected) or now - self._away_since > self.outage_timeout:
            return Ending(self.run_id, "unreachable", "", str(problem))
        self.warn(f"The run {self.run_id} cannot be asked about: {problem}")
        return None

    def _has_not_started(self, waiting: Waiting) -> str:
        cause = self.cause(self.run_id) or (
            "Its image cannot be pulled or has no numeric USER, a secret is missing, or no node has room."
        )
        what = waiting.what[0].upper() + waiting.what[1:]
        return (
            f"{what} has not started since {waiting.since:%Y-%m-%d %H:%M:%S} UTC. {cause} "
            f"See 'kubectl describe pods -A -l pipeline/runid={self.run_id}'."
        )

    def _warn_once(self, key: str, sentence: str) -> None:
        if key not in self._warned:
            self._warned.add(key)
            self.warn(sentence)


def now() -> float:
    """This moment in seconds since 1970."""
    return datetime.now(UTC).timestamp()
