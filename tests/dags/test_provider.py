import json
import re
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import airflow_kfp
import jsonschema  # type: ignore[import-untyped]
import pytest
from airflow.providers_manager import ProvidersManager
from airflow.sdk import Asset
from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime
from airflow_kfp.operators import KfpRunPipelineOperator
from airflow_kfp.provider import get_provider_info

PROVIDER = Path(airflow_kfp.__file__).resolve().parents[2]


def test_what_airflow_is_told_has_the_form_that_it_asks_for() -> None:
    schema = json.loads((files("airflow") / "provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)


def test_airflow_finds_provider_connection_type_and_link() -> None:
    manager = ProvidersManager()  # type: ignore[no-untyped-call]
    assert manager.providers["airflow-provider-kfp"].version == airflow_kfp.__version__
    hook = ProvidersManagerTaskRuntime().hooks["kfp"]  # type: ignore[no-untyped-call]
    assert hook is not None
    assert hook.hook_name == "Kubeflow Pipelines"
    assert "airflow_kfp.links.KfpRunLink" in manager.extra_links_class_names
    fields = {name for name in manager.connection_form_widgets if name.startswith("extra__kfp__")}
    assert "extra__kfp__token_path" in fields


def test_the_wheel_needs_the_task_sdk_and_the_reader_only() -> None:
    project = (PROVIDER / "pyproject.toml").read_text()
    names = re.findall(r'^    "([a-z-]+)>=', project.partition("dependencies = [")[2].partition("]")[0], re.MULTILINE)
    assert names == ["apache-airflow-task-sdk", "quipu-kfp-runs"]


def test_the_example_in_the_readme_is_a_dag(tmp_path: Path) -> None:
    from airflow.dag_processing.dagbag import DagBag

    example = re.findall(r"```python\n(.*?)```", (PROVIDER / "README.md").read_text(), re.DOTALL)
    (tmp_path / "example.py").write_text(example[0])
    bag = DagBag(str(tmp_path))
    assert bag.import_errors == {}
    assert set(bag.dags) == {"train_and_wait"}


def test_openlineage_hears_of_addresses_and_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_KFP_DEFAULT", '{"conn_type": "kfp", "host": "http://kfp.test"}')
    task = KfpRunPipelineOperator(
        task_id="train",
        pipeline_name="p",
        parameters={"source": "minio://quipu-landing/portfolio", "as_of": "2026-10-31", "page": "http://x/y"},
        outlets=[Asset("model", "s3://quipu-models/champion")],
    )
    ti = SimpleNamespace(task_id="train", xcom_pull=lambda task_ids: {"run_id": "r1"})
    lineage = task.get_openlineage_facets_on_complete(ti)
    assert [(one.namespace, one.name) for one in lineage.inputs] == [("s3://quipu-landing", "portfolio")]
    assert [(one.namespace, one.name) for one in lineage.outputs] == [("s3://quipu-models", "champion")]
    assert lineage.run_facets["externalQuery"].externalQueryId == "r1"
    assert lineage.run_facets["externalQuery"].source == "http://kfp.test"
