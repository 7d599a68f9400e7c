"""Tables of the shallow trees, computed once from a booster's nodes, so that a row's exact parts are quick.

``treeshap`` says how the parts follow from them. The columns named here are written here and read by the kernels of
``treeshap``, which keep them compiled: whoever changes one changes both files.
"""

from typing import NamedTuple

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from components.credit.models.calibration import Floats
from components.credit.models.trees.booster import FEATURE, LEFT, Nodes
from components.credit.models.trees.margins import NODES, Indices, Matrix, f4, f8, i4, i4s

# Numbers that the tables of shallow trees hold together (32 MB); 300 trees of depth 6 take half of it.
_MOST_TABULATED = 8_000_000
# Bits of a block's case: the features above it and its own answers.
_MOST_BITS = 11
# A branch that no training row went has no share; this keeps divisions finite and is lost in rounding.
LEAST_SHARE = 1e-30
# Columns of a block: its topmost node; the number of distinct features above it; the number of its questions (0, 1 or
# 3); the first number of its lines in the table; its first entry in ``inputs``, and the number of its entries there.
ROOT, ABOVE, ANSWERS, LINE, INPUT, WIDTH = 0, 1, 2, 3, 4, 5


class Paths(NamedTuple):
    """What the path from the root says of each node.

    Args:
        above: int32, shape (nodes,). Distinct features that the questions above a node ask for.
        slot: int32, shape (nodes,). Position of the node's own feature among these, in the order in which they are
            asked; ``above`` where it is a new one.
        earlier: int32, shape (nodes,). Node that the last question above the parent for the parent's feature led to;
            -1 where there is none.
        ratio: float64, shape (nodes,). Share of the parent's training rows that go to the node; of no use at a root.
        share: float64, shape (nodes,). Share of the training rows that go the path's way wherever it asks for the
            parent's feature: z_j of ``treeshap``; 1 at a root.
        height: int32, shape (nodes,). Questions on the longest path down to a leaf.
        mean: float64, shape (nodes,). Mean value of the leaves below, weighted by training rows.
    """

    above: Indices
    slot: Indices
    earlier: Indices
    ratio: Floats
    share: Floats
    height: Indices
    mean: Floats


class Quadrature(NamedTuple):
    """Points and weights of the Gauss-Legendre rule on 0 to 1, float64, shape (points,) each."""

    points: Floats
    weights: Floats


class Cut(NamedTuple):
    """How each shallow tree is cut into the questions above and the blocks below them.

    A tree too large for tables has no blocks here; ``deeptables`` has them.

    Args:
        slot: int32, shape (nodes,). As in ``Paths``: the bit of a node's feature in a block's case.
        upper_from: int32, shape (trees + 1,). First entry of each tree in ``upper``, and their number at the end.
        upper: int32. Nodes of the questions above the blocks, a parent before its children.
        block_from: int32, shape (trees + 1,). First of each tree's ``blocks``, and their number at the end.
        blocks: int32, shape (blocks, 6), columns ``ROOT`` to ``WIDTH``.
        inputs: int32. Features that a block gives parts to, block after block: those above in the order of their
            slots, then those that only the block asks for.
    """

    slot: Indices
    upper_from: Indices
    upper: Indices
    block_from: Indices
    blocks: Indices
    inputs: Indices


PATHS = types.NamedTuple((i4, i4, i4, f8, f8, i4, f8), Paths)
QUADRATURE = types.NamedUniTuple(f8, 2, Quadrature)
CUT = types.NamedTuple((i4, i4, i4, i4, i4s, i4), Cut)


def paths_of(nodes: Nodes) -> Paths:
    """What the paths of all nodes say."""
    count = len(nodes.parent)
    parent_cover = np.maximum(nodes.cover[nodes.parent], LEAST_SHARE)
    paths = Paths(
        above=np.zeros(count, np.int32),
        slot=np.zeros(count, np.int32),
        earlier=np.zeros(count, np.int32),
        ratio=np.maximum(nodes.cover / parent_cover, LEAST_SHARE),
        share=np.ones(count),
        height=np.zeros(count, np.int32),
        mean=np.zeros(count),
    )
    _trace(nodes, paths)
    return paths


def quadrature(paths: Paths) -> Quadrature:
    """The rule that gives the integrals of these paths exactly: n points do so up to degree 2n - 1."""
    # a path asks for at most as many features as its deepest leaf has above it
    distinct = max(1, int(paths.above.max()))
    points, weights = np.polynomial.legendre.leggauss((distinct + 1) // 2)
    return Quadrature((points + 1) / 2, weights / 2)


def cut_shallow(nodes: Nodes, paths: Paths) -> tuple[Cut, int]:
    """The cut of all trees that tables can hold, and how many numbers their table has."""
    count, trees = len(nodes.parent), len(nodes.roots) - 1
    room = Cut(
        paths.slot,
        upper_from=np.zeros(trees + 1, np.int32),
        upper=np.zeros(count, np.int32),
        block_from=np.zeros(trees + 1, np.int32),
        blocks=np.zeros((count, 6), np.int32),
        inputs=np.zeros(int(paths.above.sum()) + 3 * count, np.int32),
    )
    numbers, upper, blocks, inputs = _cut(nodes, paths, room).tolist()
    return (
        room._replace(
            upper=room.upper[:upper].copy(), blocks=room.blocks[:blocks].copy(), inputs=room.inputs[:inputs].copy()
        ),
        numbers,
    )


def tabulate(nodes: Nodes, paths: Paths, cut: Cut, rule: Quadrature, numbers: int) -> Matrix:
    """The table of a cut, float32, shape (numbers,), as ``_tabulate`` fills it; 0.3 s for 300 trees of depth 6."""
    table = np.zeros(numbers, np.float32)
    _tabulate(nodes, paths, cut, rule, table)
    return table


@njit(types.void(NODES, PATHS), cache=True, nogil=True)
def _trace(nodes: Nodes, paths: Paths) -> None:
    """Fill ``paths``, but for ``ratio``, whose zeros and ones stand in it already.

    Args:
        nodes: The trees.
        paths: Filled here.
    """
    roots, questions, parent, cover = nodes.roots, nodes.questions, nodes.parent, nodes.cover
    above, slot, earlier, share = paths.above, paths.slot, paths.earlier, paths.share
    height, mean = paths.height, paths.mean
    for tree in range(len(roots) - 1):
        for node in range(roots[tree], roots[tree + 1]):
            asked = parent[node]
            if asked >= 0:
                above[node] = above[asked] + (slot[asked] == above[asked])
                earlier[node] = -1
                on = asked
                while parent[on] >= 0:
                    if questions[parent[on], FEATURE] == questions[asked, FEATURE]:
                        earlier[node] = on
                        break
                    on = parent[on]
                share[node] = max(cover[node] / max(cover[asked], LEAST_SHARE), LEAST_SHARE)
                if earlier[node] >= 0:
                    share[node] = max(share[node] * share[earlier[node]], LEAST_SHARE)
            slot[node] = above[node]
            on = node
            while parent[on] >= 0:
                on = parent[on]
                if questions[on, FEATURE] == questions[node, FEATURE]:
                    slot[node] = slot[on]
                    break
        for node in range(roots[tree + 1] - 1, roots[tree] - 1, -1):
            left = questions[node, LEFT]
            if left == node:
                mean[node] = nodes.value[node]
            else:
                height[node] = 1 + max(height[left], height[left + 1])
                weight = max(cover[node], LEAST_SHARE)
                mean[node] = (cover[left] * mean[left] + cover[left + 1] * mean[left + 1]) / weight


@njit(types.int64[::1](NODES, PATHS, CUT), cache=True, nogil=True)
def _cut(nodes: Nodes, paths: Paths, cut: Cut) -> NDArray[np.int64]:
    """Cut each tree into the questions above and the blocks below them; a tree too large for tables gets none.

    Args:
        nodes: The trees.
        paths: Their paths.
        cut: Filled here; its arrays are as long as they can become.

    Returns:
        int64, shape (4,). Numbers in all tables, and how many entries of ``upper``, ``blocks`` and ``inputs`` are used.
    """
    roots, questions, parent = nodes.roots, nodes.questions, nodes.parent
    above, slot, height = paths.above, paths.slot, paths.height
    upper, blocks, inputs = cut.upper, cut.blocks, cut.inputs
    used = np.zeros(4, np.int64)
    for tree in range(len(roots) - 1):
        before = used.copy()
        for node in range(roots[tree], roots[tree + 1]):
            if height[node] > 2:
                upper[used[1]] = node
                used[1] += 1
            elif parent[node] < 0 or height[parent[node]] > 2:
                answers = 3 if height[node] == 2 else height[node]
                first = used[3]
                on = node
                while parent[on] >= 0:
                    on = parent[on]
                    inputs[first + slot[on]] = questions[on, FEATURE]
                width = above[node]
                for answer in range(answers):
                    own = node if answer == 0 else questions[node, LEFT] + answer - 1
                    known = questions[own, LEFT] == own
                    for other in range(width):
                        known |= inputs[first + other] == questions[own, FEATURE]
                    if not known:
                        inputs[first + width] = questions[own, FEATURE]
                        width += 1
                bits = above[node] + answers
                if bits > _MOST_BITS or used[0] + (width << bits) > _MOST_TABULATED:
                    used[:] = before
                    break
                blocks[used[2]] = np.array([node, above[node], answers, used[0], first, width], np.int32)
                used[0] += width << bits
                used[2] += 1
                used[3] += width
        cut.upper_from[tree + 1] = used[1]
        cut.block_from[tree + 1] = used[2]
    return used


@njit(types.void(NODES, PATHS, CUT, QUADRATURE, f4), cache=True, nogil=True)
def _tabulate(nodes: Nodes, paths: Paths, cut: Cut, rule: Quadrature, table: Matrix) -> None:
    """Fill ``table``: contribution per (block, case, feature), row-major.

    A case says, bit by bit, whether a row goes the block's way at each feature above it (o_j of ``treeshap``), then
    which way it goes at each of the block's questions.

    Args:
        nodes: The trees.
        paths: Their paths.
        cut: Their blocks.
        rule: Points and weights of the integral.
        table: float32, zeros, filled here. Block b's line of case c begins at ``LINE + c * WIDTH``.
    """
    questions, parent, value = nodes.questions, nodes.parent, nodes.value
    slot, ratio, blocks, inputs = paths.slot, paths.ratio, cut.blocks, cut.inputs
    points, weights = rule.points, rule.weights
    most = _MOST_BITS + 3
    shares, goes = np.empty(most), np.empty(most, np.int32)
    factor, inverse = np.empty((2, most, len(points))), np.empty((2, most, len(points)))
    asked, side, column = np.empty(2, np.int32), np.empty(2, np.int32), np.empty(2, np.int32)
    product = np.empty(len(points))
    for block in range(len(blocks)):
        root, above, answers = blocks[block, ROOT], blocks[block, ABOVE], blocks[block, ANSWERS]
        line, first, width = blocks[block, LINE], blocks[block, INPUT], blocks[block, WIDTH]
        for ending in range(4 if answers == 3 else answers + 1):
            # the questions from the block's root to this leaf
            steps, leaf = 0, root
            shares[:width] = 1.0
            while questions[leaf, LEFT] != leaf:
                asked[steps] = 0 if leaf == root else leaf - questions[root, LEFT] + 1
                side[steps] = (ending >> (1 - steps)) & 1 if answers == 3 else ending
                for index in range(width):
                    if inputs[first + index] == questions[leaf, FEATURE]:
                        column[steps] = index
                leaf = questions[leaf, LEFT] + side[steps]
                shares[column[steps]] *= ratio[leaf]
                steps += 1
            if steps == 1 and answers == 3 and ending & 1:
                continue  # a leaf below the root, met already
            on = root
            while parent[on] >= 0:
                shares[slot[parent[on]]] *= ratio[on]
                on = parent[on]
            for index in range(width):
                shares[index] = max(shares[index], LEAST_SHARE)
                for point in range(len(points)):
                    factor[0, index, point] = shares[index] * (1 - points[point])
                    factor[1, index, point] = factor[0, index, point] + points[point]
                    inverse[0, index, point] = 1 / factor[0, index, point]
                    inverse[1, index, point] = 1 / factor[1, index, point]
            for case in range(1 << (above + answers)):
                goes[:width] = 1
                for index in range(above):
                    goes[index] = (case >> index) & 1
                for step in range(steps):
                    goes[column[step]] &= ((case >> (above + asked[step])) & 1) == side[step]
                for point in range(len(points)):
                    product[point] = weights[point] * value[leaf]
                    for index in range(width):
                        product[point] *= factor[goes[index], index, point]
                for index in range(width):
                    part = 0.0
                    for point in range(len(points)):
                        part += product[point] * inverse[goes[index], index, point]
                    table[line + case * width + index] += (goes[index] - shares[index]) * part
