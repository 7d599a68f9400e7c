"""A message is one line, whatever it quotes."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.credit.book.mapping import parse_mapping
from components.credit.config import parse_config
from components.credit.errors import GateStopped, InputError, ModelRefused, StoreError
from components.credit.progress import stage
from pipelines.run import find_mapping


@given(st.text())
def test_a_message_is_one_line_that_any_terminal_and_log_can_hold(quoted: str) -> None:
    for kind in (InputError, GateStopped, StoreError, ModelRefused):
        said = str(kind(f"Column '{quoted}' is missing."))
        assert said.isprintable()
        said.encode("utf-8")
        assert quoted in said or not quoted.isprintable()


def test_a_quoted_line_end_is_shown_as_it_is_escaped() -> None:
    assert str(InputError("Column 'a\nb' is missing.")) == r"Column 'a\nb' is missing."


@pytest.mark.parametrize("key", ["\n", "\x1b[31m", "\u2028", "a\u200bb"])
def test_the_keys_of_a_mapping_and_a_configuration_are_quoted_so(key: str) -> None:
    document = json.dumps({key: 1})
    for parse in (lambda: parse_mapping(document, "lender.yaml"), lambda: parse_config(document, "config.yaml")):
        with pytest.raises(InputError) as refused:
            parse()
        assert str(refused.value).isprintable()


def test_so_are_names_on_the_command_line() -> None:
    with pytest.raises(InputError, match=r"no mapping 'port\\nfolio'; did you mean 'portfolio'"):
        find_mapping("port\nfolio")


def test_so_are_the_warnings_and_the_failure_of_a_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUIPU_PROGRESS_FILE", str(tmp_path / "progress.jsonl"))
    with stage("ingest") as progress:
        progress.warn("The file 'caf\udce9\n.csv' looks like UTF-8.")
    with pytest.raises(ValueError, match="sheet"), stage("ingest"):
        raise ValueError("sheet\x07 2\nand more")
    events = [json.loads(line) for line in (tmp_path / "progress.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [event["warning"] for event in events if "warning" in event] == [
        r"The file 'caf\udce9\n.csv' looks like UTF-8."
    ]
    assert [event["reason"] for event in events if "reason" in event] == [r"ValueError: sheet\x07 2"]
