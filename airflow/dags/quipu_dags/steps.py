"""The steps that DAGs are made of. Each is called inside a DAG and returns its task."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Asset, task
from airflow.sdk.exceptions import AirflowFailException
from airflow_kfp.operators import KfpRunPipelineOperator

from quipu_dags.alerts import Alert
from quipu_dags.as_of import AsOfRefused, resolve_as_of
from quipu_dags.settings import CANDIDATE, CHAMPION, CONNECTION, NO_RETRY_ON, lender, variable

AS_OF = "{{ ti.xcom_pull('as_of') }}"


def as_of_from(context: Mapping[str, Any], month_end: bool) -> str:
    """The as-of day of a run, YYYY-MM-DD.

    Raises:
        AirflowFailException: The day that the run was given cannot be used.
    """
    run = context["dag_run"]
    try:
        day = resolve_as_of(
            requested=context["params"].get("as_of"),
            partition_key=run.partition_key,
            events=[event.extra for event in run.consumed_asset_events],
            interval_end=run.data_interval_end,
            run_after=run.run_after,
            now=datetime.now(UTC),
            month_end=month_end,
        )
    except AsOfRefused as refused:
        raise AirflowFailException(str(refused)) from None
    return day.isoformat()


@task(task_id="as_of", pool="default_pool")
def as_of(month_end: bool, **context: Any) -> str:
    """Settle the as-of day before anything starts; a retry keeps it."""
    return as_of_from(context, month_end)


def pipeline(
    task_id: str,
    name: str,
    parameters: Mapping[str, str] | None = None,
    outlets: list[Asset] | None = None,
    **fields: Any,
) -> KfpRunPipelineOperator:
    """Run one of Quipu's pipelines for the as-of day of this run.

    Args:
        task_id: Name of the task.
        name: Name of the pipeline.
        parameters: Its parameters; None gives those that a lender sets.
        outlets: Assets that it renews.
        fields: More of the operator's fields.
    """
    return KfpRunPipelineOperator(
        task_id=task_id,
        pipeline_name=name,
        experiment=name,
        display_name=f"{name} {AS_OF} {{{{ run_id }}}}",
        parameters={"as_of": AS_OF, **(lender() if parameters is None else parameters)},
        kfp_conn_id=CONNECTION,
        deferrable=True,
        poll_interval=10.0,
        force="{{ params.force }}",
        no_retry_on=NO_RETRY_ON,
        outlets=outlets or [],
        outlet_extra={"as_of": AS_OF},
        **fields,
    )


def train(**fields: Any) -> KfpRunPipelineOperator:
    """Train, compare and register a candidate; nothing that scores borrowers changes."""
    return pipeline("train", "quipu-training", lender() | {"target": "registry"}, [CANDIDATE], **fields)


def approve_and_promote(trained: KfpRunPipelineOperator) -> None:
    """Ask a person, and make the candidate the champion where the answer is yes."""
    approve = ApprovalOperator(
        task_id="approve",
        subject=f"Quipu: promote the model of {AS_OF}?",
        body=(
            "The committee's report, with the figures of all three models, is an output of the evaluate stage: "
            "{{ (ti.xcom_pull('train') or {}).get('page') }}. Without an answer within a week the champion stays."
        ),
        defaults="Reject",
        response_timeout=timedelta(days=7),
        notifiers=[Alert("Quipu: promote the model of {{ ti.xcom_pull('as_of') }}?", "{{ task.body }}")],
        pool="default_pool",
    )
    promote = pipeline(
        "promote",
        "quipu-promotion",
        {
            "code": variable("code", "unreleased"),
            "target": variable("target", "local"),
            "training_run": "{{ (ti.xcom_pull('train') or {}).get('run_id') }}",
            "approved_by": "{{ ((ti.xcom_pull('approve') or {}).get('responded_by_user') or {}).get('name') }}",
        },
        [CHAMPION],
    )
    trained >> approve >> promote
