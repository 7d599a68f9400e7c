"""The plots of the report, as SVG to stand inline in a page.

Colours are named, not fixed: a plot is drawn in marker colours that become ``currentColor`` and the page's custom
properties, so that it follows the page into the dark. Text stays text, in the page's font. The same curves give the
same bytes.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import matplotlib.patches
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from components.credit.metrics import Array
from components.evaluate.figures import Curves
from components.evaluate.inclusion import InclusionGroup
from components.evaluate.money import Profit
from components.evaluate.study import VintagePoint

LABELS = {"scorecard": "Scorecard", "random_forest": "Random forest", "xgboost": "XGBoost"}

# Marker colour in the drawing: colour in the page.
_INK, _RULE, _GOOD, _BAD = "#010101", "#020202", "#030301", "#030302"
_QUIET = "#020203"
_MODEL = {"scorecard": "#040401", "random_forest": "#040402", "xgboost": "#040403"}
_IN_PAGE = {
    _INK: "currentColor",
    _RULE: "var(--rule)",
    _GOOD: "var(--good)",
    _BAD: "var(--bad)",
    _MODEL["scorecard"]: "var(--scorecard)",
    _MODEL["random_forest"]: "var(--random-forest)",
    _MODEL["xgboost"]: "var(--xgboost)",
    _QUIET: "var(--quiet)",
}
_DASHES = {"scorecard": "-", "random_forest": (0, (5, 2)), "xgboost": (0, (6, 2, 1.5, 2))}
# How each score of the inclusion plots is drawn: label, colour, marker, line.
_SCORES: dict[str, tuple[str, str, str, Any]] = {
    "incumbent": ("present policy's score", _QUIET, "x", (0, (1, 1.5))),
    "bureau": ("bureau alone", _MODEL["random_forest"], "s", (0, (5, 2))),
    "own_history": ("own history alone", _MODEL["xgboost"], "^", (0, (6, 2, 1.5, 2))),
    "without": ("all but alternative data", _MODEL["scorecard"], "D", (0, (3, 1))),
    "with": ("with alternative data", _GOOD, "o", "-"),
}
# A year has a colour, a quarter its dashes; older vintages stand in the table alone.
_QUARTERS: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (6, 2, 1.5, 2)), (0, (1.5, 1.5)))
_VINTAGES = 16
_WIDE, _NARROW = (5.4, 4.1), (3.6, 3.3)

_INTERVAL = ("share", "share_low", "share_high")
_PROFITS = ("expected", "realised", "realised_low", "realised_high")

_STYLE = {
    "svg.fonttype": "none",
    "font.size": 9,
    "font.family": ["DejaVu Sans"],
    "text.color": _INK,
    "axes.edgecolor": _RULE,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _RULE,
    "grid.linewidth": 0.5,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.major.pad": 6,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}


def roc(curves: dict[str, Curves], aucs: dict[str, str]) -> str:
    """ROC curves of all models.

    Args:
        curves: By model.
        aucs: AUC of each model with its interval, as text.
    """
    said = "; ".join(f"{LABELS[name]} AUC {aucs[name]}" for name in curves)
    with _plot("roc", _WIDE, f"ROC curves. {said}.") as (axes, drawing):
        axes.plot([0, 1], [0, 1], color=_RULE, linewidth=1)
        for name, curve in curves.items():
            axes.plot(curve.roc[0], curve.roc[1], label=f"{LABELS[name]}  {aucs[name]}", **_line(name))
        _square(axes, "Good payers declined", "Bads declined")
        axes.legend(loc="lower right", title="AUC", alignment="left")
    return "".join(drawing)


def precision_recall(curves: dict[str, Curves], bad_rate: float) -> str:
    """Precision-recall curves of all models, with the bad rate that chance reaches."""
    told = f"Precision by recall of the bads. Chance reaches a precision of {bad_rate:.1%}."
    with _plot("precision-recall", _WIDE, told) as (axes, drawing):
        axes.axhline(bad_rate, color=_RULE, linewidth=1)
        most = bad_rate
        for name, curve in curves.items():
            caught = curve.precision_recall[0] > 0  # of none, precision is 1 by convention
            recall, precision = (values[caught] for values in curve.precision_recall)
            axes.plot(recall, precision, label=LABELS[name], drawstyle="steps-post", **_line(name))
            most = max(most, float(precision[recall >= 0.03].max(initial=0)))
        axes.set_xlabel("Recall: share of the bads declined")
        axes.set_ylabel("Precision: bads among the declined")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, min(1.0, 1.15 * most))
        _percent(axes, "xy")
        axes.legend(loc="upper right")
    return "".join(drawing)


def gains(curves: dict[str, Curves]) -> str:
    """Cumulative gains of all models: how many of the bads lie among the riskiest applications."""
    caught = {name: float(np.interp(0.2, *curve.gains)) for name, curve in curves.items()}
    said = "; ".join(f"{LABELS[name]} {share:.0%}" for name, share in caught.items())
    told = f"Cumulative gains. The riskiest fifth of the applications holds this share of the bads: {said}."
    with _plot("gains", _WIDE, told) as (axes, drawing):
        axes.plot([0, 1], [0, 1], color=_RULE, linewidth=1)
        for name, curve in curves.items():
            label = f"{LABELS[name]}: {100 * caught[name]:.0f} % in the riskiest fifth"
            axes.plot(*curve.gains, label=label, **_line(name))
        _square(axes, "Applications, riskiest first", "Bads among them")
        axes.legend(loc="lower right")
    return "".join(drawing)


def strategy(curves: dict[str, Curves], approval_share: float, champion: str) -> str:
    """Bad rate among the approved by share approved, with the champion's interval."""
    told = (
        "Bad rate among the approved by share approved, for each model; "
        f"the policy's share of {approval_share:.0%} is marked, the band is the interval of {LABELS[champion]}."
    )
    with _plot("strategy", _WIDE, told) as (axes, drawing):
        axes.axvline(approval_share, color=_INK, linewidth=0.8, linestyle=(0, (1, 2)))
        for name, curve in curves.items():
            share, rate, low, high = curve.strategy
            axes.plot(share, rate, label=LABELS[name], **_line(name))
            if name == champion:
                axes.fill_between(share, low, high, color=_MODEL[name], alpha=0.15, linewidth=0)
        axes.set_xlabel("Applications approved, safest first")
        axes.set_ylabel("Bad rate among the approved")
        axes.set_xlim(0.1, 1)
        axes.set_ylim(0, 1.3 * max(float(curve.strategy[1].max()) for curve in curves.values()))  # room for the legend
        _percent(axes, "xy")
        axes.legend(loc="upper left")
    return "".join(drawing)


def confusion(name: str, curve: Curves) -> str:
    """Confusion matrix of one model at its cut-off: counts, and shares of those who proved good or bad."""
    (good_approved, good_declined), (bad_approved, bad_declined) = curve.confusion.tolist()
    told = (
        f"{LABELS[name]}: of the goods {good_approved:,} approved and {good_declined:,} declined; "
        f"of the bads {bad_approved:,} approved and {bad_declined:,} declined."
    )
    with _plot(f"confusion-{name}", (3.6, 2.7), told) as (axes, drawing):
        share = curve.confusion / curve.confusion.sum(axis=1, keepdims=True)
        for row in range(2):
            for column in range(2):
                axes.add_patch(
                    matplotlib.patches.Rectangle(
                        (column, row), 1, 1, facecolor=_MODEL[name], alpha=0.08 + 0.4 * share[row, column], linewidth=0
                    )
                )
                for text, y, size in (
                    (f"{curve.confusion[row, column]:,}", row + 0.42, 13),
                    (f"{100 * share[row, column]:.1f} %", row + 0.68, 9),
                ):
                    axes.text(column + 0.5, y, text, fontsize=size, ha="center", va="center")
        axes.set_xlim(0, 2)
        axes.set_ylim(2, 0)
        axes.set_xticks([0.5, 1.5], ["approved", "declined"])
        axes.set_yticks([0.5, 1.5], ["good", "bad"])
        axes.xaxis.tick_top()
        axes.grid(visible=False)
        axes.spines[["left", "bottom"]].set_visible(False)
    return "".join(drawing)


def calibration(name: str, curve: Curves, most: float) -> str:
    """Bad rate by predicted probability in tenths of the rows, with intervals, on axes of the square root.

    Most rows of most books have small probabilities, which an even axis would heap up in a corner.

    Args:
        name: Model.
        curve: Its curves.
        most: End of both axes.
    """
    predicted, observed, low, high = (
        np.array([getattr(row, key) for row in curve.calibration]) for key in ("predicted", "observed", "low", "high")
    )
    within = int(((low <= predicted) & (predicted <= high)).sum())
    told = f"{LABELS[name]}: calibration in {predicted.size} groups; {within} intervals hold what was predicted."
    with _plot(f"calibration-{name}", _NARROW, told) as (axes, drawing):
        axes.plot([0, most], [0, most], color=_RULE, linewidth=1)
        axes.vlines(predicted, low, high, color=_MODEL[name], linewidth=1.3)
        axes.plot(predicted, observed, "o", markersize=4.5, color=_MODEL[name])
        axes.set_xlabel("Predicted probability of bad")
        axes.set_ylabel("Bad rate")
        ticks = _root_ticks(most)
        for scale, ticked, limits in (
            (axes.set_xscale, axes.set_xticks, axes.set_xlim),
            (axes.set_yscale, axes.set_yticks, axes.set_ylim),
        ):
            scale("function", functions=(_root, np.square))
            ticked(ticks, [f"{100 * tick:g} %" for tick in ticks])
            limits(0, most)
        axes.minorticks_off()
        axes.set_aspect("equal")
    return "".join(drawing)


def distribution(name: str, curve: Curves, cutoff_points: int) -> str:
    """Points of the goods and of the bads, with the cut-off."""
    edges, goods, bads = curve.histogram
    told = f"{LABELS[name]}: points of goods and bads; {cutoff_points} points or more are approved."
    with _plot(f"distribution-{name}", _NARROW, told) as (axes, drawing):
        axes.stairs(goods, edges, fill=True, color=_GOOD, alpha=0.35, label="goods")
        axes.stairs(bads, edges, color=_BAD, linewidth=1.6, label="bads")
        axes.axvline(cutoff_points, color=_INK, linewidth=0.9, linestyle=(0, (3, 2)), label=f"cut-off {cutoff_points}")
        axes.set_xlabel("Points")
        axes.set_ylabel("Share of goods, of bads")
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(0)
        _percent(axes, "y")
        axes.legend(loc="lower left", bbox_to_anchor=(-0.1, 1.0), ncols=3, columnspacing=1.2, handlelength=1.5)
    return "".join(drawing)


def inclusion(groups: list[InclusionGroup], scores: list[str], labels: dict[str, str]) -> str:
    """Share of each group that each score approves at the same bad rate, with intervals; a group a row.

    Args:
        groups: Groups of people without a bureau record.
        scores: Names of the scores.
        labels: Name of each group.
    """
    best = "; ".join(
        f"{labels[row.group]} {row.scores['with'].share:.0%} with alternative data, "
        f"{row.scores['without'].share:.0%} without"
        for row in groups
    )
    with _plot("inclusion", (5.4, 1.2 + 0.62 * len(groups)), f"Approved at the same bad rate. {best}.") as drawn:
        axes, drawing = drawn
        for place, name in enumerate(scores):
            label, colour, marker, _ = _SCORES[name]
            y = np.arange(len(groups)) + (place - (len(scores) - 1) / 2) * 0.15
            share, low, high = (
                np.array([getattr(row.scores[name], key) for row in groups], float) for key in _INTERVAL
            )
            axes.hlines(y, low, high, color=colour, linewidth=1.1)
            axes.plot(share, y, marker, color=colour, markersize=5, label=label)
        axes.set_yticks(range(len(groups)), [f"{labels[row.group]}\nn = {row.n:,}" for row in groups])
        axes.set_ylim(len(groups) - 0.5, -0.5)
        axes.set_xlim(-0.02, 1.02)
        axes.set_xlabel("Approved at the same bad rate")
        axes.grid(visible=False, axis="y")
        _percent(axes, "x")
        axes.legend(loc="lower left", bbox_to_anchor=(-0.22, 1.0), ncols=2, columnspacing=1.2)
    return "".join(drawing)


def inclusion_curves(curves: dict[str, tuple[Array, Array]], limit: float) -> str:
    """Bad rate of the approved by share approved, among the people without a bureau record.

    Args:
        curves: Share approved and bad rate, by score.
        limit: The bad rate at which the scores are compared.
    """
    told = f"Bad rate of the approved by share approved, without a bureau record; compared at {limit:.1%}."
    with _plot("inclusion-curves", _WIDE, told) as (axes, drawing):
        axes.axhline(limit, color=_INK, linewidth=0.8, linestyle=(0, (1, 2)))
        for name, (share, rate) in curves.items():
            label, colour, _, line = _SCORES[name]
            axes.plot(share, rate, color=colour, linestyle=line, label=label)
        axes.set_xlabel("Approved, safest first")
        axes.set_ylabel("Bad rate among the approved")
        axes.set_xlim(0.1, 1)
        axes.set_ylim(0, 1.45 * max(float(rate.max()) for _, rate in curves.values()))  # room for the legend
        _percent(axes, "xy")
        axes.legend(loc="upper left", ncols=2, columnspacing=1.2)
    return "".join(drawing)


def profit(found: Profit) -> str:
    """Expected and realised profit by share approved, with the interval of the realised one.

    Args:
        found: Profit by cut-off.
    """
    rows = found.rows
    share = np.array([row.approval_rate for row in rows])
    thousands = {key: np.array([float(getattr(row, key)) / 1e3 for row in rows]) for key in _PROFITS}
    best = rows[found.best]
    now = rows[found.configured].approval_rate if found.configured is not None else 0.0
    told = (
        f"Profit in thousands of {found.currency} by share approved; the expected one is greatest at "
        f"{best.approval_rate:.0%}, the champion's cut-off approves {now:.0%}."
    )
    with _plot("profit", _WIDE, told) as (axes, drawing):
        axes.axhline(0, color=_RULE, linewidth=1)
        axes.axvline(now, color=_INK, linewidth=0.8, linestyle=(0, (1, 2)))
        axes.fill_between(share, thousands["realised_low"], thousands["realised_high"], color=_GOOD, alpha=0.15, lw=0)
        axes.plot(share, thousands["realised"], color=_GOOD, label="as it turned out")
        axes.plot(share, thousands["expected"], color=_INK, linestyle=(0, (5, 2)), label="expected")
        axes.plot(best.approval_rate, float(best.expected) / 1e3, "o", color=_INK, markersize=5)
        axes.set_xlabel("Applications approved, safest first")
        axes.set_ylabel(f"Profit, thousand {found.currency}")
        axes.set_xlim(0, 1)
        _percent(axes, "x")
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2)
    return "".join(drawing)


def vintages(rows: list[VintagePoint], window_days: int) -> str:
    """Share of each quarter's loans that had become bad by each month; nothing without rows.

    Args:
        rows: The study's vintages.
        window_days: Days of the target's performance window.
    """
    names = sorted({row.vintage for row in rows})[-_VINTAGES:]
    if not names:
        return ""
    last = {name: [row for row in rows if row.vintage == name][-1] for name in names}
    said = "; ".join(f"{name} {last[name].bad_rate:.1%} after {last[name].month} months" for name in names)
    colours = (*_MODEL.values(), _GOOD, _BAD)
    with _plot("vintages", (6.4, 4.1), f"Loans that became bad, by quarter of the decision. {said}.") as (
        axes,
        drawing,
    ):
        axes.axvline(window_days * 12 / 365, color=_INK, linewidth=0.8, linestyle=(0, (1, 2)))
        for name in names:
            rate = [0.0, *(row.bad_rate for row in rows if row.vintage == name)]
            colour, dashes = colours[int(name[:4]) % len(colours)], _QUARTERS[int(name[-1]) - 1]
            axes.plot(range(len(rate)), rate, color=colour, linestyle=dashes, linewidth=1.4, label=name)
        axes.set_xlabel("Months since the decision")
        axes.set_ylabel("Loans that had become bad")
        axes.set_xlim(0, max(12, *(row.month for row in rows)))
        axes.set_xticks(range(0, int(axes.get_xlim()[1]) + 1, 3))
        axes.set_ylim(0)
        axes.yaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
        _percent(axes, "y")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.02), title="Decided", alignment="left", handlelength=3)
    return "".join(drawing)


@contextmanager
def _plot(name: str, size: tuple[float, float], told: str) -> Iterator[tuple[Axes, list[str]]]:
    """Axes to draw on, and a list that holds the SVG once the context ends.

    Args:
        name: Name of the plot, another one for each plot of a page.
        size: Width and height in inches.
        told: What the plot shows, for those who cannot see it.
    """
    drawing: list[str] = []
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        yield figure.add_subplot(), drawing
        written = io.StringIO()
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    drawing.append(_inline(written.getvalue(), told))


def _inline(svg: str, told: str) -> str:
    """The drawing as an element of a page: no prolog, no fixed size, no id but those that it uses, page's colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = svg.replace("xlink:href", "href")
    used = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", svg))
    svg = re.sub(r" id=\"([^\"]+)\"", lambda found: found[0] if found[1] in used else "", svg)
    svg = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", svg)
    for marker, colour in _IN_PAGE.items():
        svg = svg.replace(marker, colour)
    view = re.search(r"viewBox=\"[^\"]+\"", svg)
    opening = f'<svg {view[0] if view else ""} role="img"><title>{told}</title>'
    return re.sub(r"<svg[^>]*>", lambda _: opening, svg, count=1).strip()


def _line(name: str) -> dict[str, Any]:
    return {"color": _MODEL[name], "linestyle": _DASHES[name]}


def _square(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.01)
    _percent(axes, "xy")


def _root(values: Array) -> Array:
    return np.sqrt(np.maximum(values, 0))


def _root_ticks(most: float) -> list[float]:
    """Round shares from 0 to ``most`` that lie apart on an axis of the square root."""
    ticks = [0.0]
    for share in (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0):
        if share <= most and np.sqrt(share / most) - np.sqrt(ticks[-1] / most) >= 0.13:
            ticks.append(share)
    return ticks


def _percent(axes: Axes, which: str) -> None:
    for axis in which:
        side = axes.xaxis if axis == "x" else axes.yaxis
        span = np.ptp(side.get_view_interval())
        side.set_major_formatter(PercentFormatter(1, decimals=1 if span < 0.045 else 0, symbol=" %"))
