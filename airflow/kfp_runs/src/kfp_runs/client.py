"""Asks a server, waiting or not, by the rules of ``kfp_runs.calls``."""

import asyncio
import ssl
import time
from functools import cached_property
from itertools import count
from typing import TypeVar

import httpx

from kfp_runs import calls
from kfp_runs.answers import Run
from kfp_runs.calls import Call
from kfp_runs.errors import NotFound, Rejected, ServerError
from kfp_runs.runs import FailedPod, pod_names
from kfp_runs.server import Server

Answer = TypeVar("Answer")


class Client:
    """A server that can be asked.

    Args:
        server: Its address and our identity.
        attempts: How often a request is sent at most while the server is busy or away.
    """

    def __init__(self, server: Server, attempts: int = 5) -> None:
        self.server = server
        self._attempts = attempts

    @cached_property
    def _certificates(self) -> ssl.SSLContext | bool:
        return self.server.certificates()  # reading them takes longer than a request

    def ask(self, call: Call[Answer]) -> Answer:
        """Send a call, again where that may help.

        Raises:
            ServerError: What the server or the line said in the end.
        """
        with httpx.Client(verify=self._certificates) as http:
            for attempt in count(1):
                outcome: httpx.Response | httpx.TransportError
                try:
                    outcome = http.send(call.request(self.server))
                except httpx.TransportError as problem:
                    outcome = problem
                pause = calls.pause_before_next(call, outcome, attempt, self._attempts)
                if pause is None:
                    break
                time.sleep(pause)
        return calls.read_answer(self.server, call, outcome)

    async def aask(self, call: Call[Answer]) -> Answer:
        """The same, without blocking an event loop."""
        async with httpx.AsyncClient(verify=self._certificates) as http:
            for attempt in count(1):
                outcome: httpx.Response | httpx.TransportError
                try:
                    outcome = await http.send(call.request(self.server))
                except httpx.TransportError as problem:
                    outcome = problem
                pause = calls.pause_before_next(call, outcome, attempt, self._attempts)
                if pause is None:
                    break
                await asyncio.sleep(pause)
        return calls.read_answer(self.server, call, outcome)

    def run(self, run_id: str) -> Run:
        """A run with its nodes.

        Raises:
            NotFound: There is none of that id.
        """
        return self.ask(calls.get_run(run_id))

    def find_run(self, run_id: str) -> Run | None:
        """A run, or None where there is none of that id."""
        try:
            return self.run(run_id)
        except NotFound:
            return None

    def terminate(self, run_id: str) -> bool:
        """Stop a run; False where it is gone or over."""
        try:
            self.ask(calls.terminate_run(run_id))
        except (NotFound, Rejected):
            return False
        return True

    async def aterminate(self, run_id: str) -> bool:
        """The same, without blocking an event loop."""
        try:
            await self.aask(calls.terminate_run(run_id))
        except (NotFound, Rejected):
            return False
        return True

    def log_of(self, run_id: str, pod: FailedPod) -> list[str]:
        """Lines of a pod's log, without empty ones; none where the log is gone."""
        for name in pod_names(pod):
            try:
                text = self.ask(calls.node_log(run_id, name)).text
            except ServerError:
                continue
            return [line.rstrip() for line in text.splitlines() if line.strip()]
        return []
