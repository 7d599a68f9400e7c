"""Margins of many rows at a time, compiled: trees are asked by ranks, which are bytes, 256 rows together.

A tree asks of a value only how many of the feature's thresholds it reaches. With this rank as a byte, one instruction
answers a question for 32 rows, and asking a shallow tree all its questions is cheaper than walking it row by row (after
C. Lucchese et al., "QuickScorer: a fast algorithm to rank documents with additive ensembles of regression trees",
2015).
What a question leads to is a byte too: the number of the leaf.

The sum is that of ``margins.margins``, tree after tree in float32: a row has the same bits here and there.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numba import njit, types

from components.credit.models.calibration import Floats
from components.credit.models.trees.booster import ANSWER, FEATURE, LEFT, Nodes
from components.credit.models.trees.margins import Indices, Matrix, f4, f4s, f8, i4, i4s

# Rows that are worked on together. A constant, so that loops become vector instructions.
_TOGETHER = 256
# Ranks that a byte tells apart, beside 0 and 255 for missing values that go left or right.
_RANKS = 254
_MOST_LEAVES = 256
# Columns of a byte: the feature, the rank that byte 0 stands for, and the byte of a missing value.
_FEATURE, _LOWEST, _MISSING = 0, 1, 2
# Columns of a step: the byte that it asks for, the least that goes right, and the leaf on each side, -1 where an
# earlier step has chosen one.
_BYTE, _LEAST, _LEFT, _RIGHT = 0, 1, 2, 3


class Ranked(NamedTuple):
    """Trees as steps over bytes, each of which says where a value ranks among 254 thresholds of its feature.

    Args:
        base: Margin before any tree.
        thresholds: float32. Thresholds of each feature, feature after feature, ascending within each.
        threshold_from: int32, shape (features + 1,). First threshold of each feature, and their number at the end.
        asked: int32, shape (bytes, 3). The bytes that steps ask for, columns ``_FEATURE``, ``_LOWEST``, ``_MISSING``.
        steps: int32, shape (steps, 4). The questions, tree after tree, those below before those above, columns
            ``_BYTE``, ``_LEAST``, ``_LEFT`` and ``_RIGHT``.
        step_from: int32, shape (trees + 1,). First step of each tree, and their number at the end.
        leaves: float32. What each leaf adds to the margin, tree after tree.
        leaf_from: int32, shape (trees + 1,). First leaf of each tree, and their number at the end.
    """

    base: np.float32
    thresholds: Matrix
    threshold_from: Indices
    asked: Indices
    steps: Indices
    step_from: Indices
    leaves: Matrix
    leaf_from: Indices

    def margins(self, rows: Matrix) -> Floats:
        """Sum of the trees for each row, shape (n,); the bits of ``margins.margins``.

        Args:
            rows: Inputs in row order, NaN where missing, shape (n, features).
        """
        sums = np.empty(len(rows))
        _add_together(rows, self, sums)
        return sums


@njit(
    types.void(f4s, types.NamedTuple((types.float32, f4, i4, i4s, i4s, i4, f4, i4), Ranked), f8),
    cache=True,
    nogil=True,
)
def _add_together(rows: Matrix, trees: Ranked, margins: Floats) -> None:
    """Fill the margin of each row, 256 rows together.

    Args:
        rows: float32, shape (n, features), NaN where missing.
        trees: The trees.
        margins: float64, shape (n,), filled here.
    """
    thresholds, threshold_from, columns = trees.thresholds, trees.threshold_from, trees.asked
    steps, step_from, leaves, leaf_from = trees.steps, trees.step_from, trees.leaves, trees.leaf_from
    value, total = np.empty(_TOGETHER, np.float32), np.empty(_TOGETHER, np.float32)
    rank = np.empty(_TOGETHER, np.int32)
    asked = np.empty((len(columns) + 1, _TOGETHER), np.uint8)  # trees of one leaf ask for nothing
    chosen = np.empty((_MOST_LEAVES, _TOGETHER), np.uint8)  # leaves that wait for the step above them
    for first in range(0, len(rows), _TOGETHER):
        feature = -1
        for column in range(len(columns)):
            if columns[column, _FEATURE] != feature:
                feature = columns[column, _FEATURE]
                known = thresholds[threshold_from[feature] : threshold_from[feature + 1]]
                for row in range(_TOGETHER):
                    value[row] = rows[min(first + row, len(rows) - 1), feature]
                    rank[row] = 0
                # a binary search of all rows in step, without a branch
                remaining = len(known)
                while remaining > 1:
                    half = remaining >> 1
                    for row in range(_TOGETHER):
                        rank[row] += half * (known[np.uint32(rank[row] + half - 1)] <= value[row])
                    remaining -= half
                for row in range(_TOGETHER):
                    rank[row] += known[np.uint32(rank[row])] <= value[row]
            lowest, missing = columns[column, _LOWEST], columns[column, _MISSING]
            for row in range(_TOGETHER):
                byte = min(max(rank[row] - lowest, 0), _RANKS)
                asked[column, row] = missing if value[row] != value[row] else byte
        total[:] = trees.base
        for tree in range(len(step_from) - 1):
            depth = -1
            for step in range(step_from[tree], step_from[tree + 1]):
                # the leaves that steps have chosen wait for the step above: on top that of the right side
                byte, least = asked[steps[step, _BYTE]], np.uint8(steps[step, _LEAST])
                left, right = np.uint8(steps[step, _LEFT]), np.uint8(steps[step, _RIGHT])
                if steps[step, _LEFT] >= 0 and steps[step, _RIGHT] >= 0:
                    depth += 1
                    leaf = chosen[depth]
                    for row in range(_TOGETHER):
                        leaf[row] = right if byte[row] >= least else left
                elif steps[step, _LEFT] >= 0:
                    leaf = chosen[depth]
                    for row in range(_TOGETHER):
                        other = leaf[row]
                        leaf[row] = other if byte[row] >= least else left
                elif steps[step, _RIGHT] >= 0:
                    leaf = chosen[depth]
                    for row in range(_TOGETHER):
                        other = leaf[row]
                        leaf[row] = right if byte[row] >= least else other
                else:
                    depth -= 1
                    leaf, beside = chosen[depth], chosen[depth + 1]
                    for row in range(_TOGETHER):
                        on_left, on_right = leaf[row], beside[row]
                        leaf[row] = on_right if byte[row] >= least else on_left
            of_tree, leaf = leaves[leaf_from[tree] : leaf_from[tree + 1]], chosen[0]
            for row in range(_TOGETHER):
                total[row] += of_tree[leaf[row]]
        for row in range(min(_TOGETHER, len(rows) - first)):
            margins[first + row] = total[row]


def ranked(nodes: Nodes) -> Ranked | None:
    """These trees as steps over bytes; None where a tree has more leaves than a byte counts."""
    leaf = nodes.questions[:, LEFT] == np.arange(len(nodes.parent))
    leaf_from = np.append(0, np.cumsum(leaf))[nodes.roots]
    if np.diff(leaf_from).max() > _MOST_LEAVES:
        return None
    thresholds: list[Matrix] = []
    columns: list[tuple[int, int, int]] = []
    column, least = np.zeros(len(leaf), np.int32), np.zeros(len(leaf), np.int32)
    for feature in range(nodes.features):
        asking = np.flatnonzero(~leaf & (nodes.questions[:, FEATURE] == feature))
        known, rank = np.unique(nodes.threshold[asking], return_inverse=True)
        thresholds.append(known)
        missing_right = nodes.questions[asking, ANSWER] != feature
        # where a feature has more thresholds than a byte tells apart, a further byte tells the next ones apart
        kinds, kind = np.unique(np.column_stack([rank // _RANKS, missing_right]), axis=0, return_inverse=True)
        column[asking] = len(columns) + kind.ravel()
        least[asking] = rank % _RANKS + 1
        columns += [(feature, _RANKS * piece, 255 * right) for piece, right in kinds.tolist()]
    number = np.cumsum(leaf) - 1 - np.repeat(leaf_from[:-1], np.diff(nodes.roots))
    ends, left = np.where(leaf, number, -1).tolist(), nodes.questions[:, LEFT].tolist()
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
