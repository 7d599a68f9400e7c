import os
import signal
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from airflow_kfp.errors import (
    KfpRejected,
    KfpRunCanceled,
    KfpRunFailed,
    KfpRunFailedForGood,
    KfpRunNotStarted,
    KfpRunTimeout,
    KfpUnavailable,
)
from airflow_kfp.links import RUN_PAGE
from airflow_kfp.operators import KfpRunPipelineOperator, KfpUploadPipelineOperator, run_id_of
from airflow_kfp.sensors import KfpRunSensor
from replay import FAILS, NEVER_ENDS, NEVER_STARTS, SUCCEEDS, Server, recorded
from standins import Store, connect

Context = Callable[..., Any]
FIRST = run_id_of("lending", "manual__1", "train", -1, 0)
SECOND = run_id_of("lending", "manual__1", "train", -1, 1)


def operator(**fields: Any) -> KfpRunPipelineOperator:
    defaults: dict[str, Any] = {"pipeline_name": "fails", "parameters": {"rows": 10}, "poll_interval": 0.01}
    return KfpRunPipelineOperator(task_id="train", **(defaults | fields))


def run_to_end(task: KfpRunPipelineOperator | KfpRunSensor, context: Any) -> Any:
    """Run a task to its end in its own way; the deferrable one through its trigger."""
    import asyncio

    try:
        return task.execute(context)
    except TaskDeferred as deferred:
        path, fields = deferred.trigger.serialize()
        module, _, name = path.rpartition(".")
        trigger = getattr(__import__(module, fromlist=[name]), name)(**fields)

        async def first_event() -> Any:
            async for event in trigger.run():
                return event.payload

        return getattr(task, deferred.method_name)(context, event=asyncio.run(first_event()))


ways = pytest.mark.parametrize("deferrable", [False, True], ids=["plain", "deferrable"])


@ways
def test_a_run_that_succeeds_gives_ids_and_a_link_only(kfp: Server, new_context: Context, deferrable: bool) -> None:
    context, model = new_context(), Asset("model", "s3://models/champion")
    task = operator(deferrable=deferrable, experiment="training", outlets=[model], outlet_extra={"as_of": "2026-10-31"})
    page = f"http://kfp.test/#/runs/details/{FIRST}"
    assert run_to_end(task, context) == {"run_id": FIRST, "page": page, "state": "SUCCEEDED"}
    assert context["ti"].pushed == {RUN_PAGE: page}
    assert context["outlet_events"][model].extra == {"kfp_run_id": FIRST, "kfp_run_page": page, "as_of": "2026-10-31"}
    assert kfp.created == [
        {
            "run_id": FIRST,
            "display_name": "lending.train manual__1",
            "description": "Started by Airflow: DAG lending, task train, run manual__1",
            "pipeline_version_reference": {"pipeline_id": "id-of-fails", "pipeline_version_id": "id-of-fails 1"},
            "runtime_config": {"parameters": {"rows": 10}},
            "experiment_id": "6a7c8dbf-f12d-4e6d-be5b-4a23c214783f",
        }
    ]


@ways
def test_a_failure_names_task_reason_log_and_page(kfp: Server, new_context: Context, deferrable: bool) -> None:
    kfp.life = FAILS
    with pytest.raises(KfpRunFailed) as failure:
        run_to_end(operator(deferrable=deferrable, log_tail_lines=8), new_context())
    lines = str(failure.value).splitlines()
    assert lines[0] == (
        f"The run {FIRST} did not succeed: its task check failed: "
        "ValueError: portfolio has 10 rows; at least 100 are needed"
    )
    assert lines[1] == f"Look at http://kfp.test/#/runs/details/{FIRST}"
    assert lines[-1].endswith("failed to execute component: exit status 1")
    assert len([line for line in lines if line.startswith("  ")]) <= 2 * 8
    assert not isinstance(failure.value, AirflowFailException)


@ways
def test_a_retry_keeps_the_run_and_what_succeeded_in_it(kfp: Server, new_context: Context, deferrable: bool) -> None:
    kfp.life, store = FAILS, Store()
    with pytest.raises(KfpRunFailed):
        run_to_end(operator(deferrable=deferrable), new_context(store=store))
    assert run_to_end(operator(deferrable=deferrable), new_context(store=store))["run_id"] == FIRST
    assert kfp.count("POST", f"{FIRST}:retry") == 1
    assert len(kfp.created) == 1


def test_a_retry_starts_afresh_where_that_is_asked_for(kfp: Server, new_context: Context) -> None:
    kfp.life, store = FAILS, Store()
    with pytest.raises(KfpRunFailed):
        run_to_end(operator(on_failure="new_run"), new_context(store=store))
    kfp.life = SUCCEEDS
    assert run_to_end(operator(on_failure="new_run"), new_context(store=store))["run_id"] == SECOND
    assert [body["run_id"] for body in kfp.created] == [FIRST, SECOND]


def test_a_run_that_cannot_go_on_is_replaced(kfp: Server, new_context: Context) -> None:
    kfp.life, store = FAILS, Store()
    with pytest.raises(KfpRunFailed):
        run_to_end(operator(), new_context(store=store))
    kfp.life = SUCCEEDS
    kfp.fault("POST", ":retry", 400)
    assert run_to_end(operator(), new_context(store=store))["run_id"] == SECOND


@pytest.mark.parametrize("remembered", [True, False], ids=["with memory", "without memory"])
def test_a_task_that_starts_again_comes_back_to_its_run(kfp: Server, new_context: Context, remembered: bool) -> None:
    kfp.life, store = NEVER_ENDS, Store()
    operator(wait_for_completion=False).execute(new_context(store=store))
    kfp.runs[FIRST].ahead = list(SUCCEEDS)
    again = new_context(store=store if remembered else Store())
    assert run_to_end(operator(), again)["run_id"] == FIRST
    assert len(kfp.created) == 1
    assert again["ti"].pushed[RUN_PAGE].endswith(FIRST)


def test_a_run_that_succeeded_is_taken_as_it_is_unless_forced(kfp: Server, new_context: Context) -> None:
    store = Store()
    run_to_end(operator(), new_context(store=store))
    assert run_to_end(operator(), new_context(store=store))["run_id"] == FIRST
    assert run_to_end(operator(force="True"), new_context(store=store))["run_id"] == SECOND


def test_a_run_with_other_parameters_is_left_alone(kfp: Server, new_context: Context) -> None:
    kfp.life, store = NEVER_ENDS, Store()
    operator(wait_for_completion=False).execute(new_context(store=store))
    kfp.life = SUCCEEDS
    assert run_to_end(operator(parameters={"rows": 500}), new_context(store=store))["run_id"] == SECOND
    assert kfp.count("POST", f"{FIRST}:terminate") > 0


def test_mapped_tasks_and_other_runs_have_runs_of_their_own() -> None:
    ids = {run_id_of("d", run, "t", index, 0) for run in ("a", "b") for index in (-1, 0, 1)}
    assert len(ids) == 6


@ways
def test_a_run_cancelled_in_kubeflow_is_said_so_and_not_retried(
    kfp: Server, new_context: Context, deferrable: bool
) -> None:
    kfp.life = ("run_pending", "run_running_tasks", "run_canceled")
    with pytest.raises(KfpRunCanceled, match="was cancelled in Kubeflow Pipelines") as cancelled:
        run_to_end(operator(deferrable=deferrable), new_context())
    assert isinstance(cancelled.value, AirflowFailException)


def test_the_state_canceled_counts_as_cancelled_too(kfp: Server, new_context: Context) -> None:
    kfp.life, kfp.changes = ("run_canceled",), {"state": "CANCELED", "state_history": []}
    with pytest.raises(KfpRunCanceled):
        run_to_end(operator(), new_context())


def test_a_task_cleared_while_its_run_is_being_cancelled_lets_it_go_on(kfp: Server, new_context: Context) -> None:
    kfp.life, store = NEVER_ENDS, Store()
    operator(wait_for_completion=False).execute(new_context(store=store))
    kfp.runs[FIRST].ahead, kfp.changes = ["run_canceled"], {"state": "CANCELING"}
    threading.Timer(0.3, kfp.changes.clear).start()
    assert run_to_end(operator(), new_context(store=store))["run_id"] == FIRST
    assert kfp.count("POST", f"{FIRST}:retry") == 1


def test_killing_a_plain_task_stops_its_run(kfp: Server, new_context: Context) -> None:
    kfp.life = NEVER_ENDS
    task = operator()

    def kill() -> None:
        kfp.wait_until_asked(4, "GET", FIRST)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, lambda *_: task.on_kill())  # as Airflow's task runner does
    thread = threading.Thread(target=kill)
    thread.start()
    try:
        with pytest.raises(KfpRunFailed, match="stopped because this task was killed"):
            task.execute(new_context())
    finally:
        thread.join()
        signal.signal(signal.SIGTERM, before)
    assert kfp.count("POST", f"{FIRST}:terminate") == 1
    assert kfp.runs[FIRST].state == "FAILED"


def test_a_kill_while_the_run_is_being_created_leaves_no_orphan(kfp: Server, new_context: Context) -> None:
    kfp.life, task = NEVER_ENDS, operator()
    answer = kfp._create

    def killed_meanwhile(body: dict[str, Any]) -> Any:
        task._killed = True
        return answer(body)

    kfp._create = killed_meanwhile  # type: ignore[method-assign]
    with pytest.raises(KfpRunFailed, match="stopped because this task was killed"):
        task.execute(new_context())
    assert kfp.count("POST", f"{FIRST}:terminate") == 1


@ways
def test_a_run_whose_pods_cannot_start_is_named_and_stopped(
    kfp: Server, new_context: Context, deferrable: bool
) -> None:
    kfp.life = NEVER_ENDS
    operator(wait_for_completion=False).execute(new_context())
    kfp.runs[FIRST].age = timedelta(hours=1)
    with pytest.raises(KfpRunNotStarted, match=r"1800 s. The pod of 'slow' has not started since .*kubectl"):
        run_to_end(operator(deferrable=deferrable), new_context())
    assert kfp.runs[FIRST].ahead == ["run_canceled"]


def test_a_run_that_no_controller_takes_up_is_named_and_stopped(kfp: Server, new_context: Context) -> None:
    kfp.life = NEVER_STARTS
    operator(wait_for_completion=False).execute(new_context())
    kfp.runs[FIRST].age = timedelta(hours=1)
    with pytest.raises(KfpRunNotStarted, match="The workflow, which no controller has taken up, has not started since"):
        run_to_end(operator(), new_context())


@ways
def test_a_state_that_nobody_knows_is_waited_out_within_bounds(
    kfp: Server, new_context: Context, deferrable: bool, caplog: pytest.LogCaptureFixture
) -> None:
    kfp.life, kfp.changes = NEVER_ENDS, {"state": "HIBERNATING"}
    with pytest.raises(KfpRunTimeout, match=r"stopped after 0 s in the state HIBERNATING"):
        run_to_end(operator(deferrable=deferrable, run_timeout=0.3), new_context())
    warnings = [record.message for record in caplog.records if "HIBERNATING" in record.message]
    assert len(warnings) == 1
    assert kfp.count("POST", f"{FIRST}:terminate") == 1


@ways
def test_faults_while_waiting_are_lived_through(kfp: Server, new_context: Context, deferrable: bool) -> None:
    kfp.life = SUCCEEDS
    kfp.fault("GET", "/runs/", 500, 401, "drop", "hang", 503, 500, after=2)
    assert run_to_end(operator(deferrable=deferrable), new_context())["state"] == "SUCCEEDED"
    assert kfp.faults == []
    assert len(kfp.created) == 1


@ways
def test_a_server_that_stays_away_fails_the_try_but_not_the_run(
    kfp: Server, new_context: Context, deferrable: bool
) -> None:
    kfp.life, store = NEVER_ENDS, Store()
    task = operator(deferrable=deferrable, outage_timeout=0.1)
    kfp.fault("GET", "/runs/", *[503] * 200, after=3)
    with pytest.raises(KfpUnavailable, match="goes on, but nobody could be asked"):
        run_to_end(task, new_context(store=store))
    kfp.faults.clear()
    assert kfp.count("POST", f"{FIRST}:terminate") == 0
    kfp.runs[FIRST].ahead = ["run_succeeded"]
    assert run_to_end(operator(), new_context(store=store))["run_id"] == FIRST


@pytest.mark.parametrize("retried", [False, True], ids=["plain task", "task that may be retried"])
def test_a_pattern_in_the_log_makes_a_retry_useless(kfp: Server, new_context: Context, retried: bool) -> None:
    kfp.life, kfp.retried = FAILS, retried
    with pytest.raises(KfpRunFailedForGood) as failure:
        run_to_end(operator(no_retry_on=[r"at least \d+ are needed"]), new_context())
    assert isinstance(failure.value, AirflowFailException)


@pytest.mark.parametrize(
    "status_and_answer",
    [(500, {"error_message": "gone"}), recorded("node_log_unknown_pod")],
    ids=["answered with 500", "answered with 200"],
)
def test_a_failure_whose_log_is_gone_still_names_the_task(
    kfp: Server, new_context: Context, monkeypatch: pytest.MonkeyPatch, status_and_answer: tuple[int, Any]
) -> None:
    kfp.life = FAILS
    monkeypatch.setattr(kfp, "_log", lambda _: status_and_answer)
    with pytest.raises(KfpRunFailed, match="its task check failed: its log is not kept any more"):
        run_to_end(operator(), new_context())


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"pipeline_name": "fials"}, "no pipeline 'fials'.*did you mean 'fails'"),
        ({"pipeline_version": "fails 9"}, "no version 'fails 9'.*did you mean 'fails 1'"),
        ({"parameters": {"row": 1}}, "no parameter 'row'; did you mean 'rows'"),
        ({"parameters": {}}, "needs the parameter 'rows'"),
        ({"parameters": {"rows": "x" * 20_000}}, "take 20.* bytes and the server accepts 10000"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(
    kfp: Server, new_context: Context, fields: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(KfpRejected, match=sentence) as refused:
        operator(**fields).execute(new_context())
    assert isinstance(refused.value, AirflowFailException)
    assert kfp.created == []


def test_a_pipeline_parameter_with_a_default_need_not_be_given(kfp: Server, new_context: Context) -> None:
    run_to_end(operator(pipeline_name="seam"), new_context())
    assert kfp.created[0]["runtime_config"] == {"parameters": {"rows": 10}}


def test_uploading_the_same_version_twice_uploads_once(kfp: Server, tmp_path: Path) -> None:
    package = tmp_path / "training.yaml"
    package.write_text("pipelineInfo: {name: new}\n")
    task = KfpUploadPipelineOperator(
        task_id="upload", package_path=str(package), pipeline_name="new", pipeline_version="git-1"
    )
    first = task.execute({})
    assert first == {"pipeline_id": "id-of-new", "pipeline_version_id": "id-of-git-1"}
    assert task.execute({}) == first
    assert kfp.uploads == ["git-1"]
    package.unlink()
    with pytest.raises(KfpRejected, match="compile it first"):
        task.execute({})


@ways
def test_the_sensor_waits_for_a_run_that_is_not_its_own(
    kfp: Server, new_context: Context, deferrable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator(wait_for_completion=False).execute(new_context())
    sensor = KfpRunSensor(task_id="wait", run_id=FIRST, poke_interval=0.01, deferrable=deferrable)
    assert run_to_end(sensor, new_context())["state"] == "SUCCEEDED"
    kfp.runs[FIRST].ahead = ["run_failed"]
    with pytest.raises(KfpRunFailed, match="its task check failed"):
        run_to_end(KfpRunSensor(task_id="w", run_id=FIRST, deferrable=deferrable), new_context())
    with pytest.raises(KfpRunFailed, match="There is no run"):
        run_to_end(KfpRunSensor(task_id="w", run_id=SECOND, deferrable=deferrable), new_context())
    connect(monkeypatch, kfp.url)
    assert kfp.count("POST", ":terminate") == 0
