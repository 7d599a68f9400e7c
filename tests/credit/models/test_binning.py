"""Bins: exact, along one trend, never pure, and found by the same function at fit and at score."""

import itertools
import math
import time

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.credit.dictionary import Feature
from components.credit.models.binning import Binning, fit_binning
from components.credit.models.trends import Trend, best_runs

NUMBER = Feature("x", "number", "x", "x", "applications", "attribute")
CATEGORY = Feature("x", "category", "x", "x", "applications", "attribute")


def _bad(risk: np.ndarray, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random(len(risk)) < risk).astype(np.int64)


def _rates(binning: Binning) -> list[float]:
    return [bin.bads / bin.rows for bin in binning.bins[binning.ordered_from :]]


def _follows(rates: list[float], trend: Trend) -> bool:
    steps = [b > a for a, b in itertools.pairwise(rates)]
    distinct = all(a != b for a, b in itertools.pairwise(rates))
    turns = sum(a != b for a, b in itertools.pairwise(steps))
    return {
        "increasing": distinct and all(steps),
        "decreasing": distinct and not any(steps),
        "peak": distinct and (turns == 0 or (turns == 1 and steps[0])),
        "valley": distinct and (turns == 0 or (turns == 1 and not steps[0])),
        "free": True,
    }[trend]


def _likelihood(rows: np.ndarray, bads: np.ndarray) -> float:
    rate = bads.sum() / rows.sum()
    return sum(
        count * math.log(share) if count else 0.0
        for count, share in ((bads.sum(), rate), (rows.sum() - bads.sum(), 1 - rate))
    )


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=7),
    st.sampled_from(["increasing", "decreasing", "peak", "valley", "free"]),
    st.integers(1, 8),
    st.integers(2, 5),
)
@settings(max_examples=150, deadline=None)
def test_segments_are_the_best_of_all(fine: list[tuple[int, int]], trend: Trend, least: int, most: int) -> None:
    rows = np.array([n for n, _ in fine], dtype=np.float64)
    bads = np.array([min(n, b) for n, b in fine], dtype=np.float64)
    starts, found = best_runs(rows, bads, least, most, trend)
    best = -math.inf
    for count in range(most):
        for cuts in itertools.combinations(range(1, len(rows)), count):
            parts = [(rows[a:b], bads[a:b]) for a, b in itertools.pairwise([0, *cuts, len(rows)])]
            rates = [b.sum() / n.sum() for n, b in parts]
            if all(n.sum() >= least for n, _ in parts) and _follows(rates, trend):
                best = max(best, sum(_likelihood(n, b) for n, b in parts))
    assert found == pytest.approx(best, abs=1e-9)
    assert starts[0] == 0
    if math.isfinite(best):
        edges = itertools.pairwise([*starts, len(rows)])
        assert sum(_likelihood(rows[a:b], bads[a:b]) for a, b in edges) == pytest.approx(best, abs=1e-9)


def test_a_zero_heavy_count_keeps_its_few_late_payers_apart() -> None:
    random = np.random.default_rng(1)
    late = np.where(random.random(20_000) < 0.93, 0, random.poisson(1.2, 20_000) + 1).astype(float)
    binning = fit_binning(NUMBER, late, _bad(np.minimum(0.05 + 0.2 * late, 0.8)), 8, 0.005)
    assert binning.trend == "increasing"
    assert binning.cuts[:3] == [1, 2, 3]
    assert _rates(binning) == sorted(_rates(binning))


def test_bins_hold_to_the_limits() -> None:
    x = np.random.default_rng(2).normal(size=3_000)
    binning = fit_binning(NUMBER, x, _bad(1 / (1 + np.exp(-2 * x))), 5, 0.1)
    ranges = binning.bins[binning.ordered_from :]
    assert len(ranges) == 5
    assert min(bin.rows for bin in ranges) >= 300


def test_missing_and_each_special_code_have_their_own_evidence() -> None:
    random = np.random.default_rng(3)
    x = random.normal(50, 10, 4_000)
    x[:400], x[400:800], x[800:1_200] = np.nan, -9, -8
    risk = np.full(4_000, 0.2)
    risk[:400], risk[400:800], risk[800:1_200] = 0.5, 0.02, 0.8
    binning = fit_binning(msgspec.structs.replace(NUMBER, special=[-8.0, -9.0]), x, _bad(risk), 6, 0.05)
    by_label = {bin.label: bin for bin in binning.bins}
    assert [bin.label for bin in binning.bins[:3]] == ["missing", "-9", "-8"]
    assert {by_label[label].rows for label in ("missing", "-9", "-8")} == {400}
    assert by_label["-8"].woe < by_label["missing"].woe < 0 < by_label["-9"].woe
    assert min(binning.cuts, default=1.0) > 0, "codes are no amounts"


@pytest.mark.parametrize("trend", ["increasing", "decreasing"])
def test_a_known_trend_is_kept_whatever_the_data_say(trend: Trend) -> None:
    x = np.random.default_rng(4).uniform(0, 10, 5_000)
    humped = fit_binning(msgspec.structs.replace(NUMBER, trend=trend), x, _bad(0.5 - 0.018 * (x - 5) ** 2), 8, 0.03)
    assert len(humped.cuts) >= 2
    assert _follows(_rates(humped), trend)


def test_the_trend_is_found_where_it_is_not_known() -> None:
    x = np.random.default_rng(5).uniform(0, 10, 6_000)
    risks = {"increasing": 0.1 + 0.05 * x, "decreasing": 0.6 - 0.05 * x, "peak": 0.5 - 0.018 * (x - 5) ** 2}
    risks["valley"] = 0.55 - risks["peak"]
    found = {trend: fit_binning(NUMBER, x, _bad(risk), 8, 0.03) for trend, risk in risks.items()}
    assert {trend: binning.trend for trend, binning in found.items()} == {trend: trend for trend in risks}
    assert all(_follows(_rates(binning), binning.trend) for binning in found.values())


def test_noise_earns_no_turn_and_little_information() -> None:
    random = np.random.default_rng(6)
    binning = fit_binning(NUMBER, random.normal(size=5_000), _bad(np.full(5_000, 0.2)), 8, 0.03)
    assert binning.trend in ("increasing", "decreasing")
    assert binning.information_value < 0.02


def test_no_bin_is_empty_or_pure() -> None:
    x = np.repeat([0.0, 1.0, 2.0], [500, 300, 200])
    bad = np.concatenate([np.zeros(500), np.tile([0, 1], 150), np.ones(200)]).astype(np.int64)
    binning = fit_binning(NUMBER, x, bad, 8, 0.05)
    assert [bin.rows for bin in binning.bins] == [0, 500, 300, 200]
    assert [bin.bads for bin in binning.bins] == [0, 0, 150, 200]
    assert all(math.isfinite(bin.woe) for bin in binning.bins)
    assert binning.bins[0].woe == pytest.approx(0, abs=1e-9), "no rows, no evidence"


def test_rare_and_unseen_categories_share_a_bin() -> None:
    random = np.random.default_rng(7)
    names = np.array(["commerce", "food", "transport", None, *(f"odd {i}" for i in range(40))], dtype=object)
    x = random.choice(names, 5_000, p=[0.4, 0.25, 0.2, 0.05, *[0.1 / 40] * 40])
    risk = np.select([x == "commerce", x == "food", x == "transport"], [0.1, 0.2, 0.35], 0.6)
    binning = fit_binning(CATEGORY, x, _bad(risk), 8, 0.03)
    assert [bin.label for bin in binning.bins] == ["missing", "other", "commerce", "food", "transport"]
    assert binning.index(["mining", None, float("nan"), "odd 3", "food"]).tolist() == [1, 0, 0, 1, 3]
    assert binning.bins[1].woe < binning.bins[4].woe < binning.bins[2].woe


def test_cuts_are_round_where_they_may_be() -> None:
    x = np.repeat([1_487.21, 1_512.9, 2_998.4, 3_104.77], 250)
    bad = np.concatenate([np.arange(250) < bads for bads in (12, 50, 60, 150)]).astype(np.int64)
    binning = fit_binning(NUMBER, x, bad, 8, 0.05)
    assert [bin.label for bin in binning.bins] == ["missing", "< 1500", "[1500, 2000)", "[2000, 3000)", "≥ 3000"]


@given(
    st.lists(
        st.one_of(st.none(), st.floats(allow_nan=True, width=64), st.integers(-9, 9).map(float)),
        min_size=2,
        max_size=80,
    ),
    st.randoms(use_true_random=False),
)
@settings(max_examples=80, deadline=None)
def test_counts_are_those_of_scoring_the_training_rows(values: list[float | None], random: object) -> None:
    bad = np.arange(len(values)) % 2
    feature = msgspec.structs.replace(NUMBER, special=[-9.0, 0.0])
    binning = fit_binning(feature, np.array(values, dtype=np.float64), bad, 6, 0.05)
    kept = msgspec.json.decode(msgspec.json.encode(binning), type=Binning)
    index = kept.index(values)
    assert np.bincount(index, minlength=len(binning.bins)).tolist() == [bin.rows for bin in binning.bins]
    assert kept.index([values[0]])[0] == index[0]


@pytest.mark.parametrize(
    "column",
    [np.full(500, 3.0), np.full(500, np.nan), np.array([np.inf, -np.inf] * 250), np.full(500, -9.0)],
    ids=["constant", "all missing", "infinite", "one code"],
)
def test_a_column_that_tells_nothing_still_bins(column: np.ndarray) -> None:
    binning = fit_binning(msgspec.structs.replace(NUMBER, special=[-9.0]), column, _bad(np.full(500, 0.3)), 8, 0.05)
    assert binning.information_value < 0.05
    assert len(binning.index(column)) == 500


def test_ten_thousand_categories_become_one_bin() -> None:
    x = np.array([f"c{i}" for i in range(10_000)], dtype=object)
    binning = fit_binning(CATEGORY, x, _bad(np.full(10_000, 0.3)), 8, 0.03)
    assert [bin.label for bin in binning.bins] == ["missing", "other"]
    assert binning.information_value < 1e-6


def test_it_is_fast() -> None:
    x = np.random.default_rng(8).lognormal(size=150_000)
    bad = _bad(1 / (1 + np.exp(2 - 0.1 * x)))
    started = time.process_time()
    fit_binning(NUMBER, x, bad, 8, 0.03)
    assert time.process_time() - started < 1
