"""Training when new data have landed or drift was found.

A landing is told by ``POST /api/v2/assets/events`` for the asset ``quipu_portfolio``, with ``{"as_of": "2026-10-31"}``
as its extra; drift is told by the DAG ``quipu_monitoring``.
"""

from datetime import timedelta

from airflow.sdk import DAG
from quipu_dags.settings import DEFAULT_ARGS, DRIFT, PARAMS, PORTFOLIO, START
from quipu_dags.steps import approve_and_promote, as_of, train

with DAG(
    dag_id="quipu_training_on_new_data",
    description="Trains when the portfolio was renewed or drift was found",
    doc_md=__doc__,
    schedule=PORTFOLIO | DRIFT,
    start_date=START,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(days=10),
    default_args=DEFAULT_ARGS,
    params=PARAMS,
    tags=["quipu", "training"],
):
    day = as_of(month_end=False)
    trained = train(run_timeout=12 * 3600.0)
    day >> trained
    approve_and_promote(trained)
