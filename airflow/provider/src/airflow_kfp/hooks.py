"""The hook: a connection's API server, asked by the rules of ``kfp_runs``, waiting (sync) or not (async)."""

from __future__ import annotations

from functools import cached_property
from typing import Any, TypeVar

from airflow.sdk import BaseHook
from kfp_runs import calls
from kfp_runs.answers import NewRun, Run, VersionReference
from kfp_runs.calls import Call
from kfp_runs.client import Client
from kfp_runs.creation import Created, create_once, take_up
from kfp_runs.failure import Failure, failure_of
from kfp_runs.uploads import Resolved, ensure_experiment, resolve_pipeline, upload

from airflow_kfp.endpoint import Endpoint, endpoint_of
from airflow_kfp.errors import KfpError, as_kfp_errors

Answer = TypeVar("Answer")


class KfpHook(BaseHook):
    """Talks REST v2beta1 with the API server of Kubeflow Pipelines.

    Every method raises a ``KfpError`` where the server or the line does not do as asked.

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
    def client(self) -> Client:
        """What asks it."""
        return Client(self.endpoint, self.attempts)

    async def aclient(self) -> Client:
        """The same, from a trigger."""
        if "endpoint" not in self.__dict__:
            self.__dict__["endpoint"] = endpoint_of(await self.aget_connection(self.kfp_conn_id))
        return self.client

    def send(self, call: Call[Answer]) -> Answer:
        """Send a call, again where that may help."""
        with as_kfp_errors():
            return self.client.ask(call)

    def test_connection(self) -> tuple[bool, str]:
        """Whether the server answers, for the button in Airflow's connection page."""
        try:
            version = self.send(calls.health()).tag_name
        except KfpError as problem:
            return False, str(problem)
        return True, f"Kubeflow Pipelines {version} answers at {self.endpoint.url}"

    def run(self, run_id: str) -> Run:
        """A run with its nodes; ``kfp_runs.runs`` reads it."""
        with as_kfp_errors():
            return self.client.run(run_id)

    async def arun(self, run_id: str) -> Run:
        """The same, from a trigger."""
        with as_kfp_errors():
            return await (await self.aclient()).aask(calls.get_run(run_id))

    def find_run(self, run_id: str) -> Run | None:
        """A run, or None where there is none of that id."""
        with as_kfp_errors():
            return self.client.find_run(run_id)

    def submit(self, new: NewRun) -> Created:
        """Create a run whose id we chose, once, whatever happens on the way and whoever else creates it."""
        with as_kfp_errors():
            return create_once(self.client, new)

    def take_up(self, run: Run) -> None:
        """Come back to a run; one that ended badly goes on under the same id, and what succeeded is kept."""
        with as_kfp_errors():
            take_up(self.client, run)

    def terminate(self, run_id: str) -> None:
        """Stop a run; one that is gone or over is left as it is."""
        with as_kfp_errors():
            if not self.client.terminate(run_id):
                self.log.info("The run %s has ended already: nothing to stop", run_id)

    async def aterminate(self, run_id: str) -> None:
        """The same, from a trigger."""
        with as_kfp_errors():
            if not await (await self.aclient()).aterminate(run_id):
                self.log.info("The run %s has ended already: nothing to stop", run_id)

    def failure_of(self, run: Run) -> Failure:
        """Why a run failed, with the logs of its pods as far as they are kept."""
        with as_kfp_errors():
            return failure_of(self.client, run)

    def resolve_pipeline(self, name: str, version: str | None) -> Resolved:
        """A version of a pipeline, by default the newest, and the parameters that it takes."""
        with as_kfp_errors():
            return resolve_pipeline(self.client, name, version)

    def ensure_experiment(self, name: str) -> str:
        """Id of the experiment of that name, which is made where there is none."""
        with as_kfp_errors():
            return ensure_experiment(self.client, name)

    def upload(self, name: str, version: str, file_name: str, package: bytes) -> VersionReference:
        """Put a compiled pipeline on the server; a version that is there already is left as it is."""
        with as_kfp_errors():
            return upload(self.client, name, version, (file_name, package))
