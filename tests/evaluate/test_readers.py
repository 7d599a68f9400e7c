"""The tables of analysts and the card of compliance hold the numbers of the decision."""

from pathlib import Path

import msgspec
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest

from components.evaluate.comparison import Comparison
from components.evaluate.modelcard import ModelCard, markdown, model_card
from components.evaluate.report import FIGURES, number, share
from components.evaluate.tables import write_tables


@pytest.fixture(scope="module")
def folder(comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    written = tmp_path_factory.mktemp("tables")
    write_tables(comparison, written)
    return written


def test_each_table_is_there_as_csv_and_as_parquet_with_the_same_rows(folder: Path):
    names = {path.stem for path in folder.iterdir()}
    assert {"figures", "strategy", "grades", "fairness", "inclusion", "profit", "swaps", "scorecard"} <= names
    for name in names:
        parquet = pq.read_table(folder / f"{name}.parquet")
        csv = pc.read_csv(folder / f"{name}.csv")
        assert csv.column_names == parquet.column_names
        assert csv.num_rows == parquet.num_rows > 0


def test_figures_have_interval_and_n(folder: Path, comparison: Comparison):
    rows = pq.read_table(folder / "figures.parquet").to_pylist()
    auc = next(row for row in rows if (row["model"], row["figure"]) == ("xgboost", "auc"))
    found = comparison.decision.models["xgboost"]
    assert auc == {"model": "xgboost", "figure": "auc", "value": found.auc, "low": found.auc_low,
                   "high": found.auc_high, "n": found.n}  # fmt: skip
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows)


def test_money_in_the_tables_is_decimal_with_its_currency(folder: Path, comparison: Comparison):
    row = pq.read_table(folder / "profit.parquet").to_pylist()[3]
    assert row["currency"] == "PEN"
    assert row["expected"] == comparison.decision.money.rows[3].expected


def test_the_same_comparison_gives_the_same_bytes(folder: Path, comparison: Comparison, tmp_path: Path):
    write_tables(comparison, tmp_path)
    for path in folder.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_the_card_holds_the_champions_figures_target_inputs_and_norms(comparison: Comparison):
    card = model_card(comparison)
    assert msgspec.json.decode(msgspec.json.encode(card), type=ModelCard) == card
    assert card.model.version == comparison.decision.champion.version
    assert [row.name for row in card.inputs] == ["peak_days_late", "debt_to_income", "wallet_trend"]
    assert card.target.bad_days == 60
    assert card.person_decides is True
    assert any("29733" in row.norm for row in card.norms)
    assert all(row.low <= row.value <= row.high and row.n == 1_050 for row in card.figures)


def test_the_card_in_words_says_what_its_json_says(comparison: Comparison):
    card = model_card(comparison)
    told = markdown(card)
    forms = {name: (decimals, as_share) for name, _, decimals, as_share in FIGURES}
    for row in card.figures:
        decimals, as_share = forms[row.name]
        assert f"| {row.label} | {(share if as_share else number)(row.value, decimals)} |" in told
    assert card.model.version in told
    assert card.chosen.es in told
    assert "Una persona confirma cada decisión" in told
    assert "debt <to> income" in told
    tables = [line for line in told.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in tables)
