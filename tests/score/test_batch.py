import dataclasses
import datetime
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.credit import drift
from components.credit.book.contract import TIME
from components.credit.book.manifest import Manifest
from components.credit.book.store import Store
from components.credit.config import Rule
from components.credit.errors import InputError
from components.credit.progress import Progress
from components.credit.release.released import REASONS, codes_of
from components.score.batch import SCORES, score_batch, score_features, scores
from components.score.plan import MOST_TASKS, groups, inputs_of
from components.score.summary import joined, page
from components.score.tally import merged, shift_of, tallied
from components.scorer.model import Model
from tests.decisions import decision

Publish = Callable[[pa.Table, int], Manifest]


def rows_for(model: Model, rows: int, seed: int = 1) -> pa.Table:
    """Features with missing, extreme and unseen values."""
    random = np.random.default_rng(seed)
    columns: dict[str, pa.Array] = {"application_id": pa.array([f"a{row:06}" for row in range(rows)])}
    for name, feature in model.features.items():
        if feature.type == "number":
            values = random.normal(size=rows) * random.choice([1.0, 50.0, 1e35], rows, p=[0.5, 0.45, 0.05])
            columns[name] = pa.array(values, mask=random.random(rows) < 0.2)
        else:
            columns[name] = pa.array(random.choice(["branch", "field", "unseen"], rows), mask=random.random(rows) < 0.2)
    return pa.table(columns)


@pytest.fixture
def publish(store: Store, tmp_path: Path) -> Publish:
    def published(rows: pa.Table, parts: int) -> Manifest:
        folder = tmp_path / "features"
        folder.mkdir()
        for part in range(parts):
            pq.write_table(
                rows.slice(part * rows.num_rows // parts, rows.num_rows // parts), folder / f"part-{part:05}.parquet"
            )
        return store.publish("features", "2024-06-30", tmp_path, inputs={}, code="r1", notes={})

    return published


@pytest.fixture(params=["numbers", "mixed", "parted"])
def model(request: pytest.FixtureRequest) -> Model:
    """Each model in turn."""
    return request.getfixturevalue(request.param)


def test_a_batch_gives_the_bits_that_a_request_gets(model: Model) -> None:
    batch = rows_for(model, 500).combine_chunks().to_batches()[0]
    scored = score_batch(model, batch)
    assert scored.schema == SCORES
    for place in (0, 7, 499):
        columns = {
            name: np.array(
                batch[name].slice(place, 1).to_pylist(), dtype=np.float64 if feature.type == "number" else object
            )
            for name, feature in model.features.items()
        }
        probability, points = model.scores(columns)
        row = scored.slice(place, 1).to_pylist()[0]
        assert row["probability"] == probability[0]
        assert row["points"] == points[0]
        assert row["band"] == model.scorer.band(probability)[0]
        assert row["proposal"] == ("approve" if probability[0] <= model.scorer.cutoff else "decline")
        assert row["reasons"] == [code for code in codes_of(model.explained(columns).reasons) if code]
        assert len(row["reasons"]) <= REASONS
        assert row["model"] == model.version


def test_batches_come_in_order_whatever_their_size(model: Model) -> None:
    rows = rows_for(model, 3_000)
    whole = pa.Table.from_batches(scores(model, rows.combine_chunks().to_batches()))
    parts = pa.Table.from_batches(scores(model, rows.to_batches(max_chunksize=170)))
    assert parts["application_id"].to_pylist() == rows["application_id"].to_pylist()
    assert parts.combine_chunks() == whole.combine_chunks()


def test_the_scores_of_all_tasks_are_one_dataset(model: Model, publish: Publish, store: Store) -> None:
    rows = rows_for(model, 1_000)
    features = publish(rows, 2)
    scored, tally = score_features(features, model, "r1", store, Progress("score"))
    again, _ = score_features(features, model, "r2", store, Progress("score"))
    assert again.sha256 == scored.sha256
    whole = joined([scored], "r1", store)
    read = store.table(whole, "scores").to_table()
    assert sorted(read["application_id"].to_pylist()) == sorted(rows["application_id"].to_pylist())
    assert whole.inputs["model"] == model.version
    assert tally.rows == sum(tally.bands.values()) == sum(tally.points.values()) == 1_000
    told = page(tally, None, whole)
    assert "1,000 applications" in told
    assert f"`{model.version}`" in told


def test_counts_do_not_depend_on_how_rows_are_dealt_out(model: Model) -> None:
    scored = score_batch(model, rows_for(model, 900).combine_chunks().to_batches()[0])
    parts = merged([tallied(scored.slice(0, 300), "v"), tallied(scored.slice(300), "v")])
    whole = tallied(scored, "v")
    assert (parts.bands, parts.proposals, parts.points, parts.reasons) == (
        whole.bands, whole.proposals, whole.points, whole.reasons
    )  # fmt: skip


def test_the_shift_of_points_is_told_from_counts(model: Model) -> None:
    scored = score_batch(model, rows_for(model, 900).combine_chunks().to_batches()[0])
    points = scored["points"].to_numpy()
    same = drift.training_reference(points, [], {}).points
    moved = drift.training_reference(points - 40, [], {}).points
    tally = tallied(scored, "v")
    stable, shifted = shift_of(tally, same, 0.95), shift_of(tally, moved, 0.95)
    assert stable is not None
    assert shifted is not None
    assert stable.psi == 0
    assert shifted.verdict == "large"


def test_features_that_lack_an_input_are_refused(model: Model, publish: Publish, store: Store) -> None:
    lacking = publish(rows_for(model, 10).drop_columns(["late_share"]), 1)
    with pytest.raises(InputError, match=r"lack 'late_share', which model \w+ takes"):
        score_features(lacking, model, "r1", store, Progress("score"))


@pytest.mark.parametrize("partitions", [1, 3, 8, 9, 64])
def test_partitions_are_dealt_out_to_few_tasks(partitions: int) -> None:
    dealt = [
        range(int(first), int(last) + 1) for first, _, last in (group.partition("-") for group in groups(partitions))
    ]
    assert [part for group in dealt for part in group] == list(range(partitions))
    assert len(dealt) <= MOST_TASKS
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1


def test_the_plan_says_what_the_model_takes(model: Model) -> None:
    planned = inputs_of(model)
    assert planned.version == model.version
    assert planned.features == list(model.features)
    assert planned.recipe == model.recipe


def test_hard_rules_decline_on_the_days_on_which_they_hold(mixed: Model) -> None:
    rule = Rule("large", "amount", 5000.0, "Too large", "Muy alto")
    later = Rule("later", "bureau_lenders", 4.0, "Too large", "Muy alto", valid_from=datetime.date(2024, 7, 1))
    package = msgspec.structs.replace(mixed.package, decision=decision("xgboost", mixed.version, [rule, later]))
    model = dataclasses.replace(mixed, package=package)
    assert set(inputs_of(model).features) == {*model.features, "amount", "bureau_lenders"}
    rows = rows_for(model, 4).drop_columns([name for name in ("amount", "bureau_lenders") if name in model.features])
    # in Lima the third was decided on 30 June
    decided = pa.array(
        [
            datetime.datetime(2024, month, 1, hour, tzinfo=datetime.UTC)
            for month, hour in ((6, 15), (7, 15), (7, 3), (7, 6))
        ],
        TIME,
    )
    rows = rows.append_column("amount", pa.array([9000.0, 9000.0, None, 10.0]))
    rows = rows.append_column("bureau_lenders", pa.array([6.0, 6.0, 6.0, None])).append_column("decided_at", decided)
    (batch,) = rows.combine_chunks().to_batches()
    scored = score_batch(model, batch).to_pylist()
    assert [row["rules"] for row in scored] == [["large"], ["large", "later"], [], []]
    assert [row["proposal"] for row in scored[:2]] == ["decline", "decline"]
    free = score_batch(mixed, batch).to_pylist()
    assert [row["rules"] for row in free] == [[]] * 4
    assert [row["proposal"] for row in scored[2:]] == [row["proposal"] for row in free[2:]]
