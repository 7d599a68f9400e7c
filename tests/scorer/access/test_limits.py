import time

import pytest

from components.scorer.access.limits import Buckets


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    now = 100.0
    buckets = Buckets(2.0, 3.0, lambda: now)
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, pytest.approx(0.5)]
    assert buckets.wait("a") == pytest.approx(0.5)
    assert buckets.take("b") == 0
    now += 0.5
    assert [buckets.take("a"), buckets.take("a")] == [0, pytest.approx(0.5)]
    now += 100
    assert [buckets.take("a") > 0 for _ in range(4)] == [False, False, False, True]


def test_names_without_end_do_not_fill_the_memory() -> None:
    now = 0.0
    buckets = Buckets(1.0, 1.0, lambda: now)
    for place in range(30_000):
        now = time.monotonic()
        buckets.take(str(place))
    assert len(buckets._empty_until) <= 10_000
