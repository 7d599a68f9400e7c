"""Results as a terminal shows them, in 80 columns."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from components.credit.release.registry import Package

console = Console(highlight=False)

_NAMES = {"scorecard": "Scorecard", "random_forest": "Random forest", "xgboost": "XGBoost"}


def show_run(folder: Path, summary: dict[str, Any]) -> None:
    """The figures of a run: rows by table, models out of time with the champion marked, seconds."""
    rows = _table("Rows", "in", "clean", "quarantined")
    for name, counts in summary["rows"].items():
        rows.add_row(name, *(f"{counts[key]:,}" for key in ("in", "clean", "quarantined")))
    models = _table("Test set", "AUC", "interval", "KS", "Brier", "F1")
    for family, figures in summary["models"].items():
        won = family == summary["champion"]
        models.add_row(
            f"[green]✓ {_NAMES[family]}[/]" if won else f"  {_NAMES[family]}",
            f"{figures['auc']:.3f}",
            f"{figures['auc_low']:.3f}–{figures['auc_high']:.3f}",
            f"{figures['ks']:.3f}",
            f"{figures['brier']:.4f}",
            f"{figures['f1']:.3f}",
        )
    console.print()
    console.print(rows)
    console.print()
    console.print(models)
    for warning in summary["warnings"] if console.is_terminal else []:
        console.print(f"[yellow]![/] {escape(warning)}", soft_wrap=True)
    console.print(f"\nChampion {_NAMES[summary['champion']]}, version {summary['version']}, {summary['seconds']:.0f} s")
    console.print(f"Summary  {escape(str(folder))}/summary.json\n", soft_wrap=True)


def show_score(score: dict[str, Any]) -> None:
    """One score: probability, points, band, proposal, the rules that decline and the reasons, in Spanish and English,
    with what would have to change."""
    shown = {"approve": "[green]approve[/]", "decline": "[red]decline[/]"}[score["proposal"]]
    console.print(
        f"Probability of bad {score['probability']:.1%} · {score['points']} points · band {score['band']} · "
        f"proposal {shown}"
    )
    if score["person_decides"]:
        console.print("[dim]A person decides; the proposal is only that.[/]")
    for rule in score["rules"]:
        norm = f"  [dim]{escape(rule['norm'])}[/]" if rule["norm"] else ""
        console.print(f"[red]Declined by rule {escape(rule['code'])}, whatever the points[/]{norm}", soft_wrap=True)
        console.print(f"   {escape(rule['es'])}\n   [dim]{escape(rule['en'])}[/]", soft_wrap=True)
    if score["reasons"]:
        console.print("What takes most points, compared with approved applications:")
    for place, reason in enumerate(score["reasons"], start=1):
        console.print(f"{place}. {escape(reason['es'])}  [dim]{-reason['points']:+.0f} points[/]", soft_wrap=True)
        console.print(f"   [dim]{escape(reason['en'])}[/]", soft_wrap=True)
        for change in reason["changes"]:
            console.print(f"   → {escape(change['es'])}\n     [dim]{escape(change['en'])}[/]", soft_wrap=True)


def show_models(packages: list["Package"], champion: str) -> None:
    """The registered models, the champion marked."""
    table = _table("Version", "family", "as of", "AUC", "")
    for package in packages:
        auc = package.metrics.get("auc")
        table.add_row(
            package.version,
            _NAMES.get(package.family, package.family),
            package.as_of,
            f"{auc:.3f}" if auc is not None else "",
            "[green]champion[/]" if package.version == champion else "",
        )
    console.print(table)


def show_model(package: "Package") -> None:
    """What a model is and what it was made from."""
    table = _table("Model", package.version)
    for name, value in (
        ("family", _NAMES.get(package.family, package.family)),
        ("as of", package.as_of),
        ("code", package.code),
        ("data", package.data[:12]),
    ):
        table.add_row(name, value)
    for name, figure in sorted(package.metrics.items()):
        table.add_row(name, f"{figure:,.4f}")
    console.print(table)


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, no_wrap=True)
    for column in others:
        table.add_column(column, justify="right", no_wrap=True)
    return table
