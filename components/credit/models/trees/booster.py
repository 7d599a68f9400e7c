"""An XGBoost model as flat arrays of nodes, read from UBJSON without XGBoost.

XGBoost takes 1.7 s and 100 MB to import; a scorer needs the nodes only. The format is Universal Binary JSON, draft 12,
as ``Booster.save_raw("ubj")`` writes it.
"""

import math
import struct
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.credit.models.calibration import Floats

_NUMBERS = {"i": ">i1", "U": ">u1", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4", "D": ">f8"}
_CONSTANTS = {"T": True, "F": False, "Z": None}
_GREATEST = np.finfo(np.float32).max
# A document nests no deeper than learner, booster, model, trees, tree, tree_param: six levels.
_DEEPEST = 16


class Nodes(NamedTuple):
    """The nodes of all trees, tree after tree, each level by level; a right child follows its left one.

    A leaf is its own left child and never sends a row right, so that a walk may go on at a leaf. The kernels of this
    folder read the fields by name and keep them compiled by order: whoever reorders fields clears numba's cache.

    Args:
        features: Number of inputs.
        base: Margin before any tree.
        roots: int32, shape (trees + 1,). First node of each tree, and the number of nodes at the end.
        questions: int32, shape (nodes, 3), columns ``FEATURE``, ``LEFT`` and ``ANSWER``.
        threshold: float32, shape (nodes,). A row goes left below it; infinite at a leaf only.
        parent: int32, shape (nodes,). Parent, -1 at a root.
        value: float32, shape (nodes,). What a leaf adds to the margin; 0 elsewhere.
        cover: float64, shape (nodes,). Weight of the training rows that reach a node.
        levels: Depth of the deepest tree.
    """

    features: int
    base: np.float32
    roots: NDArray[np.int32]
    questions: NDArray[np.int32]
    threshold: NDArray[np.float32]
    parent: NDArray[np.int32]
    value: NDArray[np.float32]
    cover: Floats
    levels: int


# Columns of ``Nodes.questions``: the input that a node asks for; its left child; and where a kernel reads the answer in
# a row of twice the inputs: the input where a missing value goes left, the input plus ``features`` where it goes right.
FEATURE, LEFT, ANSWER = 0, 1, 2


def read_nodes(booster: bytes) -> Nodes:
    """The nodes of a booster of one output.

    Raises:
        ValueError: It is damaged, or of a kind that this code does not read.
    """
    try:
        return _nodes(_Reader(booster).value()["learner"])
    except (KeyError, IndexError, TypeError, AttributeError, struct.error, UnicodeDecodeError) as error:
        raise ValueError("is damaged") from error


def _nodes(learner: dict[str, Any]) -> Nodes:
    booster = learner["gradient_booster"]
    features = int(learner["learner_model_param"]["num_feature"])
    model = booster["model"]
    trees = model["trees"]
    if booster["name"] != "gbtree" or int(learner["learner_model_param"]["num_class"]) > 1 or not trees:
        raise ValueError("holds something else than the trees of one output")

    sizes = np.array([len(tree["left_children"]) for tree in trees])
    first = np.cumsum(sizes) - sizes
    tree_of = np.repeat(np.arange(len(trees)), sizes)

    def joined(name: str, dtype: Any) -> Any:
        values = np.concatenate([np.asarray(tree[name]) for tree in trees]).astype(dtype)
        if len(values) != len(tree_of):
            raise ValueError("is damaged")
        return values

    if joined("split_type", np.int64).any():
        raise ValueError("splits by category, which this code does not read")
    left, right = (joined(name, np.int64) for name in ("left_children", "right_children"))
    inner = left >= 0
    left, right = (np.where(inner, side + first[tree_of], -1) for side in (left, right))
    by_level = level_order(left, right, first)
    order = np.concatenate(by_level)
    order = order[np.argsort(tree_of[order], kind="stable")]
    position = np.full(len(left), -1, dtype=np.int64)
    position[order] = np.arange(len(order))
    leaf = ~inner[order]
    own = np.arange(len(order))
    children = np.where(leaf, own, position[left[order]])
    parent = np.full(len(order), -1, dtype=np.int64)
    parent[children[~leaf]] = parent[children[~leaf] + 1] = own[~leaf]
    feature = np.where(leaf, 0, joined("split_indices", np.int64)[order])
    condition = joined("split_conditions", np.float32)[order]
    if ((feature < 0) | (feature >= features)).any():
        raise ValueError("is damaged")
    missing_right = np.where(leaf, 0, joined("default_left", np.int64)[order] == 0)
    return Nodes(
        features,
        _base(learner),
        np.append(position[first], len(order)).astype(np.int32),
        np.column_stack([feature, children, feature + features * missing_right]).astype(np.int32),
        np.where(leaf, np.float32(np.inf), condition.clip(-_GREATEST, _GREATEST)).astype(np.float32),
        parent.astype(np.int32),
        np.where(leaf, condition, np.float32(0)).astype(np.float32),
        joined("sum_hessian", np.float64)[order],
        len(by_level) - 1,
    )


def level_order(left: NDArray[np.int64], right: NDArray[np.int64], roots: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Nodes of each level below these roots, a right child behind its left one; ``left`` is negative at a leaf."""
    levels, level, seen = [], roots, 0
    while len(level):
        seen += len(level)
        if seen > len(left):
            raise ValueError("is damaged")
        levels.append(level)
        inner = level[left[level] >= 0]
        level = np.column_stack([left[inner], right[inner]]).ravel()
    return levels


def _base(learner: dict[str, Any]) -> np.float32:
    """The margin of the base score, in float32 as XGBoost computes it."""
    score = np.float32(learner["learner_model_param"]["base_score"].strip("[]"))
    if learner["objective"]["name"] not in ("binary:logistic", "reg:logistic"):
        return score
    return np.float32(-math.log(np.float32(1) / score - np.float32(1)))


class _Reader:
    """Reads values one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def value(self, depth: int = 0) -> Any:
        """The value that begins here."""
        return self._value(self._mark(), depth)

    def _value(self, mark: str, depth: int) -> Any:
        if depth > _DEEPEST:
            raise ValueError("is damaged")
        if mark == "{":
            return self._object(depth)
        if mark == "[":
            return self._array(depth)
        if mark == "S":
            return self._text()
        return _CONSTANTS[mark] if mark in _CONSTANTS else self._numbers(mark, 1)[0]

    def _object(self, depth: int) -> dict[str, Any]:
        values = {}
        while self._peek() != "}":
            key = self._text()
            values[key] = self.value(depth + 1)
        self._at += 1
        return values

    def _array(self, depth: int) -> Any:
        mark = ""
        if self._peek() == "$":
            self._at += 1
            mark = self._mark()
        if self._peek() != "#":
            values = []
            while self._peek() != "]":
                values.append(self.value(depth + 1))
            self._at += 1
            return values
        self._at += 1
        count = self._count()
        if mark in _NUMBERS:
            return self._numbers(mark, count)
        return [self._value(mark or self._mark(), depth + 1) for _ in range(count)]

    def _numbers(self, mark: str, count: int) -> Any:
        dtype = np.dtype(_NUMBERS[mark])
        numbers = np.frombuffer(self._bytes(count * dtype.itemsize), dtype)
        return numbers.astype(dtype.newbyteorder("="))

    def _text(self) -> str:
        return self._bytes(self._count()).decode()

    def _count(self) -> int:
        count = int(self._numbers(self._mark(), 1)[0])
        if not 0 <= count <= len(self._data):
            raise ValueError("is damaged")
        return count

    def _bytes(self, count: int) -> bytes:
        data = self._data[self._at : self._at + count]
        if len(data) < count:
            raise ValueError("is damaged")
        self._at += count
        return data

    def _mark(self) -> str:
        mark = self._peek()
        self._at += 1
        return mark

    def _peek(self) -> str:
        return chr(self._data[self._at])
