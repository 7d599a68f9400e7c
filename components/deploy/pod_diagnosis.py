"""Why a Deployment does not get ready, in one sentence, by what Kubernetes tells of it and of its pods."""

from collections.abc import Iterable
from typing import Any

_PULLING = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
_CONFIGURATION = ("CreateContainerConfigError", "CreateContainerError")


def trouble_of(name: str, namespace: str, status: dict[str, Any], pods: Iterable[dict[str, Any]]) -> str:
    """The first trouble that is told; empty where nothing is, and the pods may only need time.

    Args:
        name: Name of the Deployment.
        namespace: Its namespace.
        status: Its status.
        pods: Its pods.
    """
    for condition in status.get("conditions", []):
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            message = condition.get("message", "")
            _, over, quota = message.partition("exceeded quota: ")
            if over:
                return f"The quota of namespace {namespace} has no room for {name} ({quota}); raise it, or free some."
            return f"The pods of {name} are not admitted: {_clause(message)}."
    for pod in pods:
        for container in pod.get("status", {}).get("containerStatuses", []):
            if sentence := _waiting(name, container):
                return sentence
        for condition in pod.get("status", {}).get("conditions", []):
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                return f"No node takes a pod of {name}: {_clause(condition.get('message', ''))}."
    return ""


def _waiting(name: str, container: dict[str, Any]) -> str:
    waiting = container.get("state", {}).get("waiting", {})
    reason = waiting.get("reason", "")
    if reason in _PULLING:
        return (
            f"The image {container['image']} of {name} cannot be pulled ({reason}); check its name, the registry and "
            "the pull secret."
        )
    if reason in _CONFIGURATION:
        return f"A pod of {name} cannot be set up: {_clause(waiting.get('message', ''))}."
    if reason == "CrashLoopBackOff":
        ended = container.get("lastState", {}).get("terminated", {})
        said = (ended.get("message", "").strip().splitlines() or [f"exit code {ended.get('exitCode')}"])[-1]
        return f"The scorer of {name} ends at its start: {_clause(said)}."
    return ""


def _clause(message: str) -> str:
    return message.strip().rstrip(".") or "no reason is given"
