import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_score, recall_score, roc_auc_score

from components.credit import drift, metrics


def portfolio(rows: int, seed: int = 7, skill: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes and calibrated probabilities of bad."""
    random = np.random.default_rng(seed)
    probability = 1 / (1 + np.exp(-(-1.5 + skill * random.normal(size=rows))))
    return (random.random(rows) < probability).astype(int), probability


def test_auc_ks_and_gini_of_a_case_worked_by_hand():
    # Bads at .8 and .4, goods at .6, .4, .2 and .1: of 8 pairs 6 are right and 1 is a tie.
    bad = [1, 0, 1, 0, 0, 0]
    score = [0.8, 0.6, 0.4, 0.4, 0.2, 0.1]
    assert metrics.roc_auc(bad, score) == pytest.approx(6.5 / 8)
    assert metrics.gini(6.5 / 8) == pytest.approx(0.625)
    # At or below .2: half of the goods, no bad; at or below .6 the gap is 1 - .5.
    assert metrics.ks(bad, score) == pytest.approx(0.5)


def test_brier_and_log_loss_of_a_case_worked_by_hand():
    assert metrics.brier([1, 0], [0.8, 0.3]) == pytest.approx((0.04 + 0.09) / 2)
    assert metrics.log_loss([1, 0], [0.8, 0.3]) == pytest.approx(-(np.log(0.8) + np.log(0.7)) / 2)
    assert np.isfinite(metrics.log_loss([1, 0], [0.0, 1.0]))


@given(st.integers(0, 2**32 - 1), st.integers(2, 12))
@settings(max_examples=30, deadline=None)
def test_ks_is_the_two_sample_statistic_and_counts_give_the_same_auc(seed: int, scores: int):
    random = np.random.default_rng(seed)
    bad = np.r_[0, 1, random.integers(0, 2, 60)]
    score = random.integers(0, scores, bad.size)
    assert metrics.ks(bad, score) == pytest.approx(stats.ks_2samp(score[bad == 1], score[bad == 0]).statistic)
    level = metrics.levels(score)
    of_counts = metrics.auc_of_counts(metrics.counts(level, bad), metrics.counts(level, 1 - bad))
    assert of_counts == pytest.approx(roc_auc_score(bad, score))


def test_counts_without_one_class_have_no_ks_and_no_auc():
    assert np.isnan(metrics.ks_of_counts(np.zeros(3), np.ones(3)))
    assert np.isnan(metrics.auc_of_counts(np.zeros(3), np.ones(3)))


def test_figures_at_the_cutoff_are_those_of_scikit_learn():
    bad, probability = portfolio(500)
    matrix = metrics.confusion_matrix(bad, probability, 0.25)
    declined = probability > 0.25
    assert matrix.tolist() == confusion_matrix(bad, declined).tolist()
    found = metrics.at_cutoff(matrix)
    assert found["accuracy"] == pytest.approx(accuracy_score(bad, declined))
    assert found["precision"] == pytest.approx(precision_score(bad, declined))
    assert found["recall"] == pytest.approx(recall_score(bad, declined))
    assert found["f1"] == pytest.approx(f1_score(bad, declined))
    assert found["approval_rate"] == pytest.approx(1 - declined.mean())


def test_an_application_at_the_cutoff_is_approved():
    assert metrics.confusion_matrix([0, 1], [0.2, 0.2], 0.2).tolist() == [[1, 0], [1, 0]]


def test_nobody_declined_has_no_precision():
    assert metrics.at_cutoff(np.array([[3, 0], [1, 0]])) == {
        "accuracy": 0.75, "precision": 0.0, "recall": 0.0, "f1": 0.0, "approval_rate": 1.0,
    }  # fmt: skip


def test_delong_is_the_formula_of_placements():
    # The definition in plain loops, on scores with ties.
    random = np.random.default_rng(3)
    bad = np.r_[1, 1, 0, 0, random.integers(0, 2, 40)]
    scores = random.integers(0, 6, (2, bad.size)).astype(float)
    bads, goods = scores[:, bad == 1], scores[:, bad == 0]
    wins = (bads[:, :, None] > goods[:, None, :]) + 0.5 * (bads[:, :, None] == goods[:, None, :])
    expected = np.cov(wins.mean(axis=2)) / bads.shape[1] + np.cov(wins.mean(axis=1)) / goods.shape[1]
    auc, covariance = metrics.delong(bad, scores)
    assert auc == pytest.approx([roc_auc_score(bad, score) for score in scores])
    assert covariance == pytest.approx(expected)


def test_delong_agrees_with_the_bootstrap():
    bad, probability = portfolio(1_500)
    other = probability + np.random.default_rng(1).normal(0, 0.1, bad.size)
    level, other_level = metrics.levels(probability), metrics.levels(other)

    def aucs(weight: np.ndarray) -> np.ndarray:
        return np.array(
            [
                metrics.auc_of_counts(metrics.counts(of, weight * bad), metrics.counts(of, weight * (1 - bad)))
                for of in (level, other_level)
            ]
        )

    drawn = metrics.bootstrap(aucs, np.arange(bad.size), 800, seed=5)
    interval = metrics.auc_interval(bad, probability, 0.95)
    low, high = metrics.percentile_interval(drawn[:, :1], 0.95)
    assert (interval.low, interval.high) == pytest.approx((low[0], high[0]), abs=0.006)
    paired = metrics.delong_test(bad, probability, other, 0.95)
    assert (paired.high - paired.low) / 3.92 == pytest.approx((drawn[:, 0] - drawn[:, 1]).std(), rel=0.1)


def test_interval_holds_the_truth_about_as_often_as_it_says():
    truth = metrics.roc_auc(*portfolio(200_000, seed=99))
    held = []
    for seed in range(200):
        interval = metrics.auc_interval(*portfolio(400, seed), 0.90)
        held.append(interval.low <= truth <= interval.high)
    assert 0.84 <= np.mean(held) <= 0.96


@pytest.mark.parametrize(("distance", "bads", "goods"), [(1.14, 155, 1417), (1.14, 40, 360), (0.5, 155, 1417)])
def test_the_interval_of_ks_holds_the_truth_as_often_as_it_says(distance: float, bads: int, goods: int):
    # Two normal scores that lie a distance apart: KS = 2 Phi(distance / 2) - 1.
    truth = 2 * stats.norm.cdf(distance / 2) - 1
    random, bad = np.random.default_rng(3), np.repeat([1, 0], [bads, goods])
    found = [metrics.ks_interval(bad, random.normal(size=bad.size) + distance * bad, 0.95) for _ in range(400)]
    assert np.mean([each.low <= truth <= each.high for each in found]) >= 0.945
    assert np.mean([truth < each.low for each in found]) <= 0.04
    assert np.mean([truth > each.high for each in found]) <= 0.04
    gap = 4 * np.sqrt(1 / bads + 1 / goods) * np.sqrt(0.25)
    assert np.mean([each.high - each.low for each in found]) < 1.35 * gap


def test_the_interval_of_ks_counts_a_borrower_once():
    bad, probability = portfolio(400)
    twice, people = (np.tile(bad, 2), np.tile(probability, 2)), np.tile(np.arange(400), 2)
    once, doubled = metrics.ks_interval(bad, probability, 0.95), metrics.ks_interval(*twice, 0.95, people)
    assert (doubled.value, doubled.low, doubled.high) == pytest.approx((once.value, once.low, once.high), abs=0.02)
    assert metrics.ks_interval(*twice, 0.95).high < doubled.high - 0.01


def test_the_interval_of_ks_says_nothing_of_one_bad_row():
    interval = metrics.ks_interval([1, 0, 0, 0], [0.9, 0.1, 0.2, 0.3], 0.95)
    assert (interval.value, interval.low, interval.high) == (1.0, 0.0, 1.0)


def test_a_borrower_with_two_like_rows_counts_once():
    bad, probability = portfolio(400)
    once = metrics.delong(bad, probability)[1][0, 0]
    twice = np.tile(bad, 2), np.tile(probability, 2)
    assert metrics.delong(*twice)[1][0, 0] == pytest.approx(once / 2, rel=0.02)
    assert metrics.delong(*twice, np.tile(np.arange(400), 2))[1][0, 0] == pytest.approx(once, rel=0.02)


def test_rows_of_borrowers_who_come_once_change_nothing():
    bad, probability = portfolio(300)
    people = np.array([f"person {row}" for row in range(300)])
    assert metrics.delong(bad, probability, people)[1] == pytest.approx(metrics.delong(bad, probability)[1])


def test_borrowers_with_goods_and_bads_are_as_the_bootstrap_of_borrowers_finds():
    random = np.random.default_rng(11)
    borrower = np.repeat(np.arange(300), 4)
    risk = np.repeat(random.normal(size=300), 4)
    probability = 1 / (1 + np.exp(-(risk - 1)))
    bad = (random.random(borrower.size) < probability).astype(int)
    level = metrics.levels(probability)

    def auc(weight: np.ndarray) -> np.ndarray:
        return np.array(
            [metrics.auc_of_counts(metrics.counts(level, weight * bad), metrics.counts(level, weight * (1 - bad)))]
        )

    drawn = metrics.bootstrap(auc, borrower, 600, seed=5)
    assert np.sqrt(metrics.delong(bad, probability, borrower)[1][0, 0]) == pytest.approx(drawn.std(), rel=0.12)


def test_equal_scores_do_not_differ():
    bad, probability = portfolio(300)
    difference = metrics.delong_test(bad, probability, 2 * probability, 0.95)
    assert (difference.value, difference.p_value) == (0.0, 1.0)


def test_a_better_score_is_told_from_a_worse_one():
    bad, probability = portfolio(3_000)
    noisy = probability + np.random.default_rng(1).normal(0, 0.2, bad.size)
    difference = metrics.delong_test(bad, probability, noisy, 0.95)
    assert difference.value > 0 < difference.low
    assert difference.p_value < 0.001
    back = metrics.delong_test(bad, noisy, probability, 0.95)
    assert (back.value, back.p_value) == pytest.approx((-difference.value, difference.p_value))


def test_one_bad_row_says_nothing_of_the_variance():
    interval = metrics.auc_interval([1, 0, 0, 0], [0.9, 0.1, 0.2, 0.3], 0.95)
    assert (interval.value, interval.low, interval.high) == (1.0, 0.0, 1.0)
    assert metrics.delong_test([1, 0, 0], [0.9, 0.1, 0.2], [0.1, 0.9, 0.2], 0.95).p_value == 1.0


def test_wilson_is_scipys_interval():
    low, high = metrics.wilson([0, 3, 40, 50], [50, 50, 50, 50], 0.95)
    for place, events in enumerate((0, 3, 40, 50)):
        expected = stats.binomtest(events, 50).proportion_ci(0.95, method="wilson")
        assert (low[place], high[place]) == pytest.approx((expected.low, expected.high))


def test_intervals_of_nothing_are_all_of_it():
    assert [float(end) for end in metrics.wilson(0, 0, 0.95)] == [0, 1]
    assert [float(end) for end in metrics.jeffreys(0, 0, 0.95)] == [0, 1]


def test_jeffreys_interval_leaves_out_equal_tails_of_the_posterior():
    # Posterior of a share under Jeffreys' prior after 4 of 30, on a fine grid.
    share = (np.arange(200_000) + 0.5) / 200_000
    density = share**3.5 * (1 - share) ** 25.5
    below = np.cumsum(density) / density.sum()
    low, high = metrics.jeffreys(4, 30, 0.95)
    assert np.interp([float(low), float(high)], share, below) == pytest.approx([0.025, 0.975], abs=1e-4)


def test_jeffreys_interval_reaches_the_end_where_nothing_or_all_happened():
    low, high = metrics.jeffreys([0, 30], [30, 30], 0.95)
    assert (low[0], high[1]) == (0, 1)
    assert high[0] == pytest.approx(1 - low[1])
    assert 0 < high[0] < 0.12


def test_jeffreys_backtest_sees_understated_risk():
    p_values = metrics.jeffreys_test([5, 10, 20], [100, 100, 100], [0.1, 0.1, 0.1])
    assert p_values[0] > 0.9
    assert 0.4 < p_values[1] < 0.6
    assert p_values[2] < 0.01


def test_calibration_line_finds_the_distortion_that_was_put_in():
    bad, probability = portfolio(20_000)
    line = metrics.calibration_line(bad, probability, 0.99)
    assert line is not None
    assert line.slope.low < 1 < line.slope.high
    assert line.intercept.low < 0 < line.intercept.high
    log_odds = np.log(probability / (1 - probability))
    bent = metrics.calibration_line(bad, 1 / (1 + np.exp(-(2 * log_odds + 1))), 0.95)
    assert bent is not None
    assert bent.slope.value == pytest.approx(line.slope.value / 2, rel=1e-3)
    assert bent.intercept.value == pytest.approx(line.intercept.value - line.slope.value / 2, abs=1e-3)


def test_calibration_line_is_not_told_where_it_cannot_be():
    assert metrics.calibration_line([0, 1, 0], [0.3, 0.3, 0.3], 0.95) is None
    assert metrics.calibration_line([0, 0, 1], [0.1, 0.2, 0.3], 0.95) is None


def test_psi_of_a_case_worked_by_hand():
    # Shares .5/.5 against .6/.4: .1 ln 1.2 + -.1 ln .8 = .0405.
    shift = drift.psi([50, 50], [60, 40], 0.95)
    assert shift.psi == pytest.approx(0.1 * np.log(1.2) - 0.1 * np.log(0.8))
    assert shift.critical == pytest.approx((1 / 100 + 1 / 100) * 3.8415, rel=1e-4)
    assert shift.verdict == "stable"


@pytest.mark.parametrize(
    ("actual", "verdict"),
    [
        ([52_000, 48_000], "small"),
        ([65_000, 35_000], "small"),
        ([70_000, 30_000], "moderate"),
        ([80_000, 20_000], "large"),
    ],
)
def test_psi_verdict_of_large_samples_is_by_size(actual: list[int], verdict: str):
    assert drift.psi([50_000, 50_000], actual, 0.95).verdict == verdict


def test_psi_alarms_as_seldom_as_it_says_without_a_shift():
    random = np.random.default_rng(2)
    alarms = [
        drift.psi(random.multinomial(400, [0.1] * 10), random.multinomial(150, [0.1] * 10), 0.95).verdict != "stable"
        for _ in range(600)
    ]
    assert 0.02 <= np.mean(alarms) <= 0.09


def test_psi_of_an_empty_bin_is_finite():
    assert 0 < drift.psi([50, 0, 50], [40, 20, 40], 0.95).psi < 3
    assert drift.psi([100], [80], 0.95).psi == 0


def test_edges_part_rows_evenly_and_keep_equal_values_together():
    edges = drift.quantile_edges(np.arange(100), 4)
    assert np.bincount(np.searchsorted(edges, np.arange(100))).tolist() == [25, 25, 25, 25]
    assert drift.quantile_edges([1, 1, 1, 1, 1, 1, 1, 2], 4).tolist() == [1]
    assert drift.quantile_edges([3, 3, 3], 4).tolist() == []


def test_bootstrap_is_seeded_and_draws_whole_borrowers():
    borrower = ["a", "a", "b", "c"]
    drawn = metrics.bootstrap(lambda weight: weight, borrower, 50, seed=4)
    assert (drawn == metrics.bootstrap(lambda weight: weight, borrower, 50, seed=4)).all()
    assert (drawn != metrics.bootstrap(lambda weight: weight, borrower, 50, seed=5)).any()
    assert (drawn[:, 0] == drawn[:, 1]).all()
    assert (drawn[:, 1:].sum(axis=1) == 3).all()
