"""What the pod of each task gets on a cluster: room, time, retries, its own secret, and no privilege.

On one machine all of it is passed over. QUIPU_NODE_SELECTOR (``label=value``), set when a pipeline is compiled, sends
the pods of all tasks to the nodes with that label.
"""

import os
from dataclasses import dataclass

from kfp import kubernetes
from kfp.dsl import PipelineTask

from components.credit.errors import InputError

_USER = 1000  # as in images/Dockerfile; the kubelet refuses a name where it must not be root
_STORE = {"access_key": "QUIPU_STORE_ACCESS_KEY", "secret_key": "QUIPU_STORE_SECRET_KEY"}
_PLACE = {"endpoint": "QUIPU_STORE_ENDPOINT", "region": "QUIPU_STORE_REGION", "secure": "QUIPU_STORE_SECURE"}


@dataclass(frozen=True)
class Pod:
    """What a stage's pod gets.

    Args:
        secret: Secret with the stage's credential for the store.
        cpu: Cores that it may use; half of them are kept for it.
        memory: Most memory, which is also kept for it: a stage that is moved out of memory is a stage that failed.
        minutes: Most time of one attempt.
        cached: Whether the same inputs may reuse the outputs of an earlier run. A stage that reads what changes
            outside, that decides, or that acts is never cached.
        keys: Other secrets: name, entry, and the variable that the entry becomes.
        optional: The same, of secrets that a cluster may lack.
    """

    secret: str
    cpu: float = 1
    memory: str = "2Gi"
    minutes: int = 60
    cached: bool = True
    keys: tuple[tuple[str, str, str], ...] = ()
    optional: tuple[tuple[str, str, str], ...] = ()


_VERIFY = ("verify-key", "verify.pem", "QUIPU_VERIFY_KEY")

PODS = {
    "ingest": Pod(
        "store-ingest", memory="1Gi", cached=False, keys=(("pseudonym-key", "pseudonym.key", "QUIPU_PSEUDONYM_KEY"),)
    ),
    "validate": Pod("store-validate", memory="4Gi", cached=False),
    "feature": Pod("store-feature", cpu=2),
    "train-sklearn": Pod("store-train", cpu=2, memory="4Gi", minutes=180),
    "train-xgboost": Pod("store-train", cpu=2, memory="4Gi", minutes=180),
    "evaluate": Pod("store-evaluate", cached=False),
    "deploy": Pod(
        "store-deploy",
        memory="1Gi",
        cached=False,
        keys=(("signing-key", "signing.pem", "QUIPU_SIGNING_KEY"), _VERIFY),
        optional=(("scorer-token", "token", "QUIPU_SCORER_TOKEN"),),  # where the scorer asks for one
    ),
    "plan": Pod("store-score", memory="1Gi", cached=False, keys=(_VERIFY,)),
    "score": Pod("store-score", cpu=2, memory="1Gi", keys=(_VERIFY,)),
    "report": Pod("store-score", memory="1Gi", keys=(_VERIFY,)),
    "monitor": Pod("store-monitor", cached=False, keys=(_VERIFY,)),
    "drift": Pod("store-monitor", memory="1Gi", cached=False),
}


def on_cluster(task: PipelineTask, stage: str) -> PipelineTask:
    """Give a task what its stage's pod needs.

    Args:
        task: The task.
        stage: Kebab-case name of the stage, a key of ``PODS``.

    Raises:
        InputError: QUIPU_NODE_SELECTOR is not ``label=value``.
    """
    pod = PODS[stage]
    task.set_cpu_request(f"{pod.cpu / 2:g}").set_cpu_limit(f"{pod.cpu:g}")
    task.set_memory_request(pod.memory).set_memory_limit(pod.memory)
    task.set_caching_options(pod.cached)
    task.set_retry(num_retries=2, backoff_duration="30s", backoff_factor=2, backoff_max_duration="300s")
    kubernetes.set_timeout(task, pod.minutes * 60)
    kubernetes.set_security_context(task, run_as_user=_USER, run_as_group=_USER, run_as_non_root=True)
    kubernetes.use_config_map_as_env(task, "quipu-store", _PLACE)
    kubernetes.use_secret_as_env(task, pod.secret, _STORE)
    for secrets, optional in ((pod.keys, False), (pod.optional, True)):
        for secret, entry, variable in secrets:
            kubernetes.use_secret_as_env(task, secret, {entry: variable}, optional=optional)
    label, _, value = os.environ.get("QUIPU_NODE_SELECTOR", "").partition("=")
    if label and value:
        kubernetes.add_node_selector(task, label, value)
    elif label:
        raise InputError(f"QUIPU_NODE_SELECTOR is '{label}'; give label=value.")
    return task
