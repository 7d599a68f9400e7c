"""The report and its tables tell whether segments have cards of their own, and show each card."""

import dataclasses

import msgspec
import pytest

from components.credit.book.manifest import Manifest
from components.credit.book.store import Store
from components.credit.config import Config, Rejects
from components.credit.models.card import Card
from components.credit.models.cards import Cards
from components.credit.models.scorer import Scorer
from components.credit.models.training_report import OwnCard, TrainingReport
from components.credit.progress import Progress
from components.evaluate.comparison import Comparison, compare
from components.evaluate.modelcard import markdown, model_card
from components.evaluate.report import page
from components.evaluate.tables import tables
from tests.evaluate.conftest import NO_REPORT
from tests.evaluate.test_report import Page

COMPARED = [
    {
        "by": "segment", "value": "new", "n": 400, "bads": 90, "auc_single": 0.6, "auc_single_low": 0.55,
        "auc_single_high": 0.65, "auc_own": 0.7, "auc_own_low": 0.65, "auc_own_high": 0.75, "difference": 0.1,
        "difference_low": 0.05, "difference_high": 0.15, "p_value": 0.001, "pays": True, "served": True,
    },
    {
        "by": "segment", "value": "recurrent", "n": 900, "bads": 20, "why": "fewer than 50 bads or goods to learn from",
        "pays": False, "served": False,
    },
]  # fmt: skip


@pytest.fixture(scope="module")
def compared(book: Manifest, scorers: dict[str, Scorer], store: Store) -> Comparison:
    """The book's comparison with a scorecard of two cards, of which one leaves a feature off."""
    scorer = scorers["scorecard"]
    card = scorer.engine
    assert isinstance(card, Card)
    by = next(binning for binning in card.binnings if binning.type == "number" and binning.cuts)
    shorter = Card(card.scaling, card.base_points - 7, card.binnings[:-1], card.points[:-1])
    engine = Cards(by.feature, by.cuts[0], card.features, shorter, card)
    parted = dataclasses.replace(
        scorer, engine=engine, training=TrainingReport(own_cards=msgspec.convert(COMPARED, list[OwnCard]))
    )
    settings = Config(rejects=Rejects(method="fuzzy"))
    return compare(book, scorers | {"scorecard": parted}, settings, store, Progress("evaluate"))


def test_the_report_and_the_tables_show_both_cards(compared: Comparison):
    assert msgspec.to_builtins(compared.decision.own_cards) == COMPARED
    rows = tables(compared)["own_cards"].to_pylist()
    assert [{name: value for name, value in row.items() if value is not None} for row in rows] == COMPARED
    text = Page(page(compared, NO_REPORT)).text
    assert "A card of its own for a segment?" in text
    assert "fewer than 50 bads or goods to learn from" in text
    assert "own card" in text
    scorer = compared.scorers["scorecard"]
    engine = scorer.engine
    assert isinstance(engine, Cards)
    parting = next(feature.en for feature in scorer.features if feature.name == engine.by)
    for sign, card in (("<", engine.below), (">=", engine.above)):
        rows = f"{engine.by} {sign} {engine.at:g}"
        assert f"{parting} {sign} {engine.at:g}, {len(card.binnings)} features" in text
        assert f"{card.base_points} points before any feature" in text
        held = [row for row in tables(compared)["scorecard"].to_pylist() if row["rows"] == rows]
        assert len(held) == sum(len(binning.bins) for binning in card.binnings)


def test_the_model_card_tells_whom_each_card_scores(compared: Comparison, comparison: Comparison):
    engine = compared.scorers["scorecard"].engine
    assert isinstance(engine, Cards)
    card = model_card(dataclasses.replace(compared, champion=compared.scorers["scorecard"]))
    assert card.cards == [f"{engine.by} < {engine.at:g}", f"{engine.by} >= {engine.at:g}"]
    assert f"`{engine.by} >= {engine.at:g}`" in markdown(card)
    assert model_card(comparison).cards == []


def test_inference_of_rejects_says_that_there_is_no_one_card(compared: Comparison):
    assert "cards of their own" in compared.decision.rejects.why


def test_one_card_is_one_table(comparison: Comparison):
    assert {row["rows"] for row in tables(comparison)["scorecard"].to_pylist()} == {"all"}
    assert comparison.decision.own_cards == []
