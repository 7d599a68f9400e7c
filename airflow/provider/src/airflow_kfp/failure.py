"""Why a run ended badly, in one sentence first and with the end of the log below it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from kfp_runs.answers import Run
from kfp_runs.runs import was_cancelled

from airflow_kfp.errors import KfpRunCanceled, KfpRunError, KfpRunFailed, KfpRunFailedForGood
from airflow_kfp.hooks import KfpHook


def error_of(hook: KfpHook, run: Run, lines: int, no_retry_on: Iterable[str], killed_by_us: bool) -> KfpRunError:
    """The error to raise for a run that ended, but not well.

    Args:
        hook: Where to fetch logs from.
        run: The run.
        lines: How many lines of each failed pod's log to show.
        no_retry_on: Patterns; where one is found in a log, a retry is useless.
        killed_by_us: Whether this task asked for the run's end itself.
    """
    page = hook.endpoint.run_page(run.run_id)
    if was_cancelled(run):
        if killed_by_us:
            return KfpRunFailed(f"The run {run.run_id} was stopped because this task was killed: {page}")
        return KfpRunCanceled(
            f"The run {run.run_id} was cancelled in Kubeflow Pipelines, so it is not retried; "
            f"clear this task to let it go on: {page}"
        )
    failure = hook.failure_of(run)
    names = ", ".join(failure.tasks)
    which = f"its {'task' if len(failure.tasks) == 1 else 'tasks'} {names} failed" if names else f"it ended {run.state}"
    text = [f"The run {run.run_id} did not succeed: {which}: {failure.reason}", f"Look at {page}"]
    for node, log in failure.logs:
        text += [f"Last lines of the log of {node}:", *(f"  {line}" for line in log[-lines:])]
    if failure.unread:
        text.append(f"{failure.unread} more pods failed.")
    logs = "\n".join(line for _, log in failure.logs for line in log)
    final = any(re.search(pattern, logs) for pattern in no_retry_on)
    return (KfpRunFailedForGood if final else KfpRunFailed)("\n".join(text))
