"""The bodies of requests, with bounds on their size, their time and the memory that they take together."""

import asyncio
import time

from granian.rsgi import HTTPProtocol, ProtocolClosed, Scope  # type: ignore[attr-defined]  # the names that granian documents

from components.scorer.http.answers import Refused, busy, refusal
from components.scorer.http.route import SHORT_BODY

_MOST_BYTES = 8 * 1024 * 1024  # of a body: some 20,000 rows of 40 features
_MOST_LONG_BYTES = 8 * _MOST_BYTES  # of all long bodies in memory, those that are still arriving among them
_LATE = 0.0  # marks a request that ``end_slow_bodies`` cancelled
_TOO_LARGE = f"The body is over {_MOST_BYTES} bytes; send fewer rows."
_TOO_MANY = "The scorer has too many long requests at once; ask again in a moment."


class Bodies:
    """Reads the bodies of requests.

    Args:
        seconds: How long a body may take to arrive.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._started: dict[asyncio.Task[None], float] = {}  # of each body that is arriving
        self._long: dict[asyncio.Task[None] | None, int] = {}  # bytes of each long body in memory

    async def read(self, scope: Scope, protocol: HTTPProtocol) -> bytes:
        """The body of a request. The task that reads it calls ``release`` once its answer is ready.

        Raises:
            Refused: It is too large or too slow, the client is gone, or other long bodies fill the memory.
        """
        length = scope.headers.get("content-length")
        if length is not None and int(length) > _MOST_BYTES:
            raise Refused(refusal(413, _TOO_LARGE))
        task = asyncio.current_task()
        assert task is not None
        self._started[task] = time.perf_counter()
        try:
            if length is not None:
                self._take_room(task, int(length))
                return bytes(await protocol())
            body = bytearray()
            async for chunk in protocol:
                body += chunk
                if len(body) > _MOST_BYTES:
                    raise Refused(refusal(413, _TOO_LARGE))
                self._take_room(task, len(body))
            return bytes(body)
        except asyncio.CancelledError:
            if self._started[task] != _LATE:
                raise
            task.uncancel()
            raise Refused(refusal(408, f"The body did not arrive within {self._seconds:g} s.")) from None
        except ProtocolClosed:  # nginx logs 499 for it
            raise Refused(refusal(499, "The client went away.")) from None
        finally:
            del self._started[task]

    def release(self) -> None:
        """Give back the room of this task's body."""
        if self._long:
            self._long.pop(asyncio.current_task(), None)

    def end_slow_bodies(self) -> None:
        """End the requests whose body has not arrived in time (a timer for each would cost 5 µs)."""
        now = time.perf_counter()
        for task, started in list(self._started.items()):
            if started != _LATE and now - started > self._seconds:
                self._started[task] = _LATE
                task.cancel()

    def _take_room(self, task: asyncio.Task[None], size: int) -> None:
        """Have the room for a body of so many bytes until it is answered; a short one always has it."""
        if size <= SHORT_BODY:
            return
        self._long[task] = size
        if sum(self._long.values()) > _MOST_LONG_BYTES:
            raise Refused(busy(_TOO_MANY))
