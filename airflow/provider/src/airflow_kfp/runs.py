"""What an answer about a run says: its state, which tasks failed or wait, and in which pods to look.

Tasks of a run come as a flat list of workflow nodes. A pipeline's own task ``check`` appears as ``check`` and
``check(0)``; around it stand ``check-driver``, ``executor``, ``root`` and the workflow itself. A node without a
state never started. Times before 2000 mean that something has not happened yet.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

SUCCEEDED = "SUCCEEDED"
ENDED = frozenset({SUCCEEDED, "SKIPPED", "FAILED", "CANCELED"})
ACTIVE = frozenset({"RUNTIME_STATE_UNSPECIFIED", "PENDING", "RUNNING", "CANCELING", "PAUSED"})

_NOT_A_TASK = re.compile(
    r"root|executor|.*-driver|.*\(\d+(:\d+)?\)|iteration-.*|(for-loop|condition|condition-branches|exit-handler)-\d+"
)
# Argo names a pod <workflow>-<template>-<hash>, and <workflow>-<hash> in its older way; the answers
# give the older name always.
_TEMPLATES = {
    "executor": ("system-container-impl", "retry-system-container-impl"),
    "driver": ("system-container-driver", "system-dag-driver"),
}


@dataclass(frozen=True)
class FailedNode:
    """A pod that failed: the id of its node and what it ran, ``executor`` or ``driver``."""

    node: str
    kind: str


def state_of(run: Mapping[str, Any]) -> str:
    """State of a run as the server writes it."""
    return str(run.get("state") or "RUNTIME_STATE_UNSPECIFIED")


def was_canceled(run: Mapping[str, Any]) -> bool:
    """Whether a run that ended was stopped on request; such a run ends CANCELED or FAILED."""
    history = [str(step.get("state")) for step in run.get("state_history") or []]
    return state_of(run) == "CANCELED" or history[-2:] == ["CANCELING", "FAILED"]


def failed_tasks(run: Mapping[str, Any]) -> list[str]:
    """Names of the pipeline's tasks that failed, in order."""
    return sorted({name for task, name in _own_tasks(run) if task.get("state") == "FAILED"})


def finished_tasks(run: Mapping[str, Any]) -> set[str]:
    """Names of the pipeline's tasks that succeeded; a task behind a condition that did not hold is not there."""
    return {name for task, name in _own_tasks(run) if task.get("state") == SUCCEEDED}


def failed_nodes(run: Mapping[str, Any]) -> list[FailedNode]:
    """The pods that failed, last attempt of each, those of user code before drivers."""
    found = []
    for task in _tasks(run):
        name = str(task.get("display_name"))
        kind = "executor" if name == "executor" else "driver" if name.endswith("-driver") else ""
        children = _children(task)
        if kind and children and task.get("state") == "FAILED":
            found.append(FailedNode(children[-1], kind))
    return sorted(found, key=lambda one: (one.kind != "executor", one.node))


def pod_names(node: str, kind: str) -> list[str]:
    """Names that the pod of a node may have, likeliest first."""
    workflow, _, number = node.rpartition("-")
    return [f"{workflow}-{template}-{number}" for template in _TEMPLATES[kind]] + [node]


def waiting_since(run: Mapping[str, Any]) -> tuple[datetime, str] | None:
    """Since when a run waits for something that does not start, and for what; None where nothing waits.

    A pod that cannot start (no image, no node, an image whose user is not a number) leaves its run RUNNING
    for ever, with a task that stays PENDING or without a state.
    """
    if state_of(run) == "PENDING" and not _tasks(run):
        created = _time(run.get("created_at"))
        return (created, "the workflow, which no controller has taken up") if created else None
    waiting = [
        since
        for task in _tasks(run)
        if task.get("display_name")
        and (task.get("state") or "PENDING") == "PENDING"
        and _time(task.get("end_time")) is None
        and (since := _time(task.get("start_time")) or _time(task.get("create_time")))
    ]
    if not waiting:
        return None
    running = sorted({name for task, name in _own_tasks(run) if task.get("state") == "RUNNING"})
    drivers = sorted(
        str(task["display_name"]).removesuffix("-driver")
        for task in _tasks(run)
        if str(task.get("display_name")).endswith("-driver") and task.get("state") == "RUNNING"
    )
    names = " and ".join(f"'{name}'" for name in running or drivers) or "one of its tasks"
    return min(waiting), f"the pod of {names}"


def _own_tasks(run: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], str]]:
    workflows = {node.rpartition("-")[0] for task in _tasks(run) for node in _children(task)}
    named = [(task, str(task.get("display_name") or "")) for task in _tasks(run)]
    return [(task, name) for task, name in named if name and name not in workflows and not _NOT_A_TASK.fullmatch(name)]


def _tasks(run: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list((run.get("run_details") or {}).get("task_details") or [])


def _children(task: Mapping[str, Any]) -> list[str]:
    return [str(child["pod_name"]) for child in task.get("child_tasks") or [] if child.get("pod_name")]


def _time(text: object) -> datetime | None:
    if not text:
        return None
    moment = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment if moment.year >= 2000 else None
