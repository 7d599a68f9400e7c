"""Which engine gives the margin and the exact reasons of one row, and of many, for the least CPU?

    python tests/benchmarks/engines.py

300 trees of depth 6 over 40 features (5 % missing), and a forest of 150 trees of depth 14; one thread. The engines take
turns, and the least CPU of each counts, in microseconds a row. All must agree: the margin to the bit of XGBoost's
float32, the parts to 1e-5. What is not installed is left out.

Python 3.11, xgboost-cpu 3.2.0, numba 0.68.1, on a machine that others loaded five times over, so the ratios count:

    model         engine      margin, 1 row  of many  parts, 1 row  of many
    XGBoost       xgboost             465.8      9.5        4246.0   3073.8
    XGBoost       ours                  7.7      6.1         537.5    497.3

How the others fared (their calls are not in this script): treelite and tl2cgen give no reasons, and tl2cgen needs a C
compiler where the model is deployed; onnxruntime gives no reasons, and 22 µs a margin; shap, shapiq and fasttreeshap
take 0.9 ms a row and more; woodelf explains batches only.
"""

import time
from collections.abc import Callable

import numpy as np
import xgboost
from sklearn.ensemble import RandomForestClassifier

from components.credit.models.trees.booster import read_nodes
from components.credit.models.trees.engine import Matrix, forest_to_booster
from components.credit.models.trees.margins import margins
from components.credit.models.trees.treeshap import parts, tabulated

_FEATURES, _LEARNT, _SCORED = 40, 10_000, 100
_TURNS = 2


def main() -> None:
    """Fit both models, hold the engines against each other and print a line for each."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(_LEARNT, _FEATURES)).astype(np.float32)
    rows[random.random(rows.shape) < 0.05] = np.nan
    effect = np.nan_to_num(rows[:, :10]) @ random.normal(size=10) * 0.6 + np.nan_to_num(rows[:, 3] * rows[:, 4]) - 1
    bad = (random.random(_LEARNT) < 1 / (1 + np.exp(-effect))).astype(int)
    settings = {"objective": "binary:logistic", "max_depth": 6, "eta": 0.05, "max_bin": 64, "nthread": 1}
    boosted = xgboost.train(settings, xgboost.QuantileDMatrix(rows, bad, max_bin=64, nthread=1), 300)
    forest = RandomForestClassifier(150, max_depth=14, min_samples_leaf=5, max_samples=5_000, random_state=0)
    print(f"{'model':14}{'engine':10}{'margin, 1 row':>15}{'of many':>9}{'parts, 1 row':>14}{'of many':>9}")
    measure("XGBoost", bytes(boosted.save_raw("ubj")), rows[:_SCORED])
    measure("random forest", forest_to_booster(forest.fit(rows, bad)), rows[:_SCORED])


def measure(model: str, booster: bytes, rows: Matrix) -> None:
    """Print what a margin and the parts cost, alone and in a batch."""
    theirs = xgboost.Booster({"nthread": 1}, model_file=bytearray(booster))
    nodes = read_nodes(booster)
    tables = tabulated(nodes)
    one = rows[5:6].copy()

    def parts_of(some: Matrix) -> Matrix:
        return theirs.predict(xgboost.DMatrix(some, nthread=1), pred_contribs=True)

    def ours_of(some: Matrix) -> Matrix:
        return parts(tables, some, margins(nodes, some))

    assert (margins(nodes, rows) == theirs.inplace_predict(rows, predict_type="margin")).all()
    assert np.abs(ours_of(rows) - parts_of(rows)[:, :-1]).max() < 1e-5
    calls: dict[str, list[Callable[[Matrix], object]]] = {
        "xgboost": [lambda some: theirs.inplace_predict(some, predict_type="margin"), parts_of],
        "ours": [lambda some: margins(nodes, some), ours_of],
    }
    least: dict[tuple[str, int, int], float] = {}
    for _ in range(_TURNS):
        for engine, pair in calls.items():
            for which, call in enumerate(pair):
                for size, some in ((1, one), (len(rows), rows)):
                    key, cost = (engine, which, size), _cost(call, some, 100 if size == 1 and not which else 1)
                    least[key] = min(least.get(key, np.inf), cost)
    for engine in calls:
        costs = [least[engine, which, size] for which in (0, 1) for size in (1, len(rows))]
        print(f"{model:14}{engine:10}{costs[0]:15.1f}{costs[1]:9.1f}{costs[2]:14.1f}{costs[3]:9.1f}")


def _cost(call: Callable[[Matrix], object], rows: Matrix, times: int) -> float:
    start = time.process_time()
    for _ in range(times):
        call(rows)
    return (time.process_time() - start) / times / len(rows) * 1e6


if __name__ == "__main__":
    main()
