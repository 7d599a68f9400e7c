"""A family that nobody has thought of: an engine that answers ``Engine`` is all that the readers of a model need."""

from collections.abc import Sequence

import msgspec
import numpy as np
import pandas as pd
import pytest

from components.credit.errors import InputError
from components.credit.models.binning import Binning, Columns
from components.credit.models.calibration import Calibration, Floats, Scaling
from components.credit.models.card import SegmentCard
from components.credit.models.engine import Boundary, Engine, Stored
from components.credit.models.export import exported
from components.credit.models.scorer import Scorer
from components.credit.models.smoke import check_smoke, smoke
from components.credit.reasons.advice import with_changes
from components.credit.reasons.reasons import reasons
from tests.credit.models.book import DICTIONARY

INPUT = next(feature for feature in DICTIONARY if feature.name == "late_payments_12m")


class OneStep(msgspec.Struct, frozen=True):
    """Log-odds of 1 from two late payments on, else of -1; a missing value is no late payment."""

    @property
    def base(self) -> float:
        return -1.0

    @property
    def features(self) -> list[str]:
        return [INPUT.name]

    @property
    def edges(self) -> list[list[float]]:
        return [[2.0]]

    @property
    def margin_is_log_odds(self) -> bool:
        return True

    @property
    def binnings(self) -> list[Binning] | None:
        return None

    @property
    def cards(self) -> list[SegmentCard]:
        return []

    @property
    def parting(self) -> Boundary | None:
        return None

    def margin(self, columns: Columns) -> Floats:
        return self.base + self.contributions(columns)[:, 0]

    def contributions(self, columns: Columns) -> Floats:
        return 2.0 * (np.asarray(columns[INPUT.name], dtype=np.float64) >= 2)[:, None]

    def explained(self, columns: Columns) -> tuple[Floats, Floats]:
        return self.margin(columns), self.contributions(columns)

    def varied(self, columns: Columns, features: Sequence[int], values: Sequence[Sequence[float]]) -> Floats:
        return self.margin({INPUT.name: [value for others in values for value in others]})

    def log_odds(self, margin: Floats) -> Floats:
        return margin

    def stored(self) -> Stored:
        raise NotImplementedError("a file format of its own is the one thing that a further family adds")


def test_a_further_family_is_scored_explained_and_advised() -> None:
    engine: Engine = OneStep()
    scaling = Scaling(600.0, 30.0, 20.0)
    scorer = Scorer("xgboost", (INPUT,), engine, Calibration(), scaling, 0.5, (0.1, 0.2, 0.5, 0.7), {INPUT.name: 0.0})
    rows = pd.DataFrame({INPUT.name: [0.0, 5.0, np.nan]})
    margin, parts = scorer.explained(rows)
    safe, late, unknown = with_changes(scorer, rows, parts, reasons(scorer, rows, parts, margin=margin), margin)
    assert not safe
    assert not unknown
    assert [(change.feature, change.below) for change in late[0].changes] == [(INPUT.name, 2.0)]
    lost = int(scorer.points(rows)[0] - scorer.points(rows)[1])
    assert late[0].changes[0].points == lost == round(late[0].points)
    check_smoke(scorer, smoke(scorer), "here")
    assert scorer.single_card is None
    with pytest.raises(InputError, match=r"Model v1 is a xgboost, not a scorecard"):
        exported(scorer, "v1", "sql", [])
