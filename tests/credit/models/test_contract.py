"""One contract for the three families: what evaluate, deploy and the scorer's server rely on."""

import itertools
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from components.credit.errors import ModelRefused
from components.credit.models.binning import Columns
from components.credit.models.scorer import MODEL, Scorer, load, pack, save, unpack
from components.credit.models.trees.engine import BOOSTER_FILE
from components.credit.reasons.causes import text
from components.credit.reasons.reasons import Reason, reasons
from tests.credit.models.book import DICTIONARY, FAMILIES, NAMES


def test_shapes_types_and_ranges(scorer: Scorer, odd_rows: pd.DataFrame) -> None:
    rows = len(odd_rows)
    probability, points = scorer.probability(odd_rows), scorer.points(odd_rows)
    assert scorer.family in FAMILIES
    assert (probability.shape, probability.dtype) == ((rows,), np.float64)
    assert (points.shape, points.dtype) == ((rows,), np.int64)
    assert scorer.contributions(odd_rows).shape == (rows, len(scorer.features))
    assert ((probability > 0) & (probability < 1)).all()


def test_more_points_mean_less_risk(scorer: Scorer, odd_rows: pd.DataFrame) -> None:
    probability, points = scorer.probability(odd_rows), scorer.points(odd_rows)
    riskiest = {value: probability[points == value].max() for value in set(points.tolist())}
    safest = {value: probability[points == value].min() for value in set(points.tolist())}
    for fewer, more in itertools.pairwise(sorted(riskiest)):
        assert riskiest[more] < safest[fewer]
    factor = 20 / np.log(2)
    exact = 600 - factor * np.log(30) - factor * (np.log(probability) - np.log1p(-probability))
    assert np.abs(exact - points).max() <= 0.5 + 1e-6


def test_base_and_contributions_make_the_margin(scorer: Scorer, odd_rows: pd.DataFrame) -> None:
    explained = scorer.base + scorer.contributions(odd_rows).sum(axis=1)
    assert np.abs(explained - scorer.margin(odd_rows)).max() < 1e-6


def test_cut_off_in_points_and_in_probability_is_one_rule(scorer: Scorer, odd_rows: pd.DataFrame) -> None:
    approved = scorer.probability(odd_rows) <= scorer.cutoff
    assert 0 < approved.sum() < len(approved)
    assert (approved == (scorer.points(odd_rows) >= scorer.cutoff_points)).all()
    bands = np.array(scorer.band(scorer.probability(odd_rows)))
    assert (np.isin(bands, ["A", "B", "C"]) == approved).all()
    assert set(bands) == {"A", "B", "C", "D", "E"}


def test_a_row_scores_the_same_alone_and_in_any_batch(scorer: Scorer, odd_rows: pd.DataFrame) -> None:
    together = scorer.probability(odd_rows), scorer.contributions(odd_rows)
    for row in (0, 1, 2, 17, 399):
        alone = odd_rows.iloc[row : row + 1]
        assert scorer.probability(alone)[0] == together[0][row]
        assert (scorer.contributions(alone)[0] == together[1][row]).all()
    backwards = odd_rows.iloc[::-1]
    assert (scorer.probability(backwards)[::-1] == together[0]).all()


def test_columns_may_be_a_dict_in_any_order_with_others_among_them(scorer: Scorer, odd_rows: pd.DataFrame) -> None:
    columns: Columns = {name: odd_rows[name].to_numpy() for name in [*reversed(NAMES)]} | {"other": np.zeros(1)}
    assert (scorer.probability(columns) == scorer.probability(odd_rows)).all()


def test_a_missing_column_is_an_error(scorer: Scorer, odd_rows: pd.DataFrame) -> None:
    with pytest.raises(KeyError):
        scorer.probability(odd_rows.drop(columns=scorer.features[0].name))


def test_saved_and_loaded_it_is_the_same_to_the_bit(scorer: Scorer, odd_rows: pd.DataFrame, tmp_path: Path) -> None:
    save(scorer, tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.version() == scorer.version()
    assert pack(loaded) == pack(scorer)
    assert (loaded.probability(odd_rows) == scorer.probability(odd_rows)).all()
    assert (loaded.contributions(odd_rows) == scorer.contributions(odd_rows)).all()
    assert loaded.recipe == {"currency": "PEN"}


def test_it_tells_bads_from_goods_and_its_mean_is_theirs(scorer: Scorer, rows: pd.DataFrame) -> None:
    training = scorer.training
    assert training.auc is not None
    assert 0.65 < training.auc < 0.95
    assert training.rows == len(rows)
    assert training.bads == rows["bad"].sum()
    assert scorer.probability(rows).mean() == pytest.approx(rows["bad"].mean(), abs=0.03)


def test_inputs_are_those_of_the_dictionary_alone(scorer: Scorer) -> None:
    assert {feature.name for feature in scorer.features} <= set(NAMES)
    assert b"protected" not in pack(scorer)[MODEL]


@pytest.mark.parametrize("family", ["scorecard", "xgboost"])
def test_risk_moves_with_a_feature_as_its_trend_says(
    family: str, scorers: dict[str, Scorer], odd_rows: pd.DataFrame
) -> None:
    scorer = scorers[family]
    for name, direction, steps in (("late_payments_12m", 1, range(6)), ("income", -1, range(100, 9_000, 300))):
        risks = [scorer.probability(odd_rows.assign(**{name: float(value)})) for value in steps]
        changes = np.diff(np.array(risks), axis=0) * direction
        assert (changes >= -1e-9).all()
        assert (changes > 0).any()


def test_reasons_are_what_takes_points_against_the_approved(scorer: Scorer, odd_rows: pd.DataFrame) -> None:
    contributions = scorer.contributions(odd_rows)
    given = reasons(scorer, odd_rows, contributions)
    assert len(given) == len(odd_rows)
    declined = scorer.probability(odd_rows) > scorer.cutoff
    names = {feature.name: feature for feature in DICTIONARY}
    for place, (row, is_declined) in enumerate(zip(given, declined, strict=True)):
        assert len(row) <= 4
        assert not is_declined or row
        assert all(reason.points > 0 for reason in row)
        assert [reason.points for reason in row] == sorted((reason.points for reason in row), reverse=True)
        assert len({reason.cause if reason.cause != "attribute" else reason.feature for reason in row}) == len(row)
        for reason in row:
            feature = names[reason.feature]
            assert feature.cause == reason.cause
            assert (reason.es, reason.en) == text(feature, odd_rows[feature.name].iloc[place])


def test_reasons_and_merits_together_are_the_points_to_the_approved_mean(
    scorer: Scorer, odd_rows: pd.DataFrame
) -> None:
    """All that is taken, less all that is given, is what lies between a row and the approved mean."""
    contributions = scorer.contributions(odd_rows)
    reference = np.array([scorer.reference[feature.name] for feature in scorer.features])
    mean = scorer.log_odds(np.array([scorer.base + reference.sum()]))[0]
    gap = (scorer.log_odds(scorer.margin(odd_rows)) - mean) * scorer.scaling.factor
    mirrored = _taken(reasons(scorer, odd_rows, contributions, keep=99))
    lost = gap - mirrored
    assert (lost <= 1e-6).all(), "what features give back can only lower the sum of the reasons"
    worst = int(np.argmax(gap))
    assert mirrored[worst] >= gap[worst] - 1e-6


def test_a_cause_put_right_is_no_reason_any_more(scorer: Scorer, odd_rows: pd.DataFrame) -> None:
    late = odd_rows.assign(late_payments_12m=5.0, mean_days_late=60.0)
    ranked = reasons(scorer, late, scorer.contributions(late))
    mended = late.assign(late_payments_12m=0.0, mean_days_late=0.0)
    ranked_mended = reasons(scorer, mended, scorer.contributions(mended))
    assert np.mean([_names("late_payments", row) for row in ranked]) > 0.95
    assert not any(_names("late_payments", row) for row in ranked_mended)
    assert (scorer.points(mended) > scorer.points(late)).all()


def test_training_again_gives_the_same_bytes(scorers: dict[str, Scorer], again: dict[str, Scorer]) -> None:
    assert {name: scorer.version() for name, scorer in again.items()} == {
        name: scorer.version() for name, scorer in scorers.items()
    }


def test_a_damaged_model_is_refused_in_one_sentence(scorer: Scorer, tmp_path: Path) -> None:
    files = pack(scorer)
    document = msgspec.json.decode(files[MODEL])
    broken: list[dict[str, bytes]] = [
        {},
        {BOOSTER_FILE: b""},
        files | {MODEL: b""},
        files | {MODEL: b"\xff\xfe"},
        files | {MODEL: b"[]"},
        files | {MODEL: files[MODEL][:-20]},
        files | {MODEL: msgspec.json.encode(document | {"format": 99})},
        files | {MODEL: msgspec.json.encode(document | {"features": document["features"][1:]})},
        files | {MODEL: msgspec.json.encode(document | {"cutoff": None})},
        files | {MODEL: msgspec.json.encode(document | {"unknown": 1})},
        files | {MODEL: msgspec.json.encode(document | {"card": None, "encoder": None})},
    ]
    if BOOSTER_FILE in files:
        broken += [
            {MODEL: files[MODEL]},
            files | {BOOSTER_FILE: b"{L"},
            files | {BOOSTER_FILE: files[BOOSTER_FILE][: len(files[BOOSTER_FILE]) // 2]},
        ]
    for case in broken:
        with pytest.raises(ModelRefused) as refused:
            unpack(case, "models/0123")
        message = str(refused.value)
        assert message.startswith("models/0123")
        assert message.endswith(".")
        assert "\n" not in message
    with pytest.raises(ModelRefused, match=r"holds no model\.json"):
        load(tmp_path / "nowhere")


def _names(cause: str, row: list[Reason]) -> bool:
    return any(reason.cause == cause for reason in row)


def _taken(given: list[list[Reason]]) -> np.ndarray:
    return np.array([sum(reason.points for reason in row) for row in given])
