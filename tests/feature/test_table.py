"""The feature stage on the real store: one row an application, the same whatever the partitions."""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from components.credit.book.manifest import Manifest, decode
from components.credit.book.mapping import Mapping, parse_mapping
from components.credit.book.store import DATA_BUCKET, Store
from components.credit.config import Config, Limits, Target
from components.credit.config import Split as Splitting
from components.credit.dictionary import Feature
from components.credit.errors import GateStopped, InputError
from components.credit.features.recipe import Recipe, recipe_of
from components.credit.progress import Progress
from components.feature.table import build
from tests.feature.batch import Batch
from tests.feature.histories import Rows, arrow, instalment, row

AS_OF = "2024-06-30"
LENDER = """
lender: Caja de prueba
currency: PEN
time_zone: America/Lima
sources: {{libro: {{files: "*.csv"}}}}
tables:
  applications:
    - source: libro
      columns: {{application_id: a, borrower_id: b, event_time: t, decided_at: t}}
  loans:
    - source: libro
      columns: {{loan_id: l, borrower_id: b, event_time: t, principal: p, kind: k}}
  repayments:
    - source: libro
      columns: {{repayment_id: r, loan_id: l, event_time: t, kind: k}}
absent: [borrowers, bureau, transactions]
{extra}
"""
CONFIG = Config(
    target=Target(bad_days=9, indeterminate_days=6, window_days=30),
    limits=Limits(least_bads=5),
    split=Splitting(test_share=0.3),
)
Build = Callable[..., tuple[Manifest, list[Feature]]]


def lender(extra: str = "") -> Mapping:
    return parse_mapping(LENDER.format(extra=extra), "lender.yaml")


@pytest.fixture(scope="module")
def book() -> Rows:
    """Two loans of each of 80 borrowers, a year apart; late payers are late twice more often."""
    rows: Rows = {name: [] for name in ("applications", "loans", "repayments")}
    first = pd.Timestamp("2022-01-03")
    for number in range(80):
        for nth in range(2):
            at = first + pd.Timedelta(days=5 * number + 370 * nth)
            day, due = at.date().isoformat(), (at + pd.Timedelta(days=20)).date().isoformat()
            late = 90 if (number * 7 + nth) % 4 == 0 else number % 5
            paid = (at + pd.Timedelta(days=20 + late)).date().isoformat()
            who, loan = {"borrower_id": f"b{number:02}"}, f"l{number:02}-{nth}"
            rows["applications"].append(
                row("applications", day, application_id=f"a{number:02}-{nth}", loan_id=loan, amount=100 + number, **who)
            )
            rows["loans"].append(row("loans", day, loan_id=loan, principal=100 + number, **who))
            rows["repayments"] += instalment(loan, 1, due, paid, **who)
    return rows


@pytest.fixture
def make(store: Store, tmp_path: Path) -> Build:
    """Runs the stage on rows that are published as clean tables."""

    def run(
        rows: Rows, mapping: Mapping | None = None, config: Config = CONFIG, partitions: int = 1, as_of: str = AS_OF
    ) -> tuple[Manifest, list[Feature]]:
        mapping = mapping or lender()
        folder = tmp_path / f"clean-{len(list(tmp_path.iterdir()))}"
        for name, table in arrow(rows, recipe_of(mapping)).items():
            (folder / name).mkdir(parents=True)
            of = pa.array(
                [zlib.crc32(each.encode()) % partitions for each in table["borrower_id"].to_pylist()], pa.int64()
            )
            for part in range(partitions):
                chosen = table.filter(pa.compute.equal(of, part))
                pyarrow.parquet.write_table(chosen, folder / name / f"part-{part:05d}.parquet")
        clean = store.publish("clean", as_of, folder, inputs={}, code="test", notes={})
        return build(clean, mapping, config, "test", store, Progress("feature"))

    return run


def frame(store: Store, features: Manifest) -> pd.DataFrame:
    made = store.table(features, "features").to_table().to_pandas().set_index("application_id")
    if len(features.tables["features"].parts) == 1:
        assert made.index.is_monotonic_increasing
    return made.sort_index()


def test_one_row_an_application_with_sample_target_and_features(make: Build, book: Rows, store: Store):
    features, dictionary = make(book)
    made = frame(store, features)
    assert list(made.index) == sorted(each["application_id"] for each in book["applications"])
    assert made.columns[:10].tolist() == [
        "borrower_id", "decided_at", "currency", "amount", "decision", "incumbent_score", "sample", "bad", "segment",
        "thin_file",
    ]  # fmt: skip
    never_seen = ("sex", "age_band", "department", "rural", "language", "marital_status")
    protected = [f"protected_{name}" for name in never_seen]
    assert made.columns[10:].tolist() == [*protected, *(feature.name for feature in dictionary)]
    assert features.tables["features"].columns["bad"] == "int8"
    assert (made["bad"].isna() == made["sample"].isin(["unlabelled", "indeterminate"])).all()
    assert made.loc["a04-0", "bad"] == 1  # paid 90 days late, of which 10 lie within the window
    assert features.notes["samples"] == {
        name: int((made["sample"] == name).sum())
        for name in ("train", "test", "embargo", "unlabelled", "indeterminate", "excluded", "out_of_scope")
    }
    assert features.notes["bads"]["train"] == made.loc[made["sample"] == "train", "bad"].sum() >= 5


def test_the_split_is_out_of_time_and_by_borrower(make: Build, book: Rows, store: Store):
    features, _ = make(book)
    made = frame(store, features)
    split = features.notes["split"]
    assert (split["kind"], split["embargo_days"], split["reason"]) == ("out_of_time", 30, "")
    test_from = pd.Timestamp(split["test_from"], tz="America/Lima")
    train, test = made[made["sample"] == "train"], made[made["sample"] == "test"]
    assert train["decided_at"].max() < test_from - pd.Timedelta(days=30) < test["decided_at"].min()
    assert not set(train["borrower_id"]) & set(test["borrower_id"])
    assert 0.25 < len(test) / 160 < 0.35


def test_the_same_rows_give_the_same_bytes_and_partitions_the_same_rows(make: Build, book: Rows, store: Store):
    first, dictionary = make(book)
    again, _ = make({name: rows[::-1] for name, rows in book.items()})
    assert first.tables == again.tables
    split, other = make(book, partitions=3)
    assert len(split.tables["features"].parts) == 3
    assert dictionary == other
    pd.testing.assert_frame_equal(frame(store, first), frame(store, split))


def test_what_comes_after_the_as_of_day_changes_no_byte(make: Build, book: Rows):
    later = {**book}
    later["applications"] = [*book["applications"], row("applications", "2024-07-02", application_id="next", amount=1)]
    later["repayments"] = [*book["repayments"], *instalment("l03-0", 2, "2022-02-10", None, known_at="2024-07-02")]
    assert make(book)[0].tables == make(later)[0].tables


def test_features_that_say_nothing_are_left_out_and_named(make: Build, book: Rows):
    features, dictionary = make(book)
    names = {feature.name for feature in dictionary}
    assert {"asked_amount", "loans_before", "peak_days_late"} <= names
    assert {"declared_income", "foreign_currency", "refinanced_loans"} <= set(features.notes["left_out"])
    assert not names & set(features.notes["left_out"])
    assert features.notes["left_out"]["foreign_currency"] == "the same value throughout"


@pytest.mark.parametrize(("years", "told"), [(1, False), (4, True)])
def test_a_season_is_learnt_only_where_it_comes_twice(make: Build, years: int, told: bool):
    first = 2024 - years
    book = {
        "applications": [
            row("applications", f"{first + place % years}-{1 + place % 9:02}-15", application_id=f"s{place:03}",
                borrower_id=f"s{place:03}", amount=1000 + place, term_days=90,
                outcome="bad" if place % 5 == 0 else "good", outcome_known_at="2024-06-01", decision="approved")
            for place in range(90)
        ]
    }  # fmt: skip
    features, dictionary = make(book)
    assert ("decision_month" in {feature.name for feature in dictionary}) == told
    assert ("seasons" in features.notes["left_out"].get("decision_month", "")) != told


def test_applications_that_were_decided_soon_after_the_history_begins_are_counted(
    make: Build, book: Rows, store: Store, capsys: pytest.CaptureFixture[str]
):
    features, _ = make(book)
    made = frame(store, features)
    learnt = made["decided_at"][made["sample"] == "train"]
    early = int((learnt < made["decided_at"].min() + pd.Timedelta(days=365)).sum())  # the first loan is of that day
    assert 0 < early < len(learnt)
    assert features.notes["beginnings"] == [
        {"table": "loans", "begins": "2022-01-03", "early": early, "n": len(learnt)}
    ]
    assert f"loans begins on 2022-01-03, and {early} of {len(learnt)} training applications" in capsys.readouterr().err


def test_the_recipe_in_the_notes_serves_one_application(make: Build, book: Rows, store: Store):
    features, dictionary = make(book)
    recipe = msgspec.convert(features.notes["recipe"], Recipe)
    (application,) = [each for each in book["applications"] if each["application_id"] == "a07-1"]
    own = {name: [each for each in rows if each["borrower_id"] == "b07"] for name, rows in book.items()}
    history = Batch(recipe)
    (served,) = history.features_of(arrow({**own, "applications": [application]}, recipe)).to_pylist()
    history.close()
    made = frame(store, features).loc["a07-1"]
    for feature in dictionary:
        value = None if pd.isna(made[feature.name]) else made[feature.name]
        assert served[feature.name] == value


def test_a_leak_stops_the_run_unless_someone_answers_for_it(make: Build, book: Rows, store: Store):
    mapping = lender("attributes:\n  leak: {column: x, type: number, en: Leak, es: Fuga}")

    def is_bad(application_id: str) -> bool:
        return (int(application_id[1:3]) * 7 + int(application_id[4])) % 4 == 0

    rows = {
        **book,
        "applications": [
            {**each, "attribute_leak": float(is_bad(each["application_id"]))} for each in book["applications"]
        ],
    }
    with pytest.raises(GateStopped, match="feature attribute_leak alone") as refused:
        make(rows, mapping)
    place = str(refused.value).partition("see the applications in quipu-data/")[2].partition(",")[0]
    kept = store.table(decode(store.read(DATA_BUCKET, f"{place}/MANIFEST.json"), place), "applications").to_table()
    assert {each["value"] for each in kept.to_pylist()} == {"0.0", "1.0"}
    answered = msgspec.structs.replace(CONFIG, limits=Limits(least_bads=5, leakage_reason="a test"))
    features, _ = make(rows, mapping, answered)
    (finding,) = features.notes["leakage"]
    assert (finding["feature"], finding["reason"]) == ("attribute_leak", "a test")
    assert finding["rows"] == kept.num_rows == features.notes["samples"]["train"] + features.notes["samples"]["test"]
    assert finding["place"] == f"quipu-data/{place}"


def test_what_was_looked_for_is_told_also_where_nothing_was_found(make: Build, book: Rows):
    features, _ = make(book)
    assert features.notes["leakage"] == []
    checks = {check["kind"]: check for check in features.notes["checks"]}
    assert list(checks) == ["borrowers on both sides", "repeated rows", "single feature"]
    assert not any(check["exceeds"] for check in checks.values())
    assert 0.5 <= checks["single feature"]["auc"] < checks["single feature"]["limit"] == 0.95


def test_too_few_bads_and_unknown_rates_are_told_in_a_sentence(make: Build, book: Rows):
    with pytest.raises(GateStopped, match=r"limits\.least_bads asks for 50"):
        make(book, config=msgspec.structs.replace(CONFIG, limits=Limits()))
    foreign: dict[str, Any] = {**book, "loans": [{**book["loans"][0], "currency": "USD"}, *book["loans"][1:]]}
    with pytest.raises(InputError, match="loans holds amounts in USD"):
        make(foreign)


def test_loans_that_cannot_be_told_are_counted_said_and_stop_the_run(
    make: Build, book: Rows, capsys: pytest.CaptureFixture[str]
):
    twice = [each for each in book["repayments"] if each["kind"] == "due"]
    few = [each for each in twice if each["loan_id"] in ("l00-0", "l01-0", "l02-0", "l03-0")]
    features, _ = make({**book, "repayments": [*book["repayments"], *few]})
    whole, _ = make(book)
    count = features.notes["unclear"]["two rows of one instalment"]
    assert 1 <= count <= 4
    assert f"{count} loans of applications have no label" in capsys.readouterr().err
    assert features.notes["samples"]["unlabelled"] == whole.notes["samples"]["unlabelled"] + count
    assert whole.notes["unclear"] == {}
    with pytest.raises(
        GateStopped, match=r"most often by 'two rows of one instalment' .* map repayments\.schedule_vers"
    ):
        make({**book, "repayments": [*book["repayments"], *twice]})
