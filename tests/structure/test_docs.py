"""What the pages say of the code is so: paths, commands, variables, and the drawing of the rooms."""

import ast
import re
import shlex
import tomllib
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
import typer

from docs.tables import KINDS, MARKER, filled, on_post_build
from pipelines.commandline import app
from tests.structure.test_imports import MODULES, STAGES, imported

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [*(ROOT / "docs").rglob("*.md"), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md"))]
)
PATH = re.compile(r"^(?:components|pipelines|images|manifests|airflow|docs|tests|\.ci|\.github)/[\w./*-]*$")
SHARED_ROOMS = ("book", "features", "features/onerow", "models", "reasons", "training", "release")


def names(path: Path) -> str:
    return str(path.relative_to(ROOT))


def told(page: Path) -> tuple[list[str], list[str]]:
    """What stands in code on a page: inline, and the lines of blocks."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    rest = re.sub(r"^ *```\w*\n.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", rest), [line.strip() for block in blocks for line in block.splitlines()]


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_the_paths_that_a_page_names_are_there(page: Path) -> None:
    inline, _ = told(page)
    gone = [path for path in inline if PATH.match(path) and not list(ROOT.glob(path.rstrip("/")))]
    assert not gone


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_the_commands_that_a_page_names_are_there(page: Path) -> None:
    verbs = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    inline, lines = told(page)
    for line in [*inline, *lines]:
        if not re.match(r"(\.venv/bin/)?(make|quipu) ", line):
            continue
        words = shlex.split(line.removeprefix(".venv/bin/"), comments=True)
        if words[0] == "make":
            asked = {word for word in words[1:] if "=" not in word}
            assert asked <= verbs, f"the Makefile has no {asked - verbs}"
        else:
            command, rest = typer.main.get_command(app), words[1:]
            while (within := getattr(command, "commands", None)) and rest and not rest[0].startswith("-"):
                if rest[0].isupper():  # COMMAND stands for any
                    break
                assert rest[0] in within, f"quipu has no command '{' '.join(words)}'"
                command, rest = within[rest[0]], rest[1:]
            options = {
                option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
            }
            unknown = {word for word in rest if word.startswith("--")} - options - {"--help"}
            assert not unknown, f"'{' '.join(words)}' takes no {unknown}"


def test_every_marker_becomes_a_table_with_nothing_left_out() -> None:
    asked = {found[1] for page in PAGES for found in MARKER.finditer(page.read_text(encoding="utf-8"))}
    assert asked == set(KINDS)
    for name in ("configuration", "mapping", "settings"):
        page = filled((ROOT / "docs" / "reference" / f"{name}.md").read_text(encoding="utf-8"))
        rows = re.findall(r"^\| `.*\|$", page, re.MULTILINE)
        assert len(rows) > 20
        assert not [row for row in rows if re.search(r"\|\s*\|$", row)], f"{name}: a key without a description"


def test_every_environment_variable_of_the_code_is_on_the_page_of_settings() -> None:
    page = filled((ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8"))
    variables = {
        node.value.removesuffix("_FILE")
        for path in [*MODULES, ROOT / "images" / "build.py"]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and re.fullmatch("(QUIPU|KFP)_[A-Z_]+", str(node.value))
    }
    assert len(variables) > 30
    assert not sorted(name for name in variables if f"`{name}" not in page)


def test_a_page_that_loads_something_from_elsewhere_stops_the_build(tmp_path: Path) -> None:
    site = SimpleNamespace(site_dir=tmp_path)
    (tmp_path / "own.html").write_text('<a href="https://example.org">a link</a><script src="own.js"></script>')
    on_post_build(site)
    (tmp_path / "other.html").write_text('<link rel="stylesheet" href="//fonts.example.org/one.css">')
    with pytest.raises(SystemExit, match=r"^other\.html loads //fonts\.example\.org"):
        on_post_build(site)


def test_the_changelog_tells_of_the_version_that_the_project_has() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[:2] == ["Unreleased", version]


def test_imports_go_down_in_the_drawing_of_the_rooms() -> None:
    drawing = ElementTree.parse(ROOT / "docs" / "drawings" / "rooms.svg")
    height = {box.attrib["data-room"]: float(box.attrib["y"]) for box in drawing.iter() if box.attrib.get("data-room")}
    upward = {
        f"{room(path)} imports {room(target)} in {names(path)}"
        for path in MODULES
        for target in (ROOT / f"{name.replace('.', '/')}.py" for name in imported(path))
        if target.is_file() and room(path) != room(target) and height[room(path)] >= height[room(target)]
    }
    assert not upward


def room(path: Path) -> str:
    """The box of the drawing that a module lies in."""
    folder, *rest = path.relative_to(ROOT).parts
    if folder == "pipelines":
        return "pipelines"
    if rest[0] in ("container.py", "__init__.py") or rest[-1] == "component.py":
        return "component"
    if rest[0] != "credit":
        return "stage" if rest[0] in STAGES else rest[0]
    if rest[1] == "drift.py":
        return "drift"
    place = "/".join(rest[1:-1])
    return max((name for name in SHARED_ROOMS if f"{place}/".startswith(f"{name}/")), key=len, default="credit")
