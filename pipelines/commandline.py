"""The command line: ``quipu``.

Each verb imports what it needs in its body, so that help, the version and the short verbs answer at once.
"""

import datetime
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from components.credit.errors import InputError, QuipuError
from pipelines.commands import keys, models
from pipelines.commands.registry import RunFolder, open_registry
from pipelines.order import LATEST, RUNS, Order, Runner

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
    rich_markup_mode=None,  # Rich takes longer to import than all else that help needs
)
app.add_typer(models.app, name="models")
app.add_typer(keys.app, name="keys")


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"quipu {version('quipu')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of all verbs."""


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
    runner: Annotated[
        Runner, typer.Option(help="process, or container: each stage in its own image.")
    ] = Runner.PROCESS,
) -> None:
    """Train on a lender's tables and score one application.

    The best of three models is registered as the champion.

    Example: quipu run --mapping superlender --data DIR
    """
    from components.credit.book.documents import read_json
    from pipelines.results import console, show_run, show_score
    from pipelines.run import run
    from pipelines.scoring_service import ask, running_scorer

    order = Order(mapping, data, as_of.date() if as_of else None, config, out, runner)
    with run(order, console) as (folder, environment):
        show_run(folder, read_json(str(folder / "summary.json")))
        body = (folder / "application.json").read_bytes()
        with running_scorer(
            environment | {"QUIPU_SPOOL": str(folder / "spool")}, _free_port(), folder / "log" / "scorer.log"
        ) as address:
            show_score(ask(address, body))
    console.print(
        f"\nTo ask again, start the scorer with 'quipu serve' and send it the application:\n"
        f"  curl -s http://127.0.0.1:8080/v1/score -d @{folder}/application.json\n\nReport   {folder}/report.html",
        markup=False,
        soft_wrap=True,
    )


@app.command("submit")
def submit_command(
    pipeline: Annotated[str, typer.Argument(help="training, scoring, monitoring or promotion.")] = "training",
    source: Annotated[str, typer.Option(help="Landing prefix of the lender's files, s3://bucket/prefix.")] = "",
    mapping: Annotated[str, typer.Option(help="Name of a mapping that comes with Quipu, or path of a file.")] = "",
    config: Annotated[Path | None, typer.Option(help="Configuration (YAML) laid over the mapping's own.")] = None,
    as_of: Annotated[
        datetime.datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="As-of day. By default the mapping's, else today."),
    ] = None,
    parameter: Annotated[list[str] | None, typer.Option(help="Another parameter, as name=value; may repeat.")] = None,
    wait: Annotated[bool, typer.Option(help="Watch the run to its end.")] = True,
    cancel_on_interrupt: Annotated[bool, typer.Option(help="Ctrl-C cancels the run on the cluster.")] = False,
) -> None:
    """Run a pipeline on the cluster of KFP_ENDPOINT.

    The same order again meets the run that is there.

    Example: quipu submit --source s3://quipu-landing/book --mapping portfolio --as-of 2024-06-30
    """
    from pipelines.kfp_server import server_from_environment, start_seconds
    from pipelines.results import console
    from pipelines.submission import cancel, ordered, submit, watch

    server, longest_start = server_from_environment(), start_seconds()
    package, parameters = ordered(pipeline, source, mapping, config, as_of.date() if as_of else None, parameter or [])
    submitted = submit(server, package, parameters)
    console.print(f"Run {submitted.run} {'was there already' if submitted.adopted else 'created'}", soft_wrap=True)
    if not wait:
        return
    try:
        watch(server, submitted.run, lambda line: console.print(line, markup=False, soft_wrap=True), longest_start)
    except KeyboardInterrupt:
        if cancel_on_interrupt:
            cancel(server, submitted.run)
            console.print("The run is being cancelled.")
        else:
            console.print(f"The run {submitted.run} goes on; submit the same again to watch it.", soft_wrap=True)
        raise
    console.print("The run succeeded.")


@app.command()
def generate(
    borrowers: Annotated[int, typer.Option(min=1, help="Number of borrowers.")],
    out: Annotated[Path, typer.Option(help="Folder for the files, new or empty.")],
    as_of: Annotated[datetime.datetime, typer.Option(formats=["%Y-%m-%d"], help="Day on which the books are closed.")],
    seed: Annotated[int, typer.Option(min=0, help="Seed; the same seed gives the same bytes.")] = 1,
) -> None:
    """Write a synthetic Peruvian portfolio.

    Its files are as a caja would export them; the mapping 'portfolio' reads them.
    """
    from rich.progress import Progress

    from pipelines.portfolio.generate import generate as generate_portfolio
    from pipelines.results import console

    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("Borrowers", total=borrowers)
        generate_portfolio(borrowers, seed, as_of.date(), out, lambda done: progress.update(task, completed=done))
    console.print(f"{borrowers:,} borrowers as of {as_of.date()} written to {out}", markup=False, soft_wrap=True)


@app.command()
def serve(
    run_folder: RunFolder = LATEST,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port to listen on.")] = 8080,
) -> None:
    """Serve the champion over HTTP until Ctrl-C.

    It answers POST /v1/score and the Open Inference Protocol; /openapi.json describes both.
    """
    from pipelines.results import console
    from pipelines.run import store_environment

    with open_registry(run_folder) as (store, verify_key):
        console.print(f"Serving on http://{host}:{port}; Ctrl-C stops.", markup=False)
        listening = {"QUIPU_SCORER_HOST": host, "QUIPU_SCORER_PORT": str(port), "QUIPU_VERIFY_KEY": verify_key}
        spool = {} if "QUIPU_STORE_ENDPOINT" in os.environ else {"QUIPU_SPOOL": str(run_folder.resolve() / "spool")}
        environment = spool | os.environ | store_environment(store.access) | listening
        command = [sys.executable, "-m", "components.scorer"]
        served = subprocess.run(command, env=environment, check=False)
    sys.exit(served.returncode)


@app.command("serve-pipelines")
def serve_pipelines(
    folder: Annotated[Path, typer.Option(help="Folder of the runs, of their store and of the token.")] = RUNS / "api",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port on the loopback; 0 takes a free one.")] = 8888,
) -> None:
    """Serve Kubeflow Pipelines' API over this machine.

    Its clients run Quipu without a cluster, until Ctrl-C. Airflow's DAGs start their runs here ('make airflow').
    Runs under way go on with the next start.
    """
    from pipelines.embedded import store_at
    from pipelines.keys import key_environment
    from pipelines.kubeflow_api import serving
    from pipelines.results import console
    from pipelines.run import store_environment

    with store_at(folder / "store") as access:
        environment = store_environment(access) | key_environment(RUNS / "keys")
        with serving(folder, environment, port) as server:
            console.print(
                f"Kubeflow Pipelines' API is on http://127.0.0.1:{server.server_port}; "
                f"the token is in {folder}/token; Ctrl-C stops.",
                markup=False,
                soft_wrap=True,
            )
            threading.Event().wait()


@app.command()
def score(
    file: Annotated[Path, typer.Argument(help="Application with its raw history (JSON); a run writes an example.")],
    run_folder: RunFolder = LATEST,
) -> None:
    """Score one application with the champion.

    Example: quipu score runs/latest/application.json
    """
    import msgspec

    from components.scorer.application import score as score_application
    from components.scorer.document import read_document
    from components.scorer.model import load_champion
    from pipelines.results import show_score

    try:
        document = read_document(file.read_bytes())
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}.") from error
    with open_registry(run_folder) as (store, verify_key):
        show_score(msgspec.to_builtins(score_application(load_champion(store, verify_key), document)))


def _free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def main() -> None:
    """Run the command line; a problem that the user can mend ends in one sentence and exit code 1, Ctrl-C in 130."""
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    try:
        app()
    except QuipuError as error:
        from rich.console import Console
        from rich.markup import escape

        Console(stderr=True, highlight=False).print(f"[red]Error[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
