"""A whole run on this machine: data in, champion in the registry, one application scored, a summary written."""

import datetime
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import yaml
from rich.console import Console
from rich.markup import escape

from components.credit.book.documents import read_json, write_json
from components.credit.book.mapping import Mapping, parse_mapping
from components.credit.book.store import LANDING_BUCKET, Access, Store, read_manifest
from components.credit.config import parse_config
from components.credit.errors import InputError, QuipuError, nearest
from components.credit.release.decision import read_decision
from components.credit.typed_yaml import read_text
from pipelines.container import SECRETS, container_environment
from pipelines.display import Display
from pipelines.embedded import store_at
from pipelines.example import example_document
from pipelines.keys import key_environment
from pipelines.order import LATEST, RUNS, Order, Runner
from pipelines.portfolio.generate import generate
from pipelines.processes import running_pipeline
from pipelines.revision import code_revision
from pipelines.stages import TRAINING_STAGES

MAPPINGS = Path(__file__).parent / "mappings"
_DEFAULT_BORROWERS = 6_000


class StageFailed(QuipuError):
    """A stage of the pipeline failed; the text names it, the reason and the log."""


@contextmanager
def run(order: Order, console: Console) -> Iterator[tuple[Path, dict[str, str]]]:
    """Run the training pipeline, leave its results in the run's folder, and keep its store up for the context.

    Yields:
        The run's folder, with ``summary.json``, ``report.html``, ``model_card.md``, ``model_card.json``, ``tables/``,
        ``model/``, ``application.json`` and ``log/``, and the environment in which a scorer finds the store and the
        keys.

    Raises:
        QuipuError: The input is wrong, or a stage failed; nothing is left half-written.
    """
    started = time.monotonic()
    mapping_text, mapping = find_mapping(order.mapping)
    as_of = resolve_as_of(order.as_of, mapping)
    config_text = merged_config(mapping, order.config)
    out = _make_folder(order.out)
    data = order.data or _make_portfolio(order, out / "data", as_of, console)
    if not data.is_dir():
        raise InputError(f"{data} is not a folder; give the folder of the lender's files with --data.")
    console.print(f"[bold]{escape(mapping.lender)}[/] as of {as_of}, run in {escape(str(out))}", highlight=False)
    with store_at(out / "store") as access:
        environment = store_environment(access) | key_environment(RUNS / "keys")
        if order.runner is Runner.CONTAINER:
            seen = {out / "pipeline": "rw", out / "log": "rw", data: "ro"}
            own = SECRETS in os.environ  # each task has its own secrets, and sees no file of keys
            environment |= container_environment(seen if own else seen | {RUNS / "keys": "ro"}, TRAINING_STAGES)
        store = Store(access)
        parameters = {
            "source": str(data.resolve()),
            "mapping": landed(store, "mappings", mapping_text),
            "config": landed(store, "configurations", config_text),
            "as_of": as_of.isoformat(),
            "code": code_revision(),
        }
        display = Display(TRAINING_STAGES, out / "log" / "progress.jsonl", console)
        artifacts = _drive(parameters, out, environment, display)
        summary = _summary(artifacts, display, out, mapping, as_of)
        summary["seconds"] = round(time.monotonic() - started, 1)
        example = example_document(
            read_manifest(str(artifacts / "feature" / "features")),
            read_manifest(str(artifacts / "validate" / "clean")),
            store,
        )
        write_json(str(out / "application.json"), example)
        _publish(artifacts, out, summary)
        yield out, environment


def find_mapping(name: str) -> tuple[str, Mapping]:
    """Text and content of a mapping, by the name of one that comes with Quipu or by path.

    Raises:
        InputError: There is none of that name (the nearest is offered), or it is wrong.
    """
    known = {path.stem: path for path in sorted(MAPPINGS.glob("*.yaml"))}
    path = known.get(name, Path(name))
    if not path.is_file():
        raise InputError(f"There is no mapping '{name}'{nearest(name, known) or '; quipu knows ' + ', '.join(known)}")
    text = read_text(path)
    return text, parse_mapping(text, path.name)


def resolve_as_of(given: datetime.date | None, mapping: Mapping) -> datetime.date:
    """The as-of day: the one given, else the mapping's, else today in the lender's time zone.

    Raises:
        InputError: It lies in the future.
    """
    today = datetime.datetime.now(ZoneInfo(mapping.time_zone)).date()
    as_of = given or mapping.as_of or today
    if as_of > today:
        raise InputError(f"The as-of day {as_of} is in the future; give {today} or an earlier day with --as-of.")
    return as_of


def merged_config(mapping: Mapping, path: Path | None) -> str:
    """YAML of the configuration: the mapping's, with the file's laid over it, checked.

    Raises:
        InputError: The file does not exist, or a key or value is wrong.
    """
    own: dict[str, Any] = {}
    if path is not None:
        text = read_text(path)
        parse_config(text, str(path))
        own = yaml.safe_load(text) or {}
    merged = yaml.safe_dump(_overlaid(dict(mapping.config), own), sort_keys=True, allow_unicode=True)
    parse_config(merged, f"the configuration of {mapping.lender}")
    return merged


def store_environment(access: Access) -> dict[str, str]:
    """Environment variables through which stages and scorer find a store."""
    return {
        "QUIPU_STORE_ENDPOINT": access.endpoint,
        "QUIPU_STORE_ACCESS_KEY": access.access_key,
        "QUIPU_STORE_SECRET_KEY": access.secret_key,
        "QUIPU_STORE_REGION": access.region,
    }


def _overlaid(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        inner = merged.get(key)
        merged[key] = _overlaid(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return merged


def _make_folder(out: Path | None) -> Path:
    if out is None:
        stamp = datetime.datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
        out = RUNS / stamp
    try:
        out.mkdir(parents=True, exist_ok=True)
        occupied = any(out.iterdir())
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise InputError(f"{out} cannot be written ({error.strerror}); give another folder with --out.") from error
    if occupied:
        raise InputError(f"{out} is not empty; give another folder with --out.")
    return out


def _make_portfolio(order: Order, folder: Path, as_of: datetime.date, console: Console) -> Path:
    if order.mapping != "portfolio":
        raise InputError(
            f"The mapping '{order.mapping}' needs data; give the folder of the lender's files with --data."
        )
    with console.status(f"Making a synthetic portfolio of {_DEFAULT_BORROWERS:,} borrowers"):
        generate(_DEFAULT_BORROWERS, 20_240_731, as_of, folder, lambda done: None)
    return folder


def landed(store: Store, kind: str, text: str) -> str:
    """Put a document into the landing bucket under a name by its content, and give its address."""
    key = f"{kind}/{hashlib.sha256(text.encode()).hexdigest()[:12]}.yaml"
    store.write_once(LANDING_BUCKET, key, text.encode())
    return f"s3://{LANDING_BUCKET}/{key}"


def _drive(parameters: dict[str, str], out: Path, environment: dict[str, str], display: Display) -> Path:
    """Run the pipeline in a process of its own and show its progress.

    Returns:
        The folder of its artifacts: ``<stage>/<artifact>``.
    """
    with running_pipeline("training", out, parameters, environment) as child, display.live():
        while child.poll() is None:
            display.refresh()
            time.sleep(0.1)
        display.refresh()
    if child.returncode != 0:
        stage, reason = display.failed or ("pipeline", "it ended without a word.")
        raise StageFailed(f"{stage} failed: {reason} The log is {out}/log/pipeline.log.")
    return next((out / "pipeline").glob("quipu-training-*"))


def _summary(artifacts: Path, display: Display, out: Path, mapping: Mapping, as_of: datetime.date) -> dict[str, Any]:
    decision = read_decision(str(artifacts / "evaluate" / "decision"))
    release = read_json(str(artifacts / "deploy" / "release"))
    return {
        "lender": mapping.lender,
        "as_of": as_of.isoformat(),
        "code": code_revision(),
        "champion": decision.champion.family,
        "version": release["version"],
        "models": decision.models,
        "rows": read_json(str(artifacts / "validate" / "report"))["rows"],
        "stages": {name: {"seconds": round(stage.seconds, 3)} for name, stage in display.stages.items()},
        "warnings": [warning for stage in display.stages.values() for warning in stage.warnings],
        "report": str(out / "report.html"),
        "model": str(out / "model"),
    }


def _publish(artifacts: Path, out: Path, summary: dict[str, Any]) -> None:
    """Lay report, model and summary into the run's folder, the summary last, and point ``runs/latest`` at it."""
    shutil.copyfile(artifacts / "evaluate" / "report", out / "report.html")
    shutil.copyfile(artifacts / "evaluate" / "model_card", out / "model_card.md")
    shutil.copyfile(artifacts / "evaluate" / "model_card_data", out / "model_card.json")
    shutil.copytree(artifacts / "evaluate" / "tables", out / "tables")
    shutil.copytree(artifacts / "evaluate" / "champion", out / "model")
    shutil.copyfile(RUNS / "keys" / "verify.pem", out / "verify.pem")
    write_json(str(out / "summary.json.part"), summary)
    (out / "summary.json.part").rename(out / "summary.json")
    link = LATEST.with_name("latest.part")
    link.unlink(missing_ok=True)
    link.symlink_to(os.path.relpath(out, RUNS))
    link.rename(LATEST)
