"""The sensor that waits for a run which somebody else started."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue, conf
from kfp_runs.runs import SUCCEEDED
from kfp_runs.watch import Watch, now
from msgspec.structs import asdict

from airflow_kfp.errors import KfpRunFailed, KfpServerError, KfpUnavailable
from airflow_kfp.failure import error_of
from airflow_kfp.hooks import KfpHook

if TYPE_CHECKING:
    from airflow.sdk import Context


_log = logging.getLogger(__name__)


class KfpRunSensor(BaseSensorOperator):
    """Waits until a run has succeeded. It never stops the run, which is not its own.

    Args:
        run_id: The run, for instance ``{{ ti.xcom_pull('train')['run_id'] }}``.
        kfp_conn_id: Connection of type ``kfp``.
        deferrable: Whether to wait in the triggerer instead of in a worker.
        outage_timeout: Seconds that the server may be away.
        log_tail_lines: How many lines of a failed pod's log the error shows.
    """

    template_fields: Sequence[str] = ("run_id", "kfp_conn_id")

    def __init__(
        self,
        *,
        run_id: str,
        kfp_conn_id: str = KfpHook.default_conn_name,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        outage_timeout: float = 900.0,
        log_tail_lines: int = 50,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        self.kfp_conn_id = kfp_conn_id
        self.deferrable = deferrable
        self.outage_timeout = outage_timeout
        self.log_tail_lines = log_tail_lines

    @cached_property
    def hook(self) -> KfpHook:
        """The hook of this sensor."""
        return KfpHook(self.kfp_conn_id)

    @cached_property
    def _watch(self) -> Watch:
        return Watch(self.run_id, now() + self.timeout, None, self.outage_timeout, _log.warning)

    def execute(self, context: Context) -> Any:
        """Wait, here or in the triggerer."""
        if not self.deferrable:
            return super().execute(context)
        from airflow_kfp.triggers import KfpRunTrigger

        self.defer(
            trigger=KfpRunTrigger(
                run_id=self.run_id,
                kfp_conn_id=self.kfp_conn_id,
                poll_interval=self.poke_interval,
                until=now() + self.timeout,
                pending_timeout=None,
                outage_timeout=self.outage_timeout,
                cancel_on_kill=False,
            ),
            method_name="execute_complete",
        )

    def poke(self, context: Context) -> PokeReturnValue:
        """Look at the run once."""
        try:
            ending = self._watch.answered(self.hook.run(self.run_id), now())
        except KfpServerError as problem:
            ending = self._watch.failed(problem, now())
        return PokeReturnValue(is_done=bool(ending), xcom_value=self._value(asdict(ending)) if ending else None)

    def execute_complete(self, context: Context, event: Mapping[str, str]) -> dict[str, str]:
        """Read what the trigger ended with."""
        return self._value(event)

    def _value(self, event: Mapping[str, str]) -> dict[str, str]:
        if event["outcome"] == "unreachable":
            raise KfpUnavailable(f"The run {self.run_id} cannot be asked about. {event['reason']}")
        if event["outcome"] == "too_long":
            raise KfpRunFailed(f"The run {self.run_id} has not ended within {self.timeout:.0f} s.")
        if event["outcome"] == "gone":
            raise KfpRunFailed(f"There is no run {self.run_id}. {event['reason']}")
        if event["state"] != SUCCEEDED:
            raise error_of(self.hook, self.hook.run(self.run_id), self.log_tail_lines, (), killed_by_us=False)
        return {"run_id": self.run_id, "page": self.hook.endpoint.run_page(self.run_id), "state": SUCCEEDED}
