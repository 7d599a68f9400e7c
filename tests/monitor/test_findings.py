"""A model whose book is watched: what stays is not called drift, what moves is."""

import datetime
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from components.credit.book.store import Store
from components.credit.config import Config, Rule
from components.credit.dictionary import Feature
from components.credit.drift import training_reference
from components.credit.errors import InputError
from components.credit.models.binning import Bin, Binning
from components.credit.models.calibration import Calibration, Scaling, sigmoid
from components.credit.models.card import Card
from components.credit.models.scorer import Scorer
from components.credit.models.training_report import TrainingReport
from components.credit.progress import Progress
from components.monitor.findings import Findings, expected_figures, find
from components.monitor.recent import look
from components.monitor.report import figures, page

SCALING = Scaling(points=600.0, odds=30.0, pdo=20.0)
AS_OF = datetime.date(2026, 6, 30)
LATE = Feature("days_late", "number", "Days late", "Días de atraso", "repayments", "late_payments")
CHANNEL = Feature("channel", "category", "Channel", "Canal", "applications", "loan_terms")
Book = dict[str, np.ndarray]


def book(rows: int, seed: int, late: float = 20.0, bad_shift: float = 0.0) -> Book:
    """Applications of the last 500 days whose risk is the card's own, unless it is shifted."""
    random = np.random.default_rng(seed)
    days_late = random.gamma(1.0, late, rows)
    channel = random.choice(np.array(["branch", "field", "app"], dtype=object), rows)
    log_odds = np.where(days_late < 10, -3.4, np.where(days_late < 30, -2.2, -0.9)) + bad_shift
    age = random.integers(0, 500, rows)
    label = np.where(random.random(rows) < sigmoid(log_odds), "bad", "good").astype(object)
    label[age < 365] = "unlabelled"
    return {
        "application_id": np.array([f"a{row:06}" for row in range(rows)], dtype=object),
        "borrower_id": np.array([f"b{row:06}" for row in range(rows)], dtype=object),
        "decided_at": np.datetime64(AS_OF) - age,
        "label": label,
        "days_late": np.where(random.random(rows) < 0.1, np.nan, days_late),
        "channel": channel,
    }


def card(training: Book) -> Scorer:
    points = [[-30, 40, 0, -38], [0, 0, 0]]
    binnings = [
        Binning("days_late", "number", "increasing", [Bin("", 1, 1, 0.0)] * 4, cuts=[10.0, 30.0]),
        Binning("channel", "category", "free", [Bin("", 1, 1, 0.0)] * 3, groups=[["branch", "field", "app"]]),
    ]
    scorer = Scorer(
        "scorecard", (LATE, CHANNEL), Card(SCALING, 565, binnings, points), Calibration(), SCALING, 0.15,
        (0.03, 0.06, 0.15, 0.3), {},
    )  # fmt: skip
    seen = training_reference(scorer.points(training), scorer.features, training)
    return replace(scorer, training=TrainingReport(reference=seen))


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return card(book(4_000, 1))


@pytest.fixture
def watch(store: Store, tmp_path: Path, scorer: Scorer) -> Callable[..., Findings]:
    """What monitoring finds in a book, dealt out in two parts, of a model that was trained a year ago."""

    def watched(
        rows: Book,
        model: Scorer = scorer,
        trained: str = "2025-06-30",
        config: Config | None = None,
        released: float = 0.0,
        rules: tuple[Rule, ...] = (),
    ) -> Findings:
        parts = []
        table = pa.table({name: values.tolist() if values.dtype == object else values for name, values in rows.items()})
        table = table.set_column(
            2, "decided_at", table["decided_at"].cast(pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))
        )
        for part in range(2):
            folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
            (folder / "features").mkdir(parents=True)
            pq.write_table(
                table.slice(part * table.num_rows // 2, table.num_rows // 2), folder / "features/part-00000.parquet"
            )
            parts.append(store.publish("features", AS_OF.isoformat(), folder, inputs={}, code="r", notes={}))
        settings, progress = config or Config(), Progress("monitor")
        seen = look(parts, model, rules, model.training.reference, trained, settings, store, progress)
        return find(seen, model, "v1", model.training.reference, released, AS_OF.isoformat(), settings)

    return watched


def test_a_book_that_stays_as_it_was_has_not_drifted(watch: Callable[..., Findings]) -> None:
    found = watch(book(4_000, 2))
    assert found.drift == []
    assert found.verdict == "stable"
    assert 600 < found.rows < 850, "applications of the last 90 days"
    assert not any(feature.shifted for feature in found.features)
    assert "No limit was passed." in page(found)


def test_riskier_applicants_are_called_drift_of_score_and_feature(watch: Callable[..., Findings]) -> None:
    found = watch(book(4_000, 3, late=80.0))
    assert found.verdict == "large"
    assert "monitoring.score_limit" in found.drift[0]
    assert found.features[0].name == "days_late"
    assert found.features[0].shifted
    assert "days_late" in found.drift[0]
    assert watch(book(4_000, 3, late=80.0), released=found.psi).drift == [], "the committee knew of it"
    assert "Drift." in page(found)
    assert msgspec.json.decode(msgspec.json.encode(found))["drift"] == found.drift


def test_a_handful_of_applications_gives_no_alarm(watch: Callable[..., Findings]) -> None:
    found = watch({name: values[:120] for name, values in book(400, 4, late=30.0).items()})
    assert 5 < found.rows < 60
    assert found.psi is not None
    assert found.psi > 0.10, "more than the limit, but so few rows differ by chance alone"
    assert found.drift == []


def test_more_bads_than_forecast_are_drift_once_labels_mature(watch: Callable[..., Findings]) -> None:
    steady, worse = (
        watch(book(6_000, 5), trained="2025-01-31"),
        watch(book(6_000, 5, bad_shift=0.8), trained="2025-01-31"),
    )
    assert steady.drift == []
    assert steady.matured["bad_rate"] == pytest.approx(steady.matured["predicted_bad_rate"], abs=0.03)
    assert worse.matured["understated_p"] < 0.01
    assert "went bad where" in worse.drift[0]


def test_labels_that_the_model_may_have_learnt_from_are_not_counted(watch: Callable[..., Findings]) -> None:
    rows = book(2_000, 6)
    assert watch(rows, trained="2026-06-30").matured == {}
    outside = (rows["decided_at"] > np.datetime64("2024-07-15")) & (rows["label"] != "unlabelled")
    assert watch(rows, trained="2025-07-15").matured.get("rows") == outside.sum()


def test_expected_figures_come_true_where_the_model_is_calibrated() -> None:
    random = np.random.default_rng(7)
    probability = random.beta(1, 8, 60_000)
    bad = random.random(60_000) < probability
    expected = expected_figures(probability, np.ones(60_000, dtype=bool), 0.2)
    assert expected["auc"] == pytest.approx(roc_auc_score(bad, probability), abs=0.01)
    assert expected["recall"] == pytest.approx(bad[probability > 0.2].sum() / bad.sum(), abs=0.02)
    assert expected["precision"] == pytest.approx(bad[probability > 0.2].mean(), abs=0.02)
    assert expected["bad_rate_approved"] == pytest.approx(bad[probability <= 0.2].mean(), abs=0.005)


def test_whoever_breaks_a_hard_rule_of_the_day_is_no_approval(watch: Callable[..., Findings]) -> None:
    rows = book(4_000, 2)
    rule = Rule("late", "days_late", 5.0, "e", "s")
    free, ruled = watch(rows), watch(rows, rules=(rule,))
    over = watch(rows, rules=(msgspec.structs.replace(rule, valid_to=datetime.date(2020, 1, 1)),))
    assert ruled.expected["approval_rate"] < free.expected["approval_rate"] - 0.1
    assert ruled.expected["bad_rate"] == free.expected["bad_rate"]
    assert over.expected == free.expected


def test_a_model_that_kept_no_reference_is_watched_all_the_same(watch: Callable[..., Findings], scorer: Scorer) -> None:
    found = watch(book(1_000, 8), model=replace(scorer, training=TrainingReport()))
    assert found.psi is None
    assert found.drift == []
    assert found.expected["auc"] > 0.6
    assert "psi" not in figures(found)
    assert "cannot be told" in page(found)


def test_features_that_lack_an_input_are_refused(watch: Callable[..., Findings]) -> None:
    rows = book(50, 9)
    del rows["channel"]
    with pytest.raises(InputError, match="lack 'channel'"):
        watch(rows)
