"""A card that left Quipu gives the very points of the card: as SQL in DuckDB and PostgreSQL, as JSON, in Excel."""

import io
import json
import math

import adbc_driver_postgresql.dbapi
import duckdb
import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.credit.config import Rule
from components.credit.dictionary import Feature
from components.credit.errors import InputError
from components.credit.models.binning import fit_binning
from components.credit.models.calibration import Scaling
from components.credit.models.card import Card
from components.credit.models.cards import Cards
from components.credit.models.export import document, exported, sheet, sql
from components.credit.models.scorer import Scorer

FEATURES = [
    Feature("days late", "number", "d", "días", "loans", "late_payments", special=[-1.0, 999.0]),
    Feature("ratio", "number", "r", "razón", "bureau", "debt_level"),
    Feature('o"dd', "category", "s", "sector", "borrowers", "business"),
]
SECTORS = ["comercio", "d'Arte", "=agro", "pesca"]


def made_card(seed: int) -> tuple[Card, list[float]]:
    """A card with random cuts, and the values at and around each of them."""
    random = np.random.default_rng(seed)
    n = 600
    columns = {
        "days late": random.choice([np.nan, -1.0, 999.0, *random.normal(20, 30, 40)], n),
        "ratio": np.where(random.random(n) < 0.1, np.nan, random.lognormal(size=n) / 3),
        'o"dd': random.choice(np.array([None, *SECTORS], dtype=object), n),
    }
    risk = np.nan_to_num(columns["ratio"]) + (columns['o"dd'] == "pesca") + 0.01 * np.nan_to_num(columns["days late"])
    bad = (random.random(n) < 1 / (1 + np.exp(1.5 - risk))).astype(np.int64)
    binnings = [fit_binning(feature, columns[feature.name], bad, 6, 0.03) for feature in FEATURES]
    points = [[int(value) for value in random.integers(-40, 40, len(binning.bins))] for binning in binnings]
    cuts = [cut for binning in binnings for cut in binning.cuts]
    edges = [value for cut in cuts for value in (cut, math.nextafter(cut, -math.inf), math.nextafter(cut, math.inf))]
    return Card(Scaling(600, 30, 20), 512, binnings, points), edges


def made_cards(seed: int) -> tuple[Cards, list[float]]:
    """Two such cards, parted at a number that only one of them has bins of."""
    (below, edges), (above, others) = made_card(seed), made_card(seed + 100)
    above = Card(above.scaling, 431, above.binnings[1:], above.points[1:])
    return Cards("days late", 12.0, [feature.name for feature in FEATURES], below, above), [*edges, *others, 12.0]


def points_in_duckdb(card: Card | Cards, rows: pd.DataFrame) -> list[int]:
    with duckdb.connect() as connection:
        connection.register("applicants", rows)
        return [found[0] for found in connection.execute(f"SELECT {sql(card)} FROM applicants").fetchall()]


def rows_at(edges: list[float], seed: int) -> pd.DataFrame:
    """Rows at and around each cut, and such as no training row was like."""
    numbers = [*edges, np.nan, -1.0, 999.0, 0.0, -0.0, 5e-324, 1e308, -1e308, np.inf, -np.inf]
    names = [None, *SECTORS, "nueva", "", "COMERCIO"]
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "days late": [*numbers, *random.choice(numbers, 300)],
            "ratio": [*reversed(numbers), *random.choice(numbers, 300)],
            'o"dd': np.resize(np.array(names, dtype=object), len(numbers) + 300),
        }
    )


@pytest.mark.parametrize("seed", range(4))
def test_sql_gives_the_cards_points_at_every_edge(seed: int):
    card, edges = made_card(seed)
    rows = rows_at(edges, seed)
    expected = card.base_points + card.feature_points(rows).sum(axis=1)
    assert points_in_duckdb(card, rows) == expected.tolist()


@pytest.mark.parametrize("seed", range(4))
def test_sql_of_two_cards_gives_the_points_of_the_one_that_scores(seed: int, postgres: str):
    cards, edges = made_cards(seed)
    rows = rows_at([*edges, math.nextafter(12.0, -math.inf)], seed).reset_index(names="place")
    is_above = (rows["days late"] >= 12).to_numpy()
    expected = [
        int((card.base_points + card.feature_points(rows.iloc[[place]]).sum(axis=1))[0])
        for place, card in enumerate(cards.above if above else cards.below for above in is_above)
    ]
    assert 50 < is_above.sum() < len(rows) - 50
    assert (cards.above.base_points + cards.feature_points(rows).sum(axis=1)).tolist() == expected
    assert points_in_duckdb(cards, rows) == expected
    with adbc_driver_postgresql.dbapi.connect(postgres) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest("applicants", pa.Table.from_pandas(rows, preserve_index=False), "replace")
        cursor.execute(f"SELECT {sql(cards)} FROM applicants ORDER BY place")
        assert [row[0] for row in cursor.fetchall()] == expected


@pytest.mark.parametrize("seed", range(4))
def test_sql_gives_the_cards_points_in_postgresql(seed: int, postgres: str):
    card, edges = made_card(seed)
    rows = rows_at(edges, seed).reset_index(names="place")
    expected = card.base_points + card.feature_points(rows).sum(axis=1)
    with adbc_driver_postgresql.dbapi.connect(postgres) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest("applicants", pa.Table.from_pandas(rows, preserve_index=False), "replace")
        cursor.execute(f"SELECT {sql(card)} FROM applicants ORDER BY place")
        assert [row[0] for row in cursor.fetchall()] == expected.tolist()
        # NaN of a number is NULL where pandas wrote the table: the other spelling of missing
        cursor.execute(
            f"SELECT {sql(card)} FROM (SELECT CAST('NaN' AS DOUBLE PRECISION) AS \"days late\", "
            'CAST(\'NaN\' AS DOUBLE PRECISION) AS ratio, CAST(NULL AS TEXT) AS "o""dd") AS missing'
        )
        assert cursor.fetchall()[0][0] == card.base_points + sum(points[0] for points in card.points)


@settings(max_examples=25, deadline=None)
@given(st.floats(), st.floats(), st.none() | st.sampled_from(SECTORS) | st.text(max_size=4))
def test_sql_gives_the_cards_points_of_any_row(late: float, ratio: float, sector: str | None):
    card, _ = made_card(7)
    rows = pd.DataFrame({"days late": [late], "ratio": [ratio], 'o"dd': np.array([sector], dtype=object)})
    expected = card.base_points + card.feature_points(rows).sum(axis=1)
    assert points_in_duckdb(card, rows) == expected.tolist()


def test_sql_takes_whole_numbers_and_nulls():
    card, _ = made_card(1)
    rows = pd.DataFrame({"days late": [-1.0, 12, np.nan], "ratio": [0.0, 1, 2], 'o"dd': ["pesca", None, "comercio"]})
    expected = (card.base_points + card.feature_points(rows).sum(axis=1)).tolist()
    with duckdb.connect() as connection:
        connection.register("given", rows)
        whole = (
            'SELECT CAST("days late" AS DECIMAL(9, 2)) AS "days late", CAST(ratio AS INTEGER) AS ratio, "o""dd" FROM '
            '(SELECT * REPLACE (CASE WHEN isnan("days late") THEN NULL ELSE "days late" END AS "days late") '
            "FROM given)"
        )
        found = connection.execute(f"SELECT {sql(card)} FROM ({whole})").fetchall()
    assert [row[0] for row in found] == expected


def scorer_of(card: Card | Cards) -> Scorer:
    from components.credit.models.calibration import Calibration

    return Scorer(
        "scorecard", tuple(FEATURES), card, Calibration(), Scaling(600, 30, 20), 0.1, (0.05, 0.1, 0.2, 0.4), {}
    )


def test_json_holds_every_bin_with_its_points_and_bounds():
    card, _ = made_card(2)
    told = json.loads(document(scorer_of(card), "abc"))
    assert (told["version"], told["base_points"], told["scaling"]["pdo"]) == ("abc", 512, 20)
    for feature, binning, points in zip(told["features"], card.binnings, card.points, strict=True):
        assert [bin_["points"] for bin_ in feature["bins"]] == points
        bounds = [bin_["from"] for bin_ in feature["bins"] if "from" in bin_]
        assert bounds[1:] == binning.cuts
    assert [bin_["value"] for bin_ in told["features"][0]["bins"] if "value" in bin_] == [-1, 999]


def test_the_sheet_holds_the_card_and_its_formulas_look_up_its_points():
    card, _ = made_card(3)
    scorer = scorer_of(card)
    name = scorer.features[0].name
    rules = [Rule("a", name, 2.5, "e", "Demasiado", "Norma 1"), Rule("b", "lenders", 4, "e", "Muchas entidades")]
    workbook = openpyxl.load_workbook(io.BytesIO(sheet(scorer, "abc", rules)))
    form, bins = workbook["Calcular"], workbook["Tarjeta"]
    formulas = [form.cell(row, 3).value for row in range(4, 7)]
    ranges = card.points[0][3:]
    assert f"{{{';'.join(map(str, ranges))}}}" in formulas[0]
    assert all(repr(cut) in formulas[0] for cut in card.binnings[0].cuts)
    assert "B4=-1.0" in formulas[0]
    assert formulas[0].startswith(f'=IF(B4="",{card.points[0][0]},')
    assert "EXACT(Tarjeta!$D$" in formulas[2]
    texts = [(row[3].value, row[3].data_type) for row in bins.iter_rows(min_row=2) if row[3].value]
    assert set(texts) == {(name, "s") for name in SECTORS}
    assert form.cell(7, 3).value == 512
    assert form.cell(9, 3).value == scorer.cutoff_points
    assert form.cell(10, 3).value == '=IF(C8>=C9,"aprobar","rechazar")'
    assert (form.cell(13, 1).value, form.cell(13, 2).value) == (
        f"Demasiado: {name} mayor que 2.5 (Norma 1)", '=IF(B4="","",B4)',
    )  # fmt: skip
    assert form.cell(14, 2).value is None, "asked for here, since the card does not"
    assert form.cell(14, 3).value == '=IF(ISNUMBER(B14),IF(B14>4,"rechazar","pasa"),"pasa")'
    assert form.cell(15, 3).value == '=IF(COUNTIF(C13:C14,"rechazar")>0,"rechazar",C10)'
    assert sheet(scorer, "abc", rules) == sheet(scorer, "abc", rules)
    assert sheet(scorer, "abc", []) != sheet(scorer, "abc", rules)


def test_two_cards_are_told_apart_in_json_in_the_sheet_and_among_the_bins():
    cards, _ = made_cards(3)
    scorer = scorer_of(cards)
    told = json.loads(exported(scorer, "abc", "json", []))
    assert [(each["rows"], each["base_points"]) for each in told["cards"]] == [
        ("days late < 12", 512), ("days late >= 12", 431),
    ]  # fmt: skip
    assert [len(each["features"]) for each in told["cards"]] == [3, 2]
    workbook = openpyxl.load_workbook(io.BytesIO(sheet(scorer, "abc", [])))
    form, bins = workbook["Calcular"], workbook["Tarjeta"]
    late, ratio = form.cell(4, 3).value, form.cell(5, 3).value
    assert late.startswith(f'=IF(N(B4)>=12.0,0,IF(B4="",{cards.below.points[0][0]},')
    assert ratio.startswith(f'=IF(N(B4)>=12.0,IF(B5="",{cards.above.points[0][0]},')
    assert f',IF(B5="",{cards.below.points[1][0]},' in ratio
    assert form.cell(7, 3).value == "=IF(N(B4)>=12.0,431,512)"
    heads = [row[0].value for row in bins.iter_rows(min_row=2) if row[0].value.startswith("Tarjeta ")]
    assert heads == ["Tarjeta 1. días: menos de 12, o sin dato", "Tarjeta 2. días: 12 o más"]
    assert "days late" in exported(scorer, "abc", "bins", []).decode()


def test_trees_are_no_card(scorers: dict[str, Scorer]):
    with pytest.raises(InputError, match="no card to export"):
        exported(scorers["xgboost"], "abc", "sql", [])
    assert exported(scorers["scorecard"], "abc", "json", []).startswith(b"{")
