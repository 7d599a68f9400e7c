"""Margins and exact path-dependent TreeSHAP of a booster's nodes, compiled.

The part that a leaf of value v gives to feature i of the d features on its path is
``v (o_i - z_i) ∫ ∏_{j≠i} (z_j (1 - t) + o_j t) dt`` over t from 0 to 1, where o_j says whether the row goes the leaf's
way wherever feature j is asked, and z_j is the share of the training rows that does (S. Lundberg et al., "From local
explanations to global understanding with explainable AI for trees", 2020, with the Shapley weights as an integral). The
integrand is a polynomial of degree d - 1, so that d / 2 points of Gauss and Legendre give it exactly.

Shallow trees are cut into blocks of at most three questions at the bottom. What a block gives to each feature depends
on which features above it point there and on its own answers only: all cases are tabulated when a model is loaded, and
a row adds up one line a block. Of deep trees, whose tables would not fit into memory, the upper questions are walked
with the products at each point, and tabulated is what a block at the bottom makes of the product that comes to it.

Every row is computed on its own and in the same order, so that a row has the same bits alone and in any batch.
"""

from collections.abc import Sequence

import numpy as np
from numba import njit, types

from components.credit.models.calibration import Floats
from components.credit.models.trees.booster import Nodes
from components.credit.models.trees.treetables import (
    ABOVE,
    ANSWERS,
    ASKED,
    FEATURE,
    INPUT,
    LEFT,
    LINE,
    ROOT,
    WIDTH,
    Matrix,
    Places,
    Tables,
)

_i4, _i4s, _f4, _f4s, _f8, _f8s = (
    array for kind in (types.int32, types.float32, types.float64) for array in (kind[::1], kind[:, ::1])
)


@njit(types.void(_f4, _f4), cache=True, nogil=True, inline="always")
def _spread(row: Matrix, x: Matrix) -> None:
    """A row twice: with missing values below all thresholds, then above them, so that one comparison is an answer."""
    for place in range(len(row)):
        missing = row[place] != row[place]
        x[place] = -np.inf if missing else row[place]
        x[len(row) + place] = np.inf if missing else row[place]


@njit(types.int32(_f4, _i4s, _f4, types.int32), cache=True, nogil=True, inline="always")
def _goes_right(x: Matrix, questions: Places, threshold: Matrix, node: np.int32) -> np.int32:
    """1 where a row, as ``_spread`` leaves it, goes right at a node, 0 where left; 0 at a leaf."""
    at = np.uint32(node)  # unsigned: no look for places counted from the end
    return np.int32(x[np.uint32(questions[at, ASKED])] >= threshold[at])


@njit(types.void(_f4s, types.float32, _i4, _i4s, _f4, _f4, types.int64, _f8), cache=True, nogil=True)
def _add_leaves(
    rows: Matrix,
    base: np.float32,
    roots: Places,
    questions: Places,
    threshold: Matrix,
    value: Matrix,
    levels: int,
    margins: Floats,
) -> None:
    """Margin of each row, in float32, tree after tree, as XGBoost adds up."""
    trees = len(roots) - 1
    at, x = np.empty(trees, np.int32), np.empty(2 * rows.shape[1], np.float32)
    for row in range(len(rows)):
        _spread(rows[row], x)
        at[:] = roots[:trees]
        # all trees together, level by level: the reads of one tree do not wait for those of another
        for _ in range(levels):
            for tree in range(trees):
                node = at[tree]
                at[tree] = questions[node, LEFT] + _goes_right(x, questions, threshold, node)
        total = base
        for tree in range(trees):
            total += value[at[tree]]
        margins[row] = total


@njit(types.void(_f4, types.float32, _i4, _i4s, _f4, _f4, types.int64, _i4, _i4, _f4, _f4), cache=True, nogil=True)
def _add_varied(
    row: Matrix,
    base: np.float32,
    roots: Places,
    questions: Places,
    threshold: Matrix,
    value: Matrix,
    levels: int,
    features: Places,
    starts: Places,
    values: Matrix,
    margins: Matrix,
) -> None:
    """Margins of one row with one feature at a time at other values: the bits of ``_add_leaves``, but a tree is walked
    again only for a feature that the row's own way asks for."""
    trees = len(roots) - 1
    first, end, waiting = np.empty(levels + 2, np.int32), np.empty(levels + 2, np.int32), np.empty(levels + 2, np.int32)
    way, at, x = np.zeros((levels, trees), np.int32), roots[:trees].copy(), np.empty(2 * len(row), np.float32)
    _spread(row, x)
    for level in range(levels):
        for tree in range(trees):
            node = at[tree]
            way[level, tree] = questions[node, FEATURE]
            at[tree] = questions[node, LEFT] + _goes_right(x, questions, threshold, node)
    asked = np.full(len(row), -1, np.int32)  # the last tree whose way asks for the feature
    margins[:] = base
    for tree in range(trees):
        for level in range(levels):
            asked[way[level, tree]] = tree
        own = value[at[tree]]
        for run in range(len(features)):
            varied = features[run]
            if asked[varied] != tree:
                for place in range(starts[run], starts[run + 1]):
                    margins[place] += own
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
                        node = questions[node, LEFT] + _goes_right(x, questions, threshold, node)
                for place in range(low, high):
                    margins[place] += value[node]


@njit(types.void(_f4s, _i4, _i4s, _f4, _i4, _i4, _i4, _i4, _i4s, _i4, _f4, _f8s), cache=True, nogil=True)
def _add_tabulated(
    rows: Matrix,
    roots: Places,
    questions: Places,
    threshold: Matrix,
    slot: Places,
    upper_from: Places,
    upper: Places,
    block_from: Places,
    blocks: Places,
    inputs: Places,
    table: Matrix,
    parts: Floats,
) -> None:
    """Add the parts of all trees that have tables."""
    largest = 0
    for tree in range(len(roots) - 1):
        largest = max(largest, roots[tree + 1] - roots[tree])
    goes, x = np.empty(largest, np.int32), np.empty(2 * rows.shape[1], np.float32)
    lines = np.empty(len(blocks), np.int32)
    for row in range(len(rows)):
        _spread(rows[row], x)
        sums = parts[row]
        for tree in range(len(roots) - 1):
            if block_from[tree] == block_from[tree + 1]:
                continue
            start = roots[tree]
            goes[0] = -1
            for place in range(upper_from[tree], upper_from[tree + 1]):
                node = upper[place]
                left = questions[node, LEFT] - start
                right = _goes_right(x, questions, threshold, node)
                goes[left] = goes[node - start] & ~(right << slot[node])
                goes[left + 1] = goes[node - start] & ~((1 - right) << slot[node])
            for block in range(block_from[tree], block_from[tree + 1]):
                root, above, answers = blocks[block, ROOT], blocks[block, ABOVE], blocks[block, ANSWERS]
                case = goes[root - start] & ((1 << above) - 1)
                if answers:
                    case |= _goes_right(x, questions, threshold, root) << above
                if answers == 3:
                    left = questions[root, LEFT]
                    case |= _goes_right(x, questions, threshold, left) << (above + 1)
                    case |= _goes_right(x, questions, threshold, left + 1) << (above + 2)
                lines[block] = blocks[block, LINE] + case * blocks[block, WIDTH]
        # the table is larger than a core's cache: lines that are read together are waited for together
        touched = np.float32(0.0)
        for block in range(len(blocks)):
            touched = max(touched, table[lines[block]])
        if touched == np.inf:
            continue
        for block in range(len(blocks)):
            line, first = lines[block], blocks[block, INPUT]
            for place in range(blocks[block, WIDTH]):
                sums[np.uint32(inputs[first + place])] += table[line + place]


@njit(cache=True, nogil=True, inline="always")
def _four(numbers: Floats, at: int) -> tuple[float, float, float, float]:
    """Four numbers that lie together, which the processor takes as one."""
    place = np.uint64(at)
    return (
        numbers[place],
        numbers[place + np.uint64(1)],
        numbers[place + np.uint64(2)],
        numbers[place + np.uint64(3)],
    )


@njit(cache=True, nogil=True, inline="always")
def _put(numbers: Floats, at: int, a: float, b: float, c: float, d: float) -> None:
    """Write four numbers that lie together."""
    place = np.uint64(at)
    numbers[place] = a
    numbers[place + np.uint64(1)] = b
    numbers[place + np.uint64(2)] = c
    numbers[place + np.uint64(3)] = d


@njit(
    types.void(_f4s, _i4, _i4s, _f4, _f8, _f8, _i4, _f8, _i4, _i4, _i4, _i4s, _i4s, _f4, _f8s), cache=True, nogil=True
)
def _add_deep(
    rows: Matrix,
    roots: Places,
    questions: Places,
    threshold: Matrix,
    points: Floats,
    weights: Floats,
    earlier: Places,
    share: Floats,
    upper_from: Places,
    upper: Places,
    deep_from: Places,
    deep: Places,
    inputs: Places,
    table: Matrix,
    parts: Floats,
) -> None:
    """Add what four of the points give to the parts of all deep trees: products go down to the blocks, sums over leaves
    come up."""
    largest = 0
    for tree in range(len(roots) - 1):
        if deep_from[tree] != deep_from[tree + 1]:
            largest = max(largest, roots[tree + 1] - roots[tree])
    goes, x = np.ones(largest, np.float64), np.empty(2 * rows.shape[1], np.float32)
    product, inverse = np.empty(4 * largest), np.empty(4 * largest)
    lines = np.empty(len(deep), np.int32)
    t0, t1, t2, t3 = _four(points, 0)
    l0, l1, l2, l3 = 1 - t0, 1 - t1, 1 - t2, 1 - t3
    m0, m1, m2, m3 = 1 / l0, 1 / l1, 1 / l2, 1 / l3
    w0, w1, w2, w3 = _four(weights, 0)
    for row in range(len(rows)):
        _spread(rows[row], x)
        sums = parts[row]
        for tree in range(len(roots) - 1):
            start = roots[tree]
            if deep_from[tree] == deep_from[tree + 1]:
                continue
            _put(product, 0, w0, w1, w2, w3)
            _put(inverse, 0, 1.0, 1.0, 1.0, 1.0)  # the root stands for a question that was not asked before
            for place in range(upper_from[tree], upper_from[tree + 1]):
                node = np.uint32(upper[place])
                right = _goes_right(x, questions, threshold, node)
                left = questions[node, LEFT]
                p0, p1, p2, p3 = _four(product, 4 * (node - start))
                # the child where the row goes; it went this way at the feature's questions above, or not
                child = np.uint32(left + right)
                here, before, z = np.uint32(child - start), np.uint32(earlier[child] - start), share[child]
                gone = goes[before]
                goes[here] = gone
                f0, f1, f2, f3 = z * l0 + gone * t0, z * l1 + gone * t1, z * l2 + gone * t2, z * l3 + gone * t3
                f01, f23 = f0 * f1, f2 * f3
                one = 1 / (f01 * f23)  # one division instead of four
                f01, f23 = one * f23, one * f01
                _put(inverse, 4 * here, f01 * f1, f01 * f0, f23 * f3, f23 * f2)
                q0, q1, q2, q3 = p0 * f0, p1 * f1, p2 * f2, p3 * f3
                i0, i1, i2, i3 = _four(inverse, 4 * before)
                _put(product, 4 * here, q0 * i0, q1 * i1, q2 * i2, q3 * i3)
                # the other child
                child = np.uint32(left + 1 - right)
                here, before, z = np.uint32(child - start), np.uint32(earlier[child] - start), share[child]
                goes[here] = 0.0
                one = 1 / z
                _put(inverse, 4 * here, one * m0, one * m1, one * m2, one * m3)
                q0, q1, q2, q3 = p0 * z * l0, p1 * z * l1, p2 * z * l2, p3 * z * l3
                i0, i1, i2, i3 = _four(inverse, 4 * before)
                _put(product, 4 * here, q0 * i0, q1 * i1, q2 * i2, q3 * i3)
            for block in range(deep_from[tree], deep_from[tree + 1]):
                root, answers, bit = np.uint32(deep[block, ROOT]), deep[block, ANSWERS], deep[block, ANSWERS]
                first, width, case = deep[block, INPUT], deep[block, WIDTH], np.int32(0)
                if answers:
                    case = _goes_right(x, questions, threshold, root)
                if answers == 3:
                    left = questions[root, LEFT]
                    case |= _goes_right(x, questions, threshold, left) << 1
                    case |= _goes_right(x, questions, threshold, left + 1) << 2
                for place in range(width):
                    before = inputs[np.uint32(first + place), 1]
                    if before >= 0:
                        case |= np.int32(goes[np.uint32(before - start)]) << bit
                        bit += 1
                lines[block] = deep[block, LINE] + 4 * case * (1 + width)
            # as above: lines that are read together are waited for together
            touched = np.float32(0.0)
            for block in range(deep_from[tree], deep_from[tree + 1]):
                touched = max(touched, table[np.uint32(lines[block])])
            if touched == np.inf:
                continue
            for block in range(deep_from[tree], deep_from[tree + 1]):
                first, width = deep[block, INPUT], deep[block, WIDTH]
                at, here = lines[block], 4 * (deep[block, ROOT] - start)
                p0, p1, p2, p3 = _four(product, here)
                a0, a1, a2, a3 = _four(table, at)
                _put(product, here, p0 * a0, p1 * a1, p2 * a2, p3 * a3)
                for place in range(width):
                    a0, a1, a2, a3 = _four(table, at + 4 + 4 * place)
                    part = (p0 * a0 + p1 * a1) + (p2 * a2 + p3 * a3)
                    sums[np.uint32(inputs[np.uint32(first + place), 0])] += part
            for place in range(upper_from[tree + 1] - 1, upper_from[tree] - 1, -1):
                node = np.uint32(upper[place])
                left = questions[node, LEFT]
                s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
                total = 0.0
                for side in range(2):
                    child = np.uint32(left + side)
                    here, before = np.uint32(child - start), np.uint32(earlier[child] - start)
                    p0, p1, p2, p3 = _four(product, 4 * here)
                    i0, i1, i2, i3 = _four(inverse, 4 * here)
                    s0, s1, s2, s3 = s0 + p0, s1 + p1, s2 + p2, s3 + p3
                    part = (p0 * i0 + p1 * i1) + (p2 * i2 + p3 * i3)
                    total += part * (goes[here] - share[child])
                    # these leaves are not those that the feature's earlier question speaks of last
                    i0, i1, i2, i3 = _four(inverse, 4 * before)
                    part = (p0 * i0 + p1 * i1) + (p2 * i2 + p3 * i3)
                    total -= part * (goes[before] - share[earlier[child]])
                _put(product, 4 * (node - start), s0, s1, s2, s3)
                sums[np.uint32(questions[node, FEATURE])] += total


@njit(types.void(types.float64, _f8, _f8s), cache=True, nogil=True)
def _share_out(base: float, margin: Floats, parts: Floats) -> None:
    """Share out what a margin in float32 lost, by the size of the parts, so that they add up to it."""
    for row in range(len(parts)):
        total, size = base, 0.0
        for part in parts[row]:
            total += part
            size += abs(part)
        if size > 0:
            lost = (margin[row] - total) / size
            for place in range(parts.shape[1]):
                parts[row, place] += abs(parts[row, place]) * lost


def margins(nodes: Nodes, rows: Matrix) -> Floats:
    """Sum of the trees for each row, shape (n,); the float32 sum of XGBoost, bit for bit.

    Args:
        nodes: The trees.
        rows: Inputs in row order, NaN where missing, shape (n, features).
    """
    found = np.empty(len(rows))
    _add_leaves(rows, nodes.base, nodes.roots, nodes.questions, nodes.threshold, nodes.value, nodes.levels, found)
    return found


def varied_margins(nodes: Nodes, row: Matrix, features: Sequence[int], counts: Sequence[int], values: Matrix) -> Floats:
    """Margins of one row with one feature at a time at other values: the bits of ``margins`` of such rows.

    Args:
        nodes: The trees.
        row: Its inputs, NaN where missing, shape (features,).
        features: The features.
        counts: Number of values of each of them.
        values: The values, feature after feature, ascending within each, none missing, shape (n,).

    Returns:
        One margin a value, shape (n,).
    """
    starts = np.zeros(len(features) + 1, np.int32)
    np.cumsum(counts, out=starts[1:])
    found = np.empty(len(values), np.float32)
    asked = nodes.roots, nodes.questions, nodes.threshold, nodes.value, nodes.levels
    _add_varied(row, nodes.base, *asked, np.array(features, np.int32), starts, values, found)
    return found.astype(np.float64)


def parts(tables: Tables, rows: Matrix, margin: Floats) -> Floats:
    """Part of each feature in each row's margin, shape (n, features); with ``tables.base`` they make the margin.

    Args:
        tables: What was computed once from the nodes.
        rows: As ``margins`` takes them.
        margin: What ``margins`` gives for them.
    """
    nodes = tables.nodes
    found = np.zeros((len(rows), nodes.features))
    asked = rows, nodes.roots, nodes.questions, nodes.threshold
    _add_tabulated(*asked, tables.slot, *tables.cuts, tables.table, found)
    if tables.deep is not None:
        *cut, table = tables.deep
        for four in range(len(table)):
            at = slice(4 * four, 4 * four + 4)
            _add_deep(*asked, tables.points[at], tables.weights[at], *cut, table[four], found)
    _share_out(tables.base, margin, found)
    return found
