"""Mapping and configuration as people write them: what is wrong is said in one sentence, with its place."""

from pathlib import Path

import pytest

from components.credit.book.documents import read_config, read_mapping
from components.credit.config import parse_config
from components.credit.errors import InputError
from components.credit.typed_yaml import read_text


def refusal(text: str) -> str:
    with pytest.raises(InputError) as refused:
        parse_config(text, "lender.yaml")
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("seed: 1\nsplit: {}\nseed: 2\n", "the key 'seed' stands in line 1 and again in line 3; keep one of them."),
        ("split: {test_share: 0.2, test_share: 0.3}", "the key 'test_share' stands twice in line 1; keep one of them."),
        ("split:\n  test_share: 0.2\n  'test_share': 0.3\n", "stands in line 2 and again in line 3"),
    ],
)
def test_a_key_that_stands_twice_is_refused_with_both_lines(text: str, sentence: str) -> None:
    assert sentence in refusal(text)


def test_the_same_key_in_two_places_is_no_repetition() -> None:
    assert parse_config("target: {window_days: 200}\nmonitoring: {window_days: 30}", "x").monitoring.window_days == 30


def test_a_merged_key_may_be_overridden() -> None:
    config = parse_config("monitoring: &m {window_days: 30}\n", "x")
    assert config == parse_config("monitoring: {<<: {window_days: 90}, window_days: 30}\n", "x")


@pytest.mark.parametrize("depth", [500, 5_000, 100_000])
def test_brackets_too_deep_in_each_other_are_refused(depth: int) -> None:
    assert "write it flatter" in refusal("[" * depth)


def test_a_file_of_another_kind_is_refused_by_its_size() -> None:
    assert "see that it is the right file" in refusal("# x\n" * 300_000)


@pytest.mark.parametrize(("encoding", "likely"), [("latin-1", "Latin-1"), ("cp1252", "Latin-1"), ("utf-16", "UTF-16")])
@pytest.mark.parametrize("read", [read_mapping, read_config, lambda path: read_text(Path(path))])
def test_another_encoding_gets_a_sentence(tmp_path: Path, encoding: str, likely: str, read: object) -> None:
    path = tmp_path / "lender.yaml"
    path.write_bytes("seed: 1\nlender: Caja Ñandú\n".encode(encoding))
    with pytest.raises(InputError, match=f"is not UTF-8 text, more likely {likely}; save the file as UTF-8"):
        read(str(path))  # type: ignore[operator]


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("seed: 7\n", encoding="utf-8-sig")
    assert read_config(str(path)).seed == 7
