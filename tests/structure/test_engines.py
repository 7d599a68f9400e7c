"""Readers of a model ask its engine, never of which class it is: a further family then needs no change of theirs."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(path for folder in ("components", "pipelines") for path in (ROOT / folder).rglob("*.py"))
ENGINES = {"Card", "Cards", "Trees"}


def asks_for_an_engine(source: str) -> list[int]:
    """Lines that ask whether something is an engine of some class."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "isinstance"
        and {name.id for name in ast.walk(node.args[1]) if isinstance(name, ast.Name)} & ENGINES
    ]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_reader_of_a_model_asks_for_its_engines_class(path: Path) -> None:
    assert asks_for_an_engine(path.read_text(encoding="utf-8")) == [], "ask a call of models.engine.Engine"


def test_such_a_question_is_seen() -> None:
    assert asks_for_an_engine("if x:\n    isinstance(a.engine, Card | Cards)\nisinstance(b, str)\n") == [2]
