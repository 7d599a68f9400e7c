"""Monthly training: a candidate from the books of the last month, a person's approval, the champion."""

from datetime import timedelta

from airflow.sdk import DAG, CronDataIntervalTimetable
from quipu_dags.settings import DEFAULT_ARGS, PARAMS, START
from quipu_dags.steps import approve_and_promote, as_of, train

with DAG(
    dag_id="quipu_training",
    description="Trains on the books of the last month and promotes what a person approves",
    doc_md=__doc__,
    # A plain cron string gives no data interval, and the as-of day follows from its end.
    schedule=CronDataIntervalTimetable("0 3 2 * *", timezone="America/Lima"),
    start_date=START,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(days=10),
    default_args=DEFAULT_ARGS,
    params=PARAMS,
    tags=["quipu", "training"],
):
    day = as_of(month_end=True)
    trained = train(run_timeout=12 * 3600.0)
    day >> trained
    approve_and_promote(trained)
