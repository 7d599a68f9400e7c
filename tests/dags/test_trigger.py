import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.jobs.triggerer_job_runner import _USER_ACTION_CANCEL_MSG, TriggerRunner
from airflow_kfp.errors import KfpUnavailable
from airflow_kfp.hooks import KfpHook
from airflow_kfp.triggers import KfpRunTrigger
from kfp_runs.answers import NewRun, Run, RuntimeConfig, VersionReference
from kfp_runs.watch import Ending, Watch
from replay import NEVER_ENDS, Server

RUN = "11111111-2222-3333-4444-555555555555"


def start_run() -> KfpRunTrigger:
    KfpHook().submit(NewRun(RUN, "one", VersionReference("id-of-fails"), RuntimeConfig({"rows": 10})))
    return trigger()


def trigger(**fields: Any) -> KfpRunTrigger:
    defaults: dict[str, Any] = {
        "run_id": RUN,
        "kfp_conn_id": "kfp_default",
        "poll_interval": 0.02,
        "until": datetime.now(UTC).timestamp() + 60,
        "pending_timeout": None,
        "outage_timeout": 5.0,
        "cancel_on_kill": True,
    }
    return KfpRunTrigger(**(defaults | fields))


async def cancelled(running: KfpRunTrigger, server: Server, message: str | None) -> None:
    """Run a trigger in Airflow's own runner and cancel it after a few looks."""
    runner: Any = TriggerRunner()  # type: ignore[no-untyped-call]
    task = asyncio.ensure_future(runner.run_trigger(1, running, None))
    runner.triggers[1] = {"task": task, "is_watcher": False, "name": "the run", "events": 0}
    await asyncio.to_thread(server.wait_until_asked, 3, "GET", RUN)
    task.cancel(message)
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_user_who_ends_a_deferred_task_ends_its_run(kfp: Server) -> None:
    kfp.life = NEVER_ENDS
    asyncio.run(cancelled(start_run(), kfp, _USER_ACTION_CANCEL_MSG))
    assert kfp.count("POST", f"{RUN}:terminate") == 1


def test_a_run_may_be_left_running_when_its_task_is_ended(kfp: Server) -> None:
    kfp.life = NEVER_ENDS
    start_run()
    asyncio.run(cancelled(trigger(cancel_on_kill=False), kfp, _USER_ACTION_CANCEL_MSG))
    assert kfp.count("POST", f"{RUN}:terminate") == 0


def test_a_triggerer_that_restarts_leaves_the_run_and_another_goes_on(kfp: Server) -> None:
    kfp.life = NEVER_ENDS
    first = start_run()
    asyncio.run(cancelled(first, kfp, None))
    assert kfp.count("POST", f"{RUN}:terminate") == 0
    kfp.runs[RUN].ahead = ["run_succeeded"]
    path, fields = first.serialize()
    assert path == f"{KfpRunTrigger.__module__}.{KfpRunTrigger.__name__}"

    async def first_event() -> Any:
        async for event in KfpRunTrigger(**fields).run():
            return event.payload

    assert asyncio.run(first_event()) == {"run_id": RUN, "outcome": "ended", "state": "SUCCEEDED", "reason": ""}


def test_many_runs_are_watched_at_once(kfp: Server) -> None:
    start_run()

    async def watch_all() -> list[str]:
        async def one() -> str:
            async for event in trigger().run():
                return str(event.payload["state"])
            return ""

        return await asyncio.gather(*(one() for _ in range(20)))

    assert set(asyncio.run(watch_all())) == {"SUCCEEDED"}


def test_short_outages_do_not_add_up_to_a_long_one() -> None:
    warnings: list[str] = []
    watch = Watch(RUN, until=10_000, start_timeout=None, outage_timeout=100, warn=warnings.append)
    for start in range(0, 1_000, 100):
        assert watch.failed(KfpUnavailable("away"), start) is None
        assert watch.failed(KfpUnavailable("away"), start + 90) is None
        assert watch.answered(Run(RUN, "RUNNING"), start + 95) is None
    assert watch.failed(KfpUnavailable("away"), 1_000) is None
    assert watch.failed(KfpUnavailable("away"), 1_101) == Ending(RUN, "unreachable", "", "away")
    assert set(warnings) == {f"The run {RUN} cannot be asked about: away"}
