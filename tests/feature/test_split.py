"""Samples: who trains, who tests, who does neither."""

import datetime
from collections import Counter
from collections.abc import Callable, Iterator

import duckdb
import pyarrow as pa
import pytest

from components.credit.config import Config, Limits, Target
from components.credit.config import Split as Splitting
from components.credit.errors import GateStopped, InputError
from components.feature.split import Split, assign_samples, check_samples, counted

Label = tuple[str, str, str, str]  # application, borrower, day, label
Assign = Callable[..., tuple[Split, dict[str, str]]]
FIRST = datetime.date(2020, 1, 1)


def day(number: int) -> str:
    return (FIRST + datetime.timedelta(days=number)).isoformat()


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


@pytest.fixture
def assign(connection: duckdb.DuckDBPyConnection) -> Assign:
    def run(labels: list[Label], config: Config, dated: bool = True) -> tuple[Split, dict[str, str]]:
        names = ["application_id", "borrower_id", "decided_day", "label"]
        connection.register("given", pa.table(dict(zip(names, zip(*labels, strict=True), strict=True))))
        connection.execute("DROP TABLE IF EXISTS samples")
        connection.execute(
            "CREATE OR REPLACE TABLE labels AS SELECT * REPLACE (decided_day::DATE AS decided_day) FROM given"
        )
        split = assign_samples(connection, config, dated)
        return split, dict(connection.execute("SELECT application_id, sample FROM samples").fetchall())

    return run


def book(days: int, a_day: int = 1) -> list[Label]:
    """An application or more a day, each of another borrower, every fourth bad."""
    return [
        (f"a{number}-{nth}", f"b{number}-{nth}", day(number), "bad" if (number + nth) % 4 == 0 else "good")
        for number in range(days)
        for nth in range(a_day)
    ]


def test_the_latest_quarter_tests_and_an_embargo_lies_before_it(assign: Assign):
    config = Config(target=Target(window_days=30), split=Splitting(test_share=0.25))
    split, samples = assign(book(200), config)
    assert split == Split("out_of_time", FIRST + datetime.timedelta(days=150), 30, "")
    assert Counter(samples.values()) == {"train": 120, "embargo": 30, "test": 50}
    assert (samples["a150-0"], samples["a149-0"]) == ("test", "embargo")
    # Decided on day 119 its window ends on day 149, the day before the test set begins.
    assert (samples["a120-0"], samples["a119-0"]) == ("embargo", "train")


def test_the_embargo_of_the_configuration_counts(assign: Assign):
    _, samples = assign(book(200), Config(split=Splitting(embargo_days=0)))
    assert Counter(samples.values()) == {"train": 150, "test": 50}


def test_a_day_is_never_cut(assign: Assign):
    labels = book(10, a_day=7)
    _, samples = assign(labels, Config(split=Splitting(embargo_days=0)))
    for number in range(10):
        assert len({samples[f"a{number}-{nth}"] for nth in range(7)}) == 1
    assert Counter(samples.values())["test"] in (14, 21)  # of 70, the nearest to 17.5


def test_only_labelled_applications_are_counted_and_tested(assign: Assign):
    labels = [
        *book(100),
        *[(f"u{number}", f"u{number}", day(number), "unlabelled") for number in range(90, 300)],
        ("i", "i", day(99), "indeterminate"),
    ]
    split, samples = assign(labels, Config(split=Splitting(embargo_days=0)))
    assert split.test_from == FIRST + datetime.timedelta(days=75)
    assert samples["i"] == "indeterminate"
    assert Counter(samples.values()) == {"train": 75, "test": 25, "unlabelled": 210, "indeterminate": 1}


def test_a_borrower_of_the_test_set_does_not_train(assign: Assign):
    labels = [
        *book(100),
        ("early", "b90-0", day(3), "bad"),
        ("declined", "b2-0", day(95), "unlabelled"),
        ("close", "b91-0", day(72), "good"),
    ]
    _, samples = assign(labels, Config(split=Splitting(embargo_days=5)))
    assert (samples["early"], samples["a90-0"]) == ("excluded", "test")
    assert samples["a2-0"] == "train"  # a declined application tests nothing
    assert samples["close"] == "embargo"


def test_a_book_without_dates_is_split_at_random_by_borrower(assign: Assign):
    labels = [(f"a{number}", f"b{number // 3}", day(0), "bad" if number % 5 == 0 else "good") for number in range(3000)]
    split, samples = assign(labels, Config(), dated=False)
    assert (split.kind, split.test_from, split.embargo_days) == ("random grouped by borrower", None, 0)
    assert "no dates" in split.reason
    assert Counter(samples.values())["test"] / 3000 == pytest.approx(0.25, abs=0.03)
    assert set(samples.values()) == {"train", "test"}
    for number in range(0, 3000, 3):
        assert len({samples[f"a{number + nth}"] for nth in range(3)}) == 1
    assert assign(labels[::-1], Config(), dated=False)[1] == samples
    assert assign(labels, Config(seed=1), dated=False)[1] != samples


def test_a_random_split_of_a_dated_book_needs_a_reason(assign: Assign):
    with pytest.raises(InputError, match="random_reason"):
        assign(book(100), Config(split=Splitting(kind="random")))
    split, _ = assign(book(100), Config(split=Splitting(kind="random", random_reason="a comparison")))
    assert (split.kind, split.reason) == ("random grouped by borrower", "a comparison")


def test_a_date_of_one_value_is_refused_and_says_what_to_set(assign: Assign):
    with pytest.raises(InputError, match=r"decided on 2020-01-01, .* set split\.kind to random"):
        assign(book(1, a_day=40), Config())


def test_labels_of_one_class_or_none_are_refused(assign: Assign):
    with pytest.raises(InputError, match="None of the 1 applications has a known outcome"):
        assign([("a", "b", day(0), "unlabelled")], Config())
    for only in ("good", "bad"):
        with pytest.raises(InputError, match=f"All 2 applications .* are {only}"):
            assign([("a", "b", day(0), only), ("c", "d", day(9), only), ("e", "f", day(9), "indeterminate")], Config())


def test_too_few_bads_to_train_on_stop_the_run(assign: Assign, connection: duckdb.DuckDBPyConnection):
    config = Config(target=Target(window_days=100), limits=Limits(least_bads=13))
    split, _ = assign(book(200), config)
    rows, bads = counted(connection)
    assert (rows["train"], bads["train"], rows["unlabelled"], bads["test"]) == (50, 13, 0, 12)
    check_samples(split, rows, bads, config)
    with pytest.raises(
        GateStopped, match=r"2020-05-30 less an embargo of 100 days holds 13 bads .*least_bads asks for 14"
    ):
        check_samples(split, rows, bads, Config(limits=Limits(least_bads=14)))


def test_an_embargo_that_leaves_nothing_says_what_to_set(assign: Assign, connection: duckdb.DuckDBPyConnection):
    split, _ = assign(book(200), Config())
    with pytest.raises(GateStopped, match=r"set split\.embargo_days"):
        check_samples(split, *counted(connection), Config())
