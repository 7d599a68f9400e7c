"""Both tree families behind one engine: an XGBoost booster in UBJSON, and the encoder of its inputs.

A random forest of scikit-learn is converted into a booster once, exactly, so that a scorer needs neither
scikit-learn nor a pickle, and both families have the same exact TreeSHAP. What scores is compiled and needs no XGBoost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from components.credit.dictionary import Feature
from components.credit.models.binning import Columns, frequent_by_risk, short_number
from components.credit.models.calibration import Floats, Integers
from components.credit.models.engine import Stored
from components.credit.models.matrix import MatrixColumns
from components.credit.models.trees.booster import FEATURE, Nodes, level_order, read_nodes

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

    from components.credit.models.card import SegmentCard
    from components.credit.models.trees.ranks import Ranked
    from components.credit.models.trees.treeshap import Tables

Matrix = NDArray[np.float32]
# Name of the booster's file in a model.
BOOSTER_FILE = "trees.ubj"

# Beyond it a value counts as it, infinities too; a sum over all rows still fits a float32.
_GREATEST = 1e30
# Keeps the log-odds of a forest's probability finite, without ties: 0 and 1 become -6.9 and 6.9.
_SMOOTHING = 1e-3
# Rows that a category needs to have a rank of its own.
_LEAST_ROWS = 20
# Most edges of a feature that advice tries: trees have hundreds of thresholds, which mean nothing one by one.
_EDGES = 16

# Rows from which trees are asked by ranks: to make them ready takes as long as to walk 60,000 rows, once.
_MANY = 4096


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
        """Rows for the trees in row order, shape (n, features), NaN where missing."""
        if isinstance(columns, MatrixColumns):  # numbers, in the model's order already
            return np.maximum(np.minimum(columns.matrix, _GREATEST), -_GREATEST).astype(np.float32)
        values = np.empty((len(columns[self.columns[0].feature]), len(self.columns)), np.float32)
        for index, column in enumerate(self.columns):
            raw = columns[column.feature]
            encoded = np.asarray(raw, np.float64) if column.levels is None else column.levels.ranks(raw)
            values[:, index] = np.clip(encoded, -_GREATEST, _GREATEST)
        return values


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
        return Levels({name: float(rank) for rank, (name, _, _) in enumerate(frequent)}, None)
    mean = float(bad.mean())
    risk = (float(bad[rare].sum()) + mean) / (int(rare.sum()) + 1)
    below = sum((bads + mean) / (rows + 1) < risk for _, rows, bads in frequent)
    ranks = {name: float(rank if rank < below else rank + 1) for rank, (name, _, _) in enumerate(frequent)}
    return Levels(ranks, float(below))


@dataclass(frozen=True)
class Trees:
    """Trees, which are an ``Engine``.

    Args:
        booster: XGBoost model in UBJSON.
        encoder: How columns become its inputs.

    Raises:
        ValueError: The booster cannot be read, or reads another number of features than the encoder makes.
    """

    booster: bytes
    encoder: Encoder

    def __post_init__(self) -> None:
        features = self.nodes.features
        if features != len(self.encoder.columns):
            raise ValueError(f"reads {features} features where the model has {len(self.encoder.columns)}")

    @cached_property
    def nodes(self) -> Nodes:
        """The trees' nodes."""
        return read_nodes(self.booster)

    @property
    def features(self) -> list[str]:
        """Names of the features, in order."""
        return [column.feature for column in self.encoder.columns]

    @property
    def margin_is_log_odds(self) -> bool:
        """Whether the trees add up log-odds; those of a forest add up a probability."""
        return self.encoder.margin == "log_odds"

    @property
    def binnings(self) -> None:
        """Trees have no bins."""

    @property
    def cards(self) -> list[SegmentCard]:
        """Trees are no scorecard."""
        return []

    @property
    def parting(self) -> None:
        """The same trees score all rows."""

    @cached_property
    def base(self) -> float:
        """Mean margin over the training rows: what TreeSHAP starts from."""
        return self._tables.base

    @cached_property
    def edges(self) -> list[list[float]]:
        """Some of the values of each feature where a tree parts rows, in few digits; a feature may have none.

        A threshold beyond all values parts what is known from what is missing, and is no value.
        """
        questions, thresholds = self.nodes.questions[:, FEATURE], self.nodes.threshold
        return [
            _few(np.unique(thresholds[(questions == feature) & (np.abs(thresholds) < _GREATEST)]).astype(np.float64))
            for feature in range(self.nodes.features)
        ]

    def margin(self, columns: Columns) -> Floats:
        """Sum of the trees, shape (n,)."""
        return self._margin(self.encoder.matrix(columns))

    def contributions(self, columns: Columns) -> Floats:
        """Exact TreeSHAP (path-dependent), shape (n, features)."""
        return self.explained(columns)[1]

    def explained(self, columns: Columns) -> tuple[Floats, Floats]:
        """``margin`` and ``contributions``, the inputs encoded once."""
        matrix = self.encoder.matrix(columns)
        margin = self._margin(matrix)
        from components.credit.models.trees.treeshap import parts

        return margin, parts(self._tables, matrix, margin)

    def varied(self, columns: Columns, features: Sequence[int], values: Sequence[Sequence[float]]) -> Floats:
        """Margins of one row with one number at a time at other values, as ``Engine.varied``."""
        from components.credit.models.trees.margins import varied_margins

        joined = np.array([value for others in values for value in others]).clip(-_GREATEST, _GREATEST)
        row, counts = self.encoder.matrix(columns)[0], list(map(len, values))
        return varied_margins(self.nodes, row, features, counts, joined.astype(np.float32))

    def log_odds(self, margin: Floats) -> Floats:
        """Log-odds of bad at a margin."""
        if self.margin_is_log_odds:
            return margin
        return np.asarray(np.log((margin + _SMOOTHING) / (1 - margin + _SMOOTHING)), dtype=np.float64)

    def stored(self) -> Stored:
        """The encoder in ``model.json``, the booster beside it."""
        return Stored("encoder", self.encoder, {BOOSTER_FILE: self.booster})

    def _margin(self, matrix: Matrix) -> Floats:
        if len(matrix) >= _MANY and self._ranked is not None:
            return self._ranked.margins(matrix)
        return self._walked(self.nodes, matrix)

    @cached_property
    def _walked(self) -> Callable[[Nodes, Matrix], Floats]:
        # numba takes 0.3 s to import, and a scorer of a scorecard never needs it
        from components.credit.models.trees.margins import margins

        return margins

    @cached_property
    def _ranked(self) -> Ranked | None:
        from components.credit.models.trees.ranks import ranked

        return ranked(self.nodes)

    @cached_property
    def _tables(self) -> Tables:
        from components.credit.models.trees.treeshap import tabulated

        return tabulated(self.nodes)


def _few(thresholds: Floats) -> list[float]:
    """Evenly chosen thresholds, each moved up a little, to a number of few digits before the next."""
    if not len(thresholds):
        return []
    kept = thresholds[np.unique(np.linspace(0, len(thresholds) - 1, min(_EDGES, len(thresholds))).astype(np.int64))]
    least, most = np.nextafter(kept, -np.inf), np.minimum(np.append(kept[1:], np.inf), kept + np.abs(kept) / 20)
    return [short_number(low, high) for low, high in zip(least.tolist(), most.tolist(), strict=True)]


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


def _converted(tree: Any, trees: int, pattern: dict[str, Any], number: int) -> dict[str, Any]:
    """One tree of scikit-learn in XGBoost's layout."""
    order = np.concatenate(level_order(tree.children_left, tree.children_right, np.array([0])))
    position = np.argsort(order)
    left, right = tree.children_left[order], tree.children_right[order]
    leaf = left < 0
    left, right = np.where(leaf, -1, position[left]), np.where(leaf, -1, position[right])
    parents = np.full(len(order), 2**31 - 1, dtype=np.int64)
    parents[left[~leaf]] = parents[right[~leaf]] = np.flatnonzero(~leaf)
    threshold = tree.threshold.astype(np.float32)
    threshold = np.where(threshold > tree.threshold, np.nextafter(threshold, np.float32(-np.inf)), threshold)
    above = np.nextafter(threshold, np.float32(np.inf)).clip(max=np.finfo(np.float32).max)[order]
    share = tree.value[order, 0, 1] / trees
    return pattern | {
        "id": number,
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
