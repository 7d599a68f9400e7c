"""What Prometheus reads: requests by route, distributions over the bins of training, the model that answers."""

import dataclasses
import datetime
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from components.credit.book.store import Access, Store
from components.credit.models.binning import fit_binning
from components.credit.models.training_report import TrainingReport
from components.credit.release.registry import promote
from components.credit.release.signing import new_key_pair
from components.scorer.model import Model
from components.scorer.watching.distributions import Distributions, Histograms
from tests.scorer.running import REQUEST, Scorer, free_port, running

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
INFER = "/v2/models/quipu/infer"


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def scorer(access: Access, store: Store, keys: tuple[str, str], xgboost_version: str, port: int) -> Iterator[Scorer]:
    promote(store, xgboost_version, "")
    with running(access, keys[1], QUIPU_METRICS_PORT=str(port)) as scorer:
        yield scorer


@pytest.fixture
def read(scorer: Scorer, port: int) -> Callable[[], Samples]:
    def samples() -> Samples:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    return samples


def of(samples: Samples, name: str, **labels: str) -> float:
    return sum(value for (found, has), value in samples.items() if found == name and set(labels.items()) <= set(has))


def waited(read: Callable[[], Samples], wanted: Callable[[Samples], bool]) -> Samples:
    deadline = time.monotonic() + 10
    while not wanted(samples := read()):
        assert time.monotonic() < deadline, samples
        time.sleep(0.05)
    return samples


def test_requests_are_counted_by_route_status_and_version(
    scorer: Scorer, read: Callable[[], Samples], xgboost_version: str
) -> None:
    before = read()
    for _ in range(3):
        scorer.http.post(INFER, json=REQUEST)
    scorer.http.post(INFER, json={})
    route = "POST /v2/models/{model}/infer"
    refused = of(before, "quipu_requests_total", route=route, status="400")
    # a request is counted once its answer is sent
    after = waited(read, lambda now: of(now, "quipu_requests_total", route=route, status="400") > refused)

    def more(name: str, **labels: str) -> float:
        return of(after, name, route=route, **labels) - of(before, name, route=route, **labels)

    assert more("quipu_requests_total", status="200", version=xgboost_version) == 3
    assert more("quipu_requests_total", status="400", version="") == 1
    assert more("quipu_request_seconds_count", version=xgboost_version) == 3
    assert more("quipu_request_seconds_bucket", version=xgboost_version, le="5.0") == 3


def test_nothing_that_a_client_sends_becomes_a_label(scorer: Scorer, read: Callable[[], Samples]) -> None:
    series = len(read())
    for place in range(20):
        scorer.http.get(f"/made-up-{place}")
        scorer.http.request(f"MADEUP{place}", "/v1/score")
        scorer.http.post(f"/v2/models/made-up-{place}/infer", json=REQUEST)
        scorer.http.get(f"/v2/models/quipu/versions/made-up-{place}")
    samples = read()
    assert not [labels for _, labels in samples if any("made-up" in value.lower() for _, value in labels)]
    assert len(samples) < series + 100


def test_points_are_counted_each_and_the_model_is_named(
    scorer: Scorer, read: Callable[[], Samples], xgboost_version: str
) -> None:
    def counted(now: Samples) -> bool:
        """Whether the points of all requests of one row are counted; that is done a few times a second."""
        route = "POST /v2/models/{model}/infer"
        answered = of(now, "quipu_requests_total", route=route, status="200", version=xgboost_version)
        return of(now, "quipu_score_points_count", version=xgboost_version) == answered

    before = of(waited(read, counted), "quipu_score_points_count")
    answered = scorer.http.post(INFER, json=REQUEST).json()
    samples = waited(read, lambda now: counted(now) and of(now, "quipu_score_points_count") > before)
    assert of(samples, "quipu_score_points_count") == before + 1
    points = answered["outputs"][1]["data"][0]
    edges = sorted(float(dict(labels)["le"]) for name, labels in samples if name == "quipu_score_points_bucket")
    edge = next(edge for edge in edges if edge >= points)
    assert of(samples, "quipu_score_points_bucket", le=str(edge) if np.isfinite(edge) else "+Inf") >= before + 1
    assert of(samples, "quipu_model_info", version=xgboost_version, family="xgboost") == 1
    as_of = datetime.datetime(2024, 6, 30, tzinfo=datetime.UTC).timestamp()
    assert of(samples, "quipu_model_as_of_seconds", version=xgboost_version) == as_of


def test_a_refused_champion_and_a_change_are_told(
    scorer: Scorer,
    read: Callable[[], Samples],
    store: Store,
    put: Callable[..., str],
    make_scorer: Callable[[int], Any],
    newer_version: str,
    xgboost_version: str,
) -> None:
    promote(store, put(make_scorer(21), new_key_pair()[0]), "")
    samples = waited(read, lambda now: of(now, "quipu_model_refused") == 1)
    assert of(samples, "quipu_model_info", version=xgboost_version) == 1
    promote(store, newer_version, "")
    samples = waited(read, lambda now: of(now, "quipu_model_changes_total") == 1)
    assert of(samples, "quipu_model_refused") == 0
    assert of(samples, "quipu_model_info") == of(samples, "quipu_model_info", version=newer_version) == 1
    promote(store, xgboost_version, "")


def test_features_are_counted_over_the_bins_of_training(mixed: Model) -> None:
    histograms, distributions = Histograms(mixed.scorer), Distributions()
    distributions.add("v1", histograms)
    columns = {
        "late_share": np.array([0.1, np.nan, 0.9]),
        "channel": np.array(["branch", None, "carrier pigeon"], dtype=object),
        "attribute_shop_score": np.array([50.0, 50.0, np.nan]),
    }
    histograms.add(columns, np.array([500, 600, 10_000]))
    histograms.add(columns, np.array([500, 600, 10_000]))
    distributions.count()
    points, values, shares = distributions.collect()
    found = {(sample.labels["feature"], sample.labels["bin"]): sample.value for sample in values.samples}
    assert found["late_share", "missing"] == 2
    assert found["channel", "missing"] == 2
    assert found["channel", "1 other"] == 2
    assert sum(value for (feature, _), value in found.items() if feature == "late_share") == 6
    assert sum(sample.value for sample in shares.samples if sample.labels["feature"] == "channel") == pytest.approx(1)
    assert {sample.labels["le"]: sample.value for sample in points.samples if sample.name.endswith("bucket")}[
        "+Inf"
    ] == 6


def test_a_flood_of_rows_costs_a_sample_only(mixed: Model) -> None:
    histograms = Histograms(mixed.scorer)
    columns = {
        "late_share": np.full(5000, 0.1),
        "channel": np.full(5000, "branch", dtype=object),
        "attribute_shop_score": np.full(5000, 50.0),
    }
    for _ in range(200):
        histograms.add(columns, np.full(5000, 500))
    histograms.count()
    assert histograms.points.sum() == 1_000_000
    assert 0 < sum(bins.sum() for bins in histograms.bins) <= 150


def test_trees_have_the_bins_of_their_training_report(numbers: Model) -> None:
    scorer = numbers.scorer
    values = np.random.default_rng(1).normal(size=300)
    bins = [fit_binning(feature, values, (values > 0).astype(np.int64), 5, 0.05) for feature in scorer.features]
    histograms = Histograms(dataclasses.replace(scorer, training=TrainingReport(bins=bins)))
    histograms.add({feature.name: np.array([np.nan, 0.5]) for feature in scorer.features}, np.array([500, 510]))
    histograms.count()
    assert [(int(counts[0]), int(counts.sum())) for counts in histograms.bins] == [(1, 2)] * len(bins)
