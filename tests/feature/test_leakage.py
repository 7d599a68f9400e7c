"""Leaks that are planted are found, and the run is refused unless someone answers for them."""

from collections.abc import Callable, Iterator

import duckdb
import pyarrow as pa
import pytest

from components.credit.config import Limits
from components.credit.dictionary import Feature
from components.credit.errors import GateStopped
from components.credit.features.notes import Finding
from components.feature.leakage import checked, leak_rows, leaks, refuse

Find = Callable[..., list[Finding]]
N = 200
BAD = [number % 4 == 0 for number in range(N)]
NOISE = [float(number * 37 % 199) for number in range(N)]


def feature(name: str, type_: str = "number") -> Feature:
    return Feature(name, type_, name, name, "applications", "loan_terms")  # type: ignore[arg-type]


@pytest.fixture
def find() -> Iterator[Find]:
    with duckdb.connect() as connection:

        def run(
            columns: dict[str, list[object]], samples: list[str] | None = None, people: list[int] | None = None
        ) -> list[Finding]:
            names = [f"a{number}" for number in range(N)]
            chosen = samples or ["train" if number < 150 else "test" for number in range(N)]
            borrowers = [f"b{number}" for number in people or range(N)]
            connection.register("made", pa.table({"application_id": names, **columns}))
            connection.register(
                "samples",
                pa.table(
                    {
                        "application_id": names,
                        "borrower_id": borrowers,
                        "sample": chosen,
                        "bad": [int(bad) for bad in BAD],
                    }
                ),
            )
            entries = [
                feature(name, "category" if any(isinstance(value, str) for value in values) else "number")
                for name, values in columns.items()
            ]
            found = leaks(connection, entries, checked(connection, entries, Limits()))
            run.rows = leak_rows(connection, entries, found).to_pylist()  # type: ignore[attr-defined]
            return found

        yield run


def test_honest_features_are_no_leak(find: Find):
    found = find({"noise": NOISE, "sector": [["food", "trade", None][number % 3] for number in range(N)]})
    assert found == []
    refuse(found, Limits(), "")


@pytest.mark.parametrize(
    "leak",
    [
        [10.0 if bad else 1.0 for bad in BAD],
        [1.0 if bad else 10.0 for bad in BAD],
        [None if bad else 10.0 - value for bad, value in zip(BAD, NOISE, strict=True)],
        [value if bad else None for bad, value in zip(BAD, NOISE, strict=True)],
        ["closed" if bad else ["open", "new"][number % 2] for number, bad in enumerate(BAD)],
    ],
    ids=["high", "low", "missing means bad", "missing means good", "category"],
)
def test_a_feature_that_knows_the_outcome_is_found(find: Find, leak: list[object]):
    (found,) = find({"noise": NOISE, "status": leak})
    assert (found.kind, found.feature, found.auc) == ("single feature", "status", 1.0)
    assert found.rows == N
    values = {each["application_id"]: (each["feature"], each["value"], each["bad"]) for each in find.rows}
    for number, value in enumerate(leak):
        told = None if value is None else str(value)
        assert values[f"a{number}"] == ("status", told, int(BAD[number]))
    with pytest.raises(GateStopped, match=r"feature status alone reaches an AUC of 1\.000 .* limits\.leakage_reason"):
        refuse([found], Limits(), "quipu-data/leakage/x")
    refuse([found], Limits(leakage_reason="the status is known at the desk"), "")


def test_a_category_of_noise_is_no_leak_however_many_values_it_has(find: Find):
    assert find({"noise": NOISE, "document": [f"d{number}" for number in range(N)]}) == []
    assert find({"noise": NOISE, "agent": [f"g{number * 7 % 90}" for number in range(N)]}) == []


def test_a_leak_in_one_of_many_categories_is_found(find: Find):
    # Each officer writes a word of his own on what went wrong, so that there are many words and each is seldom.
    words = [f"{'collected' if bad else 'fine'} by {number // 4 % 20}" for number, bad in enumerate(BAD)]
    (found,) = find({"noise": NOISE, "remark": words})
    assert (found.feature, found.auc is not None and found.auc > 0.95) == ("remark", True)


def test_only_the_samples_that_train_or_test_are_judged(find: Find):
    leak = [10.0 if bad else 1.0 for bad in BAD]
    kept = ["train" if number % 50 < 2 else "embargo" for number in range(N)]
    noise = [5.0 if sample == "train" else value for sample, value in zip(kept, leak, strict=True)]
    found = find({"status": noise, "noise": NOISE}, samples=kept)
    assert found == []


def test_rows_that_repeat_each_other_are_found(find: Find):
    repeated = [value if number >= 40 else 1000.0 for number, value in enumerate(NOISE)]
    (found,) = find({"noise": repeated})
    assert (found.kind, found.share) == ("repeated rows", 0.195)  # 39 of the 40 repeat the first
    assert found.rows == 40
    assert {each["application_id"] for each in find.rows} == {f"a{number}" for number in range(40)}
    assert {each["repeats"] for each in find.rows} == {"a0"}
    with pytest.raises(GateStopped, match=r"share of 0\.195 of the applications repeat"):
        refuse([found], Limits(), "quipu-data/leakage/x")


def test_a_borrower_on_both_sides_is_refused_whatever_the_reason(find: Find):
    found = find({"noise": NOISE}, people=[min(number, 180) % 150 for number in range(N)])
    assert found[0].kind == "borrowers on both sides"
    assert found[0].rows == 31 * 2 + 19  # number 180 to 199 are one borrower, who is number 30 too
    assert {each["borrower_id"] for each in find.rows} == {f"b{number}" for number in range(31)}
    assert {each["sample"] for each in find.rows} == {"train", "test"}
    with pytest.raises(GateStopped, match="31 borrowers stand in the training and in the test set"):
        refuse(found, Limits(leakage_reason="never mind"), "")
