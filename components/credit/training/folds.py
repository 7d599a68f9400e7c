"""Folds of the cross-validation: later applications are tested with earlier ones, and nobody stands on both sides."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn.metrics import roc_auc_score

from components.credit.errors import GateStopped
from components.credit.models.calibration import Floats, Integers
from components.credit.models.training_report import FoldFigures

# Share of the rows, by time, that every ordered fold may learn from.
_FIRST = 0.4
# Bads, and goods, without which a span of time says nothing of a model; drawn folds have an even share of them.
_LEAST_OF_A_SPAN = 10


@dataclass(frozen=True)
class Fold:
    """Indices of the rows to learn from and of the rows to test on."""

    train: Integers
    test: Integers


@dataclass(frozen=True)
class Folds:
    """All folds, and whether they follow time (``ordered``) or are drawn (``random``), by borrower in both."""

    kind: Literal["ordered", "random"]
    folds: list[Fold]

    def figures(self, log_odds: Floats, bad: Integers) -> FoldFigures:
        """How out-of-fold log-odds, shape (n,), separate bads from goods: AUC by fold, for the training report."""
        areas = [float(roc_auc_score(bad[fold.test], log_odds[fold.test])) for fold in self.folds]
        return FoldFigures(
            folds=f"{len(areas)} {self.kind}, grouped by borrower",
            auc=float(np.mean(areas)),
            auc_sd=float(np.std(areas)),
            auc_by_fold=areas,
            tested=sum(len(fold.test) for fold in self.folds),
        )


def make_folds(borrowers: np.ndarray, decided_at: np.ndarray, bad: Integers, count: int, seed: int) -> Folds:
    """Folds grouped by borrower, and ordered by time where there is time.

    Ordered: the later 60 % of the rows are cut into ``count`` spans; each is tested with what was decided before it,
    without the rows of its own borrowers. Where decisions have too few times, or a span has too few bads or goods,
    borrowers are dealt out at random, an even share of the bads to each fold.

    Args:
        borrowers: Token of each row's borrower, shape (n,).
        decided_at: Time of each row's decision, shape (n,).
        bad: 0 or 1, shape (n,).
        count: Number of folds.
        seed: Seed of the deal.

    Raises:
        GateStopped: The bads, or the goods, are those of fewer borrowers than there are folds.
    """
    _, person = np.unique(borrowers, return_inverse=True)
    ordered = _ordered(person, np.asarray(decided_at).astype("datetime64[us]").astype(np.int64), count)
    if _testable(ordered, bad, _LEAST_OF_A_SPAN):
        return Folds("ordered", ordered)
    dealt = _dealt(person, bad, count, seed)
    if _testable(dealt, bad, 1):
        return Folds("random", dealt)
    raise GateStopped(
        f"The bads or the goods of the training sample are those of fewer borrowers than the {count} folds of the "
        "cross-validation; lower search.folds or bring more history."
    )


def _ordered(person: Integers, time: Integers, count: int) -> list[Fold]:
    edges = np.sort(time)[[int(len(time) * (_FIRST + (1 - _FIRST) * k / count)) for k in range(count)]]
    span = np.searchsorted(edges, time, side="right")
    folds = []
    for k in range(1, count + 1):
        test = np.flatnonzero(span == k)
        own = np.isin(person, person[test])
        folds.append(Fold(np.flatnonzero((span < k) & ~own), test))
    return folds


def _dealt(person: Integers, bad: Integers, count: int, seed: int) -> list[Fold]:
    # like scikit-learn's StratifiedGroupKFold, whose loop over each group takes minutes on a book of single loans
    people = int(person.max()) + 1
    bads = np.bincount(person, weights=bad, minlength=people)
    loans = np.bincount(person, minlength=people)
    shuffled = np.random.default_rng(seed).permutation(people)
    order = shuffled[np.lexsort((-loans[shuffled], -bads[shuffled]))]
    fold_of = np.empty(people, dtype=np.int64)
    fold_of[order] = np.arange(people) % count
    fold = fold_of[person]
    return [Fold(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(count)]


def _testable(folds: list[Fold], bad: Integers, least: int) -> bool:
    """Whether each fold has so many bads and goods on both sides."""
    return all(least <= bad[rows].sum() <= len(rows) - least for fold in folds for rows in (fold.train, fold.test))
