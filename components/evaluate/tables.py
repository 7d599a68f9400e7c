"""The decision's figures as tables for analysts: one CSV and one Parquet file each, from the numbers of the report."""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from components.credit.models.card import Card
from components.evaluate import rejects
from components.evaluate.comparison import Comparison

Row = dict[str, Any]
_FIGURES = (
    "auc", "gini", "ks", "brier", "log_loss", "accuracy", "precision", "recall", "f1", "approval_rate",
    "calibration_slope", "calibration_intercept",
)  # fmt: skip
_MONEY = ("expected", "realised", "realised_low", "realised_high")


def tables(comparison: Comparison) -> dict[str, list[Row]]:
    """Rows of each table by its name; a table without rows is left out."""
    decision = comparison.decision
    models = decision["models"].items()
    found: dict[str, Iterable[Row]] = {
        "figures": _figures(decision),
        "challengers": [{**test, "n": decision["split"]["n"]} for test in decision["tests"]],
        "random_split": decision["random_split"],
        "strategy": [
            {"model": name, "share": row["share"], **of_model}
            for row in decision["strategy"]
            for name, of_model in row["models"].items()
        ],
        "calibration": [{"model": name, **row} for name, model in models for row in model["calibration"]],
        "grades": [{"model": name, **row} for name, model in models for row in model["grades"]],
        "features": [{"model": name, **row} for name, model in models for row in model["features"]],
        "segments": [
            {**{key: value for key, value in row.items() if key != "models"}, "model": name, **of_model}
            for row in decision["segments"]
            for name, of_model in row["models"].items()
        ],
        "fairness": decision["fairness"]["groups"],
        "fairness_attributes": decision["fairness"]["attributes"],
        "input_shift": decision["stability"]["inputs"],
        "calibration_by_part": decision["stability"]["calibration"],
        "inclusion": _inclusion(decision["inclusion"]),
        "profit": _profit(decision["money"]),
        "swaps": [{"against": swap["against"], **cell} for swap in decision["swaps"] for cell in swap["cells"]],
        "approvals": decision["approvals"],
        "rules": decision["rules"],
        "bad_rate_by_definition": decision["study"]["definitions"],
        "roll_rates": decision["study"]["roll_rates"],
        "vintages": decision["study"]["vintages"],
        **rejects.tables(decision["rejects"]),
        "own_cards": decision["own_cards"],
        "scorecard": _scorecard(comparison),
    }
    listed = {name: list(rows) for name, rows in found.items()}
    return {name: rows for name, rows in listed.items() if rows}


def write_tables(comparison: Comparison, folder: Path) -> None:
    """Write ``<table>.csv`` (UTF-8, comma, point) and ``<table>.parquet`` of each table."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in tables(comparison).items():
        columns = list(dict.fromkeys(column for row in rows for column in row))
        table = pa.table({column: [row.get(column) for row in rows] for column in columns})
        pyarrow.csv.write_csv(table, folder / f"{name}.csv")
        pyarrow.parquet.write_table(table, folder / f"{name}.parquet", compression="zstd")


def _figures(decision: Row) -> Iterator[Row]:
    for name, model in decision["models"].items():
        for figure in _FIGURES:
            if figure in model:
                ends = {end: model[f"{figure}_{end}"] for end in ("low", "high")}
                yield {"model": name, "figure": figure, "value": model[figure], **ends, "n": model["n"]}


def _inclusion(figures: Row) -> Iterator[Row]:
    """Each score's approvals of each group, with what the score with alternative data approves more."""
    for row in figures.get("groups", []):
        group = {key: row[key] for key in ("group", "n", "bads", "bad_rate", "bad_rate_low", "bad_rate_high")}
        for score, approved in row["scores"].items():
            gain = row["gains"].get(score, {"gain": None, "gain_low": None, "gain_high": None})
            yield {**group, "score": score, "at_bad_rate": figures["bad_rate"], **approved, **gain}


def _profit(earned: Row | None) -> Iterator[Row]:
    if earned:
        for row in earned["rows"]:
            yield {"currency": earned["currency"], **row, **{name: Decimal(row[name]) for name in _MONEY}}


def _scorecard(comparison: Comparison) -> Iterator[Row]:
    scorer = comparison.scorers["scorecard"]
    for rows, card in scorer.engine.cards:
        yield from _bins(rows or "all", card)


def _bins(rows: str, card: Card) -> Iterator[Row]:
    """The bins of a card; ``rows`` tells whom it scores."""
    for binning, points in zip(card.binnings, card.points, strict=True):
        for bin_, given in zip(binning.bins, points, strict=True):
            yield {
                "rows": rows,
                "feature": binning.feature,
                "bin": bin_.label,
                "points": given,
                "n": bin_.rows,
                "bads": bin_.bads,
                "woe": bin_.woe,
                "information_value": binning.information_value,
            }
