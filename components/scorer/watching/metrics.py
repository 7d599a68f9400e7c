"""What Prometheus reads of the scorer, on a port of its own, so that no borrower's request can reach it.

Labels are routes, statuses, versions and names of features: never what a client sent. A request costs some 1.5 µs.
"""

import threading
from datetime import UTC, datetime
from functools import cache
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, start_http_server

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

_REQUESTS = Counter(
    "quipu_requests", "Requests by route, status and model version.", ["route", "status", "version"], registry=REGISTRY
)
_SECONDS = Histogram(
    "quipu_request_seconds",
    "From the arrival of a request to its answer.",
    ["route", "version"],
    buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
    registry=REGISTRY,
)
_ERRORS = Counter("quipu_errors", "Failures of the scorer itself, by type.", ["type"], registry=REGISTRY)
_MODEL = Gauge("quipu_model_info", "The model that answers.", ["version", "family"], registry=REGISTRY)
_AS_OF = Gauge(
    "quipu_model_as_of_seconds", "As-of day of the model that answers, since 1970.", ["version"], registry=REGISTRY
)
MODEL_REFUSED = Gauge(
    "quipu_model_refused", "1 while the champion is one that was refused, and an older one answers.", registry=REGISTRY
)
POINTER_READ = Gauge(
    "quipu_pointer_read_seconds", "When the champion pointer was last read, in seconds since 1970.", registry=REGISTRY
)
MODEL_CHANGES = Counter("quipu_model_changes", "Models that took over.", registry=REGISTRY)
SPOOL_BYTES = Gauge("quipu_spool_bytes", "Bytes of the spool of decisions.", registry=REGISTRY)
SHADOW_SCORED = Counter("quipu_shadow_scored", "Requests that the challenger scored.", ["version"], registry=REGISTRY)
SHADOW_LEFT_OUT = Counter(
    "quipu_shadow_left_out",
    "Requests that the challenger left out, to keep up or for want of inputs.",
    ["version"],
    registry=REGISTRY,
)


@cache
def _bound(route: str, status: int, version: str) -> tuple[Counter, Histogram]:
    """The metrics of an answer; their look-up by labels costs twice as much as the count."""
    return _REQUESTS.labels(route, str(status), version), _SECONDS.labels(route, version)


def count_request(route: str, status: int, version: str, seconds: float) -> None:
    """Count an answer.

    Args:
        route: Method and route, with placeholders.
        status: HTTP status.
        version: Model version that answered; empty where none did.
        seconds: From the arrival of the request.
    """
    requests, latency = _bound(route, status, version)
    requests.inc()
    latency.observe(seconds)


def count_error(error: str) -> None:
    """Count a failure of the scorer itself, by the name of its type."""
    _ERRORS.labels(error).inc()


def show_model(version: str, family: str, as_of: str) -> None:
    """Show which model answers.

    Args:
        version: Its version.
        family: Its family.
        as_of: Its as-of day (ISO 8601).
    """
    _MODEL.clear()
    _MODEL.labels(version, family).set(1)
    _AS_OF.clear()
    _AS_OF.labels(version).set(datetime.fromisoformat(as_of).replace(tzinfo=UTC).timestamp())


def serve_metrics(host: str, port: int) -> tuple[WSGIServer, threading.Thread]:
    """Serve ``/metrics`` in a thread of its own until the process ends."""
    return start_http_server(port, host, REGISTRY)
