"""The command line: ``quipu``."""

import contextlib
import datetime
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from components.credit.book.documents import read_json
from components.credit.book.store import Store, access_from_environment
from components.credit.errors import InputError, QuipuError
from components.credit.release.registry import champion, fetch, list_models, set_shadow, show
from components.credit.settings import secret
from pipelines.embedded import embedded_store, store_at
from pipelines.keys import key_environment
from pipelines.kubeflow_api import serving
from pipelines.portfolio.generate import generate as generate_portfolio
from pipelines.results import show_model, show_models, show_run, show_score
from pipelines.revision import code_revision
from pipelines.run import LATEST, RUNS, Order, Runner, run, store_environment
from pipelines.scoring_service import ask, running_scorer

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
models_app = typer.Typer(help="The models in the registry.", no_args_is_help=True)
app.add_typer(models_app, name="models")
keys_app = typer.Typer(help="API keys of the scorer.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")
console = Console(highlight=False)

RunFolder = Annotated[
    Path, typer.Option("--run", help="Run whose registry is meant, unless QUIPU_STORE_ENDPOINT names a store.")
]

ApprovedBy = Annotated[str, typer.Option("--by", help="Name of who decides so; the audit log keeps it.")]
Target = Annotated[str, typer.Option(help="Where the scorer runs: local, where it follows the pointer, or kubernetes.")]


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
    """Train on a lender's tables, choose the champion, register it and score one application.

    Example: quipu run --mapping superlender --data DIR
    """
    order = Order(mapping, data, as_of.date() if as_of else None, config, out, runner)
    with run(order, console) as (folder, environment):
        show_run(console, folder, read_json(str(folder / "summary.json")))
        body = (folder / "application.json").read_bytes()
        with running_scorer(
            environment | {"QUIPU_SPOOL": str(folder / "spool")}, _free_port(), folder / "log" / "scorer.log"
        ) as address:
            show_score(console, ask(address, body))
    console.print(
        f"\nTo ask again, start the scorer with [bold]quipu serve[/] and send it the application:\n"
        f"  curl -s http://127.0.0.1:8080/v1/score -d @{folder}/application.json\n\nReport   {folder}/report.html",
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
    """Run a pipeline on the cluster of KFP_ENDPOINT; the same order again meets the run that is there.

    Example: quipu submit --source s3://quipu-landing/book --mapping portfolio --as-of 2024-06-30
    """
    from pipelines.kfp_server import server_from_environment, start_seconds
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
    """Write a synthetic Peruvian portfolio, as a caja would export it (mapping 'portfolio')."""
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("Borrowers", total=borrowers)
        generate_portfolio(borrowers, seed, as_of.date(), out, lambda done: progress.update(task, completed=done))
    console.print(f"{borrowers:,} borrowers as of {as_of.date()} written to {out}", soft_wrap=True)


@app.command()
def serve(
    run_folder: RunFolder = LATEST,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port to listen on.")] = 8080,
) -> None:
    """Serve the champion over HTTP until Ctrl-C: POST /v1/score, Open Inference Protocol, /openapi.json."""
    with _registry(run_folder) as (store, verify_key):
        console.print(f"Serving on http://{host}:{port}; Ctrl-C stops.")
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
    """Serve Kubeflow Pipelines' API over this machine until Ctrl-C, so that its clients run Quipu without a cluster.

    Airflow's DAGs start their runs here ('make airflow'). Runs under way go on with the next start.
    """
    with store_at(folder / "store") as access:
        environment = store_environment(access) | key_environment(RUNS / "keys")
        with serving(folder, environment, port) as server:
            console.print(
                f"Kubeflow Pipelines' API is on http://127.0.0.1:{server.server_port}; "
                f"the token is in {folder}/token; Ctrl-C stops.",
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
    from components.scorer.application import score as score_application
    from components.scorer.document import read_document
    from components.scorer.model import load_champion

    try:
        document = read_document(file.read_bytes())
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}.") from error
    with _registry(run_folder) as (store, verify_key):
        show_score(console, msgspec.to_builtins(score_application(load_champion(store, verify_key), document)))


@models_app.command("list")
def list_command(run_folder: RunFolder = LATEST) -> None:
    """List the registered models, the champion marked."""
    with _registry(run_folder) as (store, verify_key):
        pointer = champion(store)
        models, refused = list_models(store, verify_key)
        show_models(console, models, pointer.version if pointer else "")
    for sentence in refused:
        console.print(sentence, soft_wrap=True)


@models_app.command("show")
def show_command(
    version: Annotated[str, typer.Argument(help="Version, as 'quipu models list' shows it; 'champion' for that one.")],
    run_folder: RunFolder = LATEST,
) -> None:
    """Show what a registered model is and what it was made from, by its verified manifest."""
    with _registry(run_folder) as (store, verify_key):
        version = _version(store, version)
        show_model(console, show(store, version, verify_key))


@models_app.command("approve")
def approve_command(
    version: Annotated[str, typer.Argument(help="Version, as 'quipu models list' shows it.")],
    by: ApprovedBy,
    run_folder: RunFolder = LATEST,
) -> None:
    """Approve a registered model, where the configuration asks for that before a release (release.approval)."""
    from components.deploy.approval import approve

    with _registry(run_folder) as (store, verify_key):
        given = approve(store, version, by, verify_key)
    console.print(f"Model {version} is approved by {given.approved_by} since {given.at:%Y-%m-%d %H:%M} UTC.")


@models_app.command("rollback")
def rollback_command(by: ApprovedBy, target: Target = "local", run_folder: RunFolder = LATEST) -> None:
    """Let the champion before this one answer again.

    On a cluster (--target kubernetes) KUBECONFIG and QUIPU_NAMESPACE say which; it takes seconds.
    """
    from components.credit.progress import Progress as StageProgress
    from components.deploy.cluster import Cluster
    from components.deploy.promotion import roll_back
    from components.deploy.release import KUBERNETES, check_target

    check_target(target, ("local", KUBERNETES))
    os.environ.setdefault("QUIPU_PROGRESS_FILE", os.devnull)
    with _registry(run_folder) as (store, verify_key):
        cluster = Cluster() if target == KUBERNETES else None
        released = roll_back(by, code_revision(), verify_key, store, StageProgress("rollback"), cluster)
    console.print(f"Model {released.version} answers again, instead of {released.previous}.")


@models_app.command("shadow")
def shadow_command(
    version: Annotated[str, typer.Argument(help="Version that scores beside the champion.")] = "",
    none: Annotated[bool, typer.Option("--none", help="Let none score beside it.")] = False,
    run_folder: RunFolder = LATEST,
) -> None:
    """Let a challenger score beside the champion: it tells nobody, and its answers go to the decision log.

    Example: quipu models shadow 3f2a91c07be4
    """
    if bool(version) == none:
        raise InputError("Give a version that 'quipu models list' shows, or --none.")
    with _registry(run_folder) as (store, verify_key):
        if version:
            show(store, version, verify_key)
        set_shadow(store, version or None)
    console.print(f"{version} scores beside the champion." if version else "No model scores beside the champion.")


@models_app.command("export")
def export_command(
    version: Annotated[str, typer.Argument(help="Version, as 'quipu models list' shows it; 'champion' for that one.")],
    as_: Annotated[str, typer.Option("--as", help="sql, excel, json or bins.")] = "sql",
    out: Annotated[Path | None, typer.Option(help="File to write. By default scorecard-<version>.<ending>.")] = None,
    run_folder: RunFolder = LATEST,
) -> None:
    """Write a registered scorecard as one SQL expression (PostgreSQL, DuckDB), an Excel sheet or JSON.

    As bins it is the YAML of scorecard.manual_bins, to change, review and train with.

    Example: quipu models export champion --as excel
    """
    from components.credit.models.export import ENDINGS, exported
    from components.credit.release.policy import in_force

    if as_ not in ENDINGS:
        raise InputError(f"A scorecard is not exported as '{as_}'; give {', '.join(ENDINGS)}.")
    with _registry(run_folder) as (store, verify_key):
        version = _version(store, version)
        package, scorer = fetch(store, version, verify_key)
    rules = in_force(package.decision.rule.policy, datetime.date.fromisoformat(package.as_of))
    path = out or Path(f"scorecard-{version}.{ENDINGS[as_]}")
    path.write_bytes(exported(scorer, version, as_, rules))
    console.print(f"Model {version} written to {path}", soft_wrap=True)


@keys_app.command("new")
def new_key_command(
    name: Annotated[str, typer.Argument(help="Who will ask with it; the decision log keeps this name.")],
    role: Annotated[list[str], typer.Option(help="score, read, override or admin; may be given several times.")],
    file: Annotated[Path, typer.Option(help="File of keys to add it to, made where it is missing.")] = Path(
        "scorer-keys.json"
    ),
) -> None:
    """Make an API key: printed once, while the file keeps only its hash. QUIPU_AUTH_KEYS_FILE names the file.

    Example: quipu keys new branch-arequipa --role score
    """
    from components.scorer.access.apikeys import add_key, new_key
    from components.scorer.requests import ROLES

    roles = [known for known in ROLES if known in role]
    for word in role:
        if word not in ROLES:
            raise InputError(f"There is no role '{word}'; give {', '.join(ROLES)}.")
    key, entry = new_key(name, roles)
    add_key(file, entry)
    typer.echo(key)
    Console(stderr=True, highlight=False).print(f"{file} holds its hash; the key itself is shown only here.")


@contextlib.contextmanager
def _registry(run_folder: Path) -> Iterator[tuple[Store, str]]:
    """The store that the environment names, or else the embedded one of a run, with the key that verifies models."""
    if "QUIPU_STORE_ENDPOINT" in os.environ:
        yield Store(access_from_environment()), secret("QUIPU_VERIFY_KEY")
        return
    if not (run_folder / "summary.json").is_file():
        raise InputError(f"{run_folder} holds no finished run; 'quipu run' makes one, --run names another.")
    with embedded_store(run_folder / "store") as access:
        yield Store(access), (run_folder / "verify.pem").read_text(encoding="utf-8")


def _version(store: Store, named: str) -> str:
    """The version that is meant: ``champion`` stands for what the pointer names."""
    if named != "champion":
        return named
    pointer = champion(store)
    if pointer is None:
        raise InputError("No model was released yet; 'quipu run' releases one.")
    return pointer.version


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
        Console(stderr=True, highlight=False).print(f"[red]Error[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        Console(stderr=True).print("Stopped.")
        sys.exit(130)


if __name__ == "__main__":
    main()
