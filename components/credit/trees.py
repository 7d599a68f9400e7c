"""Both tree families behind one engine: an XGBoost booster in UBJSON, and the encoder of its inputs.

A random forest of scikit-learn is converted into a booster once, exactly, so that a scorer needs neither
scikit-learn nor a pickle, and both families have the same exact TreeSHAP.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from components.credit.binning import Columns, frequent_by_risk, numbers
from components.credit.calibration import Floats, Integers
from components.credit.dictionary import Feature

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier
    from xgboost import Booster

Matrix = NDArray[np.float32]

# Beyond it a value counts as it, infinities too; a sum over all rows still fits a float32.
_GREATEST = 1e30
# Keeps the log-odds of a forest's probability finite, without ties: 0 and 1 become -6.9 and 6.9.
_SMOOTHING = 1e-3
# Rows that a category needs to have a rank of its own.
_LEAST_ROWS = 20


class Levels(Struct, frozen=True, forbid_unknown_fields=True):
    """Ranks of a feature's categories, in order of risk.

    Args:
        rank: Rank by category; categories that were too rare to judge are not among them.
        other: Rank of the rare ones together, and of those never seen; None where there were none: then as missing.
    """

    rank: dict[str, float]
    other: float | None

    def ranks(self, column: Any) -> Floats:
        """Rank of each value, NaN where missing, shape (n,)."""
        missing = float("nan")
        other = missing if self.other is None else self.other
        return np.array([self.rank.get(value, other) if isinstance(value, str) else missing for value in column])


class Encoded(Struct, frozen=True, forbid_unknown_fields=True):
    """How one feature becomes a number: as it is, or the rank of its category by risk."""

    feature: str
    levels: Levels | None = None


class Encoder(Struct, frozen=True, forbid_unknown_fields=True):
    """How columns become the float32 matrix that trees read.

    Args:
        margin: What the trees add up: log-odds of bad, or a probability (the forest).
        columns: One a feature, in order.
    """

    margin: Literal["log_odds", "probability"]
    columns: list[Encoded]

    def matrix(self, columns: Columns) -> Matrix:
        """Rows for the trees, shape (n, features), NaN where missing."""
        encoded = [
            np.clip(numbers(columns[column.feature]), -_GREATEST, _GREATEST)
            if column.levels is None
            else column.levels.ranks(columns[column.feature])
            for column in self.columns
        ]
        return np.column_stack(encoded).astype(np.float32)


def fit_encoder(
    features: list[Feature], columns: Columns, bad: Integers, margin: Literal["log_odds", "probability"]
) -> Encoder:
    """The encoder of these features; it learns the order of categories.

    Args:
        features: The inputs.
        columns: The training rows.
        bad: 0 or 1, shape (n,).
        margin: What the trees will add up.
    """
    return Encoder(
        margin,
        [
            Encoded(feature.name, _levels(columns[feature.name], bad) if feature.type == "category" else None)
            for feature in features
        ],
    )


def _levels(column: Any, bad: Integers) -> Levels:
    frequent = frequent_by_risk(column, bad, _LEAST_ROWS)
    known = {name for name, _, _ in frequent}
    rare = np.array([isinstance(value, str) and value not in known for value in column])
    if not rare.any():
        return Levels({name: float(place) for place, (name, _, _) in enumerate(frequent)}, None)
    mean = float(bad.mean())
    risk = (float(bad[rare].sum()) + mean) / (int(rare.sum()) + 1)
    below = sum((bads + mean) / (rows + 1) < risk for _, rows, bads in frequent)
    ranks = {name: float(place if place < below else place + 1) for place, (name, _, _) in enumerate(frequent)}
    return Levels(ranks, float(below))


@dataclass(frozen=True)
class Trees:
    """An engine of trees.

    Args:
        booster: XGBoost model in UBJSON.
        encoder: How its inputs are made.

    Raises:
        ValueError: The booster cannot be read, or reads another number of features than the encoder makes.
    """

    booster: bytes
    encoder: Encoder

    def __post_init__(self) -> None:
        features = self._model.num_features()
        if features != len(self.encoder.columns):
            raise ValueError(f"reads {features} features where the model has {len(self.encoder.columns)}")

    @cached_property
    def _model(self) -> Booster:
        # xgboost takes 1.7 s to import, and a scorer of a scorecard never needs it
        from xgboost import Booster
        from xgboost.core import XGBoostError

        try:
            return Booster({"nthread": 1}, model_file=bytearray(self.booster))
        except XGBoostError as error:
            raise ValueError("is damaged") from error

    @cached_property
    def base(self) -> float:
        """Mean margin over the training rows: what TreeSHAP starts from."""
        return float(self._shap(np.full((1, len(self.encoder.columns)), np.nan, dtype=np.float32))[0, -1])

    def margin(self, columns: Columns) -> Floats:
        """Sum of the trees, shape (n,)."""
        return self._margin(self.encoder.matrix(columns))

    def contributions(self, columns: Columns) -> Floats:
        """Exact TreeSHAP (path-dependent), shape (n, features)."""
        matrix = self.encoder.matrix(columns)
        parts = self._shap(matrix)[:, :-1]
        # XGBoost adds up in float32: what is lost by that is shared out, so that base and parts make the margin
        size = np.abs(parts)
        lost = self._margin(matrix) - self.base - parts.sum(axis=1)
        shared = size * (lost / np.maximum(size.sum(axis=1), np.finfo(np.float32).tiny))[:, None]
        return np.asarray(parts + shared, dtype=np.float64)

    def log_odds(self, margin: Floats) -> Floats:
        """Log-odds of bad at a margin."""
        if self.encoder.margin == "log_odds":
            return margin
        return np.asarray(np.log((margin + _SMOOTHING) / (1 - margin + _SMOOTHING)), dtype=np.float64)

    def _margin(self, matrix: Matrix) -> Floats:
        return np.asarray(self._model.inplace_predict(matrix, predict_type="margin"), dtype=np.float64)

    def _shap(self, matrix: Matrix) -> Floats:
        from xgboost import DMatrix

        return np.asarray(self._model.predict(DMatrix(matrix, nthread=1), pred_contribs=True), dtype=np.float64)


def forest_to_booster(forest: RandomForestClassifier) -> bytes:
    """A random forest as an XGBoost model in UBJSON whose margin is the forest's probability of bad, exactly.

    scikit-learn sends a row left where ``x <= threshold``, XGBoost where ``x < threshold``: on float32 inputs these
    are the same when the threshold becomes the next float32 above. Covers are kept for TreeSHAP.
    """
    from xgboost import Booster, DMatrix, train

    # what an XGBoost of this version writes, to be filled with the forest's trees
    inputs = np.zeros((2, forest.n_features_in_), dtype=np.float32)
    shell = train({"base_score": 0.0, "max_depth": 1}, DMatrix(inputs, label=np.zeros(2)), 1)
    document = msgspec.json.decode(bytes(shell.save_raw("json")))
    model = document["learner"]["gradient_booster"]["model"]
    pattern = model["trees"][0]
    trees = [_converted(tree.tree_, len(forest.estimators_), pattern, i) for i, tree in enumerate(forest.estimators_)]
    model["trees"] = trees
    model["tree_info"] = [0] * len(trees)
    model["iteration_indptr"] = list(range(len(trees) + 1))
    model["gbtree_model_param"]["num_trees"] = str(len(trees))
    return bytes(Booster(model_file=bytearray(msgspec.json.encode(document))).save_raw("ubj"))


def _converted(tree: Any, trees: int, pattern: dict[str, Any], place: int) -> dict[str, Any]:
    """One tree of scikit-learn in XGBoost's layout."""
    order = _level_order(tree.children_left, tree.children_right)
    number = np.argsort(order)
    left, right = tree.children_left[order], tree.children_right[order]
    leaf = left < 0
    left, right = np.where(leaf, -1, number[left]), np.where(leaf, -1, number[right])
    parents = np.full(len(order), 2**31 - 1, dtype=np.int64)
    parents[left[~leaf]] = parents[right[~leaf]] = np.flatnonzero(~leaf)
    threshold = tree.threshold.astype(np.float32)
    threshold = np.where(threshold > tree.threshold, np.nextafter(threshold, np.float32(-np.inf)), threshold)
    above = np.nextafter(threshold, np.float32(np.inf)).clip(max=np.finfo(np.float32).max)[order]
    share = tree.value[order, 0, 1] / trees
    return pattern | {
        "id": place,
        "left_children": left.tolist(),
        "right_children": right.tolist(),
        "parents": parents.tolist(),
        "split_indices": np.where(leaf, 0, tree.feature[order]).tolist(),
        "split_conditions": np.where(leaf, share, above).tolist(),
        "split_type": [0] * len(order),
        "default_left": np.where(leaf, 0, tree.missing_go_to_left[order]).astype(int).tolist(),
        "base_weights": share.tolist(),
        "loss_changes": [0.0] * len(order),
        "sum_hessian": tree.weighted_n_node_samples[order].tolist(),
        "tree_param": pattern["tree_param"] | {"num_nodes": str(len(order))},
    }


def _level_order(left: Integers, right: Integers) -> Integers:
    """Nodes level by level: XGBoost takes a right child to stand behind its left one."""
    levels, level = [], np.array([0])
    while len(level):
        levels.append(level)
        inner = level[left[level] >= 0]
        level = np.column_stack([left[inner], right[inner]]).ravel()
    return np.concatenate(levels)
