"""The scorer's log: JSON lines on standard output, with a request's id and route, never what it asked or was told."""

import sys
import time
from datetime import UTC, datetime

import msgspec

_ENCODER = msgspec.json.Encoder()


def log_event(event: str, **facts: object) -> None:
    """Write one line, at once: ``time``, ``event`` and the facts given."""
    _write({"time": _now(), "event": event, **facts})
    flush()


def log_request(request: str, route: str, status: int, started: float, size: int, version: str) -> None:
    """Write the line of an answered request; it leaves the process with the next ``flush``.

    Args:
        request: Id of the request.
        route: Its method and route, with placeholders where a path names something.
        status: HTTP status of the answer.
        started: ``time.perf_counter()`` of its arrival.
        size: Bytes of its body.
        version: Model version that answered; empty where none did.
    """
    _write(
        {
            "time": _now(),
            "event": "request",
            "request": request,
            "route": route,
            "status": status,
            "ms": round((time.perf_counter() - started) * 1000, 3),
            "bytes": size,
            "version": version,
        }
    )


def flush() -> None:
    """Let what was written leave the process."""
    sys.stdout.flush()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _write(line: dict[str, object]) -> None:
    sys.stdout.buffer.write(_ENCODER.encode(line) + b"\n")
