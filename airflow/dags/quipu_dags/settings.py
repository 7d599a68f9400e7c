"""What all DAGs agree on: connection, pool, assets, retries, and the Airflow variables that a lender sets.

==================  ======================================================  =====================================
Airflow variable    what it says                                            default
==================  ======================================================  =====================================
quipu_source        landing prefix of the lender's files                    s3://quipu-landing/portfolio
quipu_mapping       mapping file                                            s3://quipu-landing/mapping.yaml
quipu_config        configuration file                                      s3://quipu-landing/config.yaml
quipu_code          revision of the released code                           unreleased
quipu_target        where the scorer runs, for a promotion                  local
quipu_alert_mail    who is told of failures (connection smtp_default)       nobody
==================  ======================================================  =====================================

Variables are read when a task runs, never when a DAG file is parsed. A webhook is called where the HTTP connection
``quipu_webhook`` exists.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import Asset, ExceptionRetryPolicy, Param, RetryAction, RetryRule
from airflow.sdk.definitions.asset import Dataset, Model
from airflow_kfp.errors import KfpRunFailed, KfpRunNotStarted, KfpUnauthorized, KfpUnavailable

from quipu_dags.alerts import Alert
from quipu_dags.as_of import LIMA

CONNECTION = "kfp_default"
POOL = "kfp"  # made by 'airflow pools set kfp SLOTS "Runs on the cluster" --include-deferred'
START = datetime(2024, 1, 1, tzinfo=LIMA)

PORTFOLIO = Dataset("quipu_portfolio", "s3://quipu-landing/portfolio")
SCORES = Dataset("quipu_scores", "s3://quipu-data/scores")
DRIFT = Asset("quipu_drift", "s3://quipu-data/monitoring/drift")
CANDIDATE = Model("quipu_candidate", "s3://quipu-models/candidate")
CHAMPION = Model("quipu_champion", "s3://quipu-models/champion")

# Reasons that a retry cannot change: the data, the configuration or a gate stopped the run.
NO_RETRY_ON = (r"components\.credit\.errors\.(InputError|GateStopped|ModelRefused)\b",)

PARAMS = {
    "as_of": Param(
        None, type=["null", "string"], format="date", title="As-of day", description="Empty: it follows from the run."
    ),
    "force": Param(
        False, type="boolean", title="Run anew", description="Also where this task's run has succeeded already."
    ),
}

DEFAULT_ARGS: dict[str, Any] = {
    "owner": "risk",
    "pool": POOL,
    "retries": 3,
    "retry_delay": timedelta(minutes=5),
    "retry_policy": ExceptionRetryPolicy(
        rules=[
            RetryRule(KfpUnavailable, RetryAction.RETRY, timedelta(minutes=2), "the API server was away"),
            RetryRule(KfpUnauthorized, RetryAction.RETRY, timedelta(minutes=5), "the token may be renewed"),
            RetryRule(KfpRunNotStarted, RetryAction.RETRY, timedelta(minutes=15), "the cluster may have room later"),
            RetryRule(KfpRunFailed, RetryAction.RETRY, timedelta(minutes=5), "what succeeded in the run is kept"),
        ]
    ),
    "on_failure_callback": [Alert()],
}


def variable(name: str, default: str) -> str:
    """Template of an Airflow variable."""
    return f"{{{{ var.value.get('quipu_{name}', '{default}') }}}}"


def lender() -> dict[str, str]:
    """Parameters that every pipeline takes and a lender sets once."""
    return {
        "source": variable("source", "s3://quipu-landing/portfolio"),
        "mapping": variable("mapping", "s3://quipu-landing/mapping.yaml"),
        "config": variable("config", "s3://quipu-landing/config.yaml"),
        "code": variable("code", "unreleased"),
    }
