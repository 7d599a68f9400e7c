"""Calibration, the scale of points and the cut-off."""

import numpy as np
import pytest

from components.credit.models.calibration import Scaling, cut, fit_calibration, sigmoid

SCALING = Scaling(600.0, 30.0, 20.0)


def test_points_stand_where_the_scale_says() -> None:
    odds = np.array([30.0, 60.0, 15.0, 1.0])
    assert SCALING.whole_points(-np.log(odds)).tolist() == [600, 620, 580, 502]
    assert SCALING.log_odds(np.array([600, 620])) == pytest.approx(-np.log([30, 60]))


def test_calibration_finds_what_distorted_the_log_odds() -> None:
    random = np.random.default_rng(0)
    true = random.normal(-1.5, 1.2, 40_000)
    bad = (random.random(40_000) < sigmoid(true)).astype(np.int64)
    calibration = fit_calibration((true + 0.7) * 2.5, bad)
    assert calibration.slope == pytest.approx(1 / 2.5, rel=0.03)
    assert calibration.intercept == pytest.approx(-0.7, abs=0.05)


@pytest.mark.parametrize("bads", [1, 30, 60, 99])
def test_a_score_that_says_nothing_becomes_the_bad_rate(bads: int) -> None:
    bad = (np.arange(100) < bads).astype(np.int64)
    calibration = fit_calibration(np.full(100, 3.0), bad)
    assert calibration.slope == 1
    assert sigmoid(np.array([calibration.intercept + 3.0]))[0] == pytest.approx(bads / 100, abs=0.02)


def test_a_score_that_is_upside_down_keeps_its_order() -> None:
    random = np.random.default_rng(1)
    log_odds = random.normal(size=2_000)
    bad = (random.random(2_000) < sigmoid(-log_odds)).astype(np.int64)
    assert fit_calibration(log_odds, bad).slope == 1


def test_a_score_that_parts_all_bads_from_goods_stays_finite() -> None:
    log_odds = np.linspace(-1, 1, 200)
    calibration = fit_calibration(log_odds, (log_odds > 0).astype(np.int64))
    assert np.isfinite([calibration.slope, calibration.intercept]).all()
    assert calibration.slope > 1


def test_the_cut_off_approves_the_share_and_lies_between_points() -> None:
    probability = np.random.default_rng(2).beta(1, 6, 50_000)
    (limit,) = cut(probability, (0.7,), SCALING)
    assert (probability <= limit).mean() == pytest.approx(0.7, abs=0.02)
    exact = SCALING.offset - SCALING.factor * np.log(limit / (1 - limit))
    assert exact % 1 == pytest.approx(0.5, abs=1e-6)


def test_probabilities_stay_within_0_and_1() -> None:
    extreme = sigmoid(np.array([-1e4, -40.0, 0.0, 40.0, 1e4]))
    assert ((extreme > 0) & (extreme < 1)).all()
    assert (np.diff(extreme) > 0).sum() >= 3


def test_a_row_by_itself_has_the_bits_that_it_has_among_others() -> None:
    log_odds = np.concatenate([np.random.default_rng(3).normal(0, 4, 3_000), [0.0, -0.0, 709.0, -745.2, 1e6, -1e6]])
    scaling = Scaling(600.0, 30.0, 20.0)
    rows = [log_odds[place : place + 1] for place in range(len(log_odds))]
    assert np.concatenate([sigmoid(row) for row in rows]).tobytes() == sigmoid(log_odds).tobytes()
    assert [int(scaling.whole_points(row)[0]) for row in rows] == scaling.whole_points(log_odds).tolist()
