"""The committee's report: one self-contained page, made of the same numbers as the decision."""

import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import jinja2

from components.credit.models.card import Card
from components.credit.models.scorer import Scorer
from components.evaluate import plots
from components.evaluate.comparison import Comparison
from components.evaluate.study import definition_table, vintage_table

_TEMPLATES = Path(__file__).parent / "templates"
_REASONS_SHOWN = 12

# Figures of the table of key figures: name, label, decimals, whether it is a share.
FIGURES = (
    ("auc", "ROC AUC", 3, False),
    ("gini", "Gini", 3, False),
    ("ks", "KS", 3, False),
    ("brier", "Brier", 4, False),
    ("log_loss", "Log loss", 4, False),
    ("calibration_slope", "Calibration slope", 2, False),
    ("calibration_intercept", "Calibration intercept", 2, False),
    ("approval_rate", "Approved by the score alone", 1, True),
    ("accuracy", "Accuracy", 1, True),
    ("precision", "Precision", 1, True),
    ("recall", "Recall", 1, True),
    ("f1", "F1", 3, False),
)

# Groups of people without a bureau record: English and Spanish.
GROUPS = {
    "all": ("Without a record", "Sin historial"),
    "women": ("Women", "Mujeres"),
    "rural": ("Rural", "Rurales"),
    "young": ("Under 35", "Menores de 35"),
    "first_loan": ("First loan here", "Primer crédito"),
}
REFERENCES = {
    "incumbent": "the present policy's score",
    "bureau": "bureau alone",
    "own_history": "own history alone",
    "without": "all but alternative data",
}


def page(comparison: Comparison, validation_report: dict[str, Any]) -> str:
    """The report as HTML: no script, nothing fetched, the same bytes for the same comparison.

    Args:
        comparison: What the models did on the test sample.
        validation_report: Rows and reasons of the validate stage.
    """
    decision = comparison.decision
    champion = decision["champion"]["family"]
    return (
        environment()
        .get_template("report.html.jinja")
        .render(
            decision=decision,
            champion=champion,
            models=list(comparison.scorers),
            labels=plots.LABELS,
            groups=GROUPS,
            references=REFERENCES,
            included=inclusion_sentences(decision["inclusion"]),
            definitions=definition_table(decision["study"]),
            vintages=vintage_table(decision["study"]),
            figures=FIGURES,
            plots=_plots(comparison, champion),
            cards=_cards(comparison.scorers["scorecard"]),
            tables=sorted(validation_report.get("rows", {}).items()),
            reasons=_reasons(validation_report),
        )
    )


# What became of an application in the split, as readers call it.
SAMPLES = {
    "train": "training",
    "test": "test",
    "embargo": "embargo, decided so shortly before the test sample that their outcomes reach into it:",
    "excluded": "left out of training because the same borrower stands in the test sample:",
    "unlabelled": "without a known outcome yet",
    "indeterminate": "neither good nor bad",
    "out_of_scope": "out of scope",
}


def environment() -> jinja2.Environment:
    """The templates, with the filters that write figures; HTML is escaped, Markdown is not."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=jinja2.select_autoescape(enabled_extensions=("html.jinja",), default=False),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "sample": SAMPLES.__getitem__,
        "share": share,
        "number": number,
        "count": count,
        "p": p_value,
        "said": said,
        "money": money,
    }
    made.globals["steps"] = {
        "applications": "Applications with a known outcome",
        "declined_by_rules": "Declined by a hard rule",
        "declined_by_score": "Declined by the score",
        "approved": "Approved",
    }
    return made


def number(value: float | None, decimals: int = 3) -> str:
    """A figure, or a dash where there is none."""
    return "–" if value is None else f"{value:.{decimals}f}".replace("-", "−")


def share(value: float | None, decimals: int = 1) -> str:
    """A share in per cent, or a dash where there is none."""
    return "–" if value is None else f"{number(100 * value, decimals)}\N{NO-BREAK SPACE}%"


def count(value: float | None) -> str:
    """A count with thousands apart."""
    return "–" if value is None else f"{value:,.0f}"


def money(value: str) -> str:
    """An amount as the decision states it, with thousands apart."""
    return f"{Decimal(value):,.2f}".replace("-", "−")


def inclusion_sentences(figures: dict[str, Any]) -> tuple[str, str] | None:
    """What alternative data do for all people without a bureau record: English and Spanish."""
    everyone = next((row for row in figures.get("groups", []) if row["group"] == "all"), None)
    if everyone is None:
        return None
    reached, usual, gain = everyone["scores"]["with"], everyone["scores"]["without"], everyone["gains"]["without"]
    limit, n, bads = share(figures["bad_rate"]), count(everyone["n"]), count(everyone["bads"])
    of, usually, more = (_of_hundred(value) for value in (reached["share"], usual["share"], gain["gain"]))
    ends = [
        _of_hundred(value)
        for value in (reached["share_low"], reached["share_high"], gain["gain_low"], gain["gain_high"])
    ]
    return (
        f"At a bad rate of {limit}, alternative data let {of} of 100 people without a bureau record be approved "
        f"({ends[0]} to {ends[1]}); without these data it is {usually}: a difference of {more} "
        f"({ends[2]} to {ends[3]}). n = {n}, {bads} bad.",
        f"Con una tasa de malos de {limit}, los datos alternativos permiten aprobar a {of} de cada 100 personas sin "
        f"historial en la central de riesgos ({ends[0]} a {ends[1]}); sin ellos son {usually}: una diferencia de "
        f"{more} ({ends[2]} a {ends[3]}). n = {n}, {bads} malos.",
    )


def _of_hundred(value: float) -> str:
    return number(100 * value, 0)


def p_value(value: float) -> str:
    """A p-value."""
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def said(finding: object) -> str:
    """A finding as words, whether it is a sentence or a record."""
    if isinstance(finding, dict):
        return "; ".join(f"{key.replace('_', ' ')}: {value}" for key, value in finding.items())
    return str(finding)


def _plots(comparison: Comparison, champion: str) -> dict[str, Any]:
    """All drawings of the page; of three kinds there is one a model."""
    models, curves = comparison.decision["models"], comparison.curves
    aucs = {
        name: f"{found['auc']:.3f} ({found['auc_low']:.3f}–{found['auc_high']:.3f})" for name, found in models.items()
    }
    most = max(max(row["high"], row["predicted"]) for curve in curves.values() for row in curve.calibration)
    end = min(1.0, math.ceil(most * 20) / 20)
    cutoff_points = {name: found["cutoff_points"] for name, found in models.items()}
    included, earned = comparison.decision["inclusion"], comparison.decision["money"]
    approval_share = comparison.decision["rule"]["approval_share"]
    return {
        "inclusion": plots.inclusion(included, {name: en for name, (en, _) in GROUPS.items()})
        if included.get("groups")
        else "",
        "inclusion_curves": plots.inclusion_curves(comparison.inclusion_curves, included["bad_rate"])
        if comparison.inclusion_curves
        else "",
        "vintages": plots.vintages(comparison.decision["study"]["vintages"], comparison.decision["target"]),
        "profit": plots.profit(earned) if earned else "",
        "roc": plots.roc(curves, aucs),
        "precision_recall": plots.precision_recall(curves, models[champion]["bad_rate"]),
        "gains": plots.gains(curves),
        "strategy": plots.strategy(curves, approval_share, champion),
        "confusion": {name: plots.confusion(name, curve) for name, curve in curves.items()},
        "calibration": {name: plots.calibration(name, curve, end) for name, curve in curves.items()},
        "distribution": {name: plots.distribution(name, curve, cutoff_points[name]) for name, curve in curves.items()},
    }


def _cards(scorer: Scorer) -> list[dict[str, Any]]:
    """The scorecard: one card, or two with whom each scores."""
    names = {feature.name: feature.en for feature in scorer.features}
    parting = scorer.engine.parting.feature if scorer.engine.parting else ""
    return [
        {
            "rows": rows.replace(parting, names.get(parting, ""), 1),
            "base_points": card.base_points,
            "bins": _bins(scorer, card),
        }
        for rows, card in scorer.engine.cards
    ]


def _bins(scorer: Scorer, card: Card) -> list[dict[str, Any]]:
    """A card's bins with points, share of training rows and bad rate, features of most information first."""
    found = []
    reviewed: Any = scorer.training.get("manual_bins", {})
    known = {feature.name: feature for feature in scorer.features}
    for binning, points in zip(card.binnings, card.points, strict=True):
        feature = known[binning.feature]
        rows = sum(bin_.rows for bin_ in binning.bins)
        bins = [
            {
                "label": bin_.label,
                "points": given,
                "rows": bin_.rows,
                "share": bin_.rows / rows if rows else None,
                "bad_rate": bin_.bads / bin_.rows if bin_.rows else None,
                "woe": bin_.woe,
            }
            for bin_, given in zip(binning.bins, points, strict=True)
            if bin_.rows or given
        ]
        found.append(
            {
                "feature": feature,
                "bins": bins,
                "information_value": binning.information_value,
                "trend": binning.trend if binning.type == "number" and binning.cuts else None,
                "review": reviewed.get(feature.name),
            }
        )
    return sorted(found, key=lambda entry: (-entry["information_value"], entry["feature"].name))


def _reasons(validation_report: dict[str, Any]) -> list[dict[str, Any]]:
    """The reasons that put most rows in quarantine."""
    reasons = validation_report.get("reasons", [])
    return sorted(reasons, key=lambda row: (-row["rows"], row["table"], row["reason"]))[:_REASONS_SHOWN]
