"""Runs on a cluster: a compiled pipeline is uploaded, a run is created once, watched to its end, and explained.

The id of a run follows from the pipeline, its as-of day and its parameters: whoever submits the same thing again, or
at the same time, meets the run that is there already.
"""

import datetime
import hashlib
import os
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import yaml
from kfp_runs.answers import NewRun, PipelineSpec, Run, RuntimeConfig
from kfp_runs.client import Client
from kfp_runs.creation import create_once, take_up
from kfp_runs.errors import ServerError
from kfp_runs.failure import failure_of
from kfp_runs.parameters import check_parameters, parameters_of_spec
from kfp_runs.runs import CANCELED, SUCCEEDED, tasks_of
from kfp_runs.server import Server
from kfp_runs.uploads import ensure_experiment, upload
from kfp_runs.watch import Ending, Watch, now

from components.credit.book.store import Store, access_from_environment
from components.credit.errors import ClusterError, InputError, QuipuError, nearest
from pipelines.kfp_server import ServerRefused, refusals
from pipelines.revision import code_revision
from pipelines.run import find_mapping, landed, merged_config, resolve_as_of

_EXPERIMENT = "quipu"
_NAMESPACE = uuid.UUID("6f0c4e0e-5a59-5b1c-9f0e-6e3a3d0f9b57")
_ATTEMPTS = 6
_LOOK_SECONDS = 5.0
_OUTAGE_SECONDS = 600.0  # that the server may be away
_STANDALONE = "kubeflow"  # namespace of the runs where Kubeflow has one user


class RunFailed(QuipuError):
    """A run on the cluster did not succeed; the text names the task and the reason in its log."""


@dataclass(frozen=True)
class Submitted:
    """A run on the cluster.

    Args:
        run: Its id.
        adopted: Whether it was there already; one that had failed is tried again.
    """

    run: str
    adopted: bool


def ordered(
    pipeline: str, source: str, mapping: str, config: Path | None, as_of: datetime.date | None, more: list[str]
) -> tuple[Path, dict[str, str]]:
    """The compiled pipeline and the parameters of an order; mapping and configuration go to the landing bucket.

    The pipeline comes from the folder QUIPU_PIPELINES, which ``make compile`` fills for a cluster, else from here.

    Args:
        pipeline: Name of the pipeline's file, without its ending.
        source: Landing prefix of the lender's files; empty where the pipeline takes none.
        mapping: Name or path of the mapping; empty where the pipeline takes none.
        config: Configuration laid over the mapping's own, or None.
        as_of: As-of day; None follows the mapping, then today.
        more: Other parameters, each ``name=value``.

    Raises:
        InputError: There is no such pipeline or mapping, or a parameter is not ``name=value``.
        StoreError: The landing bucket cannot be written.
    """
    folder = Path(os.environ.get("QUIPU_PIPELINES") or Path(__file__).parent)
    packages = {path.stem: path for path in sorted(folder.glob("*.yaml")) if not path.name.startswith("component-")}
    if not packages:
        raise InputError(f"QUIPU_PIPELINES names {folder}, where no compiled pipeline is; run 'make compile' for it.")
    if pipeline not in packages:
        raise InputError(
            f"There is no pipeline '{pipeline}'{nearest(pipeline, packages) or '; there are ' + ', '.join(packages)}"
        )
    parameters = {"code": code_revision()}
    if source:
        parameters["source"] = source
    if mapping:
        store = Store(access_from_environment())
        text, found = find_mapping(mapping)
        parameters["mapping"] = landed(store, "mappings", text)
        parameters["config"] = landed(store, "configurations", merged_config(found, config))
        as_of = resolve_as_of(as_of, found)
    if as_of:
        parameters["as_of"] = as_of.isoformat()
    for each in more:
        name, equals, value = each.partition("=")
        if not equals:
            raise InputError(f"The parameter '{each}' has no value; give --parameter name=value.")
        parameters[name] = value
    return packages[pipeline], parameters


def run_id(pipeline: str, parameters: Mapping[str, Any]) -> str:
    """The id of the run of a pipeline with these parameters, as_of and data among them."""
    named = "\n".join([pipeline, *(f"{name}={parameters[name]}" for name in sorted(parameters))])
    return str(uuid.uuid5(_NAMESPACE, named))


def submit(server: Server, package: Path, parameters: Mapping[str, str]) -> Submitted:
    """Upload a compiled pipeline where it is new, and create its run where it is not there yet.

    Args:
        server: The server.
        package: Compiled pipeline (YAML).
        parameters: Its parameters.

    Raises:
        InputError: A parameter that the pipeline does not have, or one that is missing.
        ServerRefused: The server is away or refuses.
    """
    content = package.read_bytes()
    document = next(yaml.safe_load_all(content))
    name, version = document["pipelineInfo"]["name"], hashlib.sha256(content).hexdigest()[:12]
    wanted = run_id(f"{name} {version}", parameters)
    client = Client(server, _ATTEMPTS)
    with refusals():
        check_parameters(parameters, parameters_of_spec(msgspec.convert(document, PipelineSpec)), name)
        present = client.find_run(wanted)
        if present is None:
            new = NewRun(
                run_id=wanted,
                display_name=f"{name} {parameters.get('as_of', '')}".strip(),
                pipeline_version_reference=upload(client, name, version, (f"{name}.yaml", content)),
                runtime_config=RuntimeConfig(dict(parameters)),
                experiment_id=ensure_experiment(client, _EXPERIMENT),
                service_account="quipu-runner",
            )
            return Submitted(wanted, create_once(client, new).adopted)
        take_up(client, present)
        return Submitted(wanted, adopted=True)


def watch(
    server: Server,
    run: str,
    say: Callable[[str], None],
    start_seconds: float,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Tell of each task as it moves on, until the run has ended.

    Args:
        server: The server.
        run: Id of the run.
        say: Told one line each time.
        start_seconds: Seconds that a pod may take to start before the run is ended.
        sleep: Waits so many seconds between two looks.

    Raises:
        RunFailed: The run failed, was cancelled, is gone, or its pods do not start.
        ServerRefused: The server was away for long.
    """
    client, states = Client(server, _ATTEMPTS), dict[str, str]()
    rules = Watch(run, None, start_seconds, _OUTAGE_SECONDS, say, lambda run_id: _why_pods_wait(server, run_id))
    while True:
        answer: Run | None = None
        try:
            answer = client.run(run)
            for line in news(answer, states):
                say(line)
            ending = rules.answered(answer, now())
        except ServerError as problem:
            ending = rules.failed(problem, now())
        if ending is not None:
            with refusals():
                _conclude(client, answer, ending, start_seconds)
            return
        sleep(_LOOK_SECONDS)


def news(run: Run, states: dict[str, str]) -> list[str]:
    """Lines on the tasks whose state has changed since the last look, which ``states`` keeps by name."""
    lines = []
    for task in tasks_of(run):
        if states.get(task.name) != task.state:
            states[task.name] = task.state
            lines.append(f"{task.name:<16} {task.state.lower()}")
    return lines


def cancel(server: Server, run: str) -> None:
    """End a run; ends quietly where it has ended already."""
    with refusals():
        Client(server, _ATTEMPTS).terminate(run)


def _conclude(client: Client, run: Run | None, ending: Ending, start_seconds: float) -> None:
    """Return where the run succeeded.

    Raises:
        RunFailed: It did not.
        ServerRefused: The server was away for long.
    """
    if ending.outcome == "not_started":
        client.terminate(ending.run_id)
        raise RunFailed(
            f"The run {ending.run_id} was ended after {start_seconds:.0f} s (KFP_START_SECONDS). {ending.reason}"
        )
    if ending.outcome == "gone":
        raise RunFailed(f"The run {ending.run_id} is gone from the server; submit it again.")
    if run is None:
        raise ServerRefused(f"The run {ending.run_id} may go on, but nobody can be asked about it. {ending.reason}")
    if ending.state == CANCELED:
        raise RunFailed(f"The run {ending.run_id} was cancelled.")
    if ending.state != SUCCEEDED:
        failure = failure_of(client, run)
        names = ", ".join(failure.tasks) or f"The run {ending.run_id}"
        raise RunFailed(f"{names} failed: {failure.reason.sentence or failure.reason.error}")


def _why_pods_wait(server: Server, run: str) -> str:
    """What the cluster says of pods that do not start; empty where it may not be asked, or says nothing."""
    # Imported here: the Kubernetes client takes a second, and most runs start.
    from components.deploy.cluster import Cluster

    try:
        return Cluster(server.namespace or _STANDALONE, seconds=3).trouble_of_run(run)
    except (ClusterError, InputError):
        return ""
