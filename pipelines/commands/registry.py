"""The registry that a command means: a named store's, or else the embedded one of a run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from components.credit.errors import InputError

if TYPE_CHECKING:
    from components.credit.book.store import Store

RunFolder = Annotated[
    Path, typer.Option("--run", help="Run whose registry is meant, unless QUIPU_STORE_ENDPOINT names a store.")
]


@contextmanager
def open_registry(run_folder: Path) -> Iterator[tuple["Store", str]]:
    """The store that the environment names, or else the embedded one of a run, with the key that verifies models.

    Raises:
        InputError: No store is named, and the folder holds no run that has ended.
    """
    from components.credit.book.store import Store, access_from_environment
    from components.credit.settings import secret

    if "QUIPU_STORE_ENDPOINT" in os.environ:
        yield Store(access_from_environment()), secret("QUIPU_VERIFY_KEY")
        return
    if not (run_folder / "summary.json").is_file():
        raise InputError(f"{run_folder} holds no finished run; 'quipu run' makes one, --run names another.")
    from pipelines.embedded import embedded_store

    with embedded_store(run_folder / "store") as access:
        yield Store(access), (run_folder / "verify.pem").read_text(encoding="utf-8")
