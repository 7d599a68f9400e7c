"""A synthetic Peruvian portfolio, written as a lender's export of Latin-1 CSV files.

Borrowers are made batch by batch, each from a seed of its own, so that two million need no more memory than twenty
thousand and the same seed gives the same bytes.
"""

import contextlib
import datetime
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from components.credit.errors import InputError
from pipelines.portfolio import books
from pipelines.portfolio.bureau import report
from pipelines.portfolio.calendar import Calendar
from pipelines.portfolio.circumstances import circumstances
from pipelines.portfolio.dirt import DIRT, soil
from pipelines.portfolio.lending import lend
from pipelines.portfolio.movements import move
from pipelines.portfolio.people import people
from pipelines.portfolio.text import latin_1

BATCH = 4_000
SPLIT = ("cronograma", "pagos", "rcc", "movimientos")  # large tables: a file a batch


def generate(borrowers: int, seed: int, as_of: datetime.date, out: Path, progress: Callable[[int], None]) -> None:
    """Write a portfolio; ``pipelines/mappings/portfolio.yaml`` takes it to the contract.

    Args:
        borrowers: How many people have ever asked for a loan.
        seed: Seed; the same gives the same bytes.
        as_of: Day of the export; nothing of that day or later is in it.
        out: Folder to write, which must not exist or be empty; it appears only when it is whole.
        progress: Called with the number of borrowers written so far.

    Raises:
        InputError: A number out of range, or a folder that holds something or cannot be written.
    """
    if borrowers < 1:
        raise InputError(f"A portfolio of {borrowers} borrowers cannot be generated; ask for 1 or more.")
    if seed < 0:
        raise InputError(f"The seed {seed} is negative; give 0 or more.")
    calendar = Calendar.until(as_of)
    with _new_folder(out) as folder:
        for batch, first in enumerate(range(0, borrowers, BATCH)):
            count = min(BATCH, borrowers - first)
            for name, table in _tables(calendar, batch, first, count, seed).items():
                _append(folder / (f"{name}-{batch:03d}.csv" if name in SPLIT else f"{name}.csv"), table)
            progress(first + count)


def _tables(calendar: Calendar, batch: int, first: int, count: int, seed: int) -> dict[str, pa.Table]:
    """The tables of one batch of borrowers, by file name."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(batch,)))
    who = people(rng, calendar, first, count, seed)
    months = circumstances(rng, calendar, who)
    book = lend(rng, calendar, who, months)
    tables = {
        "clientes": books.clients(rng, calendar, who),
        "solicitudes": books.applications(rng, calendar, batch, who, book),
        "creditos": books.loans(calendar, batch, who, book),
        "cronograma": books.instalments(calendar, batch, book),
        "pagos": books.payments(rng, calendar, batch, book),
        "situaciones": books.endings(calendar, batch, book),
        "rcc": books.bureau(who, report(rng, calendar, who, months, book)),
        "movimientos": books.movements(batch, who, move(rng, calendar, who, months, book)),
    }
    return {name: soil(rng, table, DIRT[name]) for name, table in tables.items()}


def _append(path: Path, table: pa.Table) -> None:
    """Write a table's rows behind those that the file holds, with a header line where it is new."""
    text = pa.BufferOutputStream()
    if not path.exists():
        text.write((";".join(table.column_names) + "\n").encode())
    quoted = "DIRECCION" in table.column_names  # an address may hold the delimiter
    layout = pyarrow.csv.WriteOptions(
        include_header=False, delimiter=";", quoting_style="needed" if quoted else "none", batch_size=32_768
    )
    pyarrow.csv.write_csv(table, text, layout)
    with path.open("ab") as file:
        file.write(latin_1(text.getvalue().to_pybytes()))


@contextlib.contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` that takes its place when all is written, and goes when something fails.

    Raises:
        InputError: ``out`` holds something, or the disk refuses.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} already holds something; name a folder that is new or empty.")
    folder = out.resolve().with_name(f".{out.resolve().name}.{os.getpid()}")
    try:
        folder.mkdir(parents=True)
        yield folder
        folder.rename(out.resolve())
    except OSError as error:
        raise InputError(
            f"{out} cannot be written: {error.strerror}; make room there or name another folder."
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
