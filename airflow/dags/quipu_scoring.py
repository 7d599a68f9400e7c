"""Nightly batch scoring of the portfolio by the champion."""

from datetime import timedelta

from airflow.sdk import DAG, CronDataIntervalTimetable
from quipu_dags.settings import DEFAULT_ARGS, PARAMS, SCORES, START
from quipu_dags.steps import as_of, pipeline

with DAG(
    dag_id="quipu_scoring",
    description="Scores the portfolio each night",
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable("30 1 * * *", timezone="America/Lima"),
    start_date=START,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=20),
    default_args=DEFAULT_ARGS,
    params=PARAMS,
    tags=["quipu", "scoring"],
):
    as_of(month_end=False) >> pipeline("score", "quipu-scoring", outlets=[SCORES], run_timeout=6 * 3600.0)
