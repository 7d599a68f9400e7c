"""The Grafana dashboards, for operators and for those who answer for the model, as typed code.

``python -m pipelines.dashboards`` writes them to ``manifests/components/monitoring/dashboards``; a test compares.
"""

import json
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DataSourceRef

_FOLDER = Path(__file__).parent.parent / "manifests" / "components" / "monitoring" / "dashboards"
_SOURCE = DataSourceRef(type_val="prometheus", uid="${source}")
_SCORES = 'route=~"POST .*"'
_MEAN_POINTS = (
    "sum by (version) (rate(quipu_score_points_sum[1d])) / sum by (version) (rate(quipu_score_points_count[1d]))"
)
_SHARE_OF_POINTS = (
    "sum by (le) (increase(quipu_score_points_bucket[1d])) "
    "/ ignoring (le) group_left sum(increase(quipu_score_points_count[1d]))"
)
_WIDE, _HIGH = 8, 8  # of 24 columns


def _lines(title: str, unit: str, told: str, **queries: str) -> timeseries.Panel:
    """A panel of lines: what it tells in one sentence, and a query by legend."""
    panel = timeseries.Panel().title(title).description(told).unit(unit).datasource(_SOURCE).span(_WIDE).height(_HIGH)
    for legend, query in queries.items():
        panel.with_target(prometheus.Dataquery().expr(query).legend_format(legend))
    return panel


def _by(title: str, unit: str, told: str, query: str, legend: str) -> timeseries.Panel:
    """A panel with a line for each series of one query."""
    panel = timeseries.Panel().title(title).description(told).unit(unit).datasource(_SOURCE).span(_WIDE).height(_HIGH)
    return panel.with_target(prometheus.Dataquery().expr(query).legend_format(legend))


def _figure(title: str, unit: str, told: str, query: str, legend: str = "") -> stat.Panel:
    """A panel with the latest value of each series of a query."""
    panel = stat.Panel().title(title).description(told).unit(unit).datasource(_SOURCE).span(_WIDE).height(_HIGH)
    return panel.with_target(prometheus.Dataquery().expr(query).legend_format(legend).instant())


def _dashboard(title: str, uid: str) -> dashboard.Dashboard:
    source = dashboard.DatasourceVariable("source").type("prometheus").label("Prometheus")
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .tags(["quipu"])
        .timezone("browser")
        .refresh("1m")
        .time("now-24h", "now")
        .with_variable(source)
    )


def operators() -> dashboard.Dashboard:
    """Whether scores are answered, how fast, by what, and how the runs go."""
    share = f"sum by (le) (rate(quipu_request_seconds_bucket{{{_SCORES}}}[5m]))"
    return (
        _dashboard("Quipu: operators", "quipu-operators")
        .with_panel(
            _by(
                "Requests a second",
                "reqps",
                "Answers by route and status.",
                "sum by (route, status) (rate(quipu_requests_total[5m]))",
                "{{route}} {{status}}",
            )
        )
        .with_panel(
            _lines(
                "Failed and slow",
                "percentunit",
                "Share of scores with a 5xx, and of those over 100 ms.",
                failed="quipu:request_errors:ratio_rate5m",
                slow="quipu:request_slow:ratio_rate5m",
            )
        )
        .with_panel(
            _lines(
                "Time to answer",
                "s",
                "Of requests for a score.",
                p50=f"histogram_quantile(0.5, {share})",
                p99=f"histogram_quantile(0.99, {share})",
            )
        )
        .with_panel(
            _figure(
                "Models that answer",
                "short",
                "Pods by model version.",
                "sum by (version, family) (quipu_model_info)",
                "{{version}} {{family}}",
            )
        )
        .with_panel(_by("Spool", "bytes", "Decisions that are not in the store yet.", "quipu_spool_bytes", "{{pod}}"))
        .with_panel(_by("Memory", "bytes", "Of each scorer.", "process_resident_memory_bytes", "{{pod}}"))
        .with_panel(
            _by(
                "Stages",
                "s",
                "Seconds of each stage that ended well, in its newest run.",
                'credit_stage_duration_seconds{status="SUCCEEDED"}',
                "{{pipeline}} {{stage}}",
            )
        )
        .with_panel(
            _figure("Runs", "short", "Of the newest hundred, by state.", "credit_run_state", "{{pipeline}} {{state}}")
        )
        .with_panel(
            _figure(
                "Since the last success",
                "s",
                "Of each pipeline.",
                "time() - credit_run_last_success_seconds",
                "{{pipeline}}",
            )
        )
    )


def model() -> dashboard.Dashboard:
    """Whether the model still sees what it learnt from, and what it answers."""
    return (
        _dashboard("Quipu: model", "quipu-model")
        .time("now-30d", "now")
        .with_panel(
            _figure(
                "Age of the book",
                "s",
                "Since the as-of day of the model that answers.",
                "time() - max by (version) (quipu_model_as_of_seconds)",
                "{{version}}",
            )
        )
        .with_panel(
            _figure(
                "Refused",
                "short",
                "1 while the champion does not verify and an older model answers.",
                "max(quipu_model_refused)",
            )
        )
        .with_panel(
            _figure(
                "Pointer read",
                "s",
                "Since a scorer last read the champion pointer; the one that waits longest.",
                "time() - min(quipu_pointer_read_seconds)",
            )
        )
        .with_panel(
            _by(
                "Changes",
                "short",
                "Models that took over, by pod.",
                "increase(quipu_model_changes_total[1d])",
                "{{pod}}",
            )
        )
        .with_panel(_by("Mean points", "none", "Of a day, by model version.", _MEAN_POINTS, "{{version}}"))
        .with_panel(
            _by(
                "Points by band",
                "percentunit",
                "Share of the answers of a day up to so many points.",
                _SHARE_OF_POINTS,
                "{{le}}",
            )
        )
        .with_panel(
            _by(
                "Drift of features",
                "none",
                "PSI of a day against training: from 0.1 look, from 0.25 act.",
                "topk(10, quipu:feature_psi:day)",
                "{{feature}}",
            )
        )
        .with_panel(
            _by(
                "Challenger",
                "reqps",
                "Rows that it scored beside the champion.",
                "sum by (version) (rate(quipu_shadow_scored_total[5m]))",
                "{{version}}",
            )
        )
    )


def rendered() -> dict[Path, str]:
    """The dashboards by file, as JSON that Grafana takes in."""
    made = {"operators": operators(), "model": model()}
    return {
        _FOLDER / f"{name}.json": json.dumps(one.build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"
        for name, one in made.items()
    }


if __name__ == "__main__":
    for path, text in rendered().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path.name)
