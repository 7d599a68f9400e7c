"""The scoring pipeline, once, with the champion of a finished run."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from components.credit.store import DATA_BUCKET, LANDING_BUCKET, Store, read_manifest
from pipelines.embedded import embedded_store
from pipelines.keys import key_environment
from pipelines.processes import running_pipeline
from pipelines.run import store_environment
from tests.pipelines.conftest import Outcome


def test_the_champion_scores_the_whole_book(finished: tuple[Path, Outcome], portfolio: Path, tmp_path: Path) -> None:
    run, _ = finished
    summary = json.loads((run / "summary.json").read_text())
    with embedded_store(run / "store") as access:
        store = Store(access)
        landed = {key.partition("/")[0]: f"s3://{LANDING_BUCKET}/{key}" for key in store.keys(LANDING_BUCKET, "")}
        parameters = {
            "source": str(portfolio),
            "mapping": landed["mappings"],
            "config": landed["configurations"],
            "as_of": "2026-06-30",
            "code": "test",
        }
        environment = store_environment(access) | key_environment(run.parent / "runs" / "keys")
        path = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).resolve().parents[2])])}
        with running_pipeline("scoring", tmp_path, parameters, environment | path) as process:
            assert process.wait(timeout=300) == 0, (tmp_path / "log" / "progress.jsonl").read_text()
        (artifacts,) = (tmp_path / "pipeline").glob("quipu-scoring-*")
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
