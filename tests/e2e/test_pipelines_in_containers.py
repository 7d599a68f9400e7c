"""Every pipeline whole, each task in the image of its stage, on this machine and without a cluster.

Training registers a model, promotion makes it the champion, scoring and monitoring use it: one after the other over one
store, as on a cluster.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from components.container import image_variable
from components.credit.book.documents import read_json
from components.credit.book.mapping import Mapping
from components.credit.book.store import Access, Store, read_manifest
from components.credit.release.registry import champion
from images.contents import STAGES
from pipelines.container import container_environment
from pipelines.embedded import embedded_store
from pipelines.keys import key_environment
from pipelines.processes import running_pipeline
from pipelines.run import find_mapping, landed, merged_config, store_environment
from tests.e2e.conftest import ROOT
from tests.e2e.kubectl import say

AS_OF = "2026-06-30"
SMALL = """
search: {folds: 3, forest_candidates: 2, xgboost_candidates: 3}
limits: {least_bads: 20}
"""
RUN = "a-training-run"


class Workplace(NamedTuple):
    """A folder with a lender's files, a store, and the parameters and the environment of a run."""

    folder: Path
    store: Store
    parameters: dict[str, str]
    environment: dict[str, str]

    def run(self, pipeline: str, **parameters: str) -> Path:
        """Run a pipeline in containers to its end and give the folder of its artifacts."""
        out = self.folder / pipeline
        (out / "pipeline").mkdir(parents=True)
        (out / "log").mkdir()
        seen = {out / "pipeline": "rw", out / "log": "rw", self.folder / "book": "ro", self.folder / "keys": "ro"}
        environment = self.environment | container_environment(seen, STAGES)
        with running_pipeline(pipeline, out, parameters, environment) as process:
            ended = process.wait(timeout=1200)
        log = (out / "log" / "pipeline.log").read_text()
        assert ended == 0, log[-4000:]
        events = [json.loads(line) for line in (out / "log" / "progress.jsonl").read_text().splitlines()]
        done = [event for event in events if event["state"] == "done"]
        say(f"  {pipeline}: " + ", ".join(f"{event['stage']} {event['seconds']:.1f} s" for event in done))
        (artifacts,) = (out / "pipeline").glob(f"quipu-{pipeline}-*")
        return artifacts


@pytest.fixture(scope="module")
def workplace(built: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    """A small book, an embedded store and the image of every stage."""
    folder = tmp_path_factory.mktemp("workplace")
    generate = ("generate", "--borrowers", "1500", "--seed", "7", "--as-of", AS_OF, "--out", str(folder / "book"))
    subprocess.run(
        [sys.executable, "-m", "pipelines.commandline", *generate], check=True, capture_output=True, cwd=ROOT
    )
    (folder / "small.yaml").write_text(SMALL)
    text, mapping = find_mapping("portfolio")
    with pytest.MonkeyPatch.context() as patch, embedded_store(folder / "store") as access:
        for name in [name for name in os.environ if name.startswith("QUIPU_") and not name.startswith("QUIPU_E2E")]:
            patch.delenv(name)
        for stage in STAGES:
            patch.setenv(image_variable(stage), built(stage))
        yield Workplace(folder, Store(access), order(folder, Store(access), text, mapping), given(folder, access))


def order(folder: Path, store: Store, text: str, mapping: Mapping) -> dict[str, str]:
    """The parameters that the pipelines over a lender's tables share."""
    return {
        "source": str(folder / "book"),
        "mapping": landed(store, "mappings", text),
        "config": landed(store, "configurations", merged_config(mapping, folder / "small.yaml")),
        "as_of": AS_OF,
        "code": "e2e",
    }


def given(folder: Path, access: Access) -> dict[str, str]:
    """Where tasks find the store and the keys, and the id of the training run."""
    return store_environment(access) | key_environment(folder / "keys") | {"PYTHONPATH": str(ROOT), "QUIPU_RUN": RUN}


def test_all_four_pipelines_run_whole_each_task_in_its_own_image(workplace: Workplace) -> None:
    store = workplace.store
    trained = workplace.run("training", **workplace.parameters, target="registry")
    version = read_json(str(trained / "deploy" / "release"))["version"]
    assert champion(store) is None, "a registered model answers nobody before it is promoted"

    approval = {"as_of": AS_OF, "code": "e2e", "target": "local", "training_run": RUN, "approved_by": "Rosa Quispe"}
    workplace.run("promotion", **approval)
    standing = champion(store)
    assert standing is not None
    assert standing.version == version

    scored = workplace.run("scoring", **workplace.parameters)
    scores = store.table(read_manifest(str(scored / "report" / "scores")), "scores").to_table()
    assert scores["model"].unique().to_pylist() == [version]
    assert scores.num_rows == read_json(str(trained / "validate" / "report"))["rows"]["applications"]["clean"]

    watched = workplace.run("monitoring", **workplace.parameters)
    assert read_json(str(watched / "monitor" / "findings"))["model"] == version
