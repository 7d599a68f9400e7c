"""What an applicant is told to change, done, changes the decision."""

import dataclasses
import math

import msgspec
import numpy as np
import pandas as pd
import pytest

from components.credit.models.scorer import Scorer
from components.credit.reasons.advice import with_changes
from components.credit.reasons.reasons import Reason, reasons
from tests.credit.models.book import DICTIONARY, NAMES, make_rows

TREND = {feature.name: feature.trend for feature in DICTIONARY}


@pytest.fixture(scope="module")
def declined() -> pd.DataFrame:
    return make_rows(1_000, 21)[NAMES]


def explain(scorer: Scorer, columns: pd.DataFrame) -> list[list[Reason]]:
    parts = scorer.contributions(columns)
    return with_changes(scorer, columns, parts, reasons(scorer, columns, parts))


def put_right(columns: pd.DataFrame, given: list[list[Reason]]) -> pd.DataFrame:
    mended = columns.reset_index(drop=True)
    for row, found in enumerate(given):
        for change in (change for reason in found for change in reason.changes):
            value = change.least if change.below is None else float(np.nextafter(np.float32(change.below), -np.inf))
            mended.loc[row, change.feature] = value
    return mended


def test_reasons_put_right_change_the_decision(scorer: Scorer, declined: pd.DataFrame) -> None:
    records = [feature.name for feature in DICTIONARY if feature.source in ("loans", "repayments", "bureau")]
    known = declined[records].notna().all(axis=1)  # who has no history yet is not told to have had one
    refused = declined[known & (scorer.probability(declined) > scorer.cutoff)]
    given = explain(scorer, refused)
    mended = put_right(refused, given)
    approved = scorer.probability(mended) <= scorer.cutoff
    assert len(refused) > 100
    assert approved.mean() > 0.9
    assert (scorer.points(mended) > scorer.points(refused)).mean() > 0.99


def test_a_change_alone_wins_the_points_that_it_says(scorer: Scorer, declined: pd.DataFrame) -> None:
    rows = declined.head(60)
    given = explain(scorer, rows)
    before = scorer.points(rows)
    for row, found in enumerate(given):
        for reason in found:
            for change in reason.changes:
                alone = put_right(rows.iloc[[row]], [[_only(reason, change.feature)]])
                assert scorer.points(alone)[0] - before[row] == change.points > 0


def test_a_change_goes_the_way_that_lowers_risk_and_says_so(scorer: Scorer, declined: pd.DataFrame) -> None:
    changes = [change for found in explain(scorer, declined) for reason in found for change in reason.changes]
    assert {"late_payments_12m", "income"} <= {change.feature for change in changes}
    for change in changes:
        assert (change.least is None) != (change.below is None)
        assert change.feature != "sector", "no one is told to be of another sector"
        assert TREND[change.feature] != "increasing" or change.least is None
        assert TREND[change.feature] != "decreasing" or change.below is None
        edge = f"{change.least if change.below is None else change.below:.10g}"
        assert edge in change.es
        assert edge in change.en
        assert f"(+{change.points} " in change.es
        assert ("o más" in change.es) == ("or more" in change.en) == (change.below is None)


def test_no_one_is_told_to_change_the_household_or_the_season(scorer: Scorer, declined: pd.DataFrame) -> None:
    bound = tuple(msgspec.structs.replace(feature, cause="household") for feature in scorer.features)
    given = explain(dataclasses.replace(scorer, features=bound), declined)
    assert any(given)
    assert not any(reason.changes for found in given for reason in found)


def test_missing_values_have_changes_too(scorer: Scorer, declined: pd.DataFrame) -> None:
    rows = declined.head(50).assign(income=math.nan, late_payments_12m=9.0)
    for row, found in enumerate(explain(scorer, rows)):
        for change in (change for reason in found for change in reason.changes):
            assert change.feature != "income" or (change.least or 0) > 0, row


def _only(reason: Reason, feature: str) -> Reason:
    return msgspec.structs.replace(reason, changes=[change for change in reason.changes if change.feature == feature])


def test_one_feature_at_other_values_scores_as_if_it_were_given_so(scorer: Scorer, declined: pd.DataFrame) -> None:
    rng = np.random.default_rng(4)
    numbers = [place for place, feature in enumerate(scorer.features) if feature.type == "number"]
    for row in range(10):
        values = [sorted([*rng.normal(0, 50, 6), *scorer.engine.edges[place][:4], 1e31]) for place in numbers]
        told = scorer.engine.varied(declined.iloc[[row]], numbers, values)
        given = pd.concat([declined.iloc[[row]]] * len(told), ignore_index=True)
        at = 0
        for place, of in zip(numbers, values, strict=True):
            column = given[scorer.features[place].name].astype(float).to_numpy().copy()
            column[at : at + len(of)] = of
            given[scorer.features[place].name] = column
            at += len(of)
        np.testing.assert_array_equal(told, scorer.margin(given))


def test_no_one_is_told_to_undo_what_is_over_or_to_have_had_a_history(scorer: Scorer, declined: pd.DataFrame) -> None:
    rows = declined.assign(income=math.nan)
    for source, told in (("bureau", False), ("transactions", True)):
        of = tuple(
            msgspec.structs.replace(feature, source=source) if feature.name == "income" else feature
            for feature in scorer.features
        )
        given = explain(dataclasses.replace(scorer, features=of), rows)
        changed = {change.feature for found in given for reason in found for change in reason.changes}
        assert ("income" in changed) == told
