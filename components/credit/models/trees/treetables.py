"""What is computed once from a booster's nodes, so that a row's exact parts are quick; ``treeshap`` says how.

The columns named here are written here and read by the kernels of ``treeshap``, which keep them compiled: whoever
changes one changes both files.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from components.credit.models.calibration import Floats
from components.credit.models.trees.booster import Nodes

Matrix = NDArray[np.float32]
Places = NDArray[np.int32]

# Numbers that the tables of shallow trees hold together, and those of deep ones: 32 MB each; 300 trees of depth 6 take
# half of it.
_MOST_TABULATED = 8_000_000
_ALL = 2**31 - 1  # where the blocks of deep trees are their leaves, which must be there
# Bits of a block's case: the features above it and its own answers.
_MOST_BITS = 11
# A branch that no training row went has no share; this keeps divisions finite and is lost in rounding.
_LEAST_SHARE = 1e-30
# Columns of a question and of a block.
FEATURE, LEFT, ASKED = 0, 1, 2
ROOT, ABOVE, ANSWERS, LINE, INPUT, WIDTH = 0, 1, 2, 3, 4, 5

_i4, _i4s, _f4, _f8 = types.int32[::1], types.int32[:, ::1], types.float32[::1], types.float64[::1]


@dataclass(frozen=True)
class Tables:
    """See the top of ``treeshap``.

    Args:
        nodes: The trees.
        base: Mean margin over the training rows.
        slot: Place of each node's feature among those above it.
        cuts: ``upper_from``, ``upper``, ``block_from``, ``blocks`` and ``inputs``, as ``_cut`` gives them.
        table: The blocks' lines.
        deep: What is known of the trees that are not cut so: ``earlier`` and ``share`` of each node, ``upper_from``,
            ``upper``, ``deep_from``, ``deep`` and ``inputs`` as ``_cut_deep`` gives them, and their lines for each four
            points; None where there is no such tree.
        points: Where the integral is evaluated, in fours; the last may have no weight.
        weights: The weights of these points.
    """

    nodes: Nodes
    base: float
    slot: Places
    cuts: tuple[Places, Places, Places, Places, Places]
    table: Matrix
    deep: tuple[Places, Floats, Places, Places, Places, Places, Places, Matrix] | None
    points: Floats
    weights: Floats


@njit(types.void(_i4, _i4s, _i4, _f4, _f8, _i4, _i4, _i4, _f8, _i4, _f8), cache=True, nogil=True)
def _trace(
    roots: Places,
    questions: Places,
    parent: Places,
    value: Matrix,
    cover: Floats,
    above: Places,
    slot: Places,
    earlier: Places,
    share: Floats,
    height: Places,
    mean: Floats,
) -> None:
    """What each node's path says: filled in are ``above`` (distinct features on the path), ``slot`` (place of the
    node's own feature among them), ``earlier`` (the node that the same feature's last question on the path led to, -1
    where it was not asked before), ``share`` (of the rows that went this way wherever the feature was asked),
    ``height`` and ``mean`` (of the leaves below, by training weight)."""
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
                share[node] = max(cover[node] / max(cover[asked], _LEAST_SHARE), _LEAST_SHARE)
                if earlier[node] >= 0:
                    share[node] = max(share[node] * share[earlier[node]], _LEAST_SHARE)
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
                mean[node] = value[node]
            else:
                height[node] = 1 + max(height[left], height[left + 1])
                weight = max(cover[node], _LEAST_SHARE)
                mean[node] = (cover[left] * mean[left] + cover[left + 1] * mean[left + 1]) / weight


@njit(types.int64[::1](_i4, _i4s, _i4, _i4, _i4, _i4, _i4, _i4, _i4, _i4s, _i4), cache=True, nogil=True)
def _cut(
    roots: Places,
    questions: Places,
    parent: Places,
    above: Places,
    slot: Places,
    height: Places,
    upper_from: Places,
    upper: Places,
    block_from: Places,
    blocks: Places,
    inputs: Places,
) -> NDArray[np.int64]:
    """Cut each tree into the questions above and the blocks below them; a tree too large for tables gets none.

    Returns:
        Numbers in all tables, and how many of ``upper``, ``blocks`` and ``inputs`` are used.
    """
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
                for place in range(answers):
                    own = node if place == 0 else questions[node, LEFT] + place - 1
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
        upper_from[tree + 1] = used[1]
        block_from[tree + 1] = used[2]
    return used


@njit(types.void(_i4s, _i4, _f4, _i4, _f8, _i4s, _i4, _f8, _f8, _f4), cache=True, nogil=True)
def _tabulate(
    questions: Places,
    parent: Places,
    value: Matrix,
    slot: Places,
    ratio: Floats,
    blocks: Places,
    inputs: Places,
    points: Floats,
    weights: Floats,
    table: Matrix,
) -> None:
    """What each block gives to each of its features, in each case, lines one after the other."""
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
                for place in range(width):
                    if inputs[first + place] == questions[leaf, FEATURE]:
                        column[steps] = place
                leaf = questions[leaf, LEFT] + side[steps]
                shares[column[steps]] *= ratio[leaf]
                steps += 1
            if steps == 1 and answers == 3 and ending & 1:
                continue  # a leaf below the root, met already
            on = root
            while parent[on] >= 0:
                shares[slot[parent[on]]] *= ratio[on]
                on = parent[on]
            for place in range(width):
                shares[place] = max(shares[place], _LEAST_SHARE)
                for point in range(len(points)):
                    factor[0, place, point] = shares[place] * (1 - points[point])
                    factor[1, place, point] = factor[0, place, point] + points[point]
                    inverse[0, place, point] = 1 / factor[0, place, point]
                    inverse[1, place, point] = 1 / factor[1, place, point]
            for case in range(1 << (above + answers)):
                goes[:width] = 1
                for place in range(above):
                    goes[place] = (case >> place) & 1
                for step in range(steps):
                    goes[column[step]] &= ((case >> (above + asked[step])) & 1) == side[step]
                for point in range(len(points)):
                    product[point] = weights[point] * value[leaf]
                    for place in range(width):
                        product[point] *= factor[goes[place], place, point]
                for place in range(width):
                    part = 0.0
                    for point in range(len(points)):
                        part += product[point] * inverse[goes[place], place, point]
                    table[line + case * width + place] += (goes[place] - shares[place]) * part


@njit(
    types.int64[::1](_i4, _i4s, _i4, _i4, _i4, _i4, types.int64, types.int64, _i4, _i4, _i4, _i4s, _i4s),
    cache=True,
    nogil=True,
)
def _cut_deep(
    roots: Places,
    questions: Places,
    parent: Places,
    earlier: Places,
    height: Places,
    block_from: Places,
    low: int,
    most: int,
    upper_from: Places,
    upper: Places,
    deep_from: Places,
    deep: Places,
    inputs: Places,
) -> NDArray[np.int64]:
    """Cut each tree that has no tables of its own into the questions above and deep blocks, at most ``low`` high.

    ``inputs`` takes each feature that a block asks for, with the node that the feature's last question above the block
    led to, -1 where it is not asked above.

    Returns:
        Numbers in all tables, and how many of ``upper``, ``deep`` and ``inputs`` are used.
    """
    used = np.zeros(4, np.int64)
    for tree in range(len(roots) - 1):
        for node in range(roots[tree], roots[tree + 1]):
            if block_from[tree] != block_from[tree + 1]:
                break
            if height[node] > low:
                upper[used[1]] = node
                used[1] += 1
            elif parent[node] < 0 or height[parent[node]] > low:
                answers = 3 if height[node] == 2 else height[node]
                width, bits = 0, answers
                for place in range(answers):
                    own = node if place == 0 else questions[node, LEFT] + place - 1
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
                deep[used[2]] = np.array([node, 0, answers, used[0], used[3], width], np.int32)
                used[0] += 4 * (1 + width) << bits
                used[2] += 1
                used[3] += width
                if used[0] > most:
                    return used
        upper_from[tree + 1] = used[1]
        deep_from[tree + 1] = used[2]
    return used


@njit(types.void(_i4s, _f4, _f8, _f8, _i4s, _i4s, _f8, _f8), cache=True, nogil=True)
def _tabulate_deep(
    questions: Places,
    value: Matrix,
    share: Floats,
    ratio: Floats,
    deep: Places,
    inputs: Places,
    points: Floats,
    table: Floats,
) -> None:
    """What each deep block makes of the product that comes to it, point by point, in each case of its answers and of
    whether the row went the block's way at its features' questions above: first the sum over its leaves, which goes on
    upwards, then what each of its features gets."""
    count = len(points)
    shares, goes, on_way = np.empty(3), np.empty(3), np.empty(3, np.bool_)
    gone, column, side = np.empty(3), np.empty(2, np.int32), np.empty(2, np.int32)
    asked = np.empty(2, np.int32)
    for block in range(len(deep)):
        root, answers, line = deep[block, ROOT], deep[block, ANSWERS], deep[block, LINE]
        first, width = deep[block, INPUT], deep[block, WIDTH]
        bits = answers
        for place in range(width):
            bits += inputs[first + place, 1] >= 0
        for case in range(1 << bits):
            at, bit = line + case * (1 + width) * count, answers
            for place in range(width):
                gone[place] = 1.0
                if inputs[first + place, 1] >= 0:
                    gone[place] = (case >> bit) & 1
                    bit += 1
            for ending in range(4 if answers == 3 else answers + 1):
                steps, leaf = 0, root
                for place in range(width):
                    before = inputs[first + place, 1]
                    shares[place] = share[before] if before >= 0 else 1.0
                    goes[place] = gone[place]
                    on_way[place] = False
                while questions[leaf, LEFT] != leaf:
                    asked[steps] = 0 if leaf == root else leaf - questions[root, LEFT] + 1
                    side[steps] = (ending >> (1 - steps)) & 1 if answers == 3 else ending
                    for place in range(width):
                        if inputs[first + place, 0] == questions[leaf, FEATURE]:
                            column[steps] = place
                    leaf = questions[leaf, LEFT] + side[steps]
                    own = column[steps]
                    shares[own] = max(shares[own] * ratio[leaf], _LEAST_SHARE)
                    goes[own] *= ((case >> asked[steps]) & 1) == side[steps]
                    on_way[own] = True
                    steps += 1
                if steps == 1 and answers == 3 and ending & 1:
                    continue  # a leaf below the root, met already
                for point in range(count):
                    made = np.float64(value[leaf])
                    for place in range(width):
                        if on_way[place]:
                            made *= shares[place] * (1 - points[point]) + goes[place] * points[point]
                            before = inputs[first + place, 1]
                            if before >= 0:
                                made /= share[before] * (1 - points[point]) + gone[place] * points[point]
                    table[at + point] += made
                    for place in range(width):
                        if on_way[place]:
                            factor = shares[place] * (1 - points[point]) + goes[place] * points[point]
                            part = (goes[place] - shares[place]) / factor
                            before = inputs[first + place, 1]
                            if before >= 0:
                                # these leaves are not those that the feature's question above speaks of last
                                factor = share[before] * (1 - points[point]) + gone[place] * points[point]
                                part -= (gone[place] - share[before]) / factor
                            table[at + (1 + place) * count + point] += made * part


def tabulated(nodes: Nodes) -> Tables:
    """The tables of these trees; about 0.3 s for 300 trees of depth 6."""
    count, trees = len(nodes.parent), len(nodes.roots) - 1
    above, slot, earlier, height = (np.zeros(count, np.int32) for _ in range(4))
    share, mean = np.ones(count), np.zeros(count)
    _trace(
        nodes.roots, nodes.questions, nodes.parent, nodes.value, nodes.cover, above, slot, earlier, share, height, mean
    )
    upper_from, block_from = np.zeros(trees + 1, np.int32), np.zeros(trees + 1, np.int32)
    upper, blocks = np.zeros(count, np.int32), np.zeros((count, 6), np.int32)
    inputs = np.zeros(int(above.sum()) + 3 * count, np.int32)
    used = _cut(
        nodes.roots, nodes.questions, nodes.parent, above, slot, height, upper_from, upper, block_from, blocks, inputs
    )
    upper, blocks, inputs = upper[: used[1]].copy(), blocks[: used[2]].copy(), inputs[: used[3]].copy()
    # a path asks for at most as many features as its deepest leaf has above it
    distinct = max(1, int(above.max()))
    roots, weights = np.polynomial.legendre.leggauss((distinct + 1) // 2)
    points, weights = (roots + 1) / 2, weights / 2
    table = np.zeros(used[0], np.float32)
    parent_cover = np.maximum(nodes.cover[nodes.parent], _LEAST_SHARE)  # of no use at the roots
    ratio = np.maximum(nodes.cover / parent_cover, _LEAST_SHARE)
    _tabulate(nodes.questions, nodes.parent, nodes.value, slot, ratio, blocks, inputs, points, weights, table)
    base = float(nodes.base) + float(mean[nodes.roots[:-1]].sum())
    cuts = upper_from, upper, block_from, blocks, inputs
    fill = -len(points) % 4  # with points of no weight, since the deep trees take four at a time
    points, weights = np.pad(points, (0, fill), constant_values=0.5), np.pad(weights, (0, fill))
    some_deep = (np.diff(block_from) == 0).any()
    deep = _deep_tables(nodes, earlier, share, ratio, height, block_from, points) if some_deep else None
    return Tables(nodes, base, slot, cuts, table, deep, points, weights)


def _deep_tables(
    nodes: Nodes,
    earlier: Places,
    share: Floats,
    ratio: Floats,
    height: Places,
    block_from: Places,
    points: Floats,
) -> tuple[Places, Floats, Places, Places, Places, Places, Places, Matrix]:
    """What ``Tables`` has of the deep trees: blocks as high as the memory lets them be."""
    count, trees = len(nodes.parent), len(nodes.roots) - 1
    for low in (2, 1, 0):
        upper_from, deep_from = np.zeros(trees + 1, np.int32), np.zeros(trees + 1, np.int32)
        upper, deep, inputs = np.zeros(count, np.int32), np.zeros((count, 6), np.int32), np.zeros((count, 2), np.int32)
        most = _MOST_TABULATED if low else _ALL
        found = upper_from, upper, deep_from, deep, inputs
        asked = nodes.roots, nodes.questions, nodes.parent, earlier, height, block_from
        used = _cut_deep(*asked, low, most // (len(points) // 4), *found)
        if used[0] * len(points) <= 4 * most:
            break
    # blocks of a kind one after the other: the processor guesses right what comes
    deep, tree_of = deep[: used[2]], np.repeat(np.arange(trees), np.diff(deep_from))
    deep = deep[np.lexsort((deep[:, LINE], deep[:, WIDTH], deep[:, ANSWERS], tree_of))]
    inputs = inputs[: used[3]].copy()
    root_of = np.repeat(nodes.roots[:-1], np.diff(nodes.roots))
    earlier = np.where(earlier < 0, root_of, earlier).astype(np.int32)
    table = np.zeros((len(points) // 4, used[0]), np.float32)
    for four, line in enumerate(table):
        made = np.zeros(used[0])
        _tabulate_deep(nodes.questions, nodes.value, share, ratio, deep, inputs, points[4 * four : 4 * four + 4], made)
        line[:] = np.clip(made, -1 / _LEAST_SHARE, 1 / _LEAST_SHARE)
    return earlier, share, upper_from, upper[: used[1]].copy(), deep_from, deep, inputs, table
