"""A skipped test says what is missing and how to get it, for the table at the end of a run."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]


def reasons(path: Path) -> list[str]:
    """The reasons of the skips in a file, with ``x`` where a value is put in."""
    texts = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("pytest.skip", "mark.skip", "mark.skipif")):
            reason = next((word.value for word in node.keywords if word.arg == "reason"), None) or node.args[0]
            parts = reason.values if isinstance(reason, ast.JoinedStr) else [reason]
            texts.append("".join(part.value if isinstance(part, ast.Constant) else "x" for part in parts))
    return texts


@pytest.mark.parametrize(
    "path", [path for path in sorted(TESTS.rglob("*.py")) if reasons(path)], ids=lambda path: path.name
)
def test_a_skip_names_what_is_missing_and_the_remedy(path: Path) -> None:
    for reason in reasons(path):
        assert re.fullmatch(r"no .+: .+", reason), f"say it as 'no …: how to get it': {reason}"
