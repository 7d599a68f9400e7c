"""Margins of many rows at a time, compiled: trees are asked by ranks, which are bytes, 256 rows together.

A tree asks of a value only how many of the feature's thresholds it reaches. With this rank as a byte, one instruction
answers a question for 32 rows, and asking a shallow tree all its questions is cheaper than walking it row by row (after
C. Lucchese et al., "QuickScorer: a fast algorithm to rank documents with additive ensembles of regression trees",
2015).
What a question leads to is a byte too: the number of the leaf.

The sum is that of ``treeshap.margins``, tree after tree in float32: a row has the same bits here and there.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from components.credit.models.calibration import Floats
from components.credit.models.trees.booster import Nodes

Matrix = NDArray[np.float32]
Places = NDArray[np.int32]

# Rows that are worked on together. A constant, so that loops become vector instructions.
_TOGETHER = 256
# Ranks that a byte tells apart, beside 0 and 255 for missing values that go left or right.
_RANKS = 254
_MOST_LEAVES = 256
# Columns of a step: the bytes that it asks for, the least that goes right, and the leaf on each side, -1 where the
# steps before it have found one.
_COLUMN, _LEAST, _LEFT, _RIGHT = 0, 1, 2, 3

_i4, _f4, _f8 = (kind[::1] for kind in (types.int32, types.float32, types.float64))
_i4s, _f4s = (kind[:, ::1] for kind in (types.int32, types.float32))


@njit(types.void(_f4s, types.float32, _f4, _i4, _i4s, _i4s, _i4, _f4, _i4, _f8), cache=True, nogil=True)
def _add_together(
    rows: Matrix,
    base: np.float32,
    thresholds: Matrix,
    threshold_from: Places,
    columns: Places,
    steps: Places,
    step_from: Places,
    leaves: Matrix,
    leaf_from: Places,
    margins: Floats,
) -> None:
    value, total = np.empty(_TOGETHER, np.float32), np.empty(_TOGETHER, np.float32)
    rank = np.empty(_TOGETHER, np.int32)
    asked = np.empty((len(columns) + 1, _TOGETHER), np.uint8)  # trees of one leaf ask for nothing
    found = np.empty((_MOST_LEAVES, _TOGETHER), np.uint8)
    for first in range(0, len(rows), _TOGETHER):
        feature = -1
        for column in range(len(columns)):
            if columns[column, 0] != feature:
                feature = columns[column, 0]
                known = thresholds[threshold_from[feature] : threshold_from[feature + 1]]
                for row in range(_TOGETHER):
                    value[row] = rows[min(first + row, len(rows) - 1), feature]
                    rank[row] = 0
                # a binary search in step, without a branch
                remaining = len(known)
                while remaining > 1:
                    half = remaining >> 1
                    for row in range(_TOGETHER):
                        rank[row] += half * (known[np.uint32(rank[row] + half - 1)] <= value[row])
                    remaining -= half
                for row in range(_TOGETHER):
                    rank[row] += known[np.uint32(rank[row])] <= value[row]
            lowest, missing = columns[column, 1], columns[column, 2]
            for row in range(_TOGETHER):
                byte = min(max(rank[row] - lowest, 0), _RANKS)
                asked[column, row] = missing if value[row] != value[row] else byte
        total[:] = base
        for tree in range(len(step_from) - 1):
            depth = -1
            for step in range(step_from[tree], step_from[tree + 1]):
                # leaves that steps have found wait for the step above them: on top that of the right side
                byte, least = asked[steps[step, _COLUMN]], np.uint8(steps[step, _LEAST])
                left, right = np.uint8(steps[step, _LEFT]), np.uint8(steps[step, _RIGHT])
                if steps[step, _LEFT] >= 0 and steps[step, _RIGHT] >= 0:
                    depth += 1
                    leaf = found[depth]
                    for row in range(_TOGETHER):
                        leaf[row] = right if byte[row] >= least else left
                elif steps[step, _LEFT] >= 0:
                    leaf = found[depth]
                    for row in range(_TOGETHER):
                        other = leaf[row]
                        leaf[row] = other if byte[row] >= least else left
                elif steps[step, _RIGHT] >= 0:
                    leaf = found[depth]
                    for row in range(_TOGETHER):
                        other = leaf[row]
                        leaf[row] = right if byte[row] >= least else other
                else:
                    depth -= 1
                    leaf, beside = found[depth], found[depth + 1]
                    for row in range(_TOGETHER):
                        on_left, on_right = leaf[row], beside[row]
                        leaf[row] = on_right if byte[row] >= least else on_left
            of_tree, leaf = leaves[leaf_from[tree] : leaf_from[tree + 1]], found[0]
            for row in range(_TOGETHER):
                total[row] += of_tree[leaf[row]]
        for row in range(min(_TOGETHER, len(rows) - first)):
            margins[first + row] = total[row]


@dataclass(frozen=True)
class Ranked:
    """Trees as steps over bytes.

    Args:
        base: What the trees start from, a float32.
        thresholds: Ascending within each feature, feature after feature.
        threshold_from: First threshold of each feature, and their number at the end.
        columns: What steps ask for: feature, the rank that byte 0 stands for, and the byte of a missing value.
        steps: The questions, tree after tree, those below before those above; see ``_COLUMN``.
        step_from: First step of each tree, and their number at the end.
        leaves: What each leaf adds, tree after tree.
        leaf_from: First leaf of each tree, and their number at the end.
    """

    base: np.float32
    thresholds: Matrix
    threshold_from: Places
    columns: Places
    steps: Places
    step_from: Places
    leaves: Matrix
    leaf_from: Places

    def margins(self, rows: Matrix) -> Floats:
        """Sum of the trees for each row, shape (n,); the bits of ``treeshap.margins``.

        Args:
            rows: Inputs in row order, NaN where missing, shape (n, features).
        """
        found = np.empty(len(rows))
        trees = self.steps, self.step_from, self.leaves, self.leaf_from
        _add_together(rows, self.base, self.thresholds, self.threshold_from, self.columns, *trees, found)
        return found


def ranked(nodes: Nodes) -> Ranked | None:
    """These trees as steps over bytes; None where a tree has more leaves than a byte counts."""
    leaf = nodes.questions[:, 1] == np.arange(len(nodes.parent))
    leaf_from = np.append(0, np.cumsum(leaf))[nodes.roots]
    if np.diff(leaf_from).max() > _MOST_LEAVES:
        return None
    thresholds: list[Matrix] = []
    columns: list[tuple[int, int, int]] = []
    column, least = np.zeros(len(leaf), np.int32), np.zeros(len(leaf), np.int32)
    for feature in range(nodes.features):
        asking = np.flatnonzero(~leaf & (nodes.questions[:, 0] == feature))
        known, rank = np.unique(nodes.threshold[asking], return_inverse=True)
        thresholds.append(known)
        missing_right = nodes.questions[asking, 2] != feature
        # where a feature has more thresholds than a byte tells apart, a further byte tells the next ones apart
        kinds, kind = np.unique(np.column_stack([rank // _RANKS, missing_right]), axis=0, return_inverse=True)
        column[asking] = len(columns) + kind.ravel()
        least[asking] = rank % _RANKS + 1
        columns += [(feature, _RANKS * piece, 255 * right) for piece, right in kinds.tolist()]
    number = np.cumsum(leaf) - 1 - np.repeat(leaf_from[:-1], np.diff(nodes.roots))
    ends, left = np.where(leaf, number, -1).tolist(), nodes.questions[:, 1].tolist()
    steps: list[tuple[int, int, int, int]] = []
    step_from = [0]
    for root in nodes.roots[:-1].tolist():
        for node in _upwards(left, root):
            steps.append((column[node], least[node], ends[left[node]], ends[left[node] + 1]))
        if len(steps) == step_from[-1]:
            steps.append((0, 0, 0, 0))  # a tree of one leaf
        step_from.append(len(steps))
    return Ranked(
        nodes.base,
        np.concatenate(thresholds),
        np.append(0, np.cumsum([len(known) for known in thresholds])).astype(np.int32),
        np.array(columns, np.int32).reshape(-1, 3),
        np.array(steps, np.int32),
        np.array(step_from, np.int32),
        nodes.value[leaf],
        leaf_from.astype(np.int32),
    )


def _upwards(left: list[int], node: int) -> Iterator[int]:
    """The questions of the tree below a node, each behind those that it leads to."""
    if left[node] != node:
        yield from _upwards(left, left[node])
        yield from _upwards(left, left[node] + 1)
        yield node
