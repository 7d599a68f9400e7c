"""The trigger that waits for a run without a worker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from kfp_runs.watch import Watch, now
from msgspec.structs import asdict

from airflow_kfp.errors import KfpServerError
from airflow_kfp.hooks import KfpHook

_log = logging.getLogger(__name__)


class KfpRunTrigger(BaseTrigger):
    """Fires once a run has ended, cannot start, takes too long or cannot be asked about any more.

    Args:
        run_id: The run.
        kfp_conn_id: Connection of type ``kfp``.
        poll_interval: Seconds between two looks.
        until: Moment, in seconds since 1970, at which the run has taken too long.
        pending_timeout: Seconds that a pod may take to start; None for as long as it likes.
        outage_timeout: Seconds that the server may be away.
        cancel_on_kill: Whether the run ends when a user ends the task.
    """

    def __init__(
        self,
        run_id: str,
        kfp_conn_id: str,
        poll_interval: float,
        until: float,
        pending_timeout: float | None,
        outage_timeout: float,
        cancel_on_kill: bool,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.run_id = run_id
        self.kfp_conn_id = kfp_conn_id
        self.poll_interval = poll_interval
        self.until = until
        self.pending_timeout = pending_timeout
        self.outage_timeout = outage_timeout
        self.cancel_on_kill = cancel_on_kill

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, to be made again in the triggerer."""
        return "airflow_kfp.triggers.KfpRunTrigger", {
            "run_id": self.run_id,
            "kfp_conn_id": self.kfp_conn_id,
            "poll_interval": self.poll_interval,
            "until": self.until,
            "pending_timeout": self.pending_timeout,
            "outage_timeout": self.outage_timeout,
            "cancel_on_kill": self.cancel_on_kill,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look at the run until the waiting is over."""
        hook = KfpHook(self.kfp_conn_id, attempts=2)
        watch = Watch(self.run_id, self.until, self.pending_timeout, self.outage_timeout, _log.warning)
        while True:
            try:
                ending = watch.answered(await hook.arun(self.run_id), now())
            except KfpServerError as problem:
                ending = watch.failed(problem, now())
            if ending:
                yield TriggerEvent(asdict(ending))  # type: ignore[no-untyped-call]
                return
            await asyncio.sleep(self.poll_interval)

    async def on_kill(self) -> None:
        """Stop the run when a user ends the task; not when the triggerer restarts."""
        if self.cancel_on_kill:
            self.log.info("The task was ended by a user: stopping the run %s", self.run_id)
            await KfpHook(self.kfp_conn_id, attempts=3).aterminate(self.run_id)
