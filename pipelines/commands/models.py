"""``quipu models``: the models in the registry."""

import datetime
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from components.credit.errors import InputError
from pipelines.commands.registry import RunFolder, open_registry
from pipelines.order import LATEST

if TYPE_CHECKING:
    from components.credit.book.store import Store

app = typer.Typer(help="The models in the registry.", no_args_is_help=True, rich_markup_mode=None)

ApprovedBy = Annotated[str, typer.Option("--by", help="Name of who decides so; the audit log keeps it.")]
Target = Annotated[str, typer.Option(help="Where the scorer runs: local, where it follows the pointer, or kubernetes.")]


@app.command("list")
def list_command(run_folder: RunFolder = LATEST) -> None:
    """List the registered models, the champion marked."""
    from components.credit.release.registry import champion, list_models
    from pipelines.results import console, show_models

    with open_registry(run_folder) as (store, verify_key):
        pointer = champion(store)
        models, refused = list_models(store, verify_key)
        show_models(models, pointer.version if pointer else "")
    for sentence in refused:
        console.print(sentence, markup=False, soft_wrap=True)


@app.command("show")
def show_command(
    version: Annotated[str, typer.Argument(help="Version, as 'quipu models list' shows it; 'champion' for that one.")],
    run_folder: RunFolder = LATEST,
) -> None:
    """Show what a model is and what it was made from.

    It tells what the registered model's manifest says, once its signature is verified.
    """
    from components.credit.release.registry import show
    from pipelines.results import show_model

    with open_registry(run_folder) as (store, verify_key):
        version = _version(store, version)
        show_model(show(store, version, verify_key))


@app.command("approve")
def approve_command(
    version: Annotated[str, typer.Argument(help="Version, as 'quipu models list' shows it.")],
    by: ApprovedBy,
    run_folder: RunFolder = LATEST,
) -> None:
    """Approve a registered model for its release.

    The configuration asks for that by release.approval.
    """
    from components.deploy.approval import approve
    from pipelines.results import console

    with open_registry(run_folder) as (store, verify_key):
        given = approve(store, version, by, verify_key)
    console.print(
        f"Model {version} is approved by {given.approved_by} since {given.at:%Y-%m-%d %H:%M} UTC.", markup=False
    )


@app.command("rollback")
def rollback_command(by: ApprovedBy, target: Target = "local", run_folder: RunFolder = LATEST) -> None:
    """Let the champion before this one answer again.

    On a cluster (--target kubernetes) KUBECONFIG and QUIPU_NAMESPACE say which; it takes seconds.
    """
    from components.credit.progress import Progress
    from components.deploy.cluster import Cluster
    from components.deploy.promotion import roll_back
    from components.deploy.release import KUBERNETES, check_target
    from pipelines.results import console
    from pipelines.revision import code_revision

    check_target(target, ("local", KUBERNETES))
    os.environ.setdefault("QUIPU_PROGRESS_FILE", os.devnull)
    with open_registry(run_folder) as (store, verify_key):
        cluster = Cluster() if target == KUBERNETES else None
        released = roll_back(by, code_revision(), verify_key, store, Progress("rollback"), cluster)
    console.print(f"Model {released.version} answers again, instead of {released.previous}.")


@app.command("shadow")
def shadow_command(
    version: Annotated[str, typer.Argument(help="Version that scores beside the champion.")] = "",
    none: Annotated[bool, typer.Option("--none", help="Let none score beside it.")] = False,
    run_folder: RunFolder = LATEST,
) -> None:
    """Let a challenger score beside the champion.

    It tells nobody; its answers go to the decision log.

    Example: quipu models shadow 3f2a91c07be4
    """
    from components.credit.release.registry import set_shadow, show
    from pipelines.results import console

    if bool(version) == none:
        raise InputError("Give a version that 'quipu models list' shows, or --none.")
    with open_registry(run_folder) as (store, verify_key):
        if version:
            show(store, version, verify_key)
        set_shadow(store, version or None)
    console.print(f"{version} scores beside the champion." if version else "No model scores beside the champion.")


@app.command("export")
def export_command(
    version: Annotated[str, typer.Argument(help="Version, as 'quipu models list' shows it; 'champion' for that one.")],
    as_: Annotated[str, typer.Option("--as", help="sql, excel, json or bins.")] = "sql",
    out: Annotated[Path | None, typer.Option(help="File to write. By default scorecard-<version>.<ending>.")] = None,
    run_folder: RunFolder = LATEST,
) -> None:
    """Write a scorecard as SQL, an Excel sheet or JSON.

    The SQL is one expression for PostgreSQL and DuckDB. As bins it is the YAML of scorecard.manual_bins, to change,
    review and train with.

    Example: quipu models export champion --as excel
    """
    from components.credit.models.export import ENDINGS, exported
    from components.credit.release.policy import in_force
    from components.credit.release.registry import fetch
    from pipelines.results import console

    if as_ not in ENDINGS:
        raise InputError(f"A scorecard is not exported as '{as_}'; give {', '.join(ENDINGS)}.")
    with open_registry(run_folder) as (store, verify_key):
        version = _version(store, version)
        package, scorer = fetch(store, version, verify_key)
    rules = in_force(package.decision.rule.policy, datetime.date.fromisoformat(package.as_of))
    path = out or Path(f"scorecard-{version}.{ENDINGS[as_]}")
    path.write_bytes(exported(scorer, version, as_, rules))
    console.print(f"Model {version} written to {path}", markup=False, soft_wrap=True)


def _version(store: "Store", named: str) -> str:
    """The version that is meant: ``champion`` stands for what the pointer names."""
    from components.credit.release.registry import champion

    if named != "champion":
        return named
    pointer = champion(store)
    if pointer is None:
        raise InputError("No model was released yet; 'quipu run' releases one.")
    return pointer.version
