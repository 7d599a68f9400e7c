"""Why a run failed, from the logs of its pods."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from kfp_runs.answers import Run
from kfp_runs.client import Client
from kfp_runs.runs import failed_pods, failed_tasks

_PODS_READ = 3
_TRACEBACK = "Traceback (most recent call last):"
_LAUNCHER = re.compile(r"[IWEF]\d{4} \d\d:\d\d:\d\d\S* +\d+ [\w.]+:\d+\] ?")
_EXECUTOR = re.compile(r"\[KFP Executor [^]]*\]:")
_EXCEPTION = re.compile(r"([A-Za-z_][\w.]*)(?:: (.*))?")


class Reason(NamedTuple):
    """Why a task failed.

    Attributes:
        error: Class of the exception, such as ``components.credit.errors.InputError``; empty where there is none.
        sentence: What it says.
    """

    error: str
    sentence: str

    def __str__(self) -> str:
        return ": ".join(part for part in self if part)


class PodLog(NamedTuple):
    """Lines of the log of one pod that failed."""

    node: str
    lines: list[str]


class Failure(NamedTuple):
    """Why a run failed.

    Attributes:
        tasks: The tasks that failed, by name.
        reason: Reason of the first pod whose log says one.
        logs: Logs of the first pods that failed, none empty.
        unread: How many more pods failed.
    """

    tasks: list[str]
    reason: Reason
    logs: list[PodLog]
    unread: int


def failure_of(client: Client, run: Run) -> Failure:
    """Why a run that ended badly did so.

    Args:
        client: The server.
        run: The run.
    """
    pods = failed_pods(run)
    read = [PodLog(pod.node, client.log_of(run.run_id, pod)) for pod in pods[:_PODS_READ]]
    logs = [log for log in read if log.lines]
    reasons = [reason for log in logs if (reason := reason_in(log.lines))]
    said = (run.error.message if run.error else None) or "its log is not kept any more"
    return Failure(failed_tasks(run), reasons[0] if reasons else Reason("", said), logs, max(0, len(pods) - _PODS_READ))


def reason_in(lines: Sequence[str]) -> Reason | None:
    """What a log says of the end: the last traceback's exception, else the last line of the code, else the launcher's.

    Args:
        lines: A pod's log: lines of KFP's launcher and executor, the executor's input as JSON, and the code's own.
    """
    own = _own_lines(lines)
    if _TRACEBACK in own:
        last = len(own) - own[::-1].index(_TRACEBACK)
        for line in own[last:]:
            if match := _EXCEPTION.fullmatch(line):
                return Reason(match[1], match[2] or "")
    if own:
        return Reason("", own[-1])
    fatal = [line for line in lines if line.startswith(("E", "F")) and _LAUNCHER.match(line)]
    return Reason("", _LAUNCHER.sub("", fatal[-1], count=1)) if fatal else None


def _own_lines(lines: Sequence[str]) -> list[str]:
    own: list[str] = []
    in_json = False
    for line in lines:
        if in_json:
            in_json = line != "}"
        elif _EXECUTOR.match(line):
            in_json = line.endswith("executor_input:")
        elif not _LAUNCHER.match(line):
            own.append(line)
    return own
