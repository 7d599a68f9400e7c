"""Daily monitoring of the champion: stability of score and features, calibration, matured labels.

Where the pipeline finds drift it runs its task ``drift``, which stands behind a condition. This DAG then renews the
asset ``quipu_drift``, which starts ``quipu_training_on_new_data``.
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, CronDataIntervalTimetable, task
from airflow_kfp.hooks import KfpHook
from kfp_runs.runs import finished_tasks
from quipu_dags.settings import CONNECTION, DEFAULT_ARGS, DRIFT, PARAMS, START
from quipu_dags.steps import AS_OF, as_of, pipeline

with DAG(
    dag_id="quipu_monitoring",
    description="Watches the champion each day and tells of drift",
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable("0 6 * * *", timezone="America/Lima"),
    start_date=START,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=20),
    default_args=DEFAULT_ARGS,
    params=PARAMS,
    tags=["quipu", "monitoring"],
):

    @task.short_circuit(task_id="drifted", pool="default_pool")
    def drifted(kfp_run: str) -> bool:
        """Whether the run's task ``drift`` ran."""
        return "drift" in finished_tasks(KfpHook(CONNECTION).run(kfp_run))

    @task(task_id="tell_drift", pool="default_pool", outlets=[DRIFT])
    def tell_drift(day: str, kfp_run: str, **context: Any) -> None:
        """Renew the asset, with the as-of day for the training that follows."""
        context["outlet_events"][DRIFT].extra.update({"as_of": day, "kfp_run_id": kfp_run})

    kfp_run = "{{ ti.xcom_pull('monitor')['run_id'] }}"
    monitor = pipeline("monitor", "quipu-monitoring", run_timeout=3 * 3600.0)
    as_of(month_end=False) >> monitor >> drifted(kfp_run) >> tell_drift(AS_OF, kfp_run)
