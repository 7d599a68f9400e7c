"""An own card of a segment pays where its risk follows other things, and is said not to where chance may do as much."""

import numpy as np
import pandas as pd
import pytest

from components.credit.config import Config, Limits
from components.credit.dictionary import Feature
from components.credit.progress import Progress
from components.credit.scorer import Scorer
from components.credit.store import Store
from components.evaluate.comparison import Comparison, compare
from components.evaluate.own_cards import own_card_rows
from components.evaluate.report import page
from components.evaluate.tables import tables
from tests.evaluate.conftest import Publish
from tests.evaluate.test_report import Page

FEATURES = [
    Feature("late", "number", "late", "atraso", "loans", "late_payments"),
    Feature("debt", "number", "debt", "deuda", "bureau", "debt_level"),
]
CONFIG = Config()


def _book(turned: bool, rows: int = 3_000) -> pd.DataFrame:
    """Debt makes recurrent clients risky; of new ones it does the reverse where ``turned``."""
    random = np.random.default_rng(5)
    new, (late, debt) = random.random(rows) < 0.3, random.normal(size=(2, rows))
    log_odds = -1 + 0.6 * late + np.where(new & turned, -1.5, 1.5) * debt
    return pd.DataFrame(
        {
            "late": late,
            "debt": debt,
            "bad": (random.random(rows) < 1 / (1 + np.exp(-log_odds))).astype(np.int64),
            "borrower_id": np.arange(rows),
            "decided_at": pd.Timestamp("2023-01-01", tz="UTC") + pd.to_timedelta(np.arange(rows), "h"),
            "segment": np.where(new, "new", "recurrent"),
            "thin_file": False,
        }
    )


@pytest.mark.parametrize("turned", [True, False])
def test_an_own_card_pays_where_the_segments_risk_is_another(turned: bool):
    new, recurrent = own_card_rows(_book(turned), FEATURES, CONFIG)
    assert (new["value"], recurrent["value"]) == ("new", "recurrent")
    assert new["pays"] is turned
    assert new["difference"] == pytest.approx(new["auc_own"] - new["auc_single"])
    assert new["difference_low"] < new["difference"] < new["difference_high"]
    assert (new["difference"] > 0.1) is turned
    # the later 60 % of the rows are tested
    assert new["n"] + recurrent["n"] == 1_800


def test_a_segment_without_bads_says_why_and_the_others_are_compared():
    book = _book(turned=True)
    book.loc[book["segment"] == "new", "bad"] = 0
    book.loc[5, "segment"] = None
    new, recurrent = own_card_rows(book, FEATURES, CONFIG)
    assert (new["bads"], new["pays"], new["why"]) == (0, False, "fewer than 50 bads or goods to learn from")
    assert "auc_own" in recurrent


def test_books_that_cannot_be_parted_have_no_rows():
    book = _book(turned=True)
    assert own_card_rows(book.assign(segment="new"), FEATURES, CONFIG) == []
    assert own_card_rows(book.drop(columns=["segment", "thin_file"]), FEATURES, CONFIG) == []
    two = book.assign(bad=(np.arange(len(book)) == 7).astype(np.int64))
    assert own_card_rows(two, FEATURES, CONFIG) == []
    assert own_card_rows(book.head(0), FEATURES, Config(limits=Limits(least_bads=1))) == []


def test_the_report_and_the_tables_show_it(comparison: Comparison):
    rows = comparison.decision["own_cards"]
    assert [(row["by"], row["value"]) for row in rows] == [
        ("segment", "new"), ("segment", "recurrent"), ("thin_file", "no"), ("thin_file", "yes"),
    ]  # fmt: skip
    assert "A card of its own for a segment?" in Page(page(comparison, {})).text
    assert tables(comparison)["own_cards"] == rows


def test_a_segment_of_the_test_sample_without_bads_is_told_of(
    rows: pd.DataFrame, publish: Publish, scorers: dict[str, Scorer], store: Store
):
    good = (rows["segment"] == "new") & rows["bad"].notna()
    compared = compare(
        publish(rows.assign(bad=rows["bad"].mask(good, 0))), scorers, Config(), store, Progress("evaluate")
    )
    told = next(row for row in compared.decision["segments"] if row["value"] == "new")
    assert (told["bads"], told["bad_rate"], told["models"]["scorecard"]["auc"]) == (0, 0, None)
    assert next(row for row in compared.decision["own_cards"] if row["value"] == "new")["why"]
    assert "fewer than 50 bads or goods to learn from" in Page(page(compared, {})).text
