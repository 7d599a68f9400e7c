"""The provider reads recorded answers as the other readers do; ``recorded_answers`` says who they are."""

import msgspec
import pytest
from airflow_kfp.errors import KfpRunCanceled, KfpRunFailed, KfpServerError
from airflow_kfp.failure import error_of
from airflow_kfp.hooks import KfpHook
from kfp_runs.answers import NewRun, Run, RuntimeConfig, VersionReference
from kfp_runs.runs import failed_tasks, final_state, tasks_of, waiting_in
from recorded_answers import BUSY, NOT_BUSY, TABLE, Reading
from replay import Server, recorded

RUN = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def hook(kfp: Server) -> KfpHook:
    """A hook, and a run that was started."""
    hook = KfpHook()
    hook.submit(NewRun(RUN, "one", VersionReference("id-of-fails"), RuntimeConfig({"rows": 10})))
    return hook


@pytest.mark.parametrize("reading", TABLE, ids=lambda reading: reading.case)
def test_the_provider_reads_an_answer_as_the_table_says(kfp: Server, hook: KfpHook, reading: Reading) -> None:
    kfp.runs[RUN].ahead, kfp.changes = [reading.answer], reading.changes
    run = hook.run(RUN)
    assert final_state(run) == reading.state
    assert {task.name: task.state for task in tasks_of(run)} == reading.tasks
    assert tuple(failed_tasks(run)) == reading.failed
    if reading.ended:
        assert waiting_in(run) is None
    if reading.state == "CANCELED":
        assert isinstance(error_of(hook, run, 50, (), killed_by_us=False), KfpRunCanceled)
    if reading.state == "FAILED":
        error = error_of(hook, run, 50, (), killed_by_us=False)
        assert isinstance(error, KfpRunFailed)
        names = ", ".join(reading.failed)
        assert f"{names} failed: ValueError: {reading.reason}\n" in str(error)


@pytest.mark.parametrize("status", BUSY + NOT_BUSY)
def test_the_provider_asks_a_busy_server_again(kfp: Server, hook: KfpHook, status: int) -> None:
    asked = kfp.count("GET", RUN)
    kfp.fault("GET", f"/runs/{RUN}", status)
    if status in BUSY:
        hook.run(RUN)
    else:
        with pytest.raises(KfpServerError):
            hook.run(RUN)
    assert kfp.count("GET", RUN) - asked == 1 + (status in BUSY)


@pytest.mark.parametrize(
    ("name", "since", "what"),
    [
        ("run_pending", "2026-11-23T21:57:48", "the workflow"),
        ("run_running", "2026-11-23T21:57:48", "the pod of 'root'"),
        ("run_running_tasks", "2026-11-23T21:58:51", "the pod of 'slow'"),
        ("run_retried", "2026-11-23T22:19", "the pod of 'check'"),
    ],
)
def test_what_a_recorded_run_waits_for(name: str, since: str, what: str) -> None:
    waiting = waiting_in(msgspec.convert(recorded(name)[1], Run))
    assert waiting is not None
    assert waiting.since.isoformat().startswith(since)
    assert waiting.what.startswith(what)
