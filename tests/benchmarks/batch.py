"""Batch scoring of prepared rows beside pandas with XGBClassifier: seconds, CPU seconds and memory.

Both score the same rows with the same model (300 trees of depth 6, 40 numbers of which one in twenty is missing), from
one Parquet file to another, each time in a process of its own, in turn. Neither gives reasons. ``--rows`` says how
many rows, ``--runs`` how often each is run. Writes build/benchmarks/batch.json.
"""

import argparse
import json
import os
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

FEATURES = [f"x{place:02}" for place in range(40)]


def block(rows: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    values = random.normal(size=(rows, len(FEATURES))).astype(np.float32).astype(np.float64)
    values[random.random(values.shape) < 0.05] = np.nan
    return values


def make_model(folder: Path) -> None:
    import xgboost

    from components.credit.dictionary import Feature
    from components.credit.models.calibration import Calibration, Scaling
    from components.credit.models.scorer import Scorer, save
    from components.credit.models.trees.engine import Encoded, Encoder, Trees

    values = block(20_000, 1)
    known = np.nan_to_num(values)
    log_odds = known[:, :10].sum(axis=1) / 3 + known[:, 10] * known[:, 11] - 1.5
    bad = np.random.default_rng(2).random(len(values)) < 1 / (1 + np.exp(-log_odds))
    model = xgboost.XGBClassifier(
        n_estimators=300, n_jobs=1, max_depth=6, learning_rate=0.05, tree_method="hist", random_state=1
    )
    model.fit(values, bad)
    model.save_model(folder / "peer.ubj")
    engine = Trees(
        bytes(model.get_booster().save_raw("ubj")), Encoder("log_odds", [Encoded(name) for name in FEATURES])
    )
    features = tuple(Feature(name, "number", name, name, "applications", "attribute") for name in FEATURES)
    scaling = Scaling(600.0, 30.0, 20.0)
    reference = dict.fromkeys(FEATURES, 0.0)
    scorer = Scorer("xgboost", features, engine, Calibration(), scaling, 0.2, (0.05, 0.1, 0.2, 0.4), reference)
    save(scorer, folder / "model")
    scorer.probability(dict(zip(FEATURES, values[:10].T, strict=True)))  # the trees' code is compiled once and kept


def make_rows(path: Path, rows: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from components.feature.table import ROW_GROUP, WRITING

    schema = pa.schema([("application_id", pa.string()), *((name, pa.float64()) for name in FEATURES)])
    with pq.ParquetWriter(path, schema, **WRITING) as file:
        for start in range(0, rows, ROW_GROUP):
            values = block(min(ROW_GROUP, rows - start), 3 + start)
            names = pa.array([f"a{row:08}" for row in range(start, start + len(values))])
            columns = [pa.array(column, from_pandas=True) for column in values.T]
            file.write_table(pa.Table.from_arrays([names, *columns], schema=schema))


def ours(folder: Path) -> None:
    from components.credit.import_guard import block_imports

    block_imports()
    import pyarrow.parquet as pq

    from components.credit.models.scorer import load
    from components.credit.release.registry import Package
    from components.score.batch import BATCH_ROWS, SCORES, scores
    from components.scorer.model import Model
    from tests.decisions import decision

    scorer = load(folder / "model")
    model = Model(
        Package("benchmark", "xgboost", "2024-06-30", "", "", {}, decision("xgboost", "benchmark")), scorer, None, None
    )
    with (
        pq.ParquetFile(folder / "rows.parquet", pre_buffer=False) as file,
        pq.ParquetWriter(folder / "ours.parquet", SCORES, compression="zstd") as target,
    ):
        for scored in scores(model, file.iter_batches(BATCH_ROWS), explain=False):
            target.write_batch(scored)


def pandas_and_xgboost(folder: Path) -> None:
    import pandas as pd
    import xgboost

    model = xgboost.XGBClassifier()
    model.load_model(folder / "peer.ubj")
    frame = pd.read_parquet(folder / "rows.parquet")
    probability = model.predict_proba(frame[FEATURES])[:, 1]
    pd.DataFrame({"application_id": frame["application_id"], "probability": probability}).to_parquet(
        folder / "peer.parquet", compression="zstd"
    )


CANDIDATES = {"quipu": ours, "pandas": pandas_and_xgboost}


def measured(name: str, folder: Path) -> dict[str, float]:
    """Seconds, CPU seconds and peak memory (MB) of a process that scores all rows."""
    started = time.perf_counter()
    child = os.posix_spawn(sys.executable, [sys.executable, __file__, "--one", name, str(folder)], os.environ)
    _, status, usage = os.wait4(child, 0)
    if status != 0:
        sys.exit(f"{name} failed")
    return {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mb": float((folder / f"{name}.peak").read_text()),
    }


def peak_mb() -> float:
    """Greatest memory of this process since it began to run its program.

    ``ru_maxrss`` would be wrong: until a child runs a program of its own it has its parent's memory, which counts.
    """
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def same_probabilities(folder: Path) -> float:
    """Greatest difference of the two; float32 against float64."""
    import pyarrow.parquet as pq

    first, second = (pq.read_table(folder / f"{name}.parquet", columns=["probability"]) for name in ("ours", "peer"))
    return float(np.abs(first["probability"].to_numpy() - second["probability"].to_numpy()).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--one", nargs=2, metavar=("NAME", "FOLDER"))
    given = parser.parse_args()
    if given.one:
        name, folder = given.one[0], Path(given.one[1])
        CANDIDATES[name](folder)
        (folder / f"{name}.peak").write_text(str(peak_mb()))
        return
    with tempfile.TemporaryDirectory(prefix="quipu-batch-") as name:
        folder = Path(name)
        make_model(folder)
        make_rows(folder / "rows.parquet", given.rows)
        runs: dict[str, list[dict[str, float]]] = {candidate: [] for candidate in CANDIDATES}
        for _ in range(given.runs):
            for candidate, found in runs.items():
                found.append(measured(candidate, folder))
        difference = same_probabilities(folder)
    figures = {
        candidate: {
            key: {"min": min(run[key] for run in found), "median": statistics.median(run[key] for run in found)}
            for key in found[0]
        }
        for candidate, found in runs.items()
    }
    ratios = {key: figures["quipu"][key]["min"] / figures["pandas"][key]["min"] for key in figures["quipu"]}
    result = {"rows": given.rows, "runs": given.runs, "figures": figures, "ratios": ratios, "difference": difference}
    target = ROOT / "build" / "benchmarks" / "batch.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(result, indent=1))
    print(f"{given.rows:,} rows, {given.runs} runs each; least (median); greatest difference {difference:.1e}")
    for key, unit in (("seconds", "s"), ("cpu_seconds", "s CPU"), ("peak_mb", "MB")):
        shown = "  ".join(
            f"{name} {found[key]['min']:.1f} ({found[key]['median']:.1f})" for name, found in figures.items()
        )
        print(f"{unit:<6} {shown}  ratio {ratios[key]:.2f}")


if __name__ == "__main__":
    main()
