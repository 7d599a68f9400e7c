"""The direction of imports that the design fixes."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STAGES = {path.parent.name for path in (ROOT / "components").glob("*/component.py")}
SERVICES = {path.parent.name for path in (ROOT / "components").glob("*/__main__.py")}
MODULES = sorted([*(ROOT / "components").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")])


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def top(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    place = path.relative_to(ROOT)
    names = imported(path)
    in_components = place.parts[0] == "components"
    stage = place.parts[1] if in_components and len(place.parts) > 2 else ""
    if in_components and place.name not in ("component.py", "container.py"):
        assert "kfp" not in top(names), "only component.py, container.py and pipelines/ import kfp"
    if str(place) != "components/credit/book/store.py":
        assert "minio" not in top(names), "only credit/book/store.py imports minio"
    if stage != "deploy":
        assert "kubernetes" not in top(names), "only deploy imports kubernetes"
    if in_components:
        assert "pipelines" not in top(names), "components never import pipelines"
        others = {name.split(".")[1] for name in names if name.startswith("components.") and name.count(".")}
        others -= {stage, "credit"}
        assert not others & (STAGES | SERVICES), (
            "stages and services never import each other; credit/ is what they share"
        )
        assert not others - {"container"} or stage == "", f"{stage} imports {others}"
    if stage == "credit":
        assert not others, "credit never imports a stage or a service"
    assert not top(names) & {"pickle", "cloudpickle", "joblib", "dill"}, "the pickle format is never loaded"


def rooms(credit: Path) -> dict[str, set[str]]:
    """Of each room of credit, the others that its modules import, also in the bodies of functions."""
    arrows: dict[str, set[str]] = {}
    for path in sorted(credit.rglob("*.py")):
        room = path.relative_to(credit).with_suffix("").parts[0]
        for name in imported(path):
            parts = name.split(".")
            if parts[:2] == ["components", "credit"] and len(parts) > 2 and parts[2] != room:
                arrows.setdefault(room, set()).add(parts[2])
    return arrows


def test_the_rooms_of_credit_make_no_circle() -> None:
    arrows = rooms(ROOT / "components" / "credit")
    assert arrows["release"] >= {"book", "models"}
    try:
        order = list(TopologicalSorter(arrows).static_order())
    except CycleError as error:
        pytest.fail(f"components/credit runs in a circle: {' <- '.join(error.args[1])}")
    assert order.index("book") < order.index("features") < order.index("release")


def test_one_package_reads_the_answers_of_kubeflow_pipelines() -> None:
    package = ROOT / "airflow" / "kfp_runs" / "src" / "kfp_runs"
    answering = {"pipelines/kubeflow_api.py"}  # the same API over this machine
    starting = {"airflow/standalone.py"}  # asks only whether its own server is up
    asking = set()
    for folder in ("components", "pipelines", "airflow"):
        for path in ROOT.joinpath(folder).rglob("*.py"):
            if "/apis/v" in path.read_text(encoding="utf-8"):
                asking.add(path)
    named = {str(path.relative_to(ROOT)) for path in asking if not path.is_relative_to(package)}
    assert named <= answering | starting, "Kubeflow Pipelines is asked by kfp_runs alone"
    assert asking & set(package.rglob("*.py"))
    for path in package.rglob("*.py"):
        foreign = top(imported(path)) & {"airflow", "kfp", "components", "pipelines"}
        assert not foreign, f"{path.name} imports {foreign}; it is installed beside Airflow and beside the pipelines"


def test_the_services_and_the_stages_are_those_that_the_design_names() -> None:
    training = {"ingest", "validate", "feature", "train_sklearn", "train_xgboost", "evaluate", "deploy"}
    assert training | {"score", "monitor"} == STAGES
    assert {"scorer", "exporter"} == SERVICES


def test_the_top_level_folders_are_the_agreed_ones() -> None:
    agreed = {"components", "pipelines", "images", "manifests", "airflow", "docs", "tests"}
    made = {"runs", "build", "dist"}  # by runs and builds, never committed
    found = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))}
    assert found - made <= agreed
    assert not (ROOT / "airflow" / "__init__.py").exists(), "it would shadow Apache Airflow"
