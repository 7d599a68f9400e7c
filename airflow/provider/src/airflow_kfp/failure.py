"""Why a run ended badly, in one sentence first and with the end of the log below it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airflow_kfp.errors import KfpRunCanceled, KfpRunError, KfpRunFailed, KfpRunFailedForGood
from airflow_kfp.hooks import KfpHook
from airflow_kfp.runs import failed_nodes, failed_tasks, state_of, was_canceled

_PODS_SHOWN = 3
_TRACEBACK = "Traceback (most recent call last):"
_LAUNCHER = re.compile(r"[IWEF]\d{4} \d\d:\d\d:\d\d")
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(: .*)?")


def reason_in(lines: Sequence[str]) -> str:
    """The line of a log that says why: the exception of the last traceback, else the last line of the code's own."""
    own = [line for line in lines if not _LAUNCHER.match(line)]
    if _TRACEBACK in own:
        last = len(own) - own[::-1].index(_TRACEBACK)
        for line in own[last:]:
            if _EXCEPTION.fullmatch(line):
                return line
    return own[-1] if own else ""


def error_of(
    hook: KfpHook, run: Mapping[str, Any], lines: int, no_retry_on: Iterable[str], killed_by_us: bool
) -> KfpRunError:
    """The error to raise for a run that ended, but not well.

    Args:
        hook: Where to fetch logs from.
        run: The run.
        lines: How many lines of each failed pod's log to show.
        no_retry_on: Patterns; where one is found in a log, a retry is useless.
        killed_by_us: Whether this task asked for the run's end itself.
    """
    run_id, state = str(run["run_id"]), state_of(run)
    page = hook.endpoint.run_page(run_id)
    if was_canceled(run):
        if killed_by_us:
            return KfpRunFailed(f"The run {run_id} was stopped because this task was killed: {page}")
        return KfpRunCanceled(
            f"The run {run_id} was cancelled in Kubeflow Pipelines, so it is not retried; "
            f"clear this task to let it go on: {page}"
        )
    tasks = failed_tasks(run)
    nodes = failed_nodes(run)
    tails = {node.node: hook.log_tail(run_id, node.node, node.kind, lines) for node in nodes[:_PODS_SHOWN]}
    reasons = [reason for tail in tails.values() if (reason := reason_in(tail))]
    said = reasons[0] if reasons else str((run.get("error") or {}).get("message") or "its log is not kept any more")
    which = f"its {'task' if len(tasks) == 1 else 'tasks'} {', '.join(tasks)} failed" if tasks else f"it ended {state}"
    text = [f"The run {run_id} did not succeed: {which}: {said}", f"Look at {page}"]
    for node, tail in tails.items():
        if tail:
            text += [f"Last lines of the log of {node}:", *(f"  {line}" for line in tail)]
    if len(nodes) > _PODS_SHOWN:
        text.append(f"{len(nodes) - _PODS_SHOWN} more pods failed.")
    logs = "\n".join(line for tail in tails.values() for line in tail)
    final = any(re.search(pattern, logs) for pattern in no_retry_on)
    return (KfpRunFailedForGood if final else KfpRunFailed)("\n".join(text))
