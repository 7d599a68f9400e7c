"""The study of the target in the committee's report and in the analysts' tables."""

import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from components.credit.book.store import Store
from components.credit.config import Config, Target
from components.credit.metrics import wilson
from components.credit.models.scorer import Scorer
from components.credit.progress import Progress
from components.evaluate.comparison import Comparison, compare
from components.evaluate.modelcard import markdown, model_card
from components.evaluate.report import count, page
from components.evaluate.report import share as shown
from components.evaluate.tables import write_tables
from tests.evaluate.conftest import NO_REPORT

STUDY = {
    "why": "",
    "loans": 740,
    "definitions": [
        {
            "bad_days": days,
            "window_days": window,
            "n": 700 - window,
            "bads": 200 - days,
            "configured": (days, window) == (60, 365),
        }
        for days in (30, 60)
        for window in (180, 365)
    ],
    "roll_days": 182,
    "roll_rates": [
        {"bucket": "0", "n": 400, "worse": 37, "same": 363, "better": 0, "refinanced": 0},
        {"bucket": "over 90", "n": 20, "worse": 0, "same": 19, "better": 0, "refinanced": 1},
    ],
    "vintages": [
        {"vintage": vintage, "n": n, "month": month, "bads": 3 * month}
        for vintage, n, last in (("2023Q4", 411, 14), ("2024Q1", 329, 2))
        for month in range(1, last + 1)
    ],
}
EXCLUSIONS = [
    {"code": "staff", "column": "applications.channel", "values": ["referral"], "reason": "Loans to <our> own staff.",
     "applications": 17}
]  # fmt: skip


@pytest.fixture(scope="module")
def studied(publish, rows, scorers: dict[str, Scorer], store: Store) -> Comparison:
    features = publish(rows, study=STUDY, exclusions=EXCLUSIONS)
    return compare(features, scorers, Config(target=Target(maturity_days=45)), store, Progress("evaluate"))


def share(value: float) -> str:
    return shown(value).replace("\N{NO-BREAK SPACE}", " ")


def told(html: str) -> str:
    section = html[html.index('<h2 id="target"') : html.index('<h2 id="data"')]
    return " ".join(re.sub(r"<[^>]+>", " ", section).split())


def test_each_rate_of_the_page_has_its_interval_and_n(studied: Comparison):
    text = told(page(studied, NO_REPORT))
    for row in STUDY["definitions"]:
        low, high = wilson(row["bads"], row["n"], 0.95)
        assert f"{share(row['bads'] / row['n'])} {share(low)} – {share(high)} n = {count(row['n'])}" in text
    for row in STUDY["roll_rates"]:
        low, high = wilson(row["same"], row["n"], 0.95)
        assert f"{row['bucket']} {row['n']}" in text
        assert f"{share(row['same'] / row['n'])} {share(low)} – {share(high)}" in text
    low, high = wilson(36, 411, 0.95)
    assert f"2023Q4 411 {share(9 / 411)}" in text
    assert f"{share(36 / 411)} {share(low)} – {share(high)}" in text
    assert "2024Q1 329 – – – –" in text, "two months are less than the table's first column"
    assert "n = 740 loans" in text


def test_the_page_says_what_is_bad_and_what_is_out_of_scope(studied: Comparison):
    html = page(studied, NO_REPORT)
    text = told(html)
    assert "came to 60 days past due or more within 365 days" in text
    assert "one that came to 31 to 59 days is neither" in text
    assert "a loan counts 45 days after its window" in text
    assert "staff (applications.channel referral): 17 applications." in text
    assert "Loans to &lt;our&gt; own staff." in html
    assert "- Out of scope: staff (applications.channel: referral), 17 applications." in markdown(model_card(studied))


def test_one_cell_is_marked_as_the_configured_definition(studied: Comparison, publish, rows, scorers, store: Store):
    (marked,) = re.findall(r'<td class="chosen">(.*?)</td>', page(studied, NO_REPORT))
    assert "n = 335, as configured" in marked
    without = page(compare(publish(rows), scorers, Config(), store, Progress("evaluate")), NO_REPORT)
    assert '<td class="chosen">' not in without


def test_a_book_that_cannot_be_studied_says_so_in_one_sentence(publish, rows, scorers, store: Store, tmp_path: Path):
    why = "The lender gives outcomes without loans or repayments, so the target cannot be studied."
    bare = {**STUDY, "why": why, "loans": 0, "definitions": [], "roll_rates": [], "vintages": []}
    comparison = compare(publish(rows, study=bare), scorers, Config(), store, Progress("evaluate"))
    assert told(page(comparison, NO_REPORT)).endswith(why)
    write_tables(comparison, tmp_path)
    assert not (tmp_path / "vintages.csv").exists()


def test_analysts_have_the_study_as_tables(studied: Comparison, tmp_path: Path):
    write_tables(studied, tmp_path)
    assert pq.read_table(tmp_path / "bad_rate_by_definition.parquet").num_rows == 4
    vintages = pq.read_table(tmp_path / "vintages.parquet").to_pylist()
    assert len(vintages) == 16
    assert all(row["bad_rate_low"] <= row["bad_rate"] <= row["bad_rate_high"] for row in vintages)
    rolls = pq.read_table(tmp_path / "roll_rates.parquet").to_pylist()
    assert rolls[1]["refinanced"] == pytest.approx(0.05)


def test_the_same_study_gives_the_same_page(studied: Comparison):
    html = page(studied, NO_REPORT)
    assert html == page(studied, NO_REPORT)
    assert len(re.findall(r"<title>Loans that became bad", html)) == 1
