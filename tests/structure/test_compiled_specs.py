"""The committed specs are what the sources compile to."""

from pathlib import Path

import pytest
import yaml
from kfp import components, dsl

from pipelines.compiled import DECISION_SCHEMA, REFERENCE, SPECS, compile_to, decision_schema, reference_text
from pipelines.quality import quality


@pytest.mark.parametrize("spec", SPECS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_compiling_again_gives_the_committed_spec(spec: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.yaml"
    compile_to(SPECS[spec], again)
    assert list(yaml.safe_load_all(again.read_text())) == list(yaml.safe_load_all(spec.read_text())), (
        "run 'make compile' and commit what changed"
    )


@pytest.mark.parametrize("spec", [path for path in SPECS if path.name == "component.yaml"], ids=lambda p: p.parent.name)
def test_a_component_loads_into_somebody_elses_pipeline(spec: Path, tmp_path: Path) -> None:
    loaded = components.load_component_from_file(str(spec))
    name = loaded.component_spec.name
    described = yaml.safe_load(spec.read_text())["components"][f"comp-{name}"]
    for kind in ("inputDefinitions", "outputDefinitions"):
        for group in described.get(kind, {}).values():
            assert all(entry.get("description") for entry in group.values()), f"{name} describes each of its {kind}"
    executor = yaml.safe_load(spec.read_text())["deploymentSpec"]["executors"][f"exec-{name}"]["container"]
    assert executor["image"].rpartition("/")[2].partition(":")[0] == name
    assert "pip" not in " ".join(executor["command"]), "nothing is installed at run time"
    assert isinstance(loaded, dsl.base_component.BaseComponent)


def test_the_reference_of_the_components_is_that_of_their_specs() -> None:
    assert REFERENCE.read_text() == reference_text(), "run 'make compile' and commit what changed"


def test_the_schema_of_the_decision_is_that_of_its_types() -> None:
    assert DECISION_SCHEMA.read_bytes() == decision_schema(), "run 'make compile' and commit what changed"


def test_two_components_alone_make_a_pipeline_of_their_own(tmp_path: Path) -> None:
    compile_to(quality, tmp_path / "quality.yaml")
    spec, platform = yaml.safe_load_all((tmp_path / "quality.yaml").read_text())
    assert sorted(spec["root"]["dag"]["tasks"]) == ["ingest", "validate"]
    assert sorted(platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]) == [
        "exec-ingest",
        "exec-validate",
    ]
