"""``python -m components.scorer.decisions.shipping FOLDER`` ships a spool to the audit bucket, as Parquet.

The scorer starts it as a short process of its own, since making Parquet takes memory and would hold up requests by
milliseconds. It leaves alone the segment that a scorer still writes, and so keeps locked. It removes a segment once the
store has it; the key follows from the content, so that shipping a segment again after a crash changes nothing.

```
quipu-audit/decisions/day=YYYY-MM-DD/<first>-<last>-<12 hex of the SHA-256 of its lines>.parquet
```

Where a write was cut off, the whole lies beside its part, under the same name with ``-2`` before the ending.
``first`` and ``last`` are the times of its decisions, milliseconds since 1970 in 12 hex digits; the day, in UTC, is
that of the first.
"""

import datetime
import hashlib
import io
import itertools
import os
import signal
import sys
from pathlib import Path

import pyarrow as pa

from components.credit.book.store import AUDIT_BUCKET, Store, access_from_environment
from components.credit.errors import QuipuError
from components.credit.import_guard import block_imports
from components.scorer.decisions.record import Decision, read_lines
from components.scorer.decisions.spool import claimed, segments

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("row", pa.int32(), nullable=False),
        pa.field("at", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("decided_at", pa.timestamp("us", "UTC")),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("request", pa.string(), nullable=False),
        pa.field("actor", pa.string(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("run", pa.string()),
        pa.field("inputs", pa.string(), nullable=False),
        pa.field("application", pa.string()),
        pa.field("probability", pa.float64(), nullable=False),
        pa.field("points", pa.int64(), nullable=False),
        pa.field("reasons", pa.list_(pa.string()), nullable=False),
        pa.field("band", pa.string()),
        pa.field("proposal", pa.string()),
        pa.field("rules", pa.list_(pa.string()), nullable=False),
        pa.field("person_decides", pa.bool_(), nullable=False),
        pa.field("latency_us", pa.int64(), nullable=False),
    ]
)
_PREFIX = "decisions"


def ship(folder: Path, store: Store) -> int:
    """Ship the segments of a folder that nobody writes any more.

    Returns:
        How many lines were damaged; a segment with such lines stays beside, with the ending ``.damaged``.

    Raises:
        StoreError: The store is away or refuses; what was not shipped stays in the spool.
    """
    damaged = 0
    for path in segments(folder):
        with claimed(path) as free:
            if not free:
                continue
            lines = path.read_bytes().split(b"\n")[:-1]  # no answer was sent for what follows the last end of a line
            decisions = list(read_lines(lines))
            kept = [decision for decision in decisions if decision is not None]
            if kept:
                _write_whole(store, _key(kept, b"\n".join(lines)), parquet_of(kept))
            if len(kept) < len(decisions):
                damaged += len(decisions) - len(kept)
                path.rename(path.with_suffix(".damaged"))
            else:
                path.unlink()
    return damaged


def _write_whole(store: Store, key: str, data: bytes) -> None:
    """Write a segment's decisions under its key, or under ``<key>-2.parquet`` and so on.

    A store that died while it took them may hold a part of them under the key, which nobody may replace.
    """
    for number in itertools.count(1):
        name = key if number == 1 else f"{key.removesuffix('.parquet')}-{number}.parquet"
        if store.write_once(AUDIT_BUCKET, name, data) or store.read(AUDIT_BUCKET, name) == data:
            return


def parquet_of(decisions: list[Decision]) -> bytes:
    """Decisions as Parquet of ``SCHEMA``."""
    from pyarrow.parquet import write_table

    rows = [(decision, row) for decision in decisions for row in range(len(decision.probability))]
    columns = {
        "id": [decision.id for decision, _ in rows],
        "row": [row for _, row in rows],
        "at": [decision.at for decision, _ in rows],
        "probability": [decision.probability[row] for decision, row in rows],
        "points": [decision.points[row] for decision, row in rows],
        "reasons": [decision.reasons[row] if decision.reasons else [] for decision, row in rows],
    }
    for name in ("kind", "request", "actor", "model", "inputs", "rules", "person_decides", "latency_us"):
        columns[name] = [getattr(decision, name) for decision, _ in rows]
    for name in ("decided_at", "run", "application", "band", "proposal"):
        columns[name] = [getattr(decision, name) or None for decision, _ in rows]
    table = pa.table([pa.array(columns[field.name], field.type) for field in SCHEMA], schema=SCHEMA)
    written = io.BytesIO()
    write_table(table, written, compression="zstd")
    return written.getvalue()


def _key(decisions: list[Decision], lines: bytes) -> str:
    times = [decision.at for decision in decisions]
    day = datetime.datetime.fromtimestamp(min(times) / 1e6, datetime.UTC).date()
    span = f"{min(times) // 1000:012x}-{max(times) // 1000:012x}"
    return f"{_PREFIX}/day={day}/{span}-{hashlib.sha256(lines).hexdigest()[:12]}.parquet"


def keys_that_may_hold(milliseconds: int, store: Store) -> list[str]:
    """Keys of the decision log that may hold a decision of this time, milliseconds since 1970.

    Raises:
        StoreError: The store is away or refuses.
    """
    day = datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC).date()
    sought, keys = f"{milliseconds:012x}", []
    for each in (day - datetime.timedelta(days=1), day):  # a segment may have begun before midnight
        for key in store.keys(AUDIT_BUCKET, f"{_PREFIX}/day={each}/"):
            first, _, rest = key.rpartition("/")[2].partition("-")
            if first <= sought <= rest.partition("-")[0]:
                keys.append(key)
    return keys


def main() -> None:
    """Ship the spool that the argument names; a problem is one sentence on standard error and exit code 1."""
    block_imports()
    os.nice(5)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the scorer
    try:
        damaged = ship(Path(sys.argv[1]), Store(access_from_environment()))
    except QuipuError as error:
        sys.exit(str(error))
    if damaged:
        sys.exit(f"{damaged} lines of the spool {sys.argv[1]} are damaged; see its files that end in .damaged.")


if __name__ == "__main__":
    main()
