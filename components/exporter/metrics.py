"""What Prometheus reads of the runs: asked of the API server at each scrape, nothing is kept between two."""

import sys
from collections import Counter
from collections.abc import Iterable

from kfp_runs.errors import ServerError
from kfp_runs.runs import CANCELED
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from components.exporter.runs import Run, Source


class RunMetrics(Collector):
    """The runs of a source as metrics; where it does not answer, only that is told."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing ahead: registering must not ask the API server."""
        return []

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The metrics of now."""
        up = GaugeMetricFamily("credit_kubeflow_up", "Whether the API server of Kubeflow Pipelines answers.")
        try:
            runs = self._source.runs()
        except ServerError as error:
            print(error, file=sys.stderr, flush=True)
            up.add_metric([], 0)
            return [up]
        up.add_metric([], 1)
        return [up, *families(runs)]


def families(runs: list[Run]) -> list[GaugeMetricFamily]:
    """Metrics of some runs, which come the newest first."""
    states = GaugeMetricFamily("credit_run_state", "Runs, of the newest, by state.", labels=["pipeline", "state"])
    for (pipeline, state), count in sorted(Counter((run.pipeline, run.state) for run in runs).items()):
        states.add_metric([pipeline, state], count)
    success = GaugeMetricFamily(
        "credit_run_last_success_seconds",
        "End of the last run that succeeded, since 1970; 0 where none did.",
        labels=["pipeline"],
    )
    failed = GaugeMetricFamily(
        "credit_run_failed_stage",
        "1 where this stage failed in the newest run that ended and was not cancelled.",
        labels=["pipeline", "stage"],
    )
    seconds = GaugeMetricFamily(
        "credit_stage_duration_seconds",
        "Seconds of a stage, in the newest run in which it ended so.",
        labels=["pipeline", "stage", "status"],
    )
    for pipeline in sorted({run.pipeline for run in runs}):
        ended = [run for run in runs if run.pipeline == pipeline and run.ended]
        last = next((run.ended.timestamp() for run in ended if run.ended and run.state == "SUCCEEDED"), 0.0)
        success.add_metric([pipeline], last)
        judged = next((run for run in ended if run.state != CANCELED), None)
        for stage in judged.stages if judged else ():
            if stage.state == "FAILED":
                failed.add_metric([pipeline, stage.name], 1)
        told: set[tuple[str, str]] = set()
        for stage in (stage for run in runs if run.pipeline == pipeline for stage in run.stages):
            if stage.seconds is not None and (stage.name, stage.state) not in told:
                told.add((stage.name, stage.state))
                seconds.add_metric([pipeline, stage.name, stage.state], stage.seconds)
    return [states, success, failed, seconds]
