"""Runs on a cluster: a compiled pipeline is uploaded, a run is created once, watched to its end, and explained.

The id of a run follows from the pipeline, its as-of day and its parameters: whoever submits the same thing again, or
at the same time, meets the run that is there already.
"""

import datetime
import hashlib
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from components.credit.book.store import Store, access_from_environment
from components.credit.errors import InputError, QuipuError, nearest
from pipelines.kfp_server import Server, ServerRefused, call, log_of
from pipelines.revision import code_revision
from pipelines.run import find_mapping, landed, merged_config, resolve_as_of

ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
_EXPERIMENT = "quipu"
_NAMESPACE = uuid.UUID("6f0c4e0e-5a59-5b1c-9f0e-6e3a3d0f9b57")
_LOOK_SECONDS = 5.0
_START_SECONDS = 300.0  # that a pod may take to start before one is warned
_OUTAGE_SECONDS = 600.0  # that the server may be away
_NOT_A_TASK = re.compile(
    r"root|executor|.*-driver|.*\(\d+(:\d+)?\)|iteration-.*|(for-loop|condition|condition-branches|exit-handler)-\d+"
)
_LAUNCHER = re.compile(r"[IWEF]\d{4} \d\d:\d\d:\d\d")
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*: .+")


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


@dataclass
class Watched:
    """What has been seen of a run: the state of each task, and what one was warned of."""

    tasks: dict[str, str] = field(default_factory=dict)
    warned: set[str] = field(default_factory=set)


def ordered(
    pipeline: str, source: str, mapping: str, config: Path | None, as_of: datetime.date | None, more: list[str]
) -> tuple[Path, dict[str, str]]:
    """The compiled pipeline and the parameters of an order; mapping and configuration go to the landing bucket.

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
    packages = {path.stem: path for path in sorted(Path(__file__).parent.glob("*.yaml"))}
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
    spec = next(yaml.safe_load_all(content))
    name = spec["pipelineInfo"]["name"]
    _check(name, spec, parameters)
    wanted = run_id(f"{name} {hashlib.sha256(content).hexdigest()[:12]}", parameters)
    found = call(server, "GET", f"/runs/{wanted}", missing=True)
    if found is not None:
        if found.get("state") in ("FAILED", "CANCELED"):
            call(server, "POST", f"/runs/{wanted}:retry")  # what succeeded is kept
        return Submitted(wanted, adopted=True)
    pipeline, version = _uploaded(server, name, content)
    experiment = _experiment(server)
    if call(server, "GET", f"/runs/{wanted}", missing=True) is not None:
        return Submitted(wanted, adopted=True)  # another submitter was first
    body = {
        "display_name": f"{name} {parameters.get('as_of', '')}".strip(),
        "run_id": wanted,
        "experiment_id": experiment,
        "pipeline_version_reference": {"pipeline_id": pipeline, "pipeline_version_id": version},
        "runtime_config": {"parameters": dict(parameters)},
        "service_account": "quipu-runner",
    }
    try:
        call(server, "POST", "/runs", body)
    except ServerRefused:
        # It may have arrived all the same, or another submitter was first: look, never send it twice.
        if call(server, "GET", f"/runs/{wanted}", missing=True) is None:
            raise
    return Submitted(wanted, adopted=False)


def watch(server: Server, run: str, say: Callable[[str], None], sleep: Callable[[float], None] = time.sleep) -> None:
    """Tell of each task as it moves on, until the run has ended.

    Args:
        server: The server.
        run: Id of the run.
        say: Told one line each time.
        sleep: Waits so many seconds between two looks.

    Raises:
        RunFailed: The run failed, was cancelled, or is gone.
        ServerRefused: The server was away for long.
    """
    seen = Watched()
    away_since: float | None = None
    while True:
        try:
            found = call(server, "GET", f"/runs/{run}", missing=True)
            away_since = None
        except ServerRefused as error:
            away_since = away_since or time.monotonic()
            if time.monotonic() - away_since > _OUTAGE_SECONDS:
                raise
            say(f"{error} It is asked again.")
            sleep(_LOOK_SECONDS)
            continue
        if found is None:
            raise RunFailed(f"The run {run} is gone from the server; submit it again.")
        for line in news(found, seen, datetime.datetime.now(datetime.UTC)):
            say(line)
        if found.get("state") in ENDED:
            if found["state"] != "SUCCEEDED":
                raise RunFailed(_why(server, run, found))
            return
        sleep(_LOOK_SECONDS)


def news(found: Mapping[str, Any], seen: Watched, now: datetime.datetime) -> list[str]:
    """Lines on what has changed since the last look, which ``seen`` keeps; pods that do not start among them."""
    lines = []
    for task in _tasks(found):
        name, state = str(task.get("display_name")), str(task.get("state") or "PENDING")
        if _is_own(found, name) and seen.tasks.get(name) != state:
            seen.tasks[name] = state
            lines.append(f"{name:<16} {state.lower()}")
    waiting = _waiting(found)
    if waiting and now - waiting[0] > datetime.timedelta(seconds=_START_SECONDS) and waiting[1] not in seen.warned:
        seen.warned.add(waiting[1])
        lines.append(
            f"{waiting[1]} has not started since {waiting[0]:%H:%M:%S} UTC: see with 'kubectl describe pod' whether "
            "its image can be pulled, its secrets exist and a node has room."
        )
    return lines


def cancel(server: Server, run: str) -> None:
    """End a run; ends quietly where it has ended already."""
    call(server, "POST", f"/runs/{run}:terminate", missing=True)


def _check(name: str, spec: dict[str, Any], parameters: Mapping[str, str]) -> None:
    known = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    for given in parameters:
        if given not in known:
            raise InputError(f"The pipeline {name} has no parameter '{given}'{nearest(given, known) or '.'}")
    for each, about in known.items():
        if each not in parameters and "defaultValue" not in about and not about.get("isOptional"):
            raise InputError(f"The pipeline {name} needs the parameter '{each}'.")


def _uploaded(server: Server, name: str, content: bytes) -> tuple[str, str]:
    """Ids of the pipeline and of its version with this content, each made where it is missing."""
    version = hashlib.sha256(content).hexdigest()[:12]
    query = {"name": name, "display_name": name} | ({"namespace": server.namespace} if server.namespace else {})
    scope = {"namespace": server.namespace} if server.namespace else None
    pipeline = call(server, "GET", f"/pipelines/names/{quote(name)}", query=scope, missing=True)
    if pipeline is None:
        pipeline = call(server, "POST", "/pipelines/upload", query=query, upload=(f"{name}.yaml", content)) or {}
    key = str(pipeline["pipeline_id"])
    listed = call(server, "GET", f"/pipelines/{key}/versions", query={"page_size": "200", "sort_by": "created_at desc"})
    for each in (listed or {}).get("pipeline_versions") or []:
        if each.get("display_name") == version:
            return key, str(each["pipeline_version_id"])
    query = {"pipelineid": key, "name": version, "display_name": version}
    made = call(server, "POST", "/pipelines/upload_version", query=query, upload=(f"{name}.yaml", content)) or {}
    return key, str(made["pipeline_version_id"])


def _experiment(server: Server) -> str:
    """Id of the experiment of our runs, made where it is missing."""
    body = {"display_name": _EXPERIMENT} | ({"namespace": server.namespace} if server.namespace else {})
    found = _experiment_listed(server)
    if found:
        return found
    try:
        return str((call(server, "POST", "/experiments", body) or {})["experiment_id"])
    except ServerRefused:
        found = _experiment_listed(server)  # another submitter was first
        if not found:
            raise
        return found


def _experiment_listed(server: Server) -> str:
    scope = {"namespace": server.namespace} if server.namespace else {}
    listed = call(server, "GET", "/experiments", query={"page_size": "200", **scope}) or {}
    named = (one for one in listed.get("experiments") or [] if one.get("display_name") == _EXPERIMENT)
    return next((str(one["experiment_id"]) for one in named), "")


def _why(server: Server, run: str, found: Mapping[str, Any]) -> str:
    """One sentence on why a run did not succeed, from the log of the first pod that failed."""
    if found.get("state") == "CANCELED" or _was_cancelled(found):
        return f"The run {run} was cancelled."
    failed = [str(task.get("display_name")) for task in _tasks(found) if task.get("state") == "FAILED"]
    names = sorted({name for name in failed if _is_own(found, name)})
    for pod in _failed_pods(found):
        reason = reason_in(log_of(server, run, pod))
        if reason:
            return f"{', '.join(names) or 'The run'} failed: {reason}"
    said = str((found.get("error") or {}).get("message") or "its log is not kept any more")
    return f"{', '.join(names) or f'The run {run}'} failed: {said}"


def reason_in(lines: list[str]) -> str:
    """The line of a pod's log that says why: the text of the last traceback's exception, without its class."""
    own = [line for line in lines if not _LAUNCHER.match(line)]
    starts = [place for place, line in enumerate(own) if line == "Traceback (most recent call last):"]
    for line in own[starts[-1] :] if starts else []:
        if _EXCEPTION.fullmatch(line):
            return line.partition(": ")[2]
    return own[-1] if own else ""


def _was_cancelled(found: Mapping[str, Any]) -> bool:
    history = [str(step.get("state")) for step in found.get("state_history") or []]
    return "CANCELING" in history[-2:]


def _failed_pods(found: Mapping[str, Any]) -> list[str]:
    """Names that the pods of failed executors may have, by Argo's newer and its older way."""
    names = []
    for task in _tasks(found):
        children = [str(child["pod_name"]) for child in task.get("child_tasks") or [] if child.get("pod_name")]
        if task.get("display_name") == "executor" and children and task.get("state") == "FAILED":
            workflow, _, number = children[-1].rpartition("-")
            templates = ("system-container-impl", "retry-system-container-impl")
            names += [f"{workflow}-{template}-{number}" for template in templates] + [children[-1]]
    return names


def _waiting(found: Mapping[str, Any]) -> tuple[datetime.datetime, str] | None:
    """Since when something has not started, and what: its run says RUNNING for ever."""
    tasks = _tasks(found)
    if not tasks:
        created = _time(found.get("created_at"))
        return (created, "The workflow") if created and found.get("state") == "PENDING" else None
    since = [
        moment
        for task in tasks
        if task.get("display_name")
        and (task.get("state") or "PENDING") == "PENDING"
        and not _time(task.get("end_time"))
        if (moment := _time(task.get("start_time")) or _time(task.get("create_time")))
    ]
    running = sorted(
        str(task["display_name"])
        for task in tasks
        if task.get("state") == "RUNNING" and _is_own(found, str(task.get("display_name")))
    )
    return (min(since), f"The pod of {' and '.join(running) or 'a task'}") if since else None


def _is_own(found: Mapping[str, Any], name: str) -> bool:
    """Whether a node is one of the pipeline's tasks, not one of the workflow's own."""
    workflows = {
        str(child["pod_name"]).rpartition("-")[0]
        for task in _tasks(found)
        for child in task.get("child_tasks") or []
        if child.get("pod_name")
    }
    return bool(name) and name not in workflows and not _NOT_A_TASK.fullmatch(name)


def _tasks(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list((found.get("run_details") or {}).get("task_details") or [])


def _time(text: object) -> datetime.datetime | None:
    """A moment; times before 2000 mean that something has not happened yet."""
    if not text:
        return None
    moment = datetime.datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    return moment if moment.year >= 2000 else None
