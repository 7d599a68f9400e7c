"""Which validation library finds the broken rows of a large table, and why each is broken, fastest?

Run it where pandera, pointblank, polars, duckdb and ``ibis-framework[duckdb]`` are installed (the last is what
pointblank needs for DuckDB; that candidate is left out where it is not there):

    python tests/benchmarks/validation_libraries.py --rows 20000000 --repeats 3

It writes generated transactions, a thousandth of them broken, to Parquet files in a temporary folder (about 50 bytes a
row), and then lets each candidate find (row, reason) of every broken one, batch by batch. Each run is a process of its
own with two threads; the candidates take turns, and the medians count. All must find the same rows.

    read                the floor: the batches are read, and nothing is checked
    duckdb              the same rules as plain SQL
    pandera             pandera on polars, as components.validate.rules makes it
    pointblank          pointblank on polars
    pointblank-duckdb   pointblank on DuckDB (through ibis)
"""

import argparse
import datetime
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from components.credit.book.contract import PROVENANCE, TRANSACTIONS

FILE_ROWS, BATCH_ROWS = 1_048_576, 262_144
AS_OF, END = "2024-06-30", "2024-07-01 05:00:00+00"
CANDIDATES = ("read", "duckdb", "pandera", "pointblank", "pointblank-duckdb")
REQUIRED = [field.name for field in TRANSACTIONS.fields if field.required]
ALLOWED = {field.name: field.allowed for field in TRANSACTIONS.fields if field.allowed}


def write(folder: Path, rows: int) -> None:
    """Write ``rows`` transactions, a file at a time."""
    random = np.random.default_rng(7)
    for number, start in enumerate(range(0, rows, FILE_ROWS)):
        table = transactions(random, min(FILE_ROWS, rows - start))
        pyarrow.parquet.write_table(table, folder / f"part-{number:05d}.parquet", row_group_size=BATCH_ROWS)


def transactions(random: np.random.Generator, rows: int) -> pa.Table:
    """Generated transactions; of every thousand rows about one breaks one rule."""
    seconds = random.integers(1_600_000_000, 1_719_000_000, rows)
    late = random.random(rows) < 0.0002
    cents = np.where(random.random(rows) < 0.0003, -1, 1) * random.integers(1, 10_000_000, rows)
    currency = np.where(random.random(rows) < 0.0003, 2, random.integers(0, 2, rows))
    columns = {
        "transaction_id": pa.array(np.char.mod("%026d", random.integers(0, 2**62, rows))),
        "borrower_id": pa.array(np.char.mod("%026d", random.integers(0, 500_000, rows))),
        "event_time": moment(seconds),
        "known_at": moment(seconds - 60 * late),
        "direction": pa.array(np.array(["in", "out"])[random.integers(0, 2, rows)], mask=random.random(rows) < 0.0002),
        "kind": pa.array(np.array(ALLOWED["kind"])[random.integers(0, len(ALLOWED["kind"]), rows)]),
        "amount": money(cents),
        "currency": pa.array(np.array(["PEN", "USD", "???"])[currency]),
        "balance_after": money(cents * 3),
        "due_on": pa.nulls(rows, pa.date32()),
        "source_file": pa.repeat("transactions.csv", rows),
        "source_row": pa.array(np.arange(1, rows + 1)),
        "problems": pa.array([[]] * rows, pa.list_(pa.string())),
    }
    schema = pa.schema([*TRANSACTIONS.schema, *PROVENANCE])
    return pa.table([columns[name] for name in schema.names], schema=schema)


def moment(seconds: np.ndarray) -> pa.Array:
    return pa.array(seconds * 1_000_000).cast(pa.timestamp("us", tz="UTC"))


def money(cents: np.ndarray) -> pa.Array:
    halves = np.empty((len(cents), 2), dtype="<i8")  # decimal128 is 16 bytes, little end first
    halves[:, 0], halves[:, 1] = cents, cents >> 63
    return pa.Array.from_buffers(pa.decimal128(18, 2), len(cents), [None, pa.py_buffer(halves.tobytes())])


def batches(folder: Path) -> Iterator[pa.RecordBatch]:
    for path in sorted(folder.glob("part-*.parquet")):
        with pyarrow.parquet.ParquetFile(path) as file:
            yield from file.iter_batches(BATCH_ROWS)


def read(folder: Path) -> Counter[str]:
    for _ in batches(folder):
        pass
    return Counter()


def duckdb(folder: Path) -> Counter[str]:
    import duckdb

    whens = [f"if({name} is null, '{name}', null)" for name in REQUIRED]
    whens += [f"if({name} not in {values!r}, '{name}', null)" for name, values in ALLOWED.items()]
    whens += ["if(amount < 0, 'amount', null)", "if(known_at < event_time, 'known_at', null)"]
    whens += [f"if(event_time >= timestamptz '{END}', 'event_time', null)"]
    db = duckdb.connect(config={"threads": 2})
    found: Counter[str] = Counter()
    for path in sorted(folder.glob("part-*.parquet")):
        rows = db.sql(
            f"""select row, reasons from (
                  select file_row_number as row, list_filter([{", ".join(whens)}], lambda x: x is not null) as reasons
                  from read_parquet('{path}', file_row_number = true))
                where len(reasons) > 0"""
        ).to_arrow_table()
        found.update(rows["reasons"].combine_chunks().flatten().to_pylist())
    return found


def pandera(folder: Path) -> Counter[str]:
    import polars as pl

    from components.validate.rules import broken, rules

    checks = rules(TRANSACTIONS, pa.schema([]), AS_OF, "America/Lima")
    found: Counter[str] = Counter()
    for batch in batches(folder):
        found.update(reason.partition(":")[0] for reason in broken(pl.DataFrame(batch), checks)["reason"])
    return found


def pointblank(folder: Path) -> Counter[str]:
    import polars as pl

    found: Counter[str] = Counter()
    for batch in batches(folder):
        frame = pl.DataFrame(batch)
        # Its comparisons fail on decimals (they ask is_nan of them), so that money needs an expression.
        found.update(_pointblank(frame, len(frame), pl.col("amount").ge(0).fill_null(True)))
    return found


def pointblank_duckdb(folder: Path) -> Counter[str]:
    import ibis

    db = ibis.duckdb.connect(threads=2)
    found: Counter[str] = Counter()
    for path in sorted(folder.glob("part-*.parquet")):
        found.update(_pointblank(db.read_parquet(path), FILE_ROWS, None))
    return found


def _pointblank(rows: object, limit: int, positive: object) -> Iterator[str]:
    import pointblank as pb

    steps = pb.Validate(rows)
    names = []
    for name in REQUIRED:
        steps = steps.col_vals_not_null(name)
        names.append(name)
    for name, values in ALLOWED.items():
        steps = steps.col_vals_in_set(name, [*values, None])
        names.append(name)
    steps = steps.col_vals_ge("amount", 0, na_pass=True) if positive is None else steps.col_vals_expr(positive)
    steps = steps.col_vals_ge("known_at", pb.col("event_time"), na_pass=True)
    steps = steps.col_vals_lt("event_time", datetime.datetime.fromisoformat(END), na_pass=True)
    names += ["amount", "known_at", "event_time"]
    extracts = steps.interrogate(extract_limit=limit).get_data_extracts()
    for step, name in enumerate(names, start=1):
        extract = extracts.get(step)
        yield from [name] * (0 if extract is None else len(extract))


def measure(candidate: str, folder: Path) -> None:
    """Run one candidate and print what it took."""
    started = time.perf_counter()
    for module in {"duckdb": ["duckdb"], "pandera": ["pandera.polars"], "pointblank": ["pointblank", "polars"],
                   "pointblank-duckdb": ["pointblank", "ibis"]}.get(candidate, []):  # fmt: skip
        __import__(module)
    imported = time.perf_counter()
    found = globals()[candidate.replace("-", "_")](folder)
    ended, cpu = time.perf_counter(), time.process_time()
    peak = int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0]) / 1024
    print(
        json.dumps({"import": imported - started, "wall": ended - imported, "cpu": cpu, "peak": peak, "found": found})
    )


def main() -> None:
    """Measure all candidates in turns and print their medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=CANDIDATES, choices=CANDIDATES)
    parser.add_argument("--measure", nargs=2, metavar=("CANDIDATE", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure[0], Path(arguments.measure[1]))
        return
    candidates = [name for name in arguments.only if name != "pointblank-duckdb" or find_spec("ibis")]
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in candidates}
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), arguments.rows)
        for _ in range(arguments.repeats):
            for name in candidates:
                command = [sys.executable, __file__, "--measure", name, folder]
                environment = {**os.environ, "POLARS_MAX_THREADS": "2"}
                output = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout
                runs[name].append(json.loads(output))
                print(name, output.decode().strip(), file=sys.stderr)
    print(f"{arguments.rows:,} rows; wall ratio to duckdb run by run, median of {arguments.repeats}")
    for name, measured in runs.items():
        ratios = [run["wall"] / duck["wall"] for run, duck in zip(measured, runs.get("duckdb", measured), strict=True)]
        middle = {key: statistics.median(run[key] for run in measured) for key in ("import", "wall", "cpu", "peak")}
        print(
            f"{name:18} import {middle['import']:5.2f} s  wall {middle['wall']:7.2f} s  cpu {middle['cpu']:7.2f} s"
            f"  peak {middle['peak']:6.0f} MB  ratio {statistics.median(ratios):5.2f}"
        )
    results = {json.dumps(run["found"], sort_keys=True) for name in candidates if name != "read" for run in runs[name]}
    if len(results) > 1:
        sys.exit(f"The candidates do not agree: {results}")


if __name__ == "__main__":
    main()
