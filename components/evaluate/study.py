"""The study of the target as the report tells it: the feature stage's counts, as shares with Wilson's intervals."""

from typing import Any

from components.credit import metrics
from components.credit.book.manifest import Manifest

Row = dict[str, Any]
SHOWN_MONTHS = (3, 6, 9, 12, 18, 24)
_NONE: Row = {
    "why": "The feature table was made without a study of the target; make it again.",
    "loans": 0,
    "definitions": [],
    "roll_days": None,
    "roll_rates": [],
    "vintages": [],
}
_ROLLS = ("worse", "same", "better", "refinanced")


def studied(features: Manifest, confidence: float) -> Row:
    """The study that came with the feature table; each share has ``_low`` and ``_high`` beside it.

    Returns:
        ``why`` (why there is none, or empty), ``loans``, ``definitions`` (``bad_rate``), ``roll_rates`` (``worse``,
        ``same``, ``better`` and ``refinanced`` as shares), ``roll_days`` and ``vintages`` (``bad_rate``).
    """
    found = features.notes.get("study")
    told = _NONE | (dict(found) if isinstance(found, dict) else {})
    return told | {
        "definitions": [
            {**row, **_share("bad_rate", row["bads"], row["n"], confidence)} for row in told["definitions"]
        ],
        "roll_rates": [
            {"bucket": row["bucket"], "n": row["n"]}
            | {key: value for name in _ROLLS for key, value in _share(name, row[name], row["n"], confidence).items()}
            for row in told["roll_rates"]
        ],
        "vintages": [{**row, **_share("bad_rate", row["bads"], row["n"], confidence)} for row in told["vintages"]],
    }


def definition_table(study: Row) -> tuple[list[int], list[tuple[int, list[Row]]]]:
    """Windows of the columns, and for each number of bad days its definitions in that order."""
    windows = sorted({row["window_days"] for row in study["definitions"]})
    days = sorted({row["bad_days"] for row in study["definitions"]})
    return windows, [
        (bad_days, [row for row in study["definitions"] if row["bad_days"] == bad_days]) for bad_days in days
    ]


def vintage_table(study: Row) -> tuple[list[int], list[tuple[str, int, dict[int, Row]]]]:
    """Months of the columns, and for each vintage its loans and what is known of it by month, the latest first."""
    months = [month for month in SHOWN_MONTHS if any(row["month"] == month for row in study["vintages"])]
    found: dict[str, dict[int, Row]] = {}
    for row in study["vintages"]:
        found.setdefault(row["vintage"], {})[row["month"]] = row
    return months, [(name, by_month[1]["n"], by_month) for name, by_month in sorted(found.items(), reverse=True)]


def _share(name: str, events: int, rows: int, confidence: float) -> Row:
    if not rows:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    low, high = metrics.wilson(events, rows, confidence)
    return {name: events / rows, f"{name}_low": float(low), f"{name}_high": float(high)}
