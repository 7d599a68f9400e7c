"""What borrowers notice of a change: latency of the scorer while its champion moves, and with a shadow beside it.

The second part of ``make benchmark-serving`` asks one scorer for one row again and again, at about half of what it can
do, in turn as it is, while the champion pointer moves between an XGBoost model and a scorecard every second, and with
the card as a shadow. Writes build/benchmarks/switching.json.
"""

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from load import Load, load
from serving import CONNECTIONS, RESULT, scorer_command, started
from serving_models import booster, infer_request, scorers, table

from components.credit.book.store import Store
from components.credit.models.scorer import save
from components.credit.release.registry import Package, promote, register, set_shadow
from components.credit.release.signing import new_key_pair
from pipelines.embedded import embedded_store
from tests.decisions import decision


def main() -> None:
    """Run the benchmark, print its table and keep it as JSON."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--seconds", type=int, default=6, help="of each run (default 6)")
    arguments.add_argument("--rounds", type=int, default=3, help="of all runs, interleaved (default 3)")
    asked = arguments.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quipu-switching-")))
        columns, bad = table(seed=7)
        body = folder / "row.json"
        body.write_bytes(infer_request(columns))
        private, public = new_key_pair()
        access = stack.enter_context(embedded_store(folder / "store"))
        store = Store(access)
        registered = {}
        for family, scorer in scorers(columns, bad, bytes(booster(columns, bad).save_raw("ubj"))).items():
            save(scorer, folder / family)
            chosen = decision(family, scorer.version())
            package = Package(scorer.version(), family, "2024-06-30", "benchmark", "ab" * 32, {}, chosen)
            registered[family] = scorer.version(), register(store, folder / family, package, private)
        first, other = registered["xgboost"], registered["scorecard"]
        promote(store, *first)
        command, environment, *rest = scorer_command(folder, access, public, "")
        server = stack.enter_context(started("Quipu", command, environment | {"QUIPU_SCORER_POLL": "0.2"}, *rest))

        def asked_for(seconds: int, wait: float) -> Load:
            return load(server.url, body, server.process, CONNECTIONS, seconds, wait)

        whole = max(asked_for(asked.seconds, 0).rate for _ in range(2))
        wait = CONNECTIONS / (whole / 2) * 1000
        found: dict[str, list[Load]] = {}
        for turn in range(asked.rounds):
            for name, change in (
                ("as it is", lambda: None),
                ("champion moves each second", _mover(store, [other, first])),
                ("with a shadow", lambda: None),
            ):
                print(f"round {turn + 1} of {asked.rounds}: {name}", file=sys.stderr, flush=True)
                set_shadow(store, other[0] if name == "with a shadow" else None)
                with _each_second(change):
                    found.setdefault(name, []).append(asked_for(asked.seconds, wait))
                promote(store, *first)
    rows = [
        {
            "name": name,
            "requests_a_second": round(statistics.median(run.rate for run in runs), 1),
            "p50_us": min(run.p50 for run in runs),
            "p99_us": min(run.p99 for run in runs),
            "p99_us_median": statistics.median(run.p99 for run in runs),
            "errors": sum(run.errors for run in runs),
        }
        for name, runs in found.items()
    ]
    print(f"{'':28}{'req/s':>8}{'p50 µs':>8}{'p99 µs':>8}{'median':>8}{'errors':>8}")
    for row in rows:
        print("{name:28}{requests_a_second:>8}{p50_us:>8}{p99_us:>8}{p99_us_median:>8}{errors:>8}".format(**row))
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.with_name("switching.json").write_text(json.dumps(rows, indent=2) + "\n")


def _mover(store: Store, versions: list[tuple[str, str]]) -> Callable[[], object]:
    following = itertools.cycle(versions)
    return lambda: promote(store, *next(following))


@contextmanager
def _each_second(change: Callable[[], object]) -> Iterator[None]:
    """Do something each second until the end."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(1.0):
            change()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


if __name__ == "__main__":
    main()
