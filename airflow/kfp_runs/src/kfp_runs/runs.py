"""What an answer about a run says: its state, its tasks, which of them failed, and what waits.

The server lists a flat set of workflow nodes. A pipeline's own task ``check`` appears as ``check`` and ``check(0)``;
around it stand ``check-driver``, ``executor``, ``root`` and the workflow itself. A loop lists a task several times.
"""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Literal, NamedTuple

from kfp_runs.answers import Node, Run, happened

SUCCEEDED, FAILED, CANCELED = "SUCCEEDED", "FAILED", "CANCELED"
ENDED = frozenset({SUCCEEDED, "SKIPPED", FAILED, CANCELED})
ACTIVE = frozenset({"RUNTIME_STATE_UNSPECIFIED", "PENDING", "RUNNING", "CANCELING", "PAUSED"})

# Control flow carries a number that the compiler gives; a task that somebody names `condition-check` has none.
_NOT_A_TASK = re.compile(
    r"root|executor|.*-driver|.*\(\d+(:\d+)?\)|iteration-.*|(for-loop|condition|condition-branches|exit-handler)-\d+"
)
# Argo names a pod <workflow>-<template>-<number>, with `retry-` before the template where the task may be retried, and
# <workflow>-<number> in its older way; the answers always give the older name.
_TEMPLATES = {
    "executor": ("system-container-impl", "retry-system-container-impl"),
    "driver": ("system-container-driver", "system-dag-driver"),
}
_FIRST_OF_SEVERAL = ("RUNNING", "PENDING", FAILED, "CANCELED")  # the state of a task that a loop lists several times


class Task(NamedTuple):
    """A task of the pipeline that has started.

    Attributes:
        name: Its name.
        state: RUNNING before PENDING before FAILED, where a loop runs it several times.
        started: Start of its first run; None where the server does not say.
        ended: End of its last one; None while one runs.
    """

    name: str
    state: str
    started: datetime | None
    ended: datetime | None

    @property
    def seconds(self) -> float | None:
        """Seconds from start to end; None while it runs."""
        return (self.ended - self.started).total_seconds() if self.started and self.ended else None


class FailedPod(NamedTuple):
    """The last pod of a node that failed.

    Attributes:
        node: Id of the node, ``<workflow>-<number>``.
        kind: ``executor`` for the task's own code, ``driver`` for what prepares it.
    """

    node: str
    kind: Literal["executor", "driver"]


class Waiting(NamedTuple):
    """What does not start, such as ``the pod of 'feature'``, and since when (UTC)."""

    since: datetime
    what: str


def was_cancelled(run: Run) -> bool:
    """Whether a run ended because somebody asked for it; such a run ends CANCELED, FAILED or SKIPPED."""
    if run.state == CANCELED:
        return True
    last_two = [step.state for step in run.state_history or []][-2:]
    return run.state in ENDED - {SUCCEEDED} and "CANCELING" in last_two


def final_state(run: Run) -> str:
    """State of a run, CANCELED where it was cancelled, whatever the server calls that."""
    return CANCELED if was_cancelled(run) else run.state


def tasks_of(run: Run) -> list[Task]:
    """The pipeline's tasks that have started, by name."""
    by_name: dict[str, list[Node]] = {}
    for node in _own_nodes(run):
        if node.state:
            by_name.setdefault(str(node.display_name), []).append(node)
    return [_task(name, nodes) for name, nodes in sorted(by_name.items())]


def failed_tasks(run: Run) -> list[str]:
    """Names of the tasks that failed, by name; none in a run that was cancelled, which ends its tasks as FAILED."""
    return [] if was_cancelled(run) else [task.name for task in tasks_of(run) if task.state == FAILED]


def finished_tasks(run: Run) -> set[str]:
    """Names of the tasks that succeeded; a task behind a condition that did not hold is not there."""
    return {task.name for task in tasks_of(run) if task.state == SUCCEEDED}


def failed_pods(run: Run) -> list[FailedPod]:
    """The pods that failed, last attempt of each, those of the tasks' own code before drivers."""
    pods = []
    for node in run.nodes:
        if node.state == FAILED and node.children:
            if node.display_name == "executor":
                pods.append(FailedPod(node.children[-1], "executor"))
            elif str(node.display_name).endswith("-driver"):
                pods.append(FailedPod(node.children[-1], "driver"))
    return sorted(pods, key=lambda pod: (pod.kind != "executor", pod.node))


def pod_names(pod: FailedPod) -> list[str]:
    """Names that a pod may have, likeliest first: the answers do not tell whether its task may be retried."""
    workflow, _, number = pod.node.rpartition("-")
    return [f"{workflow}-{template}-{number}" for template in _TEMPLATES[pod.kind]] + [pod.node]


def waiting_in(run: Run) -> Waiting | None:
    """What a run waits for that does not start; None where nothing waits.

    A pod that cannot start (no image, no node, no secret, an image whose user is not a number) leaves its run RUNNING
    for ever, with a node that stays PENDING or without a state.
    """
    if run.state in ENDED:
        return None
    if run.state == "PENDING" and not run.nodes:
        created = happened(run.created_at)
        return Waiting(created, "the workflow, which no controller has taken up,") if created else None
    since = [
        moment
        for node in run.nodes
        if (node.state or "PENDING") == "PENDING"
        and happened(node.end_time) is None
        and (moment := happened(node.start_time) or happened(node.create_time))
    ]
    if not since:
        return None
    running = [task.name for task in tasks_of(run) if task.state == "RUNNING"]
    drivers = {
        str(node.display_name).removesuffix("-driver")
        for node in run.nodes
        if str(node.display_name).endswith("-driver") and node.state == "RUNNING"
    }
    names = " and ".join(f"'{name}'" for name in running or sorted(drivers)) or "one of its tasks"
    return Waiting(min(since), f"the pod of {names}")


def _own_nodes(run: Run) -> Iterable[Node]:
    workflows = {child.rpartition("-")[0] for node in run.nodes for child in node.children}
    for node in run.nodes:
        name = str(node.display_name)
        if name not in workflows and not _NOT_A_TASK.fullmatch(name):
            yield node


def _task(name: str, nodes: list[Node]) -> Task:
    states = [str(node.state) for node in nodes]
    state = next((each for each in _FIRST_OF_SEVERAL if each in states), states[0])
    starts = [moment for node in nodes if (moment := happened(node.start_time))]
    ends = [happened(node.end_time) for node in nodes]
    known = [moment for moment in ends if moment]
    return Task(name, state, min(starts, default=None), max(known) if len(known) == len(ends) else None)
