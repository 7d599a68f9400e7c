"""``python -m components.exporter``: tells Prometheus of the runs of Kubeflow Pipelines.

QUIPU_KFP_URL         address of the API server, http://ml-pipeline.kubeflow:8888 if not set
QUIPU_KFP_NAMESPACE   namespace whose runs are read, where there are several
QUIPU_KFP_TOKEN_FILE  file with a bearer token, read again for each request
QUIPU_METRICS_PORT    port to listen on, 9090 if not set
"""

import os
import signal
import sys

from prometheus_client import CollectorRegistry, start_http_server

from components.exporter.metrics import RunMetrics
from components.exporter.runs import Source


def main() -> None:
    """Answer scrapes until stopped."""
    source = Source(
        os.environ.get("QUIPU_KFP_URL", "http://ml-pipeline.kubeflow:8888"),
        os.environ.get("QUIPU_KFP_NAMESPACE", ""),
        os.environ.get("QUIPU_KFP_TOKEN_FILE", ""),
    )
    registry = CollectorRegistry()
    registry.register(RunMetrics(source))
    try:
        port = int(os.environ.get("QUIPU_METRICS_PORT", "9090"))
        server, thread = start_http_server(port, registry=registry)
    except (OSError, ValueError) as error:
        sys.exit(f"QUIPU_METRICS_PORT does not name a port that can be listened on: {error}.")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.shutdown())
    thread.join()


if __name__ == "__main__":
    main()
