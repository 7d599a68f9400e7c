"""The scorecard with reject inference is shown beside the one without it, and never chosen."""

from dataclasses import replace

import msgspec
import numpy as np
import pandas as pd
import pytest

from components.credit.book.store import Store
from components.credit.config import Config, Policy, Rejects
from components.credit.models.card import Card
from components.credit.models.scorer import Scorer
from components.credit.models.training_report import InferredOutcomes, ScoreBand, TrainingReport
from components.credit.progress import Progress
from components.evaluate.comparison import Comparison, compare
from components.evaluate.rejects import inference
from components.evaluate.report import page
from components.evaluate.tables import tables
from tests.evaluate.conftest import NO_REPORT, Publish
from tests.evaluate.test_report import Page

CONFIG = Config(rejects=Rejects("parcelling", factor=3.0))
BAND = ScoreBand(points_from=None, n=10, bads=4, bad_rate=0.4, declined=8, inferred_bads=5)
LEARNT = InferredOutcomes("parcelling", 3.0, 8, 5.0, [BAND])


@pytest.fixture(scope="module")
def with_rejects(scorers: dict[str, Scorer]) -> Scorer:
    """The scorecard with five points less in the first bin of its first feature, and without its last feature."""
    card = scorers["scorecard"].engine
    assert isinstance(card, Card)
    points = [[card.points[0][0] - 5, *card.points[0][1:]], card.points[1]]
    other = Card(card.scaling, card.base_points, card.binnings[:2], points)
    report = TrainingReport(rejects=LEARNT)
    return replace(scorers["scorecard"], engine=other, features=scorers["scorecard"].features[:2], training=report)


@pytest.fixture(scope="module")
def compared(
    rows: pd.DataFrame, publish: Publish, scorers: dict[str, Scorer], with_rejects: Scorer, store: Store
) -> Comparison:
    away = rows["sample"] == "unlabelled"
    book = publish(
        rows.assign(
            decision=np.where(away, "declined", "approved"),
            decided_at=rows["decided_at"].where(~away, rows["decided_at"][2_500]),
        )
    )
    return compare(book, scorers, CONFIG, store, Progress("evaluate"), with_rejects)


def test_figures_by_hand(scorers: dict[str, Scorer], with_rejects: Scorer):
    rows = pd.DataFrame(
        {
            "bad": [0, 0, 0, 1, 1, -1, -1, -1],
            "borrower_id": np.arange(8),
            "probability_scorecard": [0.1, 0.2, 0.3, 0.25, 0.6, 0.15, 0.5, 0.7],
            "probability_with_rejects": [0.1, 0.2, 0.3, 0.4, 0.6, 0.35, 0.7, 0.8],
        }
    )
    config = Config(rejects=CONFIG.rejects, policy=Policy(approval_share=0.5))
    found = inference(rows, scorers["scorecard"], with_rejects, config)
    assert found is not None
    without, with_ = found.cards
    assert (found.n, found.bads, found.declined) == (5, 2, 3)
    assert (without.auc, with_.auc) == (pytest.approx(5 / 6), 1.0)
    assert found.difference.value == pytest.approx(1 / 6)
    # four of eight: .1 .15 .2 .25, one of them declined and one bad; with inference .1 .2 .3 .35
    assert (without.approved_known, without.bad_rate) == (3, pytest.approx(1 / 3))
    assert (with_.approved_known, with_.bad_rate) == (3, 0)
    assert without.declined_approved == with_.declined_approved == pytest.approx(1 / 3)
    assert (without.expected_declined, with_.expected_declined) == (pytest.approx(0.45), pytest.approx(1.85 / 3))


def test_points_of_both_cards_stand_bin_by_bin(compared: Comparison, scorers: dict[str, Scorer]):
    card = scorers["scorecard"].engine
    assert isinstance(card, Card)
    bins = compared.decision.rejects.bins
    assert len(bins) == sum(map(len, card.points))
    changes = {(row.feature, row.bin): row.change for row in bins}
    assert changes["peak_days_late", "missing"] == -5
    assert {changes["debt_to_income", bin_.label] for bin_ in card.binnings[1].bins} == {0}
    dropped = [row for row in bins if row.feature == "sector"]
    assert all(row.points_with == 0 and row.change == -row.points for row in dropped)
    assert [abs(row.change) for row in bins] == sorted((abs(row.change) for row in bins), reverse=True)


def test_the_champion_is_the_same_as_without(compared: Comparison, comparison: Comparison):
    assert compared.champion == comparison.champion
    assert set(compared.decision.models) == set(comparison.decision.models)
    assert comparison.decision.rejects is None


def test_the_report_and_the_tables_show_both(compared: Comparison):
    html = page(compared, NO_REPORT)
    told = Page(html).text
    assert "With inference" in told
    assert "Nothing decides by it" in told
    assert "3 times those of granted loans, so that 5 of them count as bad" in told
    written = tables(compared)
    assert written["rejects"]["card"].to_pylist() == ["without", "with"]
    assert written["rejects_score_bands"].to_pylist() == [msgspec.to_builtins(BAND)]
    assert written["rejects_bins"].num_rows == len(compared.decision.rejects.bins)


def test_a_book_without_rejects_says_so_in_one_sentence(comparison: Comparison, scorers: dict[str, Scorer]):
    assert inference(pd.DataFrame(), scorers["scorecard"], None, Config()) is None
    found = inference(pd.DataFrame(), scorers["scorecard"], None, CONFIG)
    bare = replace(comparison, decision=msgspec.structs.replace(comparison.decision, rejects=found))
    html = page(bare, NO_REPORT)
    assert "could be made: The book holds no application that was declined" in Page(html).text
    assert "rejects" not in tables(bare)
