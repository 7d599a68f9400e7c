"""The button in a task's page that opens the run in Kubeflow Pipelines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

RUN_PAGE = "kfp_run_page"


class KfpRunLink(BaseOperatorLink):
    """Opens the run's page. The operator writes the address as soon as the run is known."""

    @property
    def name(self) -> str:
        """Text of the button."""
        return "Kubeflow Pipelines run"

    @property
    def xcom_key(self) -> str:
        """Key under which the address lies."""
        return RUN_PAGE

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Address of the run's page; empty where no run was started."""
        return str(getattr(operator, "run_page", ""))
