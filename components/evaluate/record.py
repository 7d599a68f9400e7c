"""The record of a comparison, ``decision.json``: what later stages read of it, and the sections of the report."""

import math
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
import numpy as np
from msgspec import Struct, field

from components.credit.features.notes import Check, ExclusionCount, HistoryStart, Leak
from components.credit.models.training_report import OwnCard
from components.credit.release.decision import DecisionCore
from components.evaluate.approvals import RuleEffect, Step
from components.evaluate.figures import StrategyRow
from components.evaluate.groups import Fairness, Segment
from components.evaluate.inclusion import InclusionFigures
from components.evaluate.money import Profit
from components.evaluate.rejects import Inference
from components.evaluate.resampling import SplitTest
from components.evaluate.stability import Stability
from components.evaluate.study import Study
from components.evaluate.swaps import SwapSet

_T = TypeVar("_T")


class JudgedSample(Struct, frozen=True, forbid_unknown_fields=True):
    """The split of the feature table, with the rows of the test sample and the bads among them."""

    kind: str
    test_from: str | None
    embargo_days: int | None
    reason: str
    n: int
    bads: int


class ChallengerTest(Struct, frozen=True, forbid_unknown_fields=True):
    """A challenger against the scorecard on the test sample.

    Args:
        challenger: Its family.
        difference: Its AUC less the scorecard's.
        low: Lower end of DeLong's interval, by borrower.
        high: Its upper end.
        p_value: Of DeLong's paired test.
        bootstrap_low: Lower end of the interval from samples of borrowers.
        bootstrap_high: Its upper end.
        beats: Whether the difference is beyond the margin and chance.
    """

    challenger: str
    difference: float | None
    low: float | None
    high: float | None
    p_value: float | None
    bootstrap_low: float | None
    bootstrap_high: float | None
    beats: bool


class Evaluation(DecisionCore, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The decision with the sections that the report, the tables and the model card read.

    Args:
        approvals: From all applications to the approved.
        checks: Leaks looked for.
        exclusions: Applications that are out of scope.
        fairness: How the champion treats protected groups.
        history_starts: Where the tables' history begins; ``beginnings`` in JSON.
        inclusion: What alternative data do for people without a bureau record.
        leakage: Leaks found, of the feature table and of the comparison.
        left_out: Features that models are not given, with the reason of each.
        money: Profit by cut-off; None where amount, cost or term is not recorded.
        own_cards: Each segment's own card.
        random_split: What a random split would have shown; empty where the split is not out of time.
        rejects: The scorecard with reject inference; None where it is not asked for.
        rules: What each hard rule declines.
        segments: Each segment.
        split: The split and the test sample.
        stability: Shift of inputs and calibration by part.
        strategy: What each share of approvals costs.
        study: The study of the target.
        swaps: Swap sets.
        tests: Each challenger against the scorecard.
        unclear: Loans that are old enough for a label and have none, since their rows cannot be believed, by reason.
    """

    approvals: list[Step]
    checks: list[Check]
    exclusions: list[ExclusionCount]
    fairness: Fairness
    history_starts: list[HistoryStart] = field(name="beginnings")
    inclusion: InclusionFigures
    leakage: list[Leak]
    left_out: dict[str, str]
    money: Profit | None
    own_cards: list[OwnCard]
    random_split: list[SplitTest]
    rejects: Inference | None
    rules: list[RuleEffect]
    segments: list[Segment]
    split: JudgedSample
    stability: Stability
    strategy: list[StrategyRow]
    study: Study
    swaps: list[SwapSet]
    tests: list[ChallengerTest]
    unclear: dict[str, int]


def rounded(record: _T) -> _T:
    """The record as its JSON holds it: floats to six decimals, None for what is not a number.

    Page, tables and model card are made of this record, so that they show the numbers of ``decision.json``.
    """
    builtins = msgspec.to_builtins(record, builtin_types=(Decimal,), enc_hook=_number)
    return msgspec.convert(_plain(builtins), type(record))


def _number(value: Any) -> Any:
    """A NumPy scalar as Python's own number."""
    if isinstance(value, np.generic):
        return value.item()
    raise NotImplementedError


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value
