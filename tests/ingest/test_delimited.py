"""Delimited text: every row comes out once, with its number; a file of another layout is refused in one sentence."""

import csv
import io
import random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.credit.book.mapping import Layout
from components.credit.errors import InputError
from components.credit.progress import Progress
from components.ingest import delimited
from components.ingest.delimited import check_delimited, read_delimited

PROGRESS = Progress("ingest")


def read(content: bytes, needed: list[str], **layout: Any) -> list[dict[str, Any]]:
    """The rows of a file as dictionaries with ``row`` and ``problem``."""
    form = Layout(**layout)
    check_delimited("f.csv", lambda: io.BytesIO(content), form, needed, PROGRESS)
    rows = []
    for batch in read_delimited("f.csv", lambda: io.BytesIO(content), form, needed):
        table = pa.table({**batch.columns, "row": batch.rows, "problem": batch.problems})
        rows += table.to_pylist()
    return rows


def values(content: bytes, needed: list[str], **layout: Any) -> list[tuple[Any, ...]]:
    return [tuple(row[column] for column in needed) for row in read(content, needed, **layout)]


def test_only_the_columns_asked_for_are_read_in_any_order() -> None:
    assert values(b"a,b,c\n1,2,3\n4,5,6\n", ["c", "a"]) == [("3", "1"), ("6", "4")]


def test_a_column_with_an_empty_header_has_the_empty_name() -> None:
    assert values(b",b\n1,2\n", [""]) == [("1",)]


def test_names_are_stripped_and_a_byte_order_mark_is_no_part_of_one() -> None:
    assert values("\ufeff DNI , Monto\n1,2\n".encode(), ["DNI", "Monto"]) == [("1", "2")]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-8", "utf-8-sig", "utf-16", "cp850"])
def test_any_encoding(encoding: str) -> None:
    content = "año;señal\nñ;«é»\n".replace("«", "'").replace("»", "'").encode(encoding)
    assert values(content, ["año", "señal"], encoding=encoding, delimiter=";") == [("ñ", "'é'")]


def test_blank_lines_and_windows_lines_and_no_last_line_end() -> None:
    assert [row["row"] for row in read(b"\r\n\r\na;b\r\n1;2\r\n\r\n3;4", ["a", "b"], delimiter=";")] == [1, 2]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "cp850", "utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("beyond", [-3, -2, -1, 0, 1, 2, 3])
@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_a_file_may_end_anywhere_near_the_end_of_a_block(
    monkeypatch: pytest.MonkeyPatch, encoding: str, beyond: int, blocks: int
) -> None:
    # A block is small here, so that every encoding and size takes a moment; the real size is in the test below.
    monkeypatch.setattr(delimited, "_BLOCK", 1 << 16)
    row, accent = "S%05d,a row of the usual length,z", "S%05d,producción con ñ,z"
    width = len(f"{row % 0}\n".encode(encoding))
    lines = [(accent if number == 1 else row) % number for number in range((blocks << 16) // width)]
    # An accent stands across the end of the block, byte by byte, and the last row is as long as it takes.
    missing = (blocks << 16) + beyond - len(("a,b,c\n" + "\n".join(lines) + "\n").encode(encoding))
    lines.append(f"last,{'ñ' * max(1, missing // 4)}{'x' * (missing % 4)},z")
    content = ("a,b,c\n" + "\n".join(lines) + "\n").encode(encoding)
    assert [",".join(row) for row in values(content, ["a", "b", "c"], encoding=encoding)] == lines


def test_large_files_with_few_accents_are_read() -> None:
    row = "S%07d,10000000,03/01/2022,1500.50,Comercio,a row of the usual length\n"
    text = "".join(row % number for number in range(9 * (1 << 20) // len(row % 0)))
    content = ("a,b,c,d,e,f\n" + text.replace("Comercio", "Producción", 1)).encode("latin-1")
    assert len(values(content, ["a"], encoding="latin-1")) == text.count("\n")
    whole = ("a,b,c,d,e,f\n" + text + text).encode()
    accent = (8 << 20) - 1
    content = whole[:accent] + "ó".encode() + whole[accent + 2 :]
    assert len(values(content, ["a"])) == whole.count(b"\n") - 1


def test_a_file_without_a_header_takes_the_mappings() -> None:
    assert values(b"\n1 2\n3 4\n", ["y"], delimiter=" ", header=["x", "y"]) == [("2",), ("4",)]


def test_quotes_may_hold_delimiters_quotes_and_line_ends() -> None:
    assert values(b"a|b\n'x|''\ny'|2\n", ["a", "b"], delimiter="|", quote="'") == [("x|'\ny", "2")]


def test_a_malformed_line_becomes_a_row_with_its_number_and_a_problem() -> None:
    rows = read(b"a,b\n1,2\nsecreto\n3,4\n5,6,7,8\n", ["a", "b"])
    assert [(row["row"], row["a"], row["problem"]) for row in rows] == [
        (1, "1", None),
        (2, None, "line: has 1 columns instead of 2"),
        (3, "3", None),
        (4, None, "line: has 4 columns instead of 2"),
    ]


def test_malformed_lines_keep_their_numbers_across_blocks() -> None:
    # Larger than the block that is read at once.
    chance = random.Random(5)
    bad = set(chance.sample(range(1, 300_001), 500)) | {300_000, 299_999}
    lines = [f"{row},{'x' * 30},z" if row in bad else f"{row},{'x' * 30}" for row in range(1, 300_001)]
    content = ("id,text\n" + "\n".join(lines) + "\n").encode()
    assert len(content) > 8 << 20
    seen = 0
    for batch in read_delimited("f.csv", lambda: io.BytesIO(content), Layout(), ["id"]):
        for row, number, problem in zip(
            batch.rows.to_pylist(), batch.columns["id"].to_pylist(), batch.problems.to_pylist(), strict=True
        ):
            seen += 1
            assert row == seen
            assert (problem is not None) == (row in bad)
            assert number == (None if row in bad else str(row))
    assert seen == 300_000


_VALUES = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(_VALUES, _VALUES, _VALUES), min_size=1, max_size=10), st.sampled_from(",;|\t"))
def test_what_a_csv_writer_wrote_comes_back(rows: list[tuple[str, str, str]], delimiter: str) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerows([("a", "b", "c"), *rows])
    found = read(text.getvalue().encode(), ["a", "b", "c"], delimiter=delimiter)
    assert [(row["a"], row["b"], row["c"]) for row in found] == rows
    assert [row["row"] for row in found] == list(range(1, len(rows) + 1))


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=30))
def test_lines_of_any_width_are_all_counted(widths: list[int]) -> None:
    content = "a,b\n" + "".join(",".join(["x"] * width) + "\n" for width in widths)
    if 2 not in widths:
        with pytest.raises(InputError, match="no row has 2 columns"):
            read(content.encode(), ["a", "b"])
        return
    rows = read(content.encode(), ["a", "b"])
    assert [row["row"] for row in rows] == list(range(1, len(widths) + 1))
    assert [row["problem"] is None for row in rows] == [width == 2 for width in widths]


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    try:
        rows = read(b"a,b\n" + content, ["a", "b"])
    except InputError:
        return
    assert [row["row"] for row in rows] == list(range(1, len(rows) + 1))


def refusal(content: bytes, needed: list[str], **layout: Any) -> str:
    with pytest.raises(InputError) as error:
        read(content, needed, **layout)
    return str(error.value)


@pytest.mark.parametrize("content", [b"", b"\n\n  \n"])
def test_an_empty_file(content: bytes) -> None:
    assert refusal(content, ["a"]) == "f.csv is empty; deliver it again."


@pytest.mark.parametrize(
    ("magic", "words"),
    [
        (
            b"PK\x03\x04\x14\x00",
            "an Excel workbook or a zip archive by its content, not delimited text; save it as CSV",
        ),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "an Excel workbook of the old kind"),
        (b"\x1f\x8b\x08\x00", "compressed by gzip by its content, not delimited text; end its name in .gz"),
        (b"PAR1\x15\x04", "Parquet by its content, not delimited text; end its name in .parquet"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_file_of_another_kind_under_the_name_of_a_text_is_named(magic: bytes, words: str, encoding: str) -> None:
    assert words in refusal(magic + bytes(range(256)), ["a"], encoding=encoding)


@pytest.mark.parametrize(("right", "words"), [(";", "a semicolon"), ("\t", "a tab"), ("|", "a bar")])
def test_a_wrong_delimiter_is_guessed(right: str, words: str) -> None:
    content = right.join("ab") + "\n" + right.join("12") + "\n"
    assert words in refusal(content.encode(), ["a", "b"])
    assert words in refusal(content.encode(), ["a", "b"], header=["a", "b"])


def test_a_wrong_delimiter_behind_a_header_of_its_own() -> None:
    assert "no row has 2 columns when split at ','" in refusal(b"a,b\n1;2\n3;4\n", ["a", "b"])


def test_a_missing_column_offers_the_nearest() -> None:
    assert refusal(b"dni,monto\n1,2\n", ["DNI", "monto"]).endswith("; did you mean 'dni'?")
    assert refusal(b"DNI,montos\n1,2\n", ["DNI", "monto"]).endswith("; did you mean 'montos'?")


def test_a_file_of_another_kind_does_not_have_its_first_line_told() -> None:
    told = refusal(b"10117410,PEREZ\n10117411,GOMEZ\n", ["DNI", "NOMBRE"])
    assert "none of the columns" in told
    assert "PEREZ" not in told


def test_two_columns_of_one_name() -> None:
    assert "two columns named 'a'" in refusal(b"a,a\n1,2\n", ["a"])


def test_a_wrong_encoding_tells_line_and_byte() -> None:
    content = "a,b\n1,2\n3,ñ\n".encode("latin-1")
    assert refusal(content, ["a"]) == (
        "f.csv, line 3 (byte 10), is not text in utf-8; set its source's 'encoding', such as latin-1."
    )
    assert "line 1 (byte 0), is not text in utf-8; set its source's 'encoding', such as utf-16" in refusal(
        "a,b\n".encode("utf-16"), ["a"]
    )


def test_a_wrong_encoding_far_into_the_file_tells_its_place() -> None:
    content = b"a,b\n" + b"1234567,abcdefg\n" * 700_000 + "x,ñ\n".encode("latin-1")
    assert f"line 700002 (byte {len(content) - 2})" in refusal(content, ["a"])


def test_utf8_that_is_read_as_latin1_is_warned_of(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUIPU_PROGRESS_FILE", str(tmp_path / "events"))
    read("a,b\nñ,2\n".encode(), ["a"], encoding="latin-1")
    assert "looks like UTF-8" in (tmp_path / "events").read_text()
    (tmp_path / "events").write_text("")
    read("a,b\nñ,2\n".encode("latin-1"), ["a"], encoding="latin-1")
    assert (tmp_path / "events").read_text() == ""


def test_a_quote_that_never_closes_is_refused_since_it_would_swallow_rows() -> None:
    assert "a quote that opens in row 2 or before never closes" in refusal(b'a,b\n1,2\n3,"4\n5,6\n7,8\n', ["a"])
    assert refusal(b'a,b\n1,2\n3,"4\n' + b"5,6\n" * 3_000_000, ["a"]).startswith("f.csv")
