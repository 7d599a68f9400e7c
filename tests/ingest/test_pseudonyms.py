"""Tokens: keyed, the same for the same person however the number is written, and apart for other things."""

import base64
import hmac

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.credit.book.mapping import Column
from components.credit.errors import InputError
from components.ingest.pseudonyms import partition_of, pseudonym_key, pseudonyms, tokens

KEY = b"0123456789abcdef0123456789abcdef"


def people(texts: list[str | None], kind: str = "dni", suffix: str = "") -> tuple[list[str | None], list[str | None]]:
    rule = Column(column="DOC", identifier=kind, suffix=suffix)
    found, problems = pseudonyms(pa.array(texts, pa.string()), "borrower", rule, "borrower_id: DOC", ["S/N"], KEY)
    return found.to_pylist(), problems.to_pylist()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text()), st.binary(min_size=16, max_size=100))
def test_a_token_is_the_start_of_the_hmac_in_base32(identifiers: list[str], key: bytes) -> None:
    def expected(identifier: str) -> str:
        digest = hmac.digest(key, b"loan\x1f" + identifier.encode(), "sha256")[:16]
        return base64.b32encode(digest).decode().lower().rstrip("=")

    assert tokens(list(identifiers), "loan", key).to_pylist() == [expected(each) for each in identifiers]


def test_a_person_has_one_token_however_the_number_is_written() -> None:
    found, problems = people(["10117410", " 10117410 ", "10117410-2", "101174102", "10117410G"])
    assert len(set(found)) == 1
    assert len(found[0]) == 26
    assert problems == [None] * 5
    assert people(["10101174102"], "ruc")[0] == found[:1]


def test_leading_zeros_that_a_spreadsheet_took_away_come_back() -> None:
    found, _ = people(["01234567", "1234567", "01234568"])
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize(
    "text", ["10117410-3", "123456789", "ABCDEFGH", "1234", "00000000", "1", "12-34", "１2345678901"]
)
def test_a_number_that_is_not_a_dni_gives_a_problem_and_no_token(text: str) -> None:
    if text in ("1234", "1"):
        assert people([text])[0] == people([text.zfill(8)])[0]
        return
    found, problems = people([text])
    assert found == [None]
    assert problems[0] is not None
    assert problems[0].startswith("borrower_id: DOC is not a DNI")
    assert text not in problems[0]


@pytest.mark.parametrize("kind", ["text", "dni", "ruc"])
def test_a_number_that_a_spreadsheet_shortened_names_nobody(kind: str) -> None:
    found, problems = people(["1.00E+07", "1.01174E+7", "2.05e+10"], kind)
    assert found == [None] * 3
    assert set(problems) == {
        "borrower_id: DOC is a number in scientific notation, as a spreadsheet shortens it; export the column as text"
    }


def test_a_code_with_an_e_in_it_is_an_identifier() -> None:
    assert None not in people(["1E5", "A1.0E+5", "10E+7", "1.0E5"], "text")[0]


def test_a_ruc_is_checked() -> None:
    found, problems = people(["20512333797", "20512333798", "10117410"], "ruc")
    assert [token is None for token in found] == [False, True, True]
    assert [problem is None for problem in problems] == [True, False, False]


def test_missing_identifiers_are_missing_without_a_problem() -> None:
    assert people([None, "", "  ", "S/N"]) == ([None] * 4, [None] * 4)


def test_key_entity_and_suffix_each_change_the_token() -> None:
    base = tokens(["7"], "borrower", KEY)[0].as_py()
    assert tokens(["7"], "loan", KEY)[0].as_py() != base
    assert tokens(["7"], "borrower", KEY + b"x")[0].as_py() != base
    assert people(["7"], "text", "-due")[0] != people(["7"], "text")[0] == [base]


def test_partitions_hold_all_people_about_evenly_and_do_not_move() -> None:
    borrowers = tokens([str(number) for number in range(20_000)], "borrower", KEY)
    index = partition_of(borrowers, 7)
    assert np.bincount(index, minlength=7).min() > 20_000 / 7 * 0.9
    # Other runs join their tables by partition: what these four get must never change.
    assert index[:4].tolist() == partition_of(borrowers, 7)[:4].tolist()
    assert partition_of(
        pa.array(["aaaaaab" + "a" * 19, "aaaaaba" + "a" * 19, "77777777" + "a" * 18, None]), 1000
    ).tolist() == [
        0,
        1,
        (32**6 - 1) % 1000,
        0,
    ]


@pytest.mark.parametrize("value", [None, "short"])
def test_a_key_that_is_missing_or_short_is_refused(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUIPU_PSEUDONYM_KEY")
    if value:
        monkeypatch.setenv("QUIPU_PSEUDONYM_KEY", value)
    with pytest.raises(InputError, match="QUIPU_PSEUDONYM_KEY"):
        pseudonym_key()
