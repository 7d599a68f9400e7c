"""Margins of a booster's trees, compiled: the float32 sums of XGBoost, bit for bit.

Every row is computed on its own and in the same order, so that a row has the same bits alone and in any batch.
"""

from collections.abc import Sequence

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from components.credit.models.calibration import Floats
from components.credit.models.trees.booster import ANSWER, FEATURE, LEFT, Nodes

Matrix = NDArray[np.float32]
Indices = NDArray[np.int32]

i4, i4s, f4, f4s, f8, f8s = (
    array for kind in (types.int32, types.float32, types.float64) for array in (kind[::1], kind[:, ::1])
)
# Numba's type of ``Nodes``.
NODES = types.NamedTuple((types.int64, types.float32, i4, i4s, f4, i4, f4, f8, types.int64), Nodes)


@njit(cache=True, nogil=True, inline="always")
def spread(row: Matrix, x: Matrix) -> None:
    """Write a row twice, so that one comparison answers a question whichever way a missing value goes.

    Args:
        row: float32, shape (features,), NaN where missing.
        x: float32, shape (2 * features,), filled here: missing values are below all thresholds in the first half and
            above them in the second.
    """
    for feature in range(len(row)):
        missing = row[feature] != row[feature]
        x[feature] = -np.inf if missing else row[feature]
        x[len(row) + feature] = np.inf if missing else row[feature]


@njit(cache=True, nogil=True, inline="always")
def goes_right(x: Matrix, questions: Indices, threshold: Matrix, node: np.int32) -> np.int32:
    """1 where a row, as ``spread`` writes it, goes right at a node, 0 where left; 0 at a leaf."""
    at = np.uint32(node)  # unsigned: numba then does not look for indices that count from the end
    return np.int32(x[np.uint32(questions[at, ANSWER])] >= threshold[at])


@njit(types.void(f4s, types.float32, i4, i4s, f4, f4, types.int64, f8), cache=True, nogil=True)
def _add_leaves(
    rows: Matrix,
    base: np.float32,
    roots: Indices,
    questions: Indices,
    threshold: Matrix,
    value: Matrix,
    levels: int,
    margins: Floats,
) -> None:
    """Fill the margin of each row, in float32, tree after tree, as XGBoost adds up.

    The arrays of ``Nodes`` come one by one: unpacking a named tuple takes 3 µs, as long as half a row's walk.

    Args:
        rows: float32, shape (n, features), NaN where missing.
        base: Margin before any tree.
        roots: int32, shape (trees + 1,), as in ``Nodes``, and so are the next four.
        questions: int32, shape (nodes, 3).
        threshold: float32, shape (nodes,).
        value: float32, shape (nodes,).
        levels: Depth of the deepest tree.
        margins: float64, shape (n,), filled here.
    """
    trees = len(roots) - 1
    at, x = np.empty(trees, np.int32), np.empty(2 * rows.shape[1], np.float32)
    for row in range(len(rows)):
        spread(rows[row], x)
        at[:] = roots[:trees]
        # all trees together, level by level: the reads of one tree do not wait for those of another
        for _ in range(levels):
            for tree in range(trees):
                node = at[tree]
                at[tree] = questions[node, LEFT] + goes_right(x, questions, threshold, node)
        total = base
        for tree in range(trees):
            total += value[at[tree]]
        margins[row] = total


@njit(types.void(f4, NODES, i4, i4, f4, f4), cache=True, nogil=True)
def _add_varied(row: Matrix, nodes: Nodes, features: Indices, starts: Indices, values: Matrix, margins: Matrix) -> None:
    """Fill the margins of one row with one feature at a time at other values: the bits of ``_add_leaves``.

    A tree is walked again only for a feature that the row's own path asks for.

    Args:
        row: float32, shape (features,), NaN where missing.
        nodes: The trees.
        features: int32, shape (k,). Features that vary.
        starts: int32, shape (k + 1,). First of each feature's ``values``, and their number at the end.
        values: float32, shape (v,), ascending within a feature, none missing.
        margins: float32, shape (v,), filled here.
    """
    roots, questions, threshold, value = nodes.roots, nodes.questions, nodes.threshold, nodes.value
    trees, levels = len(roots) - 1, nodes.levels
    first, end, waiting = np.empty(levels + 2, np.int32), np.empty(levels + 2, np.int32), np.empty(levels + 2, np.int32)
    path, at, x = np.zeros((levels, trees), np.int32), roots[:trees].copy(), np.empty(2 * len(row), np.float32)
    spread(row, x)
    for level in range(levels):
        for tree in range(trees):
            node = at[tree]
            path[level, tree] = questions[node, FEATURE]
            at[tree] = questions[node, LEFT] + goes_right(x, questions, threshold, node)
    asked = np.full(len(row), -1, np.int32)  # the last tree whose path asks for the feature
    margins[:] = nodes.base
    for tree in range(trees):
        for level in range(levels):
            asked[path[level, tree]] = tree
        own = value[at[tree]]
        for run in range(len(features)):
            varied = features[run]
            if asked[varied] != tree:
                for index in range(starts[run], starts[run + 1]):
                    margins[index] += own
                continue
            depth = 0
            waiting[0], first[0], end[0] = roots[tree], starts[run], starts[run + 1]
            while depth >= 0:
                node, low, high = waiting[depth], first[depth], end[depth]
                depth -= 1
                while low < high and questions[node, LEFT] != node:
                    if questions[node, FEATURE] == varied:
                        middle = low
                        while middle < high and values[middle] < threshold[node]:
                            middle += 1
                        depth += 1
                        waiting[depth], first[depth], end[depth] = questions[node, LEFT] + 1, middle, high
                        node, high = questions[node, LEFT], middle
                    else:
                        node = questions[node, LEFT] + goes_right(x, questions, threshold, node)
                for index in range(low, high):
                    margins[index] += value[node]


def margins(nodes: Nodes, rows: Matrix) -> Floats:
    """Sum of the trees for each row, shape (n,); the float32 sum of XGBoost, bit for bit.

    Args:
        nodes: The trees.
        rows: Inputs in row order, NaN where missing, shape (n, features).
    """
    sums = np.empty(len(rows))
    _add_leaves(rows, nodes.base, nodes.roots, nodes.questions, nodes.threshold, nodes.value, nodes.levels, sums)
    return sums


def varied_margins(nodes: Nodes, row: Matrix, features: Sequence[int], counts: Sequence[int], values: Matrix) -> Floats:
    """Margins of one row with one feature at a time at other values: the bits of ``margins`` of such rows.

    Args:
        nodes: The trees.
        row: Its inputs, NaN where missing, shape (features,).
        features: Indices of the features that vary.
        counts: Number of values of each of them.
        values: The values, feature after feature, ascending within each, none missing, shape (n,).

    Returns:
        One margin a value, shape (n,).
    """
    starts = np.zeros(len(features) + 1, np.int32)
    np.cumsum(counts, out=starts[1:])
    sums = np.empty(len(values), np.float32)
    _add_varied(row, nodes, np.array(features, np.int32), starts, values, sums)
    return sums.astype(np.float64)
