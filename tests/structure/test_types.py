"""No loose dictionary crosses a border between modules: what they hand on is typed, so that a misspelt field fails."""

import ast
import contextlib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "components").rglob("*.py"))
_LOOSE = {"dict[str, Any]", "dict[str, object]"}

# The form is another's: each public name with whose it is.
FOREIGN = {
    "credit/book/mapping.py: Mapping.config": "YAML that ``parse_config`` types when it is laid over the defaults",
    "credit/features/onerow/expressions.py: CALLED": "names that compiled expressions of SQL may call",
    "credit/training/search.py: draw_candidates": "parameters of scikit-learn's and XGBoost's estimators",
    "deploy/pod_diagnosis.py: trouble_of": "objects of the Kubernetes API",
    "feature/table.py: WRITING": "arguments of PyArrow's Parquet writer",
}
# The form is ours and should be a type: each public name with what reads it through a type already, or why not yet.
UNTYPED = {
    "credit/book/manifest.py: Manifest.notes": "each stage has its own; ``FeatureNotes`` types those of feature",
    "credit/book/store.py: Store.publish": "hands ``Manifest.notes`` on",
    "credit/models/scorer.py: Scorer.recipe": "``released`` types it as ``Recipe`` before it is used",
}


def loose_names(path: Path) -> set[str]:
    """The public names of a module where a loose dictionary crosses its border, as ``path: name``."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    return {f"{path.relative_to(ROOT / 'components')}: {name}" for name in _names(module.body, "", _aliases(module))}


def _names(body: list[ast.stmt], owner: str, aliases: set[str]) -> Iterator[str]:
    """Public functions, methods, fields and aliases of a body that take, give or are such a dictionary."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            found = {node.name: [*node.bases]}
            if not node.name.startswith("_"):
                yield from _names(node.body, f"{owner}{node.name}.", aliases)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            found = {node.name: [each for each in (node.returns, *(each.annotation for each in arguments)) if each]}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found = {node.target.id: [node.annotation]}
        elif isinstance(node, ast.Assign):
            found = {each.id: [each] for each in node.targets if isinstance(each, ast.Name)}
        else:
            found = {}
        for name, annotations in found.items():
            if not name.startswith("_") and any(_is_loose(each, aliases) for each in annotations):
                yield f"{owner}{name}"


def _aliases(module: ast.Module) -> set[str]:
    """Names that a module gives to such a dictionary."""
    found: set[str] = set()
    for node in module.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript) and _is_loose(node.value, found):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


def _is_loose(annotation: ast.AST, aliases: set[str]) -> bool:
    """Whether an annotation holds ``dict[str, Any]``, ``dict[str, object]`` or an alias of one of them."""
    for node in ast.walk(annotation):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            with contextlib.suppress(SyntaxError):  # a word of a Literal is no annotation
                if _is_loose(ast.parse(node.value, mode="eval"), aliases):
                    return True
        alias = isinstance(node, ast.Name) and node.id in aliases
        if alias or (isinstance(node, ast.Subscript) and ast.unparse(node).replace("Mapping", "dict") in _LOOSE):
            return True
    return False


def test_no_loose_dictionary_crosses_a_border_but_those_listed() -> None:
    found = {name for path in MODULES for name in loose_names(path)}
    listed = {*FOREIGN, *UNTYPED}
    assert found - listed == set(), "give a type to what these take, give or hold"
    assert listed - found == set(), "these are typed now: take them off the list"


def test_the_test_sees_each_way_over_a_border() -> None:
    module = ast.parse(
        "Row = dict[str, Any]\n"
        "def given(row: Row): ...\n"
        "def gives() -> list['dict[str, object]']: ...\n"
        "def _private(row: Row): ...\n"
        "def typed(row: dict[str, float]): ...\n"
        "class Kept:\n"
        "    field: Mapping[str, object] | None\n"
        "    def method(self, *, row: Row): ...\n"
    )
    assert set(_names(module.body, "", _aliases(module))) == {"Row", "given", "gives", "Kept.field", "Kept.method"}
