"""What recorded answers mean: one table, which the provider, ``quipu submit`` and the exporter must read alike.

The provider's tests run in Airflow's environment, the others in the pipelines'; both read the answers from
``replay.Server``, with ``changes`` laid over what was recorded.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_RECORDED = Path(__file__).resolve().parents[1] / "kfp_api"


def _response(name: str) -> Any:
    return json.loads((_RECORDED / f"{name}.json").read_text(encoding="utf-8"))["response"]


def _with_nodes(name: str, *nodes: Any) -> dict[str, Any]:
    return {"run_details": {"task_details": [*_response(name)["run_details"]["task_details"], *nodes]}}


def _history(*states: str) -> dict[str, Any]:
    return {"state": states[-1], "state_history": [{"state": state} for state in states]}


@dataclass(frozen=True)
class Reading:
    """A recorded answer about a run, what is changed in it, and what it means.

    Attributes:
        case: What is special about it.
        answer: Name of the recorded exchange.
        state: State of the run, CANCELED where it was cancelled.
        tasks: State of each task of the pipeline that has started.
        failed: Tasks that failed.
        reason: Sentence on why the run failed.
        changes: Values laid over the answer.
    """

    case: str
    answer: str
    state: str
    tasks: dict[str, str]
    failed: tuple[str, ...] = ()
    reason: str = ""
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether the run is over."""
        return self.state in {"SUCCEEDED", "FAILED", "CANCELED"}


_REASON = "portfolio has 10 rows; at least 100 are needed"
_CANCELED = {"check": "SUCCEEDED", "slow": "FAILED"}
_SUCCEEDED = dict.fromkeys(("evaluate", "feature", "ingest"), "SUCCEEDED")
_UNNAMED = json.loads((_RECORDED / "task_without_display_name.json").read_text(encoding="utf-8"))
_NUMBERED = ("exit-handler-1", "condition-1", "condition-branches-2", "for-loop-3")

TABLE = [
    Reading("nothing has started", "run_pending", "PENDING", {}),
    Reading("its driver has not started", "run_running", "RUNNING", {}),
    Reading("one task of two is done", "run_running_tasks", "RUNNING", {"check": "SUCCEEDED"}),
    Reading("a task failed", "run_failed", "FAILED", {"check": "FAILED"}, ("check",), _REASON),
    Reading("a failed task is tried again", "run_retried", "RUNNING", {"check": "RUNNING"}),
    Reading("it succeeded, with a loop", "run_succeeded", "SUCCEEDED", _SUCCEEDED),
    Reading("cancelled, which the server calls FAILED", "run_canceled", "CANCELED", _CANCELED),
    Reading(
        "cancelled, which the server calls SKIPPED",
        "run_canceled",
        "CANCELED",
        _CANCELED,
        changes=_history("RUNNING", "CANCELING", "SKIPPED"),
    ),
    Reading("cancelled, and so called", "run_canceled", "CANCELED", _CANCELED, changes=_history("CANCELED")),
    Reading(
        "cancelled, tried again, failed by itself",
        "run_failed",
        "FAILED",
        {"check": "FAILED"},
        ("check",),
        _REASON,
        changes=_history("RUNNING", "CANCELING", "FAILED", "RUNNING", "FAILED"),
    ),
    Reading(
        "it succeeded before the cancellation came",
        "run_succeeded",
        "SUCCEEDED",
        _SUCCEEDED,
        changes=_history("RUNNING", "CANCELING", "SUCCEEDED"),
    ),
    Reading(
        "nodes without a name",
        "run_succeeded",
        "SUCCEEDED",
        _SUCCEEDED,
        changes=_with_nodes("run_succeeded", *_UNNAMED),
    ),
    Reading(
        "a task is named as control flow is, and control flow stands beside it",
        "run_failed",
        "FAILED",
        {"check": "FAILED", "condition-check": "FAILED"},
        ("check", "condition-check"),
        _REASON,
        changes=_with_nodes(
            "run_failed", *({"display_name": name, "state": "FAILED"} for name in ("condition-check", *_NUMBERED))
        ),
    ),
]

# Statuses after which a reader asks again, and others after which it does not.
BUSY, NOT_BUSY = (429, 500, 502, 503, 504), (400, 403, 404)
