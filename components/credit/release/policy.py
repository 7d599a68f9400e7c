"""The hard rules of a lender's policy, apart from the score: over-indebtedness and whatever else the committee sets.

A release carries its rules in its decision, so that the scorer applies the very rules that the report was made with.
"""

import datetime
from collections.abc import Mapping, Sequence

import numpy as np

from components.credit.config import Rule
from components.credit.features.moments import EPOCH
from components.credit.models.binning import numbers
from components.credit.models.calibration import Integers


def policy(columns: Mapping[str, np.ndarray], rules: Sequence[Rule]) -> list[list[str]]:
    """Codes of the rules that decline each row, in the order of the rules; empty where none does.

    A missing value passes: a borrower without a bureau file has no known debt.

    Args:
        columns: An array of shape (n,) by name, with the column of each rule (float64, NaN where missing).
        rules: The rules; ``in_force`` chooses those of a day.

    Raises:
        KeyError: The column of a rule is not among the columns.
    """
    codes: list[list[str]] = [[] for _ in next(iter(columns.values()), [])]
    for rule in rules:
        for row in np.flatnonzero(numbers(columns[rule.column]) > rule.above):
            codes[row].append(rule.code)
    return codes


def policy_by_day(columns: Mapping[str, np.ndarray], rules: Sequence[Rule], days: Integers) -> list[list[str]]:
    """As ``policy``, by the rules that hold on the day of each row.

    Args:
        columns: As for ``policy``.
        rules: The rules, whatever day they hold on.
        days: (n,) Day of each decision where the lender is, as a number since 1970.
    """
    codes: list[list[str]] = [[]] * len(days)
    for day in np.unique(days).tolist():
        rows = np.flatnonzero(days == day)
        holding = in_force(rules, EPOCH + datetime.timedelta(days=day))
        if holding:
            of_day = policy({rule.column: numbers(columns[rule.column])[rows] for rule in holding}, holding)
            for row, found in zip(rows.tolist(), of_day, strict=True):
                codes[row] = found
    return codes


def in_force(rules: Sequence[Rule], day: datetime.date) -> list[Rule]:
    """The rules that hold on a day."""
    return [
        rule
        for rule in rules
        if (rule.valid_from is None or rule.valid_from <= day) and (rule.valid_to is None or day <= rule.valid_to)
    ]
