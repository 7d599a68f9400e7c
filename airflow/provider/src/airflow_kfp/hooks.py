"""The hook: all talk with the Kubeflow Pipelines API server, waiting (sync) or not (async)."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterable, Mapping
from functools import cached_property
from itertools import count
from typing import Any

import httpx
from airflow.sdk import BaseHook

from airflow_kfp import calls
from airflow_kfp.calls import Call
from airflow_kfp.endpoint import Endpoint, endpoint_of
from airflow_kfp.errors import (
    KfpConflict,
    KfpError,
    KfpNotFound,
    KfpRejected,
    KfpUnauthorized,
    KfpUnavailable,
)
from airflow_kfp.parameters import Parameter, nearest, parameters_of_spec
from airflow_kfp.runs import pod_names

_LOOKS_AFTER_LOST_CREATE = 4
_FIRST_LOOK_PAUSE = 0.5  # seconds, doubled each time


class KfpHook(BaseHook):
    """Talks REST v2beta1 with the API server of Kubeflow Pipelines.

    Args:
        kfp_conn_id: Connection of type ``kfp``.
        attempts: How often a request is sent at most while the server is busy or away.
    """

    conn_name_attr = "kfp_conn_id"
    default_conn_name = "kfp_default"
    conn_type = "kfp"
    hook_name = "Kubeflow Pipelines"

    def __init__(self, kfp_conn_id: str = default_conn_name, *, attempts: int = 5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kfp_conn_id = kfp_conn_id
        self.attempts = attempts

    @cached_property
    def endpoint(self) -> Endpoint:
        """The API server that the connection names."""
        return endpoint_of(self.get_connection(self.kfp_conn_id))

    @cached_property
    def certificates(self) -> ssl.SSLContext | bool:
        """Read once: it takes longer than a request."""
        return self.endpoint.certificates()

    async def aendpoint(self) -> Endpoint:
        """The same, from a trigger."""
        if "endpoint" not in self.__dict__:
            self.__dict__["endpoint"] = endpoint_of(await self.aget_connection(self.kfp_conn_id))
        return self.endpoint

    def send(self, call: Call) -> httpx.Response:
        """Send a call, again where that may help.

        Raises:
            KfpError: What the server or the line said in the end.
        """
        with httpx.Client(verify=self.certificates) as client:
            for attempt in count(1):
                outcome: httpx.Response | httpx.TransportError
                try:
                    outcome = client.send(call.request(self.endpoint))
                except httpx.TransportError as problem:
                    outcome = problem
                pause = calls.pause_before_next(call, outcome, attempt, self.attempts)
                if pause is None:
                    break
                self.log.info("Sending %s %s again in %.1f s (%s)", call.method, call.path, pause, outcome)
                time.sleep(pause)
        return calls.read_answer(self.endpoint, call, outcome)

    async def asend(self, call: Call) -> httpx.Response:
        """Send a call without blocking the trigger's event loop.

        Raises:
            KfpError: What the server or the line said in the end.
        """
        endpoint = await self.aendpoint()
        async with httpx.AsyncClient(verify=self.certificates) as client:
            for attempt in count(1):
                outcome: httpx.Response | httpx.TransportError
                try:
                    outcome = await client.send(call.request(endpoint))
                except httpx.TransportError as problem:
                    outcome = problem
                pause = calls.pause_before_next(call, outcome, attempt, self.attempts)
                if pause is None:
                    break
                await asyncio.sleep(pause)
        return calls.read_answer(endpoint, call, outcome)

    def test_connection(self) -> tuple[bool, str]:
        """Whether the server answers, for the button in Airflow's connection page."""
        try:
            answer = _object(self.send(calls.health()))
        except KfpError as problem:
            return False, str(problem)
        return True, f"Kubeflow Pipelines {answer.get('tag_name', '')} answers at {self.endpoint.url}"

    def run(self, run_id: str) -> dict[str, Any]:
        """A run with its tasks.

        Raises:
            KfpNotFound: There is none of that id.
        """
        return _object(self.send(calls.get_run(run_id)))

    async def arun(self, run_id: str) -> dict[str, Any]:
        """A run with its tasks, from a trigger."""
        return _object(await self.asend(calls.get_run(run_id)))

    def find_run(self, run_id: str) -> dict[str, Any] | None:
        """A run, or None where there is none of that id."""
        try:
            return self.run(run_id)
        except KfpNotFound:
            return None

    def submit(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create a run whose ``run_id`` we chose, once, whatever happens on the way.

        The server starts the workflow before it writes the run down, and starts a second one when the same
        id is sent again. So after a lost or failed request the run is looked for, several times, and sent
        again only when it never appeared.

        Raises:
            KfpRejected: The server refuses the request.
            KfpUnavailable: The server could not be reached.
        """
        run_id = str(body["run_id"])
        for attempt in count(1):
            try:
                return _object(self.send(calls.create_run(body)))
            except KfpUnavailable as problem:
                found = self._run_after_lost_create(run_id)
                if found is not None:
                    self.log.info("The run %s was created although the answer was lost: %s", run_id, problem)
                    return found
                if attempt >= 2:
                    raise
        raise AssertionError  # count() does not end

    def _run_after_lost_create(self, run_id: str) -> dict[str, Any] | None:
        for look in range(_LOOKS_AFTER_LOST_CREATE):
            found = self.find_run(run_id)
            if found is not None:
                return found
            time.sleep(_FIRST_LOOK_PAUSE * 2**look)
        return None

    def terminate(self, run_id: str) -> None:
        """Stop a run; one that is gone or over is left as it is."""
        try:
            self.send(calls.terminate_run(run_id))
        except (KfpNotFound, KfpRejected) as problem:
            self.log.info("Nothing to stop: %s", problem)

    async def aterminate(self, run_id: str) -> None:
        """Stop a run, from a trigger."""
        try:
            await self.asend(calls.terminate_run(run_id))
        except (KfpNotFound, KfpRejected) as problem:
            self.log.info("Nothing to stop: %s", problem)

    def retry(self, run_id: str) -> None:
        """Let a failed run go on under the same id; what succeeded is kept."""
        self.send(calls.retry_run(run_id))

    def log_tail(self, run_id: str, node: str, kind: str, lines: int) -> list[str]:
        """Last lines of the log of one node of a run; nothing where the log is gone.

        Args:
            run_id: The run.
            node: Id of the node, as ``task_details[].child_tasks[].pod_name`` gives it.
            kind: What the node runs, ``executor`` or ``driver``.
            lines: How many lines.
        """
        for pod in pod_names(node, kind):
            try:
                text = self.send(calls.node_log(run_id, pod)).text
            except KfpError:
                continue
            return [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]
        return []

    def resolve_pipeline(self, name: str, version: str | None) -> tuple[str, str, dict[str, Parameter]]:
        """Ids of a pipeline and of one of its versions, and the parameters that it takes.

        Args:
            name: Name of the pipeline.
            version: Name of the version; None is the newest.

        Raises:
            KfpRejected: There is no such pipeline or version; the nearest names are offered.
        """
        namespace = self.endpoint.namespace
        try:
            pipeline = _object(self.send(calls.pipeline_by_name(name, namespace)))
        except KfpNotFound:
            known = _names(_object(self.send(calls.list_pipelines(namespace))).get("pipelines"))
            raise KfpRejected(
                f"There is no pipeline '{name}' at {self.endpoint.url}{_in(namespace)}{nearest(name, known)}; "
                "upload it, or correct 'pipeline_name'."
            ) from None
        pipeline_id = str(pipeline["pipeline_id"])
        versions = _object(self.send(calls.list_versions(pipeline_id))).get("pipeline_versions") or []
        if not versions:
            raise KfpRejected(f"The pipeline '{name}' has no version; upload one.")
        chosen = versions[0]
        if version:
            named = [one for one in versions if version in {one.get("name"), one.get("display_name")}]
            if not named:
                raise KfpRejected(
                    f"The pipeline '{name}' has no version '{version}'{nearest(version, _names(versions))}; "
                    "upload it, or correct 'pipeline_version'."
                )
            chosen = named[0]
        return pipeline_id, str(chosen["pipeline_version_id"]), parameters_of_spec(chosen.get("pipeline_spec") or {})

    def ensure_experiment(self, name: str) -> str:
        """Id of the experiment of that name, which is made where there is none."""
        namespace = self.endpoint.namespace
        try:
            return str(_object(self.send(calls.create_experiment(name, namespace)))["experiment_id"])
        except KfpConflict:
            found = _object(self.send(calls.find_experiment(name, namespace))).get("experiments") or []
        same = [one for one in found if one.get("display_name") == name]
        if not same:
            raise KfpUnavailable(f"The experiment '{name}' exists at {self.endpoint.url} but cannot be found.")
        return str(same[0]["experiment_id"])

    def upload(self, name: str, version: str, file_name: str, package: bytes) -> tuple[str, str]:
        """Put a compiled pipeline on the server; a version that is there already is left as it is.

        Returns:
            Ids of the pipeline and of the version.
        """
        content = (file_name, package)
        try:
            pipeline_id = str(_object(self.send(calls.pipeline_by_name(name, self.endpoint.namespace)))["pipeline_id"])
        except KfpNotFound:
            made = _object(self.send(calls.upload_pipeline(name, self.endpoint.namespace, content)))
            pipeline_id = str(made["pipeline_id"])
        for known in _object(self.send(calls.list_versions(pipeline_id))).get("pipeline_versions") or []:
            if version in {known.get("name"), known.get("display_name")}:
                return pipeline_id, str(known["pipeline_version_id"])
        made = _object(self.send(calls.upload_version(pipeline_id, version, content)))
        return pipeline_id, str(made["pipeline_version_id"])


def _object(response: httpx.Response) -> dict[str, Any]:
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise KfpUnauthorized(
            f"{response.request.url} answered with a page and not as Kubeflow Pipelines does; "
            "check the host, and whether a sign-in page stands before it."
        )
    return answer


def _names(items: Iterable[Mapping[str, Any]] | None) -> list[str]:
    return [str(item.get("name") or item.get("display_name")) for item in items or []]


def _in(namespace: str) -> str:
    return f" in the namespace '{namespace}'" if namespace else ""
