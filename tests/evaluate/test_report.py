import re
from dataclasses import replace
from html.parser import HTMLParser

import msgspec
import pytest

from components.credit.book.manifest import Manifest
from components.credit.book.store import Store
from components.credit.book.validation import ValidationReport
from components.credit.config import Config
from components.credit.models.scorer import Scorer
from components.credit.progress import Progress
from components.evaluate.comparison import Comparison, compare
from components.evaluate.report import FIGURES, count, number, page, share
from tests.evaluate.conftest import NO_REPORT

VALIDATION = msgspec.convert(
    {
    "rows": {
        "loans": {"in": 41_200, "clean": 41_102, "quarantined": 98},
        "applications": {"in": 3_000, "clean": 3_000, "quarantined": 0},
    },
    "reasons": [
        {
            "table": "loans", "reason": "amount < 0 & wrong", "column": "principal", "rows": 98,
            "first_file": "créditos.csv", "first_row": 12,
        }
    ],
    },
    ValidationReport,
)  # fmt: skip
VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """A page's elements; fails where tags do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        assert self.open == [], "elements that are never closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len(dict(attrs)), f"<{tag}> has an attribute twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


@pytest.fixture(scope="module")
def html(comparison: Comparison) -> str:
    return page(comparison, VALIDATION)


@pytest.fixture(scope="module")
def parsed(html: str) -> Page:
    return Page(html)


def test_the_page_fetches_nothing_and_runs_nothing(html: str, parsed: Page):
    for tag, attributes in parsed.elements:
        assert tag not in ("script", "link", "iframe", "object", "embed", "img")
        for name in ("src", "href", "srcset", "data", "action"):
            assert (attributes.get(name) or "#").startswith("#"), f"<{tag} {name}> leaves the page"
        assert not [name for name in attributes if name.startswith("on")]
    assert "@import" not in html
    assert not re.findall(r"url\((?!#)", html)
    assert "http" not in html


def test_every_reference_within_the_page_has_its_target(html: str, parsed: Page):
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]+)\)", html)) | set(re.findall(r'href="#([^"]+)"', html)) <= set(ids)


def test_every_colour_of_the_page_is_declared_for_light_and_dark(html: str):
    light, dark = html.split("prefers-color-scheme: dark")
    used = set(re.findall(r"var\((--[\w-]+)\)", html)) - {"--champion"}
    assert used <= set(re.findall(r"(--[\w-]+):", light))
    assert used <= set(re.findall(r"(--[\w-]+):", dark.partition("}")[0]))
    drawings = " ".join(re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL))
    assert not re.findall(r"#0[0-9a-f]0[0-9a-f]0[0-9a-f]\b", drawings), "a marker colour is left"


def test_the_decision_comes_first_in_both_languages(comparison: Comparison, parsed: Page):
    text = " ".join(parsed.text.split())
    reason = comparison.decision.reason
    assert text.index(reason.es) < text.index(reason.en) < text.index("Key figures")
    assert comparison.decision.champion.version in text


def test_every_figure_of_the_decision_stands_in_the_page(comparison: Comparison, parsed: Page):
    for found in comparison.decision.models.values():
        for name, label, decimals, as_share in FIGURES:
            told = share if as_share else number
            assert label in parsed.text
            for key in (name, f"{name}_low", f"{name}_high"):
                assert told(getattr(found, key), decimals) in parsed.text, key
        assert count(found.n) in parsed.text
        assert found.version in parsed.text
    for test in comparison.decision.tests:
        for key in ("difference", "low", "high", "bootstrap_low", "bootstrap_high"):
            assert number(getattr(test, key), 4) in parsed.text
    for row in comparison.decision.segments:
        assert number(row.models["xgboost"].auc_low, 3) in parsed.text
    for row in comparison.decision.fairness.groups:
        assert share(row.approval_rate) in parsed.text
    for row in comparison.decision.strategy:
        assert share(row.models["scorecard"].bad_rate_high) in parsed.text


def test_every_plot_says_what_it_shows_and_of_how_many(parsed: Page, html: str):
    figures = re.findall(r"<figure>.*?</figure>", html, flags=re.DOTALL)
    assert len(figures) == 4 + 3 * 3 + 2 + 1  # inclusion, profit
    for figure in figures:
        assert 'role="img"' in figure
        assert len(re.findall(r"<title>([^<]+)</title>", figure)) == 1
        assert "n = " in figure.partition("<figcaption>")[2]


def test_the_scorecard_is_shown_bin_by_bin(comparison: Comparison, parsed: Page):
    card = comparison.scorers["scorecard"].engine
    for binning, points in zip(card.binnings, card.points, strict=True):
        for bin, given in zip(binning.bins, points, strict=True):
            if bin.rows:
                assert bin.label in parsed.text
                assert number(given, 0) in parsed.text


def test_the_data_are_accounted_for(parsed: Page, html: str):
    for told in ("41,200", "41,102", "98", "créditos.csv, row 12", "amount < 0 & wrong"):
        assert told in parsed.text
    assert "amount &lt; 0 &amp; wrong" in html
    assert "No leakage was found" in parsed.text


def test_names_from_a_dictionary_are_text_not_markup(html: str):
    assert "debt &lt;to&gt; income" in html
    assert "debt <to> income" not in html


def test_a_random_split_and_leakage_are_called_by_their_names(publish, rows, scorers: dict[str, Scorer], store: Store):
    split = {"kind": "random grouped by borrower", "test_from": None, "embargo_days": None, "reason": "No dates."}
    finding = {"kind": "single feature", "feature": "debt_to_income", "auc": 0.97, "limit": 0.95, "reason": "by law"}
    features = publish(rows, leakage=[finding], split=split)
    told = Page(page(compare(features, scorers, Config(), store, Progress("evaluate")), NO_REPORT)).text
    assert "not out of time" in told
    assert "No dates." in told
    assert "kind: single feature; feature: debt_to_income; auc: 0.97; limit: 0.95; reason: by law" in told
    assert "ROC AUC, random split" in told


def test_a_split_without_embargo_is_owned_up_to(publish, rows, scorers: dict[str, Scorer], store: Store, html: str):
    split = {"kind": "out_of_time", "test_from": "2024-03-01", "embargo_days": 0, "reason": ""}
    bare = page(compare(publish(rows, split=split), scorers, Config(), store, Progress("evaluate")), VALIDATION)
    assert "no days before it are left out" in bare
    assert "the 365 days before it are left out" in html


def test_the_same_comparison_gives_the_same_small_page(comparison: Comparison, html: str):
    assert page(comparison, VALIDATION) == html
    assert len(html.encode()) < 1_500_000


def test_a_scorecard_alone_has_a_page(book: Manifest, scorers: dict[str, Scorer], store: Store):
    alone = compare(book, {"scorecard": scorers["scorecard"]}, Config(), store, Progress("evaluate"))
    told = Page(page(alone, VALIDATION)).text
    assert "The scorecard has no challenger." in told
    assert "Challengers against" not in told


def test_loans_that_cannot_be_told_are_shown_with_one_line_a_cause(comparison: Comparison):
    text = Page(page(comparison, NO_REPORT)).text
    assert (
        "1 loan that is old enough for a label has none, since its rows do not tell what became of it: "
        "a row in quarantine."
    ) in text
    assert (
        "1,203 loans that are old enough for a label have none, since their rows do not tell what became of them: "
        "two rows of one instalment."
    ) in text
    told = msgspec.structs.replace(comparison.decision, unclear={})
    assert "old enough for a label" not in Page(page(replace(comparison, decision=told), NO_REPORT)).text
