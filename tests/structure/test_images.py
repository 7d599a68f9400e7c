"""What each image holds: what its code imports, installed, and nothing that would change its tag without need."""

import ast
import importlib.metadata
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from components.container import NOBODYS
from images.closure import PACKAGES, closure, kernels, others
from images.contents import IMAGES, PROGRAMS, STAGES, content_tag, contents, lay_out, modules
from images.layers import distributions, dockerfile, layers, pins

ROOT = Path(__file__).resolve().parents[2]
RUNNING = tuple(image for image in IMAGES if image not in ("airflow", "minio"))
PROVIDERS = importlib.metadata.packages_distributions()
# Imports in the body of a function that only some of the images which hold it call.
NEVER_CALLED = {
    # forest_to_booster: train-sklearn alone converts a forest that it trained
    ("xgboost", "components/credit/models/trees/engine.py"): ("deploy", "score", "scorer"),
}


def missing(imported: dict[str, list[Path]], installed: frozenset[str], root: Path) -> list[str]:
    """What is imported and comes from no installed distribution, each with the modules that import it."""
    return [
        f"{name}, imported by {', '.join(path.relative_to(root).as_posix() for path in paths)}"
        for name, paths in sorted(imported.items())
        if not installed & {canonicalize_name(one) for one in PROVIDERS.get(name, [])}
    ]


def in_layers(names: list[str], root: Path) -> frozenset[str]:
    return frozenset(canonicalize_name(line.partition("==")[0].strip()) for name in names for line in pins(name, root))


def lacks(image: str, root: Path) -> list[str]:
    imported = others(modules(image, root))
    for (name, module), images in NEVER_CALLED.items():
        if image in images:
            imported[name].remove(root / module)  # an exception that is none any more is an error
    imported = {name: paths for name, paths in imported.items() if paths}
    return missing(imported, in_layers(layers(dockerfile(image, root)), root), root)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what images are made of, to change."""
    leave = shutil.ignore_patterns("__pycache__")
    for name in ("components", "images", "airflow"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=leave)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def add(line: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(f"{path.read_text()}\n{line}\n")


@pytest.mark.parametrize("image", RUNNING)
def test_what_the_code_of_an_image_imports_is_installed_there(image: str) -> None:
    assert lacks(image, ROOT) == []


@pytest.mark.parametrize(
    ("image", "module", "line", "lacking"),
    [
        ("score", "components/credit/release/released.py", "import prometheus_client", "prometheus_client"),
        ("score", "components/score/batch.py", "def late():\n    from sqlglot import parse_one", "sqlglot"),
        (
            "monitor",
            "components/monitor/recent.py",
            "from components.credit.features.onerow import compiler",
            "sqlglot",
        ),
        ("exporter", "components/exporter/runs.py", "import duckdb", "duckdb"),
    ],
)
def test_an_import_that_an_image_lacks_is_named(copy: Path, image: str, module: str, line: str, lacking: str) -> None:
    add(line)(copy / module)
    (told, *_) = lacks(image, copy)
    assert told.startswith(f"{lacking}, imported by components/")


def test_what_the_kernels_import_is_installed_where_they_are_compiled() -> None:
    text = dockerfile("scorer", ROOT)
    compiling = text[text.index(" AS compiled") :].partition("\nFROM ")[0]
    assert missing(others(closure(kernels(ROOT), ROOT)), in_layers(["shared", *layers(compiling)], ROOT), ROOT) == []
    listed = contents("scorer", ROOT)["kernels/kernels.txt"].decode().split()
    assert "components.credit.models.trees.ranks" in listed


@pytest.mark.parametrize("image", RUNNING)
def test_an_image_whose_code_asks_numba_has_what_was_compiled(image: str) -> None:
    has = "COPY --from=compiled" in dockerfile(image, ROOT)
    assert has is ("numba" in others(modules(image, ROOT)))


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_runs_as_a_user_with_a_number(image: str) -> None:
    own = dockerfile(image, ROOT).rpartition("\nFROM ")[2]
    (user,) = re.findall(r"^USER (.*)$", own, flags=re.MULTILINE)
    assert re.fullmatch(r"1000(:0)?", user)


TAGS = [  # image, what changes, whether it is in the image
    ("ingest", "components/ingest/readers.py", True),
    ("ingest", "components/credit/book/contract.py", True),
    ("ingest", "components/credit/models/scorer.py", False),
    ("ingest", "components/validate/rules.py", False),
    ("ingest", "components/container.py", False),
    ("feature", "components/feature/table.py", True),
    ("feature", "components/credit/features/query.py", True),
    ("feature", "components/credit/features/onerow/compiler.py", False),
    ("feature", "components/credit/release/registry.py", False),
    ("feature", "components/train_sklearn/card.py", False),
    ("exporter", "components/exporter/runs.py", True),
    ("exporter", "components/credit/book/store.py", False),
    ("evaluate", "components/evaluate/templates/report.html.jinja", True),
    ("scorer", "components/scorer/http/page.html", True),
    ("scorer", "components/scorer/decisions/shipping.py", True),
    ("scorer", "components/credit/models/trees/ranks.py", True),
    ("scorer", "components/scorer/http/README.md", False),
    ("airflow", "airflow/dags/quipu_training.py", True),
    ("airflow", "airflow/standalone.py", False),
    ("ingest", "images/install", True),
    ("ingest", "images/build.py", False),
]


@pytest.mark.parametrize(("image", "changed", "inside"), TAGS)
def test_the_tag_of_an_image_follows_what_is_in_it(copy: Path, image: str, changed: str, inside: bool) -> None:
    before = content_tag(image, "base", copy)
    path = copy / changed
    path.touch()
    add("# another line")(path)
    assert (content_tag(image, "base", copy) != before) is inside


PINS = [  # image, distribution whose pin moves, whether it is installed there
    ("ingest", "duckdb", True),
    ("ingest", "scikit-learn", False),
    ("scorer", "llvmlite", True),
    ("scorer", "cryptography", True),  # pyjwt[crypto] needs it
    ("scorer", "pytest", False),
    ("exporter", "kfp", False),
]


@pytest.mark.parametrize(("image", "moved", "inside"), PINS)
def test_the_tag_of_an_image_follows_the_pins_of_its_layers(copy: Path, image: str, moved: str, inside: bool) -> None:
    before = content_tag(image, "base", copy)
    path = copy / "images" / "constraints.txt"
    text, found = re.subn(rf"^{moved}==\S+", f"{moved}==999", path.read_text(), flags=re.MULTILINE)
    assert found
    path.write_text(text)
    assert (content_tag(image, "base", copy) != before) is inside


def test_neither_prose_nor_the_stage_of_another_image_changes_a_tag(copy: Path) -> None:
    before = {image: content_tag(image, "base", copy) for image in ("ingest", "scorer")}
    path = copy / "images" / "Dockerfile"
    path.write_text("# More prose.\n" + path.read_text().replace("EXPOSE 8080", "EXPOSE 8081"))
    assert content_tag("ingest", "base", copy) == before["ingest"]
    assert content_tag("scorer", "base", copy) != before["scorer"]
    assert content_tag("ingest", "another base", copy) != before["ingest"]


@pytest.mark.parametrize("image", RUNNING)
def test_the_source_of_an_image_imports_by_itself(image: str, tmp_path: Path) -> None:
    """All of a closure is there: each module's imports of Quipu's are files of the same folder."""
    lay_out(contents(image, ROOT), tmp_path)
    source = tmp_path / "source"
    laid = frozenset(source.rglob("*.py")) - {source / "kept_cache.py"}
    assert laid
    assert closure(laid, source) == laid
    for path in laid:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] in PACKAGES:
                place = source / str(node.module).replace(".", "/")
                assert place.is_dir() or place.with_suffix(".py").is_file(), f"{path}: {node.module}"


def test_the_same_files_make_the_same_build_context(tmp_path: Path) -> None:
    def seen(folder: Path) -> list[tuple[str, int, float]]:
        paths = sorted(path for path in folder.rglob("*"))
        return [(str(path.relative_to(folder)), path.stat().st_mode, path.stat().st_mtime) for path in paths]

    lay_out(contents("ingest", ROOT), tmp_path / "one")
    lay_out(contents("ingest", ROOT), tmp_path / "other")
    lay_out(contents("ingest", ROOT), tmp_path / "other")
    assert seen(tmp_path / "one") == seen(tmp_path / "other")


def test_modules_are_named_where_the_closure_can_read_them() -> None:
    """No module is imported by a name that is put together at run time, which the closure would miss."""
    for path in sorted(ROOT.joinpath("components").rglob("*.py")):
        called = {
            ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
        }
        assert not called & {"__import__", "import_module", "importlib.import_module", "runpy.run_module"}, path


def test_every_stage_has_an_image_and_every_image_a_stage_in_the_dockerfile() -> None:
    folders = {path.parent.name.replace("_", "-") for path in ROOT.glob("components/*/component.py")}
    assert folders == set(STAGES)
    for image in IMAGES:
        assert dockerfile(image, ROOT)
    with pytest.raises(KeyError):
        dockerfile("nothing", ROOT)


def test_every_image_that_the_manifests_name_is_one_that_is_built() -> None:
    named = set()
    for path in ROOT.joinpath("manifests").rglob("*.yaml"):
        named |= set(re.findall(r"^\s*(?:- )?image: (\S+)", path.read_text(), flags=re.MULTILINE))
    assert named
    for image in named:
        registry, _, name = image.partition("/")
        assert registry == NOBODYS or re.search(r"@sha256:[0-9a-f]{64}$", image), f"{image} could be somebody else's"
        assert registry != NOBODYS or name in IMAGES


def test_a_release_names_every_image_of_production_by_its_digest() -> None:
    steps = ROOT.joinpath(".github", "workflows", "release.yaml").read_text()
    overlay = ROOT.joinpath("manifests", "overlays", "production", "kustomization.yaml").read_text()
    named = re.findall(rf"name: {NOBODYS}/([a-z]+)", overlay)
    assert sorted(named) == ["exporter", "minio", "scorer"]
    for name in named:
        assert f'"{NOBODYS}/{name}=$QUIPU_IMAGE_{name.upper()}"' in steps


def test_the_requirements_of_an_extra_count() -> None:
    assert {"pyjwt", "cryptography", "cffi"} <= distributions(("pyjwt[crypto]>=2.10",))
    assert "cryptography" not in distributions(("pyjwt>=2.10",))
    assert "tomli" not in distributions(("tomli>=1; python_version < '3.9'",))


def test_the_versions_of_minio_stand_in_one_place() -> None:
    for path in (ROOT / ".ci" / "run", ROOT / ".github" / "workflows" / "ci.yaml", ROOT / "tests/e2e/cluster/build"):
        for module in re.findall(r"github\.com/minio/\S+@\S+", path.read_text()):
            assert module in PROGRAMS.values(), f"{path} names {module}"
