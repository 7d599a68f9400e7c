"""What a program of Quipu imports, read from its source: the modules of Quipu, and the packages of others.

An import counts wherever it stands, in a function's body too, but for one that only type checkers read. Of a
``component.py`` the bodies of its functions count alone: Kubeflow Pipelines sends their text to the image, and nothing
there imports the module itself. A text that is exactly the name of a module counts as an import of it, since that is
how one process starts another.
"""

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

# Packages of Quipu that images run: import name, and the folder below the project in which it lies.
PACKAGES = {"components": ".", "kfp_runs": "airflow/kfp_runs/src"}
_OURS = frozenset(PACKAGES) | sys.stdlib_module_names
_MODULE = re.compile(r"[a-z_]\w*(\.[a-z_]\w*)+")
_GENERATED = ("component.yaml", "README.md")


def imports(path: Path) -> frozenset[str]:
    """Dotted names of the modules that a file imports, and of what it takes out of them."""
    return _imports(path.read_text(encoding="utf-8"), path.name == "component.py")


def closure(entries: Iterable[Path], root: Path) -> frozenset[Path]:
    """The modules of Quipu that some modules import, those modules, and the packages around each.

    Args:
        entries: Files of the modules that are run.
        root: Folder of the project.

    Returns:
        Files, ``__init__.py`` of the packages among them.
    """
    reached: set[Path] = set()
    waiting = list(entries)
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            waiting += [file for name in imports(path) for file in _files(name, root)]
    return frozenset(reached)


def others(modules: Iterable[Path]) -> dict[str, list[Path]]:
    """The packages of others that modules import.

    Returns:
        Top-level import name to the files that import it; the standard library and Quipu's own are left out.
    """
    importing: dict[str, list[Path]] = {}
    for path in sorted(modules):
        for name in {name.partition(".")[0] for name in imports(path)} - _OURS:
            importing.setdefault(name, []).append(path)
    return importing


def data_beside(modules: Iterable[Path]) -> frozenset[Path]:
    """The files that are no Python and lie beside modules, or in folders there that hold no package, such as templates.

    Args:
        modules: The modules; a package's ``__init__.py`` alone takes nothing along.
    """
    folders = {path.parent for path in modules if path.name != "__init__.py"}
    return frozenset(file for folder in folders for file in _data(folder))


def kernels(root: Path) -> list[Path]:
    """The modules of the components that have numba compile something when they are imported, by name."""
    return [path for path in sorted(root.joinpath("components").rglob("*.py")) if "numba" in others([path])]


def _data(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir():
            if path.name != "__pycache__" and not path.joinpath("__init__.py").is_file():
                yield from _data(path)
        elif path.suffix not in (".py", ".pyc") and path.name not in _GENERATED:
            yield path


def _files(name: str, root: Path) -> Iterator[Path]:
    """The file of a module of Quipu and those of the packages around it; nothing for the name of anything else."""
    parts = name.split(".")
    if parts[0] not in PACKAGES:
        return
    for depth in range(1, len(parts) + 1):
        place = root.joinpath(PACKAGES[parts[0]], *parts[:depth])
        yield from (file for file in (place / "__init__.py", place.with_name(f"{place.name}.py")) if file.is_file())


@cache
def _imports(text: str, of_component: bool) -> frozenset[str]:
    body: list[ast.stmt] = ast.parse(text).body
    if of_component:
        body = [inner for one in body if isinstance(one, ast.FunctionDef) for inner in one.body]
    return frozenset(name for one in body for node in _at_run_time(one) for name in _named(node))


def _at_run_time(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all below it, but for what type checkers read alone."""
    yield node
    if isinstance(node, ast.If) and ast.unparse(node.test).removeprefix("typing.") == "TYPE_CHECKING":
        below: Iterable[ast.AST] = node.orelse
    else:
        below = ast.iter_child_nodes(node)
    for child in below:
        yield from _at_run_time(child)


def _named(node: ast.AST) -> Iterator[str]:
    """The modules that one node imports or names, and what it takes out of them."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield str(node.module)
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _MODULE.fullmatch(node.value):
        yield from {node.value} if node.value.partition(".")[0] in PACKAGES else ()
