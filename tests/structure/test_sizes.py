"""No function over 80 lines, no module over 450: a reader holds either in mind at once."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(path for folder in ("components", "pipelines") for path in (ROOT / folder).rglob("*.py"))
MOST_OF_A_FUNCTION, MOST_OF_A_MODULE = 80, 450
# Longer still: who parts one takes it off.
LONG_FUNCTIONS: set[str] = set()


def long_functions(source: str) -> list[str]:
    """Names of the functions with more lines than a reader holds in mind."""
    return [
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= MOST_OF_A_FUNCTION
    ]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_and_modules_stay_short(path: Path) -> None:
    name, source = str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
    functions = {f"{name}: {function}" for function in long_functions(source)}
    assert functions <= LONG_FUNCTIONS, "part it into functions that each do one thing"
    assert source.count("\n") <= MOST_OF_A_MODULE, "part it by what it holds"


def test_a_function_of_81_lines_is_a_long_one() -> None:
    lines = ["def short():", *["    x = 1"] * 79, "def long():", *["    x = 1"] * 80]
    assert long_functions("\n".join(lines)) == ["long"]
