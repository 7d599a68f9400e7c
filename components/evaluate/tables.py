"""The decision's figures as tables for analysts: one CSV and one Parquet file each, from the numbers of the report."""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from msgspec import Struct

from components.credit.models.card import Card
from components.credit.release.decision import JudgedModel
from components.evaluate.comparison import Comparison
from components.evaluate.inclusion import InclusionFigures
from components.evaluate.money import Profit
from components.evaluate.record import Evaluation
from components.evaluate.rejects import Inference

_Row = dict[str, Any]
_FIGURES = (
    "auc", "gini", "ks", "brier", "log_loss", "accuracy", "precision", "recall", "f1", "approval_rate",
    "calibration_slope", "calibration_intercept",
)  # fmt: skip


def tables(comparison: Comparison) -> dict[str, pa.Table]:
    """Each table by its name; a table without rows is left out."""
    rows = {
        **_of_models(comparison.decision),
        **_of_champion(comparison.decision),
        **_of_book(comparison.decision),
        "own_cards": _rows(comparison.decision.own_cards),
        "scorecard": _scorecard(comparison),
    }
    listed = {name: list(found) for name, found in rows.items()}
    return {name: _table(found) for name, found in listed.items() if found}


def write_tables(comparison: Comparison, folder: Path) -> None:
    """Write ``<table>.csv`` (UTF-8, comma, point) and ``<table>.parquet`` of each table."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables(comparison).items():
        pyarrow.csv.write_csv(table, folder / f"{name}.csv")
        pyarrow.parquet.write_table(table, folder / f"{name}.parquet", compression="zstd")


def _table(rows: list[_Row]) -> pa.Table:
    """A table of rows; where a row lacks a column it is null."""
    columns = dict.fromkeys(column for row in rows for column in row)
    return pa.table({column: [row.get(column) for row in rows] for column in columns})


def _row(record: Struct) -> _Row:
    """The record's fields, without those that it leaves out of JSON; amounts stay decimal."""
    found: _Row = msgspec.to_builtins(record, builtin_types=(Decimal,))
    return found


def _rows(records: Sequence[Struct]) -> list[_Row]:
    return [_row(record) for record in records]


def _of_models(decision: Evaluation) -> dict[str, Iterable[_Row]]:
    """Tables with rows of each model."""
    models = decision.models.items()
    return {
        "figures": _figures(decision.models),
        "challengers": [{**_row(test), "n": decision.split.n} for test in decision.tests],
        "random_split": _rows(decision.random_split),
        "strategy": [
            {"model": name, "share": row.share, **_row(strategy)}
            for row in decision.strategy
            for name, strategy in row.models.items()
        ],
        "calibration": [{"model": name, **row} for name, model in models for row in _rows(model.calibration)],
        "grades": [{"model": name, **row} for name, model in models for row in _rows(model.grades)],
        "features": [{"model": name, **row} for name, model in models for row in _rows(model.features)],
        "segments": [
            {**{key: value for key, value in _row(row).items() if key != "models"}, "model": name, **_row(figures)}
            for row in decision.segments
            for name, figures in row.models.items()
        ],
    }


def _of_champion(decision: Evaluation) -> dict[str, Iterable[_Row]]:
    """Tables on the champion alone."""
    return {
        "fairness": _rows(decision.fairness.groups),
        "fairness_attributes": _rows(decision.fairness.attributes),
        "input_shift": _rows(decision.stability.inputs),
        "calibration_by_part": _rows(decision.stability.calibration),
        "inclusion": _inclusion(decision.inclusion),
        "profit": _profit(decision.money),
        "swaps": [{"against": swap.against, **_row(cell)} for swap in decision.swaps for cell in swap.cells],
        "approvals": _rows(decision.approvals),
        "rules": _rows(decision.rules),
    }


def _of_book(decision: Evaluation) -> dict[str, Iterable[_Row]]:
    """Tables on the target and on reject inference."""
    return {
        "bad_rate_by_definition": _rows(decision.study.definitions),
        "roll_rates": _rows(decision.study.roll_rates),
        "vintages": _rows(decision.study.vintages),
        **_rejects(decision.rejects),
    }


def _figures(models: dict[str, JudgedModel]) -> Iterator[_Row]:
    for name, model in models.items():
        row = _row(model)
        for figure in _FIGURES:
            if figure in row:
                ends = {end: row[f"{figure}_{end}"] for end in ("low", "high")}
                yield {"model": name, "figure": figure, "value": row[figure], **ends, "n": model.n}


def _inclusion(figures: InclusionFigures) -> Iterator[_Row]:
    """Each score's approvals of each group, with what the score with alternative data approves more."""
    for row in figures.groups or []:
        group = {key: getattr(row, key) for key in ("group", "n", "bads", "bad_rate", "bad_rate_low", "bad_rate_high")}
        for score, approved in row.scores.items():
            gain = _row(row.gains[score]) if score in row.gains else dict.fromkeys(("gain", "gain_low", "gain_high"))
            yield {**group, "score": score, "at_bad_rate": figures.bad_rate, **_row(approved), **gain}


def _profit(profit: Profit | None) -> list[_Row]:
    return [{"currency": profit.currency, **_row(row)} for row in profit.rows] if profit else []


def _rejects(inference: Inference | None) -> dict[str, Iterable[_Row]]:
    if inference is None or inference.training is None:
        return {}
    common = {key: getattr(inference, key) for key in ("method", "factor", "n", "bads", "declined", "approval_share")}
    return {
        "rejects": [{**common, **_row(card)} for card in inference.cards or []],
        "rejects_score_bands": _rows(inference.training.bands),
        "rejects_bins": _rows(inference.bins or []),
    }


def _scorecard(comparison: Comparison) -> Iterator[_Row]:
    scorer = comparison.scorers["scorecard"]
    for rows, card in scorer.engine.cards:
        yield from _bins(rows or "all", card)


def _bins(rows: str, card: Card) -> Iterator[_Row]:
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
