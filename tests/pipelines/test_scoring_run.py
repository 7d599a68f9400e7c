"""The scoring pipeline, once, with the champion of a finished run."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from components.credit.book.store import DATA_BUCKET, read_manifest
from tests.pipelines.conftest import Outcome, after


def test_the_champion_scores_the_whole_book(finished: tuple[Path, Outcome], portfolio: Path, tmp_path: Path) -> None:
    run, _ = finished
    summary = json.loads((run / "summary.json").read_text())
    with after(run, "scoring", portfolio, tmp_path) as (artifacts, store):
        manifest = read_manifest(str(artifacts / "report" / "scores"))
        scores = store.table(manifest, "scores").to_table()
        assert f"{manifest.prefix}/sha256={manifest.sha256[:12]}/MANIFEST.json" in store.keys(DATA_BUCKET, "scores/")
    assert scores.num_rows == summary["rows"]["applications"]["clean"]
    assert scores["model"].unique().to_pylist() == [summary["version"]]
    assert pc.all(pc.and_(pc.greater(scores["probability"], 0), pc.less(scores["probability"], 1))).as_py()
    declined = scores.filter(pc.equal(scores["proposal"], "decline"))
    assert pc.min(pc.list_value_length(declined["reasons"])).as_py() >= 1, "who is declined is told why"
    assert pa.types.is_integer(scores.schema.field("points").type)
    page = (artifacts / "report" / "page").read_text()
    assert f"{scores.num_rows:,} applications by model `{summary['version']}`" in page
    assert "PSI of the points against training" in page
