"""The mappings of the public sets: each reads its set to the last row, and what it says of the set is so."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from components.credit.book.mapping import Mapping, parse_mapping
from components.credit.book.store import Store
from components.credit.config import Config
from components.credit.progress import Progress
from components.ingest.landing import ingest

MAPPINGS = Path(__file__).resolve().parents[2] / "pipelines" / "mappings"
FLAT = {"gmsc": (150_000, 10_026), "taiwan": (30_000, 6_636), "german": (1_000, 300), "hmeq": (5_960, 1_189)}
FLAT |= {"heloc": (10_459, 5_459)}


def mapping(name: str) -> Mapping:
    return parse_mapping((MAPPINGS / f"{name}.yaml").read_text(encoding="utf-8"), f"{name}.yaml")


@pytest.fixture
def landed(store: Store, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("QUIPU_PSEUDONYM_KEY", "0123456789abcdef0123456789abcdef")
    monkeypatch.setenv("QUIPU_PROGRESS_FILE", str(tmp_path / "events"))

    def run(name: str, folder: str) -> dict[str, pa.Table]:
        rules = mapping(name)
        assert rules.as_of is not None
        manifest = ingest(
            str(shared_data / folder), rules, Config(), rules.as_of.isoformat(), "test", store, Progress("ingest")
        )
        assert "warning" not in (tmp_path / "events").read_text()
        tables = {table: store.table(manifest, table).to_table() for table in manifest.tables}
        assert manifest.notes["rows"] == {table: rows.num_rows for table, rows in tables.items()}
        for rows in tables.values():
            assert pc.sum(pc.list_value_length(rows["problems"])).as_py() == 0
        return tables

    return run


@pytest.mark.parametrize("name", ["superlender", *FLAT])
def test_a_mapping_is_right_and_describes_its_attributes_in_both_languages(name: str) -> None:
    read = mapping(name)
    assert all(attribute.en and attribute.es and attribute.en != attribute.es for attribute in read.attributes.values())
    described = [attribute.en for attribute in read.attributes.values()]
    assert len(set(described)) == len(described)


@pytest.mark.parametrize("name", FLAT)
def test_a_flat_set_is_read_to_the_last_row(name: str, landed: Any) -> None:
    tables = landed(name, name)
    assert list(tables) == ["applications"]
    rows, bads = FLAT[name]
    applications = tables["applications"]
    assert applications.num_rows == rows
    assert Counter(applications["outcome"].to_pylist()) == {"bad": bads, "good": rows - bads}
    assert pc.count_distinct(applications["borrower_id"]).as_py() == rows
    for attribute, rule in mapping(name).attributes.items():
        found = set(pc.unique(applications[f"attribute_{attribute}"]).to_pylist())
        assert found != {None}
        assert not rule.special or found & set(rule.special)
        assert rule.protected == any(word in attribute.split("_") for word in ("sex", "age", "foreign", "marital"))


def test_the_history_of_superlender_reaches_the_contract(landed: Any) -> None:
    tables = landed("superlender", "superlender_ng")
    rows = {name: table.num_rows for name, table in tables.items()}
    assert rows == {"borrowers": 4_346, "loans": 18_183, "repayments": 3 * 18_183, "applications": 4_368}
    assert Counter(tables["applications"]["outcome"].to_pylist()) == {"good": 3_416, "bad": 952}
    assert Counter(tables["applications"]["channel"].to_pylist()) == {None: 3_781, "referral": 587}
    assert pc.count_distinct(tables["borrowers"]["borrower_id"]).as_py() == 4_334
    repayments = tables["repayments"].to_pandas()
    assert repayments.borrower_id.notna().all()
    paid = repayments[repayments.kind == "payment"]
    paid_on = paid.event_time.dt.tz_convert("Africa/Lagos").dt.date
    assert 0.15 < (paid_on > paid.due_on).mean() < 0.20
    lent = set(tables["loans"]["borrower_id"].to_pylist())
    assert sum(borrower in lent for borrower in tables["applications"]["borrower_id"].to_pylist()) == 4_359
    kept = {name for table in tables.values() for name in table.column_names}
    assert not {name for name in kept if "gps" in name or "bank" in name}
