"""Training of past months, in order of their as-of day; nothing is promoted.

    airflow backfill create --dag-id quipu_backfill --reprocess-behavior failed
        --from-date 2026-01-01 --to-date 2026-06-30

or *Trigger > Backfill* in the web page. A month waits for the one before it, so it stops at a month that fails;
clear that one and the rest goes on. Airflow refuses a second backfill while one is running. The schedule only says
where months begin: a run that the clock starts is skipped.
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, CronDataIntervalTimetable, task
from airflow.sdk.exceptions import AirflowSkipException
from quipu_dags.settings import DEFAULT_ARGS, PARAMS, START
from quipu_dags.steps import as_of_from, train

with DAG(
    dag_id="quipu_backfill",
    description="Trains past months in order; started by 'airflow backfill create'",
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable("0 3 2 * *", timezone="America/Lima"),
    start_date=START.replace(year=2015),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(days=2),
    default_args=DEFAULT_ARGS,
    params=PARAMS,
    tags=["quipu", "training"],
):

    @task(task_id="as_of", pool="default_pool", depends_on_past=True, wait_for_downstream=True)
    def as_of(**context: Any) -> str:
        """Settle the as-of day of a month; skip what the clock started."""
        if context["dag_run"].run_type == "scheduled":
            raise AirflowSkipException("Only 'airflow backfill create' starts this DAG; the clock's run is skipped.")
        return as_of_from(context, month_end=True)

    as_of() >> train(depends_on_past=True, run_timeout=12 * 3600.0)
