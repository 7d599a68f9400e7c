"""Tables of the deep trees, whose whole tables would not fit into memory; ``treeshap`` says how they are read.

The columns of a block are those of ``treetables``, and they stay compiled in the kernels of ``treeshap`` likewise.
"""

from typing import NamedTuple

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from components.credit.models.calibration import Floats
from components.credit.models.trees.booster import FEATURE, LEFT, Nodes
from components.credit.models.trees.margins import NODES, Indices, Matrix, f4s, f8, i4, i4s
from components.credit.models.trees.treetables import (
    ANSWERS,
    INPUT,
    LEAST_SHARE,
    LINE,
    PATHS,
    ROOT,
    WIDTH,
    Paths,
    Quadrature,
)

# Numbers that the tables of deep trees hold together (32 MB).
_MOST_TABULATED = 8_000_000
_ALL = 2**31 - 1  # where the blocks of deep trees are their leaves, which must be there


class DeepCut(NamedTuple):
    """How each deep tree is cut into the questions above and the blocks below them, with the blocks' tables.

    Args:
        earlier: int32, shape (nodes,). As in ``Paths``, but the tree's root where there is none.
        share: float64, shape (nodes,). As in ``Paths``.
        upper_from: int32, shape (trees + 1,). First entry of each tree in ``upper``, and their number at the end.
        upper: int32. Nodes of the questions above the blocks, a parent before its children.
        block_from: int32, shape (trees + 1,). First of each tree's ``blocks``, and their number at the end.
        blocks: int32, shape (blocks, 6). Columns as in ``Cut``, but ``ABOVE`` is 0 and ``LINE`` is of one of
            ``tables``.
        inputs: int32, shape (entries, 2). Features that a block asks for, block after block, each with the node that
            the feature's last question above the block led to, -1 where it is not asked above.
        points: float64, shape (4 * fours,). Points of the integral, filled up with points of no weight.
        weights: float64, shape (4 * fours,). Their weights.
        tables: float32, shape (fours, numbers). For each four points the lines of the blocks, as ``_tabulate_deep``
            fills them; shape (0, 0) where no tree is deep.
    """

    earlier: Indices
    share: Floats
    upper_from: Indices
    upper: Indices
    block_from: Indices
    blocks: Indices
    inputs: Indices
    points: Floats
    weights: Floats
    tables: Matrix


DEEP_CUT = types.NamedTuple((i4, f8, i4, i4, i4, i4s, i4s, f8, f8, f4s), DeepCut)


def cut_deep(nodes: Nodes, paths: Paths, has_tables: NDArray[np.bool_], rule: Quadrature) -> DeepCut:
    """The cut of the trees without tables of their own, in blocks as high as the memory lets them be.

    Args:
        nodes: The trees.
        paths: Their paths.
        has_tables: Which trees ``treetables`` has cut, shape (trees,).
        rule: Points and weights of the integral.
    """
    fill = -len(rule.points) % 4  # the kernels take four points at a time
    points, weights = np.pad(rule.points, (0, fill), constant_values=0.5), np.pad(rule.weights, (0, fill))
    fours = len(points) // 4
    count, trees = len(nodes.parent), len(nodes.roots) - 1
    tree_of_node = np.repeat(np.arange(trees), np.diff(nodes.roots))
    earlier = np.where(paths.earlier < 0, nodes.roots[tree_of_node], paths.earlier).astype(np.int32)
    for highest in (2, 1, 0):
        cut = DeepCut(
            earlier,
            paths.share,
            upper_from=np.zeros(trees + 1, np.int32),
            upper=np.zeros(count, np.int32),
            block_from=np.zeros(trees + 1, np.int32),
            blocks=np.zeros((count, 6), np.int32),
            inputs=np.zeros((count, 2), np.int32),
            points=points,
            weights=weights,
            tables=np.zeros((0, 0), np.float32),
        )
        if has_tables.all():
            return cut
        most = _MOST_TABULATED if highest else _ALL
        numbers, upper, blocks, inputs = _cut_deep(nodes, paths, has_tables, highest, most // fours, cut).tolist()
        if numbers * fours <= most:
            break
    # blocks of a kind one after the other: the processor guesses right what comes
    used, tree_of_block = cut.blocks[:blocks], np.repeat(np.arange(trees), np.diff(cut.block_from))
    order = np.lexsort((used[:, LINE], used[:, WIDTH], used[:, ANSWERS], tree_of_block))
    cut = cut._replace(
        upper=cut.upper[:upper].copy(),
        blocks=used[order],
        inputs=cut.inputs[:inputs].copy(),
        tables=np.zeros((fours, numbers), np.float32),
    )
    for four, table in enumerate(cut.tables):
        exact = np.zeros(numbers)
        _tabulate_deep(nodes, paths, cut, four, exact)
        table[:] = np.clip(exact, -1 / LEAST_SHARE, 1 / LEAST_SHARE)
    return cut


@njit(types.int64[::1](NODES, PATHS, types.boolean[::1], types.int64, types.int64, DEEP_CUT), cache=True, nogil=True)
def _cut_deep(
    nodes: Nodes, paths: Paths, has_tables: NDArray[np.bool_], highest: int, most: int, cut: DeepCut
) -> NDArray[np.int64]:
    """Cut each tree that has no tables of its own into the questions above and blocks of a greatest height.

    Args:
        nodes: The trees.
        paths: Their paths.
        has_tables: bool, shape (trees,). Trees to leave out.
        highest: Questions on the longest path down a block, 0 to 2.
        most: Numbers of a table beyond which there is no use in going on.
        cut: Filled here are ``upper_from``, ``upper``, ``block_from``, ``blocks`` and ``inputs``, as long as they can
            become.

    Returns:
        int64, shape (4,). Numbers of a table, and how many entries of ``upper``, ``blocks`` and ``inputs`` are used.
    """
    roots, questions, parent, height = nodes.roots, nodes.questions, nodes.parent, paths.height
    upper, blocks, inputs = cut.upper, cut.blocks, cut.inputs
    used = np.zeros(4, np.int64)
    for tree in range(len(roots) - 1):
        for node in range(roots[tree], roots[tree + 1]):
            if has_tables[tree]:
                break
            if height[node] > highest:
                upper[used[1]] = node
                used[1] += 1
            elif parent[node] < 0 or height[parent[node]] > highest:
                answers = 3 if height[node] == 2 else height[node]
                width, bits = 0, answers
                for answer in range(answers):
                    own = node if answer == 0 else questions[node, LEFT] + answer - 1
                    feature = questions[own, FEATURE]
                    known = questions[own, LEFT] == own
                    for other in range(width):
                        known |= inputs[used[3] + other, 0] == feature
                    if known:
                        continue
                    before, on = -1, node
                    while parent[on] >= 0:
                        if questions[parent[on], FEATURE] == feature:
                            before = on
                            break
                        on = parent[on]
                    inputs[used[3] + width, 0], inputs[used[3] + width, 1] = feature, before
                    width += 1
                    bits += before >= 0
                blocks[used[2]] = np.array([node, 0, answers, used[0], used[3], width], np.int32)
                used[0] += 4 * (1 + width) << bits
                used[2] += 1
                used[3] += width
                if used[0] > most:
                    return used
        cut.upper_from[tree + 1] = used[1]
        cut.block_from[tree + 1] = used[2]
    return used


@njit(types.void(NODES, PATHS, DEEP_CUT, types.int64, f8), cache=True, nogil=True)
def _tabulate_deep(nodes: Nodes, paths: Paths, cut: DeepCut, four: int, table: Floats) -> None:
    """Fill ``table``: what a block makes of the product that comes to it, per (block, case, 1 + feature, point).

    A case says, bit by bit, which way a row goes at each of the block's questions, then whether it went the block's way
    at the questions above for each of its features that has one. Of a case there stand first the sum over the block's
    leaves, which goes on upwards, then the contribution of each feature that the block asks for.

    Args:
        nodes: The trees.
        paths: Their paths.
        cut: Their blocks.
        four: Which four of the points.
        table: float64, zeros, filled here. Block b's numbers of case c begin at ``LINE + 4 * c * (1 + WIDTH)``.
    """
    questions, value, share, ratio = nodes.questions, nodes.value, paths.share, paths.ratio
    blocks, inputs, points = cut.blocks, cut.inputs, cut.points[4 * four : 4 * four + 4]
    shares, goes, on_path = np.empty(3), np.empty(3), np.empty(3, np.bool_)
    gone, column, side = np.empty(3), np.empty(2, np.int32), np.empty(2, np.int32)
    asked = np.empty(2, np.int32)
    for block in range(len(blocks)):
        root, answers, line = blocks[block, ROOT], blocks[block, ANSWERS], blocks[block, LINE]
        first, width = blocks[block, INPUT], blocks[block, WIDTH]
        bits = answers
        for index in range(width):
            bits += inputs[first + index, 1] >= 0
        for case in range(1 << bits):
            at, bit = line + case * (1 + width) * 4, answers
            for index in range(width):
                gone[index] = 1.0
                if inputs[first + index, 1] >= 0:
                    gone[index] = (case >> bit) & 1
                    bit += 1
            for ending in range(4 if answers == 3 else answers + 1):
                steps, leaf = 0, root
                for index in range(width):
                    before = inputs[first + index, 1]
                    shares[index] = share[before] if before >= 0 else 1.0
                    goes[index] = gone[index]
                    on_path[index] = False
                while questions[leaf, LEFT] != leaf:
                    asked[steps] = 0 if leaf == root else leaf - questions[root, LEFT] + 1
                    side[steps] = (ending >> (1 - steps)) & 1 if answers == 3 else ending
                    for index in range(width):
                        if inputs[first + index, 0] == questions[leaf, FEATURE]:
                            column[steps] = index
                    leaf = questions[leaf, LEFT] + side[steps]
                    own = column[steps]
                    shares[own] = max(shares[own] * ratio[leaf], LEAST_SHARE)
                    goes[own] *= ((case >> asked[steps]) & 1) == side[steps]
                    on_path[own] = True
                    steps += 1
                if steps == 1 and answers == 3 and ending & 1:
                    continue  # a leaf below the root, met already
                for point in range(4):
                    product = np.float64(value[leaf])
                    for index in range(width):
                        if on_path[index]:
                            product *= shares[index] * (1 - points[point]) + goes[index] * points[point]
                            before = inputs[first + index, 1]
                            if before >= 0:
                                product /= share[before] * (1 - points[point]) + gone[index] * points[point]
                    table[at + point] += product
                    for index in range(width):
                        if on_path[index]:
                            factor = shares[index] * (1 - points[point]) + goes[index] * points[point]
                            part = (goes[index] - shares[index]) / factor
                            before = inputs[first + index, 1]
                            if before >= 0:
                                # these leaves are not those that the feature's question above speaks of last
                                factor = share[before] * (1 - points[point]) + gone[index] * points[point]
                                part -= (gone[index] - share[before]) / factor
                            table[at + (1 + index) * 4 + point] += product * part
