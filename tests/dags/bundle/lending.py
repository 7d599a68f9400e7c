"""The smallest DAGs around one pipeline run, once waiting in a worker and once in the triggerer."""

from datetime import datetime, timedelta

from airflow.sdk import DAG
from airflow_kfp.operators import KfpRunPipelineOperator

for way in ("plain", "deferrable"):
    with DAG(f"lending_{way}", start_date=datetime(2026, 1, 1), schedule=None, catchup=False) as dag:
        KfpRunPipelineOperator(
            task_id="train",
            pipeline_name="fails",
            parameters={"rows": 10},
            deferrable=way == "deferrable",
            poll_interval=0.05,
            retries=1,
            retry_delay=timedelta(0),
        )
    globals()[dag.dag_id] = dag
