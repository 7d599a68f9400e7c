import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email import message_from_string
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socketserver import StreamRequestHandler, TCPServer
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import yaml
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunType
from airflow_kfp.operators import KfpRunPipelineOperator, run_id_of
from kfp_runs.answers import PipelineSpec
from kfp_runs.parameters import check_parameters, parameters_of_spec
from replay import FAILS, NEVER_ENDS, SUCCEEDS, Server

HERE = Path(__file__).parent
DAGS = HERE.parents[1] / "airflow" / "dags"
PIPELINES = HERE.parents[1] / "pipelines"
NAMES = {"quipu_training", "quipu_training_on_new_data", "quipu_backfill", "quipu_scoring", "quipu_monitoring"}
LENDER = ["source", "mapping", "config", "as_of", "code"]


@pytest.fixture(scope="module")
def bag() -> Any:
    return DagBag(str(DAGS))


@pytest.fixture
def lending(kfp: Server) -> dict[str, DAG]:
    return DagBag(str(HERE / "bundle")).dags


def quicken(dag: DAG) -> DAG:
    """Let a DAG look often at its runs, and fail at once instead of waiting for a retry."""
    for task in dag.tasks:
        task.retries = 0
        if isinstance(task, KfpRunPipelineOperator):
            task.poll_interval = 0.05
    return dag


def test_every_dag_is_imported_with_less_than_a_second_of_work(bag: Any) -> None:
    assert bag.import_errors == {}
    assert set(bag.dags) == NAMES
    for file in DAGS.glob("*.py"):
        before = time.process_time()
        DagBag(str(file))
        assert time.process_time() - before < 1, file


def test_the_dags_give_the_compiled_pipelines_what_they_take(bag: Any) -> None:
    specs = [next(yaml.safe_load_all(path.read_text())) for path in PIPELINES.glob("*.yaml")]
    compiled = {spec["pipelineInfo"]["name"]: parameters_of_spec(msgspec.convert(spec, PipelineSpec)) for spec in specs}
    for task in (task for dag in bag.dags.values() for task in dag.tasks):
        if isinstance(task, KfpRunPipelineOperator):
            check_parameters(task.parameters, compiled[task.pipeline_name], task.pipeline_name)


def test_the_dags_import_no_pipeline_code(bag: Any) -> None:
    for file in DAGS.rglob("*.py"):
        assert not re.search(
            r"^\s*(from|import) (components|pipelines|kfp|pandas|minio)\b", file.read_text(), re.MULTILINE
        )
    assert "kfp" not in sys.modules


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_dag_runs_once_at_a_time_ends_in_time_and_tells_of_failures(bag: Any, name: str) -> None:
    dag = bag.dags[name]
    assert dag.max_active_runs == 1
    assert not dag.catchup
    assert dag.dagrun_timeout
    assert dag.description
    for task in dag.tasks:
        assert task.on_failure_callback
        if isinstance(task, KfpRunPipelineOperator):
            assert task.pool == "kfp"
            assert task.deferrable
            assert task.retries == 3
            assert task.retry_policy


def test_the_time_of_each_dag_gives_a_data_interval(bag: Any) -> None:
    for name in NAMES - {"quipu_training_on_new_data"}:
        assert type(bag.dags[name].timetable).__name__ == "CronDataIntervalTimetable"
        assert str(bag.dags[name].timetable.timezone) == "America/Lima"


def test_assets_join_the_dags(bag: Any) -> None:
    started_by = {asset.name for asset in bag.dags["quipu_training_on_new_data"].timetable.asset_condition.objects}
    assert started_by == {"quipu_portfolio", "quipu_drift"}
    renewed = {
        f"{dag.dag_id}.{task.task_id}": [outlet.name for outlet in task.outlets]
        for dag in bag.dags.values()
        for task in dag.tasks
        if task.outlets
    }
    assert renewed == {
        "quipu_training.train": ["quipu_candidate"],
        "quipu_training.promote": ["quipu_champion"],
        "quipu_training_on_new_data.train": ["quipu_candidate"],
        "quipu_training_on_new_data.promote": ["quipu_champion"],
        "quipu_backfill.train": ["quipu_candidate"],
        "quipu_scoring.score": ["quipu_scores"],
        "quipu_monitoring.tell_drift": ["quipu_drift"],
    }


@pytest.mark.parametrize("name", ["quipu_training", "quipu_training_on_new_data"])
def test_nothing_is_promoted_without_a_person(bag: Any, name: str) -> None:
    dag = bag.dags[name]
    assert dag.task_dict["promote"].upstream_task_ids == {"approve"}
    assert dag.task_dict["approve"].defaults == ["Reject"]
    assert dag.task_dict["train"].parameters["target"] == "registry"


def test_a_backfill_promotes_nothing_and_goes_in_order(bag: Any) -> None:
    dag = bag.dags["quipu_backfill"]
    assert set(dag.task_dict) == {"as_of", "train"}
    assert dag.task_dict["train"].depends_on_past


def test_the_clock_alone_never_trains_past_months(bag: Any) -> None:
    as_of = bag.dags["quipu_backfill"].task_dict["as_of"].python_callable
    run: dict[str, Any] = {
        "partition_key": None,
        "consumed_asset_events": [],
        "data_interval_end": datetime(2026, 6, 2, 8, tzinfo=UTC),
        "run_after": datetime(2026, 6, 2, 8, tzinfo=UTC),
    }
    with pytest.raises(AirflowSkipException, match="clock's run is skipped"):
        as_of(params={}, dag_run=SimpleNamespace(run_type=DagRunType.SCHEDULED, **run))
    assert as_of(params={}, dag_run=SimpleNamespace(run_type=DagRunType.BACKFILL_JOB, **run)) == "2026-05-31"


def test_an_as_of_in_the_future_fails_the_run_before_anything_starts() -> None:
    from quipu_dags.steps import as_of_from

    run = SimpleNamespace(
        partition_key=None, consumed_asset_events=[], data_interval_end=None, run_after=datetime.now(UTC)
    )
    with pytest.raises(AirflowFailException, match="lies in the future"):
        as_of_from({"params": {"as_of": "2999-12-31"}, "dag_run": run}, month_end=True)
    run.consumed_asset_events = [SimpleNamespace(extra={"as_of": "2026-10-31"})]
    assert as_of_from({"params": {}, "dag_run": run}, month_end=False) == "2026-10-31"


@pytest.mark.usefixtures("database")
def test_the_monthly_training_trains_and_promotes_after_the_approval(bag: Any, kfp: Server) -> None:
    kfp.pipelines = {
        "quipu-training": [*LENDER, "target"],
        "quipu-promotion": ["as_of", "code", "target", "training_run", "approved_by"],
    }
    run = quicken(bag.dags["quipu_training"]).test(
        run_conf={"as_of": "2026-09-30"},
        mark_success_pattern="approve",
        logical_date=datetime(2026, 11, 20, tzinfo=UTC),
    )
    assert run.state == DagRunState.SUCCESS
    trained, promoted = (body["runtime_config"]["parameters"] for body in kfp.created)
    assert trained == {
        "as_of": "2026-09-30",
        "source": "s3://quipu-landing/portfolio",
        "mapping": "s3://quipu-landing/mapping.yaml",
        "config": "s3://quipu-landing/config.yaml",
        "code": "unreleased",
        "target": "registry",
    }
    assert promoted["training_run"] == run_id_of("quipu_training", run.run_id, "train", -1, 0)
    assert promoted["as_of"] == "2026-09-30"


@pytest.mark.usefixtures("database")
def test_drift_renews_the_asset_that_starts_a_training(bag: Any, kfp: Server) -> None:
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    kfp.pipelines, kfp.life = {"quipu-monitoring": LENDER}, ("run_succeeded",)
    told = kfp._told

    def with_drift(run: Any, name: str) -> Any:
        status, answer = told(run, name)
        answer["run_details"]["task_details"].append({"display_name": "drift", "state": "SUCCEEDED"})
        return status, answer

    kfp._told = with_drift  # type: ignore[method-assign]
    run = quicken(bag.dags["quipu_monitoring"]).test(run_conf={"as_of": "2026-11-22"})
    assert run.state == DagRunState.SUCCESS
    with create_session() as session:
        events = session.scalars(select(AssetEvent).where(AssetEvent.source_dag_id == "quipu_monitoring")).all()
        assert [event.extra["as_of"] for event in events] == ["2026-11-22"]


@pytest.mark.usefixtures("database")
def test_a_run_that_fails_goes_on_with_airflows_retry(lending: dict[str, DAG], kfp: Server) -> None:
    kfp.life = FAILS
    run = lending["lending_deferrable"].test()
    assert run.state == DagRunState.SUCCESS
    assert [ti.try_number for ti in run.get_task_instances()] == [2]
    assert len(kfp.created) == 1
    assert kfp.count("POST", ":retry") == 1


@pytest.mark.usefixtures("database")
def test_a_run_cancelled_in_kubeflow_fails_the_task_without_a_retry(lending: dict[str, DAG], kfp: Server) -> None:
    kfp.life = ("run_pending", "run_running_tasks", "run_canceled")
    run = lending["lending_plain"].test()
    assert run.state == DagRunState.FAILED
    assert [(ti.state, ti.try_number) for ti in run.get_task_instances()] == [(TaskInstanceState.FAILED, 1)]
    assert kfp.count("POST", ":retry") == 0


@pytest.mark.usefixtures("database")
def test_a_worker_that_is_killed_comes_back_to_the_same_run(lending: dict[str, DAG], kfp: Server) -> None:
    kfp.life = NEVER_ENDS
    moment = datetime(2026, 11, 1, 12, tzinfo=UTC)
    code = (
        "from datetime import datetime; from airflow.dag_processing.dagbag import DagBag;"
        f"DagBag({str(HERE / 'bundle')!r}).dags['lending_plain']"
        f".test(**dict.fromkeys(['run_after', 'logical_date'], datetime.fromisoformat({moment.isoformat()!r})))"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", code], env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        kfp.wait_until_asked(1, "POST", "/runs", seconds=120)
        (body,) = kfp.created
        kfp.wait_until_asked(4, "GET", body["run_id"])
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    kfp.life = SUCCEEDS  # so that a second run would not be waited for in vain
    kfp.runs[body["run_id"]].ahead = ["run_running_tasks", "run_succeeded"]
    run = lending["lending_plain"].test(run_after=moment, logical_date=moment)
    assert run.state == DagRunState.SUCCESS
    assert len(kfp.created) == 1
    assert kfp.count("POST", ":terminate") == 0


@pytest.mark.usefixtures("database")
def test_a_month_of_a_backfill_waits_for_the_one_before_and_a_second_backfill_is_refused(bag: Any) -> None:
    from airflow.models.backfill import AlreadyRunningBackfill, ReprocessBehavior, _create_backfill
    from airflow.models.dagrun import DagRun
    from airflow.ti_deps.dep_context import DepContext
    from airflow.ti_deps.deps.prev_dagrun_dep import PrevDagrunDep
    from airflow.utils.session import create_session
    from sqlalchemy import select

    order: dict[str, Any] = {
        "dag_id": "quipu_backfill",
        "from_date": datetime(2026, 5, 1, tzinfo=UTC),
        "to_date": datetime(2026, 7, 31, tzinfo=UTC),
        "max_active_runs": 10,
        "reverse": False,
        "dag_run_conf": {},
        "triggering_user_name": "tests",
        "reprocess_behavior": ReprocessBehavior.FAILED,
    }
    _create_backfill(**order)
    with pytest.raises(AlreadyRunningBackfill, match="Another backfill is running for Dag quipu_backfill"):
        _create_backfill(**order)

    def may_start(month: DagRun, session: Any) -> bool:
        (ti,) = [one for one in month.get_task_instances(session=session) if one.task_id == "as_of"]
        ti.task = bag.dags["quipu_backfill"].task_dict["as_of"]
        return all(status.passed for status in PrevDagrunDep().get_dep_statuses(ti, DepContext(), session=session))

    with create_session() as session:
        months = list(
            session.scalars(select(DagRun).where(DagRun.dag_id == "quipu_backfill").order_by(DagRun.logical_date))
        )
        ends = [f"{month.data_interval_end:%Y-%m}" for month in months]
        assert ends == ["2026-06", "2026-07", "2026-08"]
        assert [may_start(month, session) for month in months] == [True, False, False]
        for ti in months[0].get_task_instances(session=session):
            ti.state = TaskInstanceState.SUCCESS if ti.task_id == "as_of" else TaskInstanceState.FAILED
        session.flush()
        assert not may_start(months[1], session)
        for ti in months[0].get_task_instances(session=session):
            ti.state = TaskInstanceState.SUCCESS
        session.flush()
        assert may_start(months[1], session)
        session.rollback()


def test_an_alert_reaches_the_webhook_and_needs_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    from quipu_dags.alerts import Alert

    told: list[Any] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    Alert()(failure())
    with answering(HTTPServer(("127.0.0.1", 0), Hook)) as port:
        monkeypatch.setenv("AIRFLOW_CONN_QUIPU_WEBHOOK", f"http://127.0.0.1:{port}")
        Alert()(failure())
    assert told == [
        {
            "dag": "quipu_training",
            "task": "train",
            "run": "monthly",
            "subject": "Quipu: quipu_training.train failed",
            "text": "check <failed>",
        }
    ]


def test_an_alert_reaches_the_mailbox(monkeypatch: pytest.MonkeyPatch) -> None:
    from quipu_dags.alerts import Alert

    lines: list[str] = []

    class Mailbox(StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 ready\r\n")
            for line in self.rfile:
                lines.append(line.decode().strip())
                if lines[-1] == "data":
                    self.wfile.write(b"354 go\r\n")
                    while lines[-1] != ".":
                        lines.append(self.rfile.readline().decode().strip())
                self.wfile.write(b"221 bye\r\n" if lines[-1].lower() == "quit" else b"250 ok\r\n")

    with answering(TCPServer(("127.0.0.1", 0), Mailbox)) as port:
        extra = {"from_email": "quipu@caja.test", "disable_ssl": True, "disable_tls": True}
        connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))
        monkeypatch.setenv("AIRFLOW_VAR_QUIPU_ALERT_MAIL", "risk@caja.test")
        Alert()(failure())
    mail = message_from_string("\n".join(lines[lines.index("data") + 1 : -1]))
    assert (mail["To"], mail["From"]) == ("risk@caja.test", "quipu@caja.test")
    assert mail["Subject"] == "Quipu: quipu_training.train failed"
    (body,) = [part for part in mail.walk() if part.get_content_type() == "text/html"]
    assert b"check &lt;failed&gt;" in body.get_payload(decode=True)


def failure() -> Any:
    """Context of a task that failed."""
    ti = SimpleNamespace(dag_id="quipu_training", task_id="train", run_id="monthly")
    return {"ti": ti, "dag": DAG("quipu_training", schedule=None), "exception": ValueError("check <failed>\nlog")}


@contextmanager
def answering(server: TCPServer) -> Iterator[int]:
    """A server that answers one request on its port."""
    server.timeout = 20
    thread = threading.Thread(target=server.handle_request, daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
        thread.join(20)
    finally:
        server.server_close()
