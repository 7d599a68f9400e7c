"""Exact path-dependent TreeSHAP of a booster's nodes, compiled.

The part that a leaf of value v gives to feature i of the d features on its path is
``v (o_i - z_i) ∫ ∏_{j≠i} (z_j (1 - t) + o_j t) dt`` over t from 0 to 1, where o_j says whether the row goes the leaf's
way wherever feature j is asked, and z_j is the share of the training rows that does. These are the values of S.
Lundberg, G. Erion and S. Lee, "Consistent individualized feature attribution for tree ensembles" (2018), algorithm 2,
whose expectation over a path is algorithm 1 (also S. Lundberg et al., "From local explanations to global understanding
with explainable AI for trees", 2020), with the Shapley weights as an integral. The integrand is a polynomial of degree
d - 1, so that d / 2 points of Gauss and Legendre give it exactly.

Shallow trees are cut into blocks of at most three questions at the bottom. What a block gives to each feature depends
on which features above it point there and on its own answers only: all cases are tabulated when a model is loaded, and
a row adds up one line a block. Of deep trees, whose tables would not fit into memory, the upper questions are walked
with the products at each point, and tabulated is what a block at the bottom makes of the product that comes to it.

Every row is computed on its own and in the same order, so that a row has the same bits alone and in any batch.
"""

from typing import NamedTuple

import numpy as np
from numba import njit, types

from components.credit.models.calibration import Floats
from components.credit.models.trees.booster import FEATURE, LEFT, Nodes
from components.credit.models.trees.deeptables import DEEP_CUT, DeepCut, cut_deep
from components.credit.models.trees.margins import NODES, Indices, Matrix, f4, f4s, f8, f8s, goes_right, spread
from components.credit.models.trees.treetables import (
    ABOVE,
    ANSWERS,
    CUT,
    INPUT,
    LINE,
    ROOT,
    WIDTH,
    Cut,
    cut_shallow,
    paths_of,
    quadrature,
    tabulate,
)


class Tables(NamedTuple):
    """What is computed once from a booster's nodes.

    Args:
        nodes: The trees.
        base: Mean margin over the training rows: what the parts of a row are added to.
        cut: The blocks of the shallow trees.
        table: float32, shape (numbers,). The lines of these blocks: contribution per (block, case, feature).
        deep: The blocks of the deep trees, with their tables.
    """

    nodes: Nodes
    base: float
    cut: Cut
    table: Matrix
    deep: DeepCut


class _Products(NamedTuple):
    """What ``_go_down`` leaves at each node of a deep tree, counted from the tree's root; four points together.

    Args:
        goes: float64, shape (largest,). 1 where the row goes the path's way wherever it asks for the parent's feature:
            o_j, beside ``share``, which is z_j.
        product: float64, shape (4 * largest,). Weight times the factors z_j (1 - t) + o_j t of the path's features,
            and on the way up the same times the sum over the leaves below.
        inverse: float64, shape (4 * largest,). 1 over the factor of the parent's feature.
    """

    goes: Floats
    product: Floats
    inverse: Floats


def tabulated(nodes: Nodes) -> Tables:
    """The tables of these trees; about 0.3 s for 300 trees of depth 6."""
    paths = paths_of(nodes)
    rule = quadrature(paths)
    cut, numbers = cut_shallow(nodes, paths)
    return Tables(
        nodes,
        float(nodes.base) + float(paths.mean[nodes.roots[:-1]].sum()),
        cut,
        tabulate(nodes, paths, cut, rule, numbers),
        cut_deep(nodes, paths, np.diff(cut.block_from) > 0, rule),
    )


def parts(tables: Tables, rows: Matrix, margin: Floats) -> Floats:
    """Part of each feature in each row's margin, shape (n, features); with ``tables.base`` they make the margin.

    Args:
        tables: What was computed once from the nodes.
        rows: Inputs in row order, float32, NaN where missing, shape (n, features).
        margin: What ``margins`` gives for them, shape (n,).
    """
    sums = np.zeros((len(rows), tables.nodes.features))
    _add_tabulated(rows, tables.nodes, tables.cut, tables.table, sums)
    for four in range(len(tables.deep.tables)):
        _add_deep(rows, tables.nodes, tables.deep, four, sums)
    _share_out(tables.base, margin, sums)
    return sums


@njit(types.void(f4s, NODES, CUT, f4, f8s), cache=True, nogil=True)
def _add_tabulated(rows: Matrix, nodes: Nodes, cut: Cut, table: Matrix, parts: Floats) -> None:
    """Add the parts of all shallow trees.

    Args:
        rows: float32, shape (n, features), NaN where missing.
        nodes: The trees.
        cut: Their blocks.
        table: float32, shape (numbers,). The lines of these blocks.
        parts: float64, shape (n, features), added to here.
    """
    roots, questions, threshold = nodes.roots, nodes.questions, nodes.threshold
    slot, upper_from, upper = cut.slot, cut.upper_from, cut.upper
    block_from, blocks, inputs = cut.block_from, cut.blocks, cut.inputs
    largest = 0
    for tree in range(len(roots) - 1):
        largest = max(largest, roots[tree + 1] - roots[tree])
    # bit by bit, whether the row goes a node's way at each feature above it
    goes, x = np.empty(largest, np.int32), np.empty(2 * rows.shape[1], np.float32)
    lines = np.empty(len(blocks), np.int32)
    for row in range(len(rows)):
        spread(rows[row], x)
        sums = parts[row]
        for tree in range(len(roots) - 1):
            if block_from[tree] == block_from[tree + 1]:
                continue
            start = roots[tree]
            goes[0] = -1
            for index in range(upper_from[tree], upper_from[tree + 1]):
                node = upper[index]
                left = questions[node, LEFT] - start
                right = goes_right(x, questions, threshold, node)
                goes[left] = goes[node - start] & ~(right << slot[node])
                goes[left + 1] = goes[node - start] & ~((1 - right) << slot[node])
            for block in range(block_from[tree], block_from[tree + 1]):
                root, above, answers = blocks[block, ROOT], blocks[block, ABOVE], blocks[block, ANSWERS]
                case = goes[root - start] & ((1 << above) - 1)
                if answers:
                    case |= goes_right(x, questions, threshold, root) << above
                if answers == 3:
                    left = questions[root, LEFT]
                    case |= goes_right(x, questions, threshold, left) << (above + 1)
                    case |= goes_right(x, questions, threshold, left + 1) << (above + 2)
                lines[block] = blocks[block, LINE] + case * blocks[block, WIDTH]
        # the table is larger than a core's cache: lines that are read together are waited for together
        touched = np.float32(0.0)
        for block in range(len(blocks)):
            touched = max(touched, table[lines[block]])
        if touched == np.inf:
            continue
        for block in range(len(blocks)):
            line, first = lines[block], blocks[block, INPUT]
            for index in range(blocks[block, WIDTH]):
                sums[np.uint32(inputs[first + index])] += table[line + index]


@njit(cache=True, nogil=True, inline="always")
def _four(numbers: Floats, at: int) -> tuple[float, float, float, float]:
    """Four numbers that lie together, which the processor takes as one."""
    index = np.uint64(at)
    return (
        numbers[index],
        numbers[index + np.uint64(1)],
        numbers[index + np.uint64(2)],
        numbers[index + np.uint64(3)],
    )


@njit(cache=True, nogil=True, inline="always")
def _put(numbers: Floats, at: int, a: float, b: float, c: float, d: float) -> None:
    """Write four numbers that lie together."""
    index = np.uint64(at)
    numbers[index] = a
    numbers[index + np.uint64(1)] = b
    numbers[index + np.uint64(2)] = c
    numbers[index + np.uint64(3)] = d


@njit(cache=True, nogil=True, inline="always")
def _go_down(x: Matrix, nodes: Nodes, deep: DeepCut, tree: int, four: int, state: _Products) -> None:
    """Fill ``state`` for the nodes above a tree's blocks and for the blocks' topmost nodes.

    Args:
        x: float32, shape (2 * features,), a row as ``spread`` writes it.
        nodes: The trees.
        deep: Their blocks.
        tree: Which tree.
        four: Which four of the points.
        state: Filled here.
    """
    questions, threshold, start = nodes.questions, nodes.threshold, nodes.roots[tree]
    earlier, share, upper = deep.earlier, deep.share, deep.upper
    goes, product, inverse = state.goes, state.product, state.inverse
    t0, t1, t2, t3 = _four(deep.points, 4 * four)
    l0, l1, l2, l3 = 1 - t0, 1 - t1, 1 - t2, 1 - t3
    m0, m1, m2, m3 = 1 / l0, 1 / l1, 1 / l2, 1 / l3
    w0, w1, w2, w3 = _four(deep.weights, 4 * four)
    _put(product, 0, w0, w1, w2, w3)
    _put(inverse, 0, 1.0, 1.0, 1.0, 1.0)  # the root stands for a question that was not asked before
    for index in range(deep.upper_from[tree], deep.upper_from[tree + 1]):
        node = np.uint32(upper[index])
        right = goes_right(x, questions, threshold, node)
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


@njit(cache=True, nogil=True, inline="always")
def _look_up(x: Matrix, nodes: Nodes, deep: DeepCut, tree: int, state: _Products, lines: Indices) -> None:
    """Fill in where in the table the row's case of each block of a tree begins.

    Args:
        x: float32, shape (2 * features,), a row as ``spread`` writes it.
        nodes: The trees.
        deep: Their blocks.
        tree: Which tree.
        state: As ``_go_down`` leaves it.
        lines: int32, shape (blocks,), filled here for the blocks of the tree.
    """
    questions, threshold, start = nodes.questions, nodes.threshold, nodes.roots[tree]
    blocks, inputs, goes = deep.blocks, deep.inputs, state.goes
    for block in range(deep.block_from[tree], deep.block_from[tree + 1]):
        root, answers, bit = np.uint32(blocks[block, ROOT]), blocks[block, ANSWERS], blocks[block, ANSWERS]
        first, width, case = blocks[block, INPUT], blocks[block, WIDTH], np.int32(0)
        if answers:
            case = goes_right(x, questions, threshold, root)
        if answers == 3:
            left = questions[root, LEFT]
            case |= goes_right(x, questions, threshold, left) << 1
            case |= goes_right(x, questions, threshold, left + 1) << 2
        for index in range(width):
            before = inputs[np.uint32(first + index), 1]
            if before >= 0:
                case |= np.int32(goes[np.uint32(before - start)]) << bit
                bit += 1
        lines[block] = blocks[block, LINE] + 4 * case * (1 + width)


@njit(cache=True, nogil=True, inline="always")
def _add_blocks(
    nodes: Nodes, deep: DeepCut, tree: int, four: int, state: _Products, lines: Indices, sums: Floats
) -> None:
    """Add the parts that a tree's blocks give, and leave at their topmost nodes the sums over their leaves.

    Args:
        nodes: The trees.
        deep: Their blocks.
        tree: Which tree.
        four: Which four of the points.
        state: As ``_go_down`` leaves it; ``product`` is changed here.
        lines: int32, shape (blocks,), as ``_look_up`` fills them.
        sums: float64, shape (features,), added to here.
    """
    blocks, inputs, table = deep.blocks, deep.inputs, deep.tables[four]
    product, start = state.product, nodes.roots[tree]
    # lines that are read together are waited for together
    touched = np.float32(0.0)
    for block in range(deep.block_from[tree], deep.block_from[tree + 1]):
        touched = max(touched, table[np.uint32(lines[block])])
    if touched == np.inf:
        return
    for block in range(deep.block_from[tree], deep.block_from[tree + 1]):
        first, width = blocks[block, INPUT], blocks[block, WIDTH]
        at, here = lines[block], 4 * (blocks[block, ROOT] - start)
        p0, p1, p2, p3 = _four(product, here)
        a0, a1, a2, a3 = _four(table, at)
        _put(product, here, p0 * a0, p1 * a1, p2 * a2, p3 * a3)
        for index in range(width):
            a0, a1, a2, a3 = _four(table, at + 4 + 4 * index)
            part = (p0 * a0 + p1 * a1) + (p2 * a2 + p3 * a3)
            sums[np.uint32(inputs[np.uint32(first + index), 0])] += part


@njit(cache=True, nogil=True, inline="always")
def _come_up(nodes: Nodes, deep: DeepCut, tree: int, state: _Products, sums: Floats) -> None:
    """Add the parts that the questions above a tree's blocks give, from the lowest up to the root.

    Args:
        nodes: The trees.
        deep: Their blocks.
        tree: Which tree.
        state: As ``_add_blocks`` leaves it; ``product`` is changed here.
        sums: float64, shape (features,), added to here.
    """
    questions, start = nodes.questions, nodes.roots[tree]
    earlier, share, upper = deep.earlier, deep.share, deep.upper
    goes, product, inverse = state.goes, state.product, state.inverse
    for index in range(deep.upper_from[tree + 1] - 1, deep.upper_from[tree] - 1, -1):
        node = np.uint32(upper[index])
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


@njit(types.void(f4s, NODES, DEEP_CUT, types.int64, f8s), cache=True, nogil=True)
def _add_deep(rows: Matrix, nodes: Nodes, deep: DeepCut, four: int, parts: Floats) -> None:
    """Add what four of the points give to the parts of all deep trees.

    Products go down to the blocks (EXTEND of algorithm 2), sums over leaves come up, and where a feature is asked again
    its earlier factor is divided out (UNWIND).

    Args:
        rows: float32, shape (n, features), NaN where missing.
        nodes: The trees.
        deep: Their blocks.
        four: Which four of the points.
        parts: float64, shape (n, features), added to here.
    """
    roots, block_from = nodes.roots, deep.block_from
    largest = 0
    for tree in range(len(roots) - 1):
        if block_from[tree] != block_from[tree + 1]:
            largest = max(largest, roots[tree + 1] - roots[tree])
    state = _Products(np.ones(largest, np.float64), np.empty(4 * largest), np.empty(4 * largest))
    x, lines = np.empty(2 * rows.shape[1], np.float32), np.empty(len(deep.blocks), np.int32)
    for row in range(len(rows)):
        spread(rows[row], x)
        sums = parts[row]
        for tree in range(len(roots) - 1):
            if block_from[tree] == block_from[tree + 1]:
                continue
            _go_down(x, nodes, deep, tree, four, state)
            _look_up(x, nodes, deep, tree, state, lines)
            _add_blocks(nodes, deep, tree, four, state, lines, sums)
            _come_up(nodes, deep, tree, state, sums)


@njit(types.void(types.float64, f8, f8s), cache=True, nogil=True)
def _share_out(base: float, margin: Floats, parts: Floats) -> None:
    """Share out what a margin in float32 lost, by the size of the parts, so that they add up to it.

    Args:
        base: Mean margin over the training rows.
        margin: float64, shape (n,). Margins of the rows.
        parts: float64, shape (n, features), changed here.
    """
    for row in range(len(parts)):
        total, size = base, 0.0
        for part in parts[row]:
            total += part
            size += abs(part)
        if size > 0:
            lost = (margin[row] - total) / size
            for feature in range(parts.shape[1]):
                parts[row, feature] += abs(parts[row, feature]) * lost
