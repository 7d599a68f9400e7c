"""The dashboards that are committed are those of the code, and speak of metrics that there are."""

import json
import re
from pathlib import Path

import pytest

from components.exporter.metrics import families
from components.scorer.watching import metrics
from pipelines.dashboards import rendered

RULES = Path(__file__).resolve().parents[2] / "manifests" / "components" / "monitoring" / "rules.yaml"


@pytest.mark.parametrize("path", rendered(), ids=lambda path: path.stem)
def test_the_committed_dashboard_is_the_codes(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == rendered()[path], "run 'make compile'"


def test_dashboards_and_alerts_ask_for_metrics_that_there_are() -> None:
    known = {family.name for family in metrics.REGISTRY.collect()} | {family.name for family in families([])}
    known |= {"quipu_score_points", "quipu_feature_values", "quipu_feature_training_share", "credit_kubeflow_up"}
    texts = [json.dumps(json.loads(text)) for text in rendered().values()]
    asked = set(re.findall(r"\b((?:quipu|credit)_[a-z_]+)", RULES.read_text() + "".join(texts)))
    endings = re.compile(r"_(total|bucket|sum|count)$")
    assert not [name for name in asked if name not in known and endings.sub("", name) not in known]
