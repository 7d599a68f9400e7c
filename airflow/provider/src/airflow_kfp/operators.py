"""Operators: run a pipeline, and put one on the server."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.sdk import Asset, BaseOperator, ResumableJobMixin, conf
from kfp_runs.answers import NewRun, Run, RuntimeConfig
from kfp_runs.parameters import check_parameters, same_parameters
from kfp_runs.runs import ENDED, SUCCEEDED
from kfp_runs.watch import Watch, now
from msgspec.structs import asdict

from airflow_kfp.errors import (
    KfpRejected,
    KfpRunFailed,
    KfpRunNotStarted,
    KfpRunTimeout,
    KfpServerError,
    KfpUnavailable,
    as_kfp_errors,
)
from airflow_kfp.failure import error_of
from airflow_kfp.hooks import KfpHook
from airflow_kfp.links import RUN_PAGE, KfpRunLink

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context
    from pydantic import JsonValue

_log = logging.getLogger(__name__)
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "airflow-provider-kfp")
_GENERATION = "kfp_generation"
_OUTDATED = "OUTDATED"  # our word for a run that is not simply waited for
_DAY = 86_400.0


def run_id_of(dag_id: str, run_id: str, task_id: str, map_index: int, generation: int) -> str:
    """Id of the pipeline run that belongs to a task instance; the same each time it is asked.

    Args:
        dag_id: The DAG.
        run_id: The DAG's run.
        task_id: The task.
        map_index: Index of a mapped task, else -1.
        generation: Rises by one when a task must not go on with the run that it had.
    """
    return str(uuid.uuid5(_NAMESPACE, f"{dag_id}/{run_id}/{task_id}/{map_index}/{generation}"))


class KfpRunPipelineOperator(ResumableJobMixin, BaseOperator):
    """Runs a pipeline on Kubeflow Pipelines and waits for its end.

    The id of the run follows from the DAG, its run, the task and a generation, so a worker or triggerer that dies
    comes back to the same run and never starts a second one. A retry lets the failed run go on and keeps the
    tasks that succeeded. A kill, by a user or by a timeout, stops the run.

    The XCom value holds ids and the link only: ``run_id``, ``page``, ``state``.

    Args:
        pipeline_name: Name of the pipeline on the server.
        pipeline_version: Name of its version; None is the newest.
        parameters: Parameters of the run. Unknown ones are refused before anything starts.
        experiment: Name of the experiment, made where there is none; None is the server's default.
        display_name: Name of the run in the web page; None makes one of DAG, task and run.
        pipeline_root: Where artifacts go; None is the server's default.
        service_account: Service account of the run's pods; None is the server's default.
        kfp_conn_id: Connection of type ``kfp``.
        wait_for_completion: Whether to wait; otherwise a ``KfpRunSensor`` may.
        deferrable: Whether to wait in the triggerer instead of in a worker.
        poll_interval: Seconds between two looks at the run.
        on_failure: What a retry does with a failed run: ``retry_failed`` lets it go on, ``new_run`` starts afresh.
        force: Whether a run that succeeded already is run anew when the task runs again.
        cancel_on_kill: Whether killing the task stops the run.
        pending_timeout: Seconds that a pod may take to start before the run is stopped; None for ever.
        run_timeout: Seconds that the run may take before it is stopped.
        outage_timeout: Seconds that the server may be away while we wait.
        log_tail_lines: How many lines of a failed pod's log the error shows.
        no_retry_on: Patterns (regular expressions); where one is found in the log, Airflow does not retry.
        outlet_extra: What the events of the assets in ``outlets`` carry besides the run's id and page.
    """

    template_fields: Sequence[str] = (
        "pipeline_name",
        "pipeline_version",
        "parameters",
        "experiment",
        "display_name",
        "pipeline_root",
        "service_account",
        "kfp_conn_id",
        "force",
        "outlet_extra",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"parameters": "json", "outlet_extra": "json"}
    operator_extra_links = (KfpRunLink(),)
    ui_color = "#e8f0fe"
    external_id_key = "kfp_run_id"

    def __init__(
        self,
        *,
        pipeline_name: str,
        pipeline_version: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        experiment: str | None = None,
        display_name: str | None = None,
        pipeline_root: str | None = None,
        service_account: str | None = None,
        kfp_conn_id: str = KfpHook.default_conn_name,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = 30.0,
        on_failure: Literal["retry_failed", "new_run"] = "retry_failed",
        force: bool | str = False,
        cancel_on_kill: bool = True,
        pending_timeout: float | None = 1800.0,
        run_timeout: float = _DAY,
        outage_timeout: float = 900.0,
        log_tail_lines: int = 50,
        no_retry_on: Sequence[str] = (),
        outlet_extra: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pipeline_name = pipeline_name
        self.pipeline_version = pipeline_version
        self.parameters = parameters or {}
        self.experiment = experiment
        self.display_name = display_name
        self.pipeline_root = pipeline_root
        self.service_account = service_account
        self.kfp_conn_id = kfp_conn_id
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.on_failure = on_failure
        self.force = force
        self.cancel_on_kill = cancel_on_kill
        self.pending_timeout = pending_timeout
        self.run_timeout = run_timeout
        self.outage_timeout = outage_timeout
        self.log_tail_lines = log_tail_lines
        self.no_retry_on = no_retry_on
        self.outlet_extra = outlet_extra or {}
        self._run_id: str | None = None
        self._killed = False

    @cached_property
    def hook(self) -> KfpHook:
        """The hook of this task."""
        return KfpHook(self.kfp_conn_id)

    @property
    def run_page(self) -> str:
        """Address of the run's web page; empty before there is a run."""
        return self.hook.endpoint.run_page(self._run_id) if self._run_id else ""

    def execute(self, context: Context) -> Any:
        """Start the run or take it up again, and wait."""
        return self.execute_resumable(context)

    def submit_job(self, context: Context) -> JsonValue:
        """Take up this task's run: adopt it, let it go on, or create it where there is none."""
        ti = context["ti"]
        store = context.get("task_state_store")
        generation = int(str(store.get(_GENERATION, 0))) if store else 0
        while True:
            map_index = -1 if ti.map_index is None else ti.map_index
            self._run_id = run_id_of(ti.dag_id, ti.run_id, ti.task_id, map_index, generation)
            run = self.hook.find_run(self._run_id)
            if run is None:
                self._create(self._run_id, context)
                break
            if not self._must_not_go_on_with(run) and self._goes_on(run):
                break
            generation += 1
        if store and generation:
            store.set(_GENERATION, generation)
        if self._killed:  # the kill came while the request was on its way
            self.hook.terminate(self._run_id)
            raise KfpRunFailed(f"The run {self._run_id} was stopped because this task was killed.")
        self._show(context)
        return self._run_id

    def get_job_status(self, external_id: JsonValue, context: Context) -> str:
        """State of the run that an earlier try started."""
        self._run_id = str(external_id)
        run = self.hook.find_run(self._run_id)
        if run is None or self._must_not_go_on_with(run) or run.state == "CANCELING":
            return _OUTDATED
        self._show(context)
        return run.state

    def is_job_active(self, status: str) -> bool:
        """Whether to wait for the run; a state that we do not know counts as running."""
        return status not in ENDED and status != _OUTDATED

    def is_job_succeeded(self, status: str) -> bool:
        """Whether nothing is left to do."""
        return status == SUCCEEDED

    def poll_until_complete(self, external_id: JsonValue, context: Context) -> Any:
        """Wait for the run, here or in the triggerer."""
        run_id = str(external_id)
        if not self.wait_for_completion:
            return self._result(run_id, "")
        until = now() + self._longest_wait()
        if self.deferrable:
            # Airflow's core is where triggers live; a worker of the plain way may not have it.
            from airflow_kfp.triggers import KfpRunTrigger

            self.defer(
                trigger=KfpRunTrigger(
                    run_id=run_id,
                    kfp_conn_id=self.kfp_conn_id,
                    poll_interval=self.poll_interval,
                    until=until,
                    pending_timeout=self.pending_timeout,
                    outage_timeout=self.outage_timeout,
                    cancel_on_kill=self.cancel_on_kill,
                ),
                method_name="execute_complete",
            )
        watch = Watch(run_id, until, self.pending_timeout, self.outage_timeout, _log.warning)
        ending = None
        while ending is None:
            try:
                ending = watch.answered(self.hook.run(run_id), now())
            except KfpServerError as problem:
                ending = watch.failed(problem, now())
            if ending is None:
                time.sleep(self.poll_interval)
        return self.execute_complete(context, asdict(ending))

    def get_job_result(self, external_id: JsonValue, context: Context) -> Any:
        """The XCom value of a run that succeeded."""
        if not self.wait_for_completion:
            return self._result(str(external_id), "")
        self._tell_outlets(str(external_id), context)
        return self._result(str(external_id), SUCCEEDED)

    def execute_complete(self, context: Context, event: Mapping[str, str]) -> Any:
        """Read what the waiting ended with.

        Raises:
            KfpRunError: The run did not end well.
            KfpUnavailable: The server was away too long; the next try comes back to the run.
        """
        run_id, outcome = event["run_id"], event["outcome"]
        self._run_id = run_id
        if outcome == "unreachable":
            raise KfpUnavailable(
                f"The run {run_id} goes on, but nobody could be asked about it for {self.outage_timeout:.0f} s; "
                f"the next try comes back to it. {event['reason']}"
            )
        if outcome == "gone":
            raise KfpRunFailed(f"The run {run_id} was deleted while it was waited for; clear this task to start anew.")
        if outcome == "not_started":
            self.hook.terminate(run_id)
            raise KfpRunNotStarted(
                f"The run {run_id} was stopped after {self.pending_timeout:.0f} s. {event['reason']} "
                f"{self.hook.endpoint.run_page(run_id)}"
            )
        if outcome == "too_long":
            self.hook.terminate(run_id)
            raise KfpRunTimeout(
                f"The run {run_id} was stopped after {self._longest_wait():.0f} s in the state {event['state']}: "
                f"{self.hook.endpoint.run_page(run_id)}"
            )
        if event["state"] != SUCCEEDED:
            raise error_of(self.hook, self.hook.run(run_id), self.log_tail_lines, self.no_retry_on, self._killed)
        return self.get_job_result(run_id, context)

    def on_kill(self) -> None:
        """Stop the run when the task is killed in a worker."""
        self._killed = True
        if self.cancel_on_kill and self._run_id:
            self.log.info("The task is killed: stopping the run %s", self._run_id)
            KfpHook(self.kfp_conn_id, attempts=2).terminate(self._run_id)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """What OpenLineage is told of a run, where its provider is installed."""
        from airflow_kfp.lineage import lineage_of

        value = task_instance.xcom_pull(task_ids=task_instance.task_id) or {}
        return lineage_of(value, self.hook.endpoint.url, self.parameters, self.outlets)

    def _must_not_go_on_with(self, run: Run) -> bool:
        """Whether a run that bears this task's id is not the one that it now wants."""
        if not same_parameters(run, self.parameters):
            self.log.warning("The run %s had other parameters; a new one is started.", run.run_id)
            if run.state not in ENDED:
                self.hook.terminate(run.run_id)
            return True
        if run.state == SUCCEEDED:
            return str(self.force).lower() == "true"
        return run.state in ENDED and self.on_failure == "new_run"

    def _goes_on(self, run: Run) -> bool:
        """Come back to a run that is under way, or let one that failed go on; False where it cannot."""
        self.log.info("The run %s exists and is %s: coming back to it, what succeeded is kept", run.run_id, run.state)
        try:
            self.hook.take_up(run)
        except KfpRejected as problem:
            self.log.warning("The run %s cannot go on, so a new one is started: %s", run.run_id, problem)
            return False
        return True

    def _create(self, run_id: str, context: Context) -> None:
        ti = context["ti"]
        reference, known = self.hook.resolve_pipeline(self.pipeline_name, self.pipeline_version or None)
        with as_kfp_errors():
            check_parameters(self.parameters, known, self.pipeline_name)
        new = NewRun(
            run_id=run_id,
            display_name=self.display_name or f"{ti.dag_id}.{ti.task_id} {ti.run_id}",
            pipeline_version_reference=reference,
            runtime_config=RuntimeConfig(dict(self.parameters), self.pipeline_root or ""),
            description=f"Started by Airflow: DAG {ti.dag_id}, task {ti.task_id}, run {ti.run_id}",
            experiment_id=self.hook.ensure_experiment(self.experiment) if self.experiment else "",
            service_account=self.service_account or "",
        )
        created = self.hook.submit(new)
        log = "Met the run %s: %s" if created.adopted else "Started the run %s: %s"
        self.log.info(log, run_id, self.hook.endpoint.run_page(run_id))

    def _longest_wait(self) -> float:
        return min(self.run_timeout, self.execution_timeout.total_seconds() if self.execution_timeout else _DAY * 365)

    def _show(self, context: Context) -> None:
        context["ti"].xcom_push(key=RUN_PAGE, value=self.run_page)

    def _result(self, run_id: str, state: str) -> dict[str, str]:
        return {"run_id": run_id, "page": self.hook.endpoint.run_page(run_id), "state": state}

    def _tell_outlets(self, run_id: str, context: Context) -> None:
        extra = {"kfp_run_id": run_id, "kfp_run_page": self.hook.endpoint.run_page(run_id), **self.outlet_extra}
        for outlet in self.outlets:
            if isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra.update(extra)


class KfpUploadPipelineOperator(BaseOperator):
    """Puts a compiled pipeline on the server; a version that is there already is left as it is.

    The XCom value holds ``pipeline_id`` and ``pipeline_version_id``.

    Args:
        package_path: The compiled pipeline (YAML).
        pipeline_name: Name of the pipeline.
        pipeline_version: Name of the version, such as a git revision.
        kfp_conn_id: Connection of type ``kfp``.
    """

    template_fields: Sequence[str] = ("package_path", "pipeline_name", "pipeline_version", "kfp_conn_id")

    def __init__(
        self,
        *,
        package_path: str,
        pipeline_name: str,
        pipeline_version: str,
        kfp_conn_id: str = KfpHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.package_path = package_path
        self.pipeline_name = pipeline_name
        self.pipeline_version = pipeline_version
        self.kfp_conn_id = kfp_conn_id

    def execute(self, context: Context) -> dict[str, str]:
        """Upload the version where it is missing.

        Raises:
            KfpRejected: The file cannot be read, or the server cannot read it.
        """
        path = Path(self.package_path)
        try:
            package = path.read_bytes()
        except OSError as problem:
            raise KfpRejected(f"The pipeline {path} cannot be read ({problem.strerror}); compile it first.") from None
        uploaded = KfpHook(self.kfp_conn_id).upload(self.pipeline_name, self.pipeline_version, path.name, package)
        return asdict(uploaded)
