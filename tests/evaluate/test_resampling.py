"""Whether the split is honest: test rows that a classifier tells from training rows, and a random split beside."""

import msgspec
import numpy as np
import pandas as pd
import pytest

from components.credit.book.store import Store
from components.credit.config import Config, Limits, Scorecard
from components.credit.errors import GateStopped
from components.credit.models.scorer import Scorer
from components.credit.progress import Progress
from components.evaluate.comparison import Comparison, compare
from components.evaluate.report import number, page
from components.evaluate.resampling import adversarial, random_split
from tests.evaluate.conftest import DEBT, LATE, NO_REPORT, SECTOR, WALLET

FEATURES = [LATE, DEBT, WALLET, SECTOR]


@pytest.fixture(scope="module")
def sides(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    return rows[rows["sample"] == "train"], rows[rows["sample"] == "test"]


def test_a_classifier_tells_test_rows_that_moved_by_what_moved(sides: tuple[pd.DataFrame, pd.DataFrame]):
    training, test = sides
    alike = adversarial(training, test, FEATURES, 0.998, 0.95, 1)
    assert alike is not None
    assert alike.auc_low < 0.5 < alike.auc_high
    moved = adversarial(training, test.assign(debt_to_income=test["debt_to_income"] + 3), FEATURES, 0.998, 0.95, 1)
    assert moved is not None
    assert 0.9 < moved.auc_low < moved.auc < moved.auc_high
    assert (moved.features[0], moved.n) == ("debt_to_income", len(training) + len(test))
    assert adversarial(training, test.head(10), FEATURES, 0.998, 0.95, 1) is None
    season = [msgspec.structs.replace(DEBT, cause="seasonality"), LATE, WALLET, SECTOR]
    later = adversarial(training, test.assign(debt_to_income=test["debt_to_income"] + 3), season, 0.998, 0.95, 1)
    assert later is not None
    assert later.auc < 0.6, "a season tells a young book's samples apart, and is no leak"


def test_a_borrower_who_repeats_itself_does_not_tell_the_sides_apart(sides: tuple[pd.DataFrame, pd.DataFrame]):
    training, test = (rows.head(100).loc[np.repeat(rows.index[:100], 8)] for rows in sides)
    for rows in (training, test):
        rows["borrower_id"] = rows["application_id"]
    told = adversarial(training, test, FEATURES, 0.998, 0.95, 1)
    assert told is not None
    assert told.auc < 0.65, "rows of one borrower stand in one fold"


def test_a_clock_among_the_inputs_stops_the_run_unless_someone_answers_for_it(
    publish, rows: pd.DataFrame, scorers: dict[str, Scorer], store: Store
):
    clocked = publish(rows.assign(debt_to_income=np.arange(len(rows), dtype=float)))
    with pytest.raises(
        GateStopped, match=r"AUC of (1\.0000|0\.999\d) \(limit 0\.998; n = 2,950\), most by debt_to_income"
    ):
        compare(clocked, scorers, Config(), store, Progress("evaluate"))
    answered = Config(limits=Limits(leakage_reason="the number of the form, by law"))
    comparison = compare(clocked, scorers, answered, store, Progress("evaluate"))
    (finding,) = comparison.decision.leakage
    assert (finding.kind, finding.reason) == ("test told from training", "the number of the form, by law")
    assert "reason: the number of the form, by law" in page(comparison, NO_REPORT)


def test_a_random_split_stands_beside_and_is_called_by_its_name(comparison: Comparison):
    out_of_time, drawn = comparison.decision.random_split
    assert (out_of_time.split, drawn.split) == ("out of time", "random")
    assert (out_of_time.n, out_of_time.n_training) == (1_050, 1_900)
    assert drawn.n + drawn.n_training == 2_950
    assert abs(drawn.n - 1_050) < 100
    html = page(comparison, NO_REPORT)
    assert "A comparison only" in html
    for row in (out_of_time, drawn):
        assert row.auc_low < row.auc < row.auc_high
        assert number(row.auc, 3) in html


def test_a_random_split_flatters_where_time_changes_what_risk_follows(sides: tuple[pd.DataFrame, pd.DataFrame]):
    training, test = sides
    turned = test.assign(wallet_trend=-test["wallet_trend"])
    out_of_time, drawn = random_split(training, turned, FEATURES, Scorecard(), 0.95, 1)
    assert drawn.auc_low > out_of_time.auc_high


def test_a_book_that_is_split_at_random_has_nothing_beside(publish, rows, scorers: dict[str, Scorer], store: Store):
    split = {"kind": "random grouped by borrower", "test_from": None, "embargo_days": 0, "reason": "No dates."}
    comparison = compare(publish(rows, split=split), scorers, Config(), store, Progress("evaluate"))
    assert comparison.decision.random_split == []
    assert "Beside a random split" not in page(comparison, NO_REPORT)
    training = rows[rows["sample"] == "train"]
    assert random_split(training, training.head(0), FEATURES, Scorecard(), 0.95, 1) == []
