"""Folds follow time where there is time, and nobody stands on both sides."""

import time

import numpy as np
import pytest

from components.credit.errors import GateStopped
from components.credit.training.folds import make_folds

DAY = np.datetime64("2023-01-01", "us")


def _book(rows: int, people: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    borrowers = np.array([f"b{i}" for i in random.integers(0, people, rows)])
    decided_at = DAY + random.integers(0, 700, rows) * np.timedelta64(1, "D")
    return borrowers, decided_at, (random.random(rows) < 0.2).astype(np.int64)


def test_each_fold_is_tested_with_the_past_of_others() -> None:
    borrowers, decided_at, bad = _book(3_000, 900, 0)
    folds = make_folds(borrowers, decided_at, bad, 4, 1)
    assert folds.kind == "ordered"
    assert len(folds.folds) == 4
    for fold in folds.folds:
        assert decided_at[fold.train].max() < decided_at[fold.test].min()
        assert not set(borrowers[fold.train]) & set(borrowers[fold.test])
    tested = np.concatenate([fold.test for fold in folds.folds])
    assert len(tested) == len(set(tested.tolist()))
    assert len(tested) == pytest.approx(0.6 * 3_000, rel=0.05)


@pytest.mark.parametrize("days", [1, 2])
def test_without_enough_times_borrowers_are_dealt_out(days: int) -> None:
    borrowers, _, bad = _book(2_000, 700, 2)
    decided_at = DAY + np.arange(2_000) % days * np.timedelta64(1, "D")
    folds = make_folds(borrowers, decided_at, bad, 4, 1)
    assert folds.kind == "random"
    assert sorted(np.concatenate([fold.test for fold in folds.folds]).tolist()) == list(range(2_000))
    for fold in folds.folds:
        assert not set(borrowers[fold.train]) & set(borrowers[fold.test])
        assert bad[fold.test].mean() == pytest.approx(bad.mean(), abs=0.05)


def test_the_deal_depends_on_the_seed_alone() -> None:
    borrowers, _, bad = _book(500, 300, 3)
    dates = np.full(500, DAY)
    one, same, other = (make_folds(borrowers, dates, bad, 3, seed).folds[0].test.tolist() for seed in (5, 5, 6))
    assert one == same
    assert one != other


def test_a_span_of_few_bads_is_no_fold() -> None:
    borrowers, decided_at, bad = _book(2_000, 1_900, 8)
    bad[np.flatnonzero(bad)[60:]] = 0
    assert make_folds(borrowers, decided_at, bad, 4, 1).kind == "random"


def test_every_fold_gets_bads_where_they_are_few() -> None:
    bad = np.zeros(400, dtype=np.int64)
    bad[:6] = 1
    folds = make_folds(np.array([f"b{i}" for i in range(400)]), np.full(400, DAY), bad, 5, 1)
    assert min(bad[fold.test].sum() for fold in folds.folds) >= 1


def test_bads_of_one_borrower_alone_stop_the_run() -> None:
    bad = (np.arange(300) < 20).astype(np.int64)
    borrowers = np.array(["b0" if is_bad else f"b{i + 1}" for i, is_bad in enumerate(bad)])
    with pytest.raises(GateStopped, match="fewer borrowers than the 3 folds"):
        make_folds(borrowers, np.full(300, DAY), bad, 3, 1)


def test_a_large_book_takes_no_time() -> None:
    borrowers, _, bad = _book(150_000, 140_000, 4)
    started = time.process_time()
    make_folds(borrowers, np.full(150_000, DAY), bad, 4, 1)
    assert time.process_time() - started < 2
