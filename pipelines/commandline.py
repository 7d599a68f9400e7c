"""The command line: ``quipu``."""

import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipelines.run import Order, run

app = typer.Typer(
    name="quipu",
    help=(
        "Credit scoring for microfinance lenders: from a lender's raw tables to explained scores.\n\n"
        "Start with 'quipu run': it makes a synthetic Peruvian portfolio, trains three models, writes the committee's "
        "report and scores one application."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
models_app = typer.Typer(help="The models in a run's registry.", no_args_is_help=True)
app.add_typer(models_app, name="models")
console = Console(highlight=False)

RunFolder = Annotated[Path, typer.Option("--run", help="Folder of the run whose registry is meant.", show_default=True)]


@app.command("run")
def run_command(
    mapping: Annotated[
        str, typer.Option(help="Name of a mapping that comes with Quipu, or path of a mapping file.")
    ] = "portfolio",
    data: Annotated[
        Path | None, typer.Option(help="Folder of the lender's files. Without it a synthetic portfolio is made.")
    ] = None,
    as_of: Annotated[
        datetime.datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="As-of day. By default the mapping's, else today."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run, new or empty. By default runs/<time>.")] = None,
    config: Annotated[Path | None, typer.Option(help="Configuration (YAML) laid over the mapping's own.")] = None,
) -> None:
    """Train on a lender's tables, choose the champion, register it and score one application.

    Example: quipu run --mapping superlender --data DIR
    """
    order = Order(mapping, data, as_of.date() if as_of else None, config, out)
    folder = run(order, console)
    show_results(folder)


@app.command()
def generate(
    borrowers: Annotated[int, typer.Option(min=1, help="Number of borrowers.")],
    out: Annotated[Path, typer.Option(help="Folder for the files, new or empty.")],
    as_of: Annotated[datetime.datetime, typer.Option(formats=["%Y-%m-%d"], help="Day on which the books are closed.")],
    seed: Annotated[int, typer.Option(min=0, help="Seed; the same seed gives the same bytes.")] = 1,
) -> None:
    """Write a synthetic Peruvian portfolio, as a caja would export it (mapping 'portfolio')."""
    from rich.progress import track

    from pipelines.portfolio.generate import generate as generate_portfolio

    del track
    generate_portfolio(borrowers, seed, as_of.date(), out, lambda done: None)
    console.print(f"{borrowers:,} borrowers written to {out}")
