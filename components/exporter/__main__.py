"""``python -m components.exporter``: tells Prometheus of the runs of Kubeflow Pipelines."""

import signal
import sys
from typing import Annotated

from msgspec import Meta, Struct, field
from prometheus_client import CollectorRegistry, start_http_server

from components.credit.errors import QuipuError
from components.credit.settings import read_settings
from components.exporter.metrics import RunMetrics
from components.exporter.runs import Source


class ExporterSettings(Struct, frozen=True):
    """Where the exporter finds Kubeflow Pipelines, and where it listens.

    Args:
        url: Address of the API server.
        namespace: Namespace whose runs are read, where there are several.
        token_file: File with a bearer token, read again for each request.
        port: Port of ``/metrics`` for Prometheus.
    """

    url: str = field(name="QUIPU_KFP_URL", default="http://ml-pipeline.kubeflow:8888")
    namespace: str = field(name="QUIPU_KFP_NAMESPACE", default="")
    token_file: str = field(name="QUIPU_KFP_TOKEN_FILE", default="")
    port: Annotated[int, Meta(ge=1, le=65_535)] = field(name="QUIPU_METRICS_PORT", default=9090)


def main() -> None:
    """Answer scrapes until stopped."""
    try:
        settings = read_settings(ExporterSettings)
    except QuipuError as error:
        sys.exit(str(error))
    registry = CollectorRegistry()
    registry.register(RunMetrics(Source(settings.url, settings.namespace, settings.token_file)))
    try:
        server, thread = start_http_server(settings.port, registry=registry)
    except OSError as error:
        sys.exit(f"QUIPU_METRICS_PORT does not name a port that can be listened on: {error}.")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.shutdown())
    thread.join()


if __name__ == "__main__":
    main()
