"""The committee's report: one self-contained page, made of the same numbers as the decision."""

import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import jinja2
import msgspec
from msgspec import Struct

from components.credit.book.validation import QuarantineReason, ValidationReport
from components.credit.dictionary import Feature
from components.credit.features.notes import Leak
from components.credit.models.card import Card
from components.credit.models.scorer import Scorer
from components.credit.models.training_report import BinsReview
from components.evaluate import plots
from components.evaluate.comparison import Comparison
from components.evaluate.inclusion import InclusionFigures
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


class _Bin(Struct, frozen=True):
    """A bin with its points, and its rows, their share and bad rate in the training sample."""

    label: str
    points: int
    rows: int
    share: float | None
    bad_rate: float | None
    woe: float


class _Bins(Struct, frozen=True):
    """The bins of a feature; ``trend`` and ``review`` are None where there is none to tell of."""

    feature: Feature
    bins: list[_Bin]
    information_value: float
    trend: str | None
    review: BinsReview | None


class _ShownCard(Struct, frozen=True):
    """A card: whom it scores (empty for all), its base points, and the bins of its features."""

    rows: str
    base_points: int
    bins: list[_Bins]


def page(comparison: Comparison, validation: ValidationReport) -> str:
    """The report as HTML: no script, nothing fetched, the same bytes for the same comparison.

    Args:
        comparison: What the models did on the test sample.
        validation: Report of the validate stage.
    """
    decision = comparison.decision
    champion = decision.champion.family
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
            included=inclusion_sentences(decision.inclusion),
            definitions=definition_table(decision.study),
            vintages=vintage_table(decision.study),
            figures=FIGURES,
            plots=_plots(comparison, champion),
            cards=_cards(comparison.scorers["scorecard"]),
            tables=sorted(validation.rows.items()),
            reasons=_reasons(validation),
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


def money(value: Decimal) -> str:
    """An amount as the decision states it, with thousands apart."""
    return f"{value:,.2f}".replace("-", "−")


def inclusion_sentences(figures: InclusionFigures) -> tuple[str, str] | None:
    """What alternative data do for all people without a bureau record: English and Spanish."""
    everyone = next((row for row in figures.groups or [] if row.group == "all"), None)
    if everyone is None:
        return None
    reached, usual, gain = everyone.scores["with"], everyone.scores["without"], everyone.gains["without"]
    limit, n, bads = share(figures.bad_rate), count(everyone.n), count(everyone.bads)
    of, usually, more = (_of_hundred(value) for value in (reached.share, usual.share, gain.gain))
    ends = [_of_hundred(value) for value in (reached.share_low, reached.share_high, gain.gain_low, gain.gain_high)]
    return (
        f"At a bad rate of {limit}, alternative data let {of} of 100 people without a bureau record be approved "
        f"({ends[0]} to {ends[1]}); without these data it is {usually}: a difference of {more} "
        f"({ends[2]} to {ends[3]}). n = {n}, {bads} bad.",
        f"Con una tasa de malos de {limit}, los datos alternativos permiten aprobar a {of} de cada 100 personas sin "
        f"historial en la central de riesgos ({ends[0]} a {ends[1]}); sin ellos son {usually}: una diferencia de "
        f"{more} ({ends[2]} a {ends[3]}). n = {n}, {bads} malos.",
    )


def _of_hundred(value: float | None) -> str:
    return number(None if value is None else 100 * value, 0)


def p_value(value: float) -> str:
    """A p-value."""
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def said(leak: Leak) -> str:
    """A leak as words: each of its fields with its value."""
    return "; ".join(f"{name.replace('_', ' ')}: {value}" for name, value in msgspec.to_builtins(leak).items())


def _plots(comparison: Comparison, champion: str) -> dict[str, Any]:
    """All drawings of the page; of three kinds there is one a model."""
    decision, curves = comparison.decision, comparison.curves
    models = decision.models
    aucs = {name: f"{model.auc:.3f} ({model.auc_low:.3f}–{model.auc_high:.3f})" for name, model in models.items()}
    most = max(max(row.high, row.predicted) for curve in curves.values() for row in curve.calibration)
    end = min(1.0, math.ceil(most * 20) / 20)
    included = decision.inclusion
    return {
        "inclusion": plots.inclusion(
            included.groups, included.scores or [], {name: en for name, (en, _) in GROUPS.items()}
        )
        if included.groups
        else "",
        "inclusion_curves": plots.inclusion_curves(comparison.inclusion_curves, included.bad_rate)
        if comparison.inclusion_curves and included.bad_rate is not None
        else "",
        "vintages": plots.vintages(decision.study.vintages, decision.target.window_days),
        "profit": plots.profit(decision.money) if decision.money else "",
        "roc": plots.roc(curves, aucs),
        "precision_recall": plots.precision_recall(curves, models[champion].bad_rate),
        "gains": plots.gains(curves),
        "strategy": plots.strategy(curves, decision.rule.approval_share, champion),
        "confusion": {name: plots.confusion(name, curve) for name, curve in curves.items()},
        "calibration": {name: plots.calibration(name, curve, end) for name, curve in curves.items()},
        "distribution": {
            name: plots.distribution(name, curve, models[name].cutoff_points) for name, curve in curves.items()
        },
    }


def _cards(scorer: Scorer) -> list[_ShownCard]:
    """The scorecard: one card, or two with whom each scores."""
    names = {feature.name: feature.en for feature in scorer.features}
    parting = scorer.engine.parting.feature if scorer.engine.parting else ""
    return [
        _ShownCard(rows.replace(parting, names.get(parting, ""), 1), card.base_points, _bins(scorer, card))
        for rows, card in scorer.engine.cards
    ]


def _bins(scorer: Scorer, card: Card) -> list[_Bins]:
    """A card's bins with points, share of training rows and bad rate, features of most information first."""
    found = []
    reviewed = scorer.training.manual_bins or {}
    known = {feature.name: feature for feature in scorer.features}
    for binning, points in zip(card.binnings, card.points, strict=True):
        feature = known[binning.feature]
        rows = sum(bin_.rows for bin_ in binning.bins)
        bins = [
            _Bin(
                label=bin_.label,
                points=given,
                rows=bin_.rows,
                share=bin_.rows / rows if rows else None,
                bad_rate=bin_.bads / bin_.rows if bin_.rows else None,
                woe=bin_.woe,
            )
            for bin_, given in zip(binning.bins, points, strict=True)
            if bin_.rows or given
        ]
        found.append(
            _Bins(
                feature=feature,
                bins=bins,
                information_value=binning.information_value,
                trend=binning.trend if binning.type == "number" and binning.cuts else None,
                review=reviewed.get(feature.name),
            )
        )
    return sorted(found, key=lambda entry: (-entry.information_value, entry.feature.name))


def _reasons(validation: ValidationReport) -> list[QuarantineReason]:
    """The reasons that put most rows in quarantine."""
    return sorted(validation.reasons, key=lambda row: (-row.rows, row.table, row.reason))[:_REASONS_SHOWN]
