"""Prometheus itself on the alerts: its ``promtool``, and a scrape of the running scorer."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import urllib3
import yaml

from components.credit.book.store import Access, Store
from components.credit.models.scorer import save
from components.credit.release.registry import Package, promote, register
from components.credit.release.signing import new_key_pair
from tests.e2e.models import candidate
from tests.scorer.running import running

RULES = Path(__file__).resolve().parents[2] / "manifests" / "components" / "monitoring" / "rules.yaml"


def program(name: str) -> str:
    found = shutil.which(name)
    if not found:
        pytest.skip(f"no {name}: apt-get install prometheus")
    return found


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rules as a file of Prometheus, without the operator's wrapping."""
    folder = tmp_path_factory.mktemp("rules")
    (folder / "rules.yaml").write_text(yaml.safe_dump(yaml.safe_load(RULES.read_text())["spec"]))
    return folder / "rules.yaml"


def test_prometheus_takes_the_rules(rules: Path) -> None:
    checked = subprocess.run(
        [program("promtool"), "check", "rules", str(rules)], capture_output=True, text=True, timeout=60, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("name", ["minutes", "days"])
def test_each_alert_fires_when_it_should_and_only_then(rules: Path, name: str) -> None:
    cases = Path(__file__).with_name(f"{name}.test.yaml").read_text()
    (rules.parent / f"{name}.test.yaml").write_text(cases)
    tested = subprocess.run(
        [program("promtool"), "test", "rules", f"{name}.test.yaml"],
        cwd=rules.parent, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_alert_has_a_case() -> None:
    alerts = {
        rule["alert"] for group in yaml.safe_load(RULES.read_text())["spec"]["groups"] for rule in group["rules"]
        if "alert" in rule
    }  # fmt: skip
    cases = "".join(path.read_text() for path in Path(__file__).parent.glob("*.test.yaml"))
    assert not [alert for alert in alerts if f"alertname: {alert}\n" not in cases]


@pytest.fixture
def scraped(access: Access, store: Store, rules: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a Prometheus that scrapes a running scorer and judges by the rules."""
    prometheus, (signing, verify) = program("prometheus"), new_key_pair()
    model = candidate(tmp_path / "model", 1)
    save(model.scorer, tmp_path / "model")
    package = Package(model.version, "xgboost", "2026-10-31", "test", "ab" * 32, {"auc": 0.7}, model.decision)
    promote(store, model.version, register(store, tmp_path / "model", package, signing))
    ports = []
    for _ in range(2):
        with socket.socket() as opened:
            opened.bind(("127.0.0.1", 0))
            ports.append(opened.getsockname()[1])
    target = {"job_name": "scorer", "static_configs": [{"targets": [f"127.0.0.1:{ports[0]}"]}]}
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "scrape_configs": [target],
    }
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))
    with running(access, verify, QUIPU_METRICS_PORT=str(ports[0])) as scorer:
        server = subprocess.Popen(
            [prometheus, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
             f"--web.listen-address=127.0.0.1:{ports[1]}", "--log.level=error"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            scorer.http.post("/v1/score", content=b"{")
            yield f"http://127.0.0.1:{ports[1]}"
        finally:
            server.terminate()
            server.wait(20)


def asked(address: str, query: str) -> list[dict[str, Any]]:
    """The samples of a query, once there are any."""
    http, deadline = urllib3.PoolManager(timeout=2, retries=False), time.monotonic() + 40
    found: list[dict[str, Any]] = []
    while not found and time.monotonic() < deadline:
        try:
            answer = http.request("GET", f"{address}/api/v1/query?{urlencode({'query': query})}")
            found = json.loads(answer.data)["data"]["result"] if answer.status == 200 else []
        except urllib3.exceptions.HTTPError:
            pass
        if not found:
            time.sleep(0.2)
    return found


def test_prometheus_reads_the_running_scorer(scraped: str) -> None:
    (model,) = asked(scraped, "quipu_model_info")
    assert model["metric"]["family"] == "xgboost"
    assert asked(scraped, 'quipu_requests_total{status="400"}')
    assert asked(scraped, "quipu_request_seconds_bucket")
    assert asked(scraped, "quipu_model_as_of_seconds")[0]["value"][1] == "1793404800"
    # the rules are judged with what was scraped: the scorer is not down, and nobody knows of runs
    assert asked(scraped, 'ALERTS{alertname="RunsUnknown"}')
    assert not json.loads(
        urllib3.request(
            "GET", f"{scraped}/api/v1/query?query=ALERTS%7Balertname%3D%22ScorerDown%22%2Calertstate%3D%22firing%22%7D"
        ).data
    )["data"]["result"]
