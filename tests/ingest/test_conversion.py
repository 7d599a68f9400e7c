"""Rules of a mapping, value by value: what becomes of a text, and what the sentence says where it cannot be read."""

import datetime
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.credit.book.contract import TABLES
from components.credit.book.mapping import Attribute, Column, Defaults, Mapping, Source, TableSource
from components.ingest.conversion import conversion, convert
from components.ingest.rows import Batch

UTC = datetime.UTC
KEY = b"0123456789abcdef"
DAY = datetime.date(2024, 6, 30)


def converted(
    duck: duckdb.DuckDBPyConnection,
    table: str,
    rules: dict[str, Column],
    columns: dict[str, Sequence[Any] | pa.Array],
    **layout: Any,
) -> list[dict[str, Any]]:
    arrays = {
        name: column if isinstance(column, pa.Array) else pa.array(column, pa.string())
        for name, column in columns.items()
    }
    rows = len(next(iter(arrays.values())))
    mapping = Mapping(
        lender="x",
        currency="PEN",
        time_zone="America/Lima",
        sources={"s": Source(files="*")},
        tables={table: [TableSource(source="s", columns=dict(rules))]},
        defaults=Defaults(**layout),
        attributes={"balance": Attribute(column="B", type="number", en="", es="")} if "B" in arrays else {},
    )
    how = conversion(TABLES[table], mapping.tables[table][0], mapping, DAY, KEY)
    batch = Batch(arrays, pa.array(range(1, rows + 1), pa.int64()), pa.nulls(rows, pa.string()))
    return convert(duck, how, batch, "f.csv").to_pylist()


def one(
    duck: duckdb.DuckDBPyConnection, table: str, field: str, rule: Column, value: Any, **layout: Any
) -> tuple[Any, list[str]]:
    column = value if isinstance(value, pa.Array) else pa.array([value], pa.string())
    row = converted(duck, table, {field: rule}, {"C": column}, **layout)[0]
    return row[field], row["problems"]


@pytest.mark.parametrize(
    ("text", "decimal", "value"),
    [
        ("1234.5", ".", "1234.50"),
        ("1,234,567.891", ".", "1234567.89"),
        (" 12 ", ".", "12.00"),
        ("-3.10", ".", "-3.10"),
        (".5", ".", "0.50"),
        ("7.", ".", "7.00"),
        ("1.5e3", ".", "1500.00"),
        ("1.234,56", ",", "1234.56"),
        ("1.234", ",", "1234.00"),
        ("0,1", ",", "0.10"),
        ("\u00a012,5\t", ",", "12.50"),
    ],
)
def test_amounts_are_read_by_their_decimal_separator(
    duck: duckdb.DuckDBPyConnection, text: str, decimal: str, value: str
) -> None:
    assert one(duck, "loans", "principal", Column(column="C"), text, decimal=decimal) == (Decimal(value), [])


@pytest.mark.parametrize(
    ("text", "decimal"),
    [("1.5", ","), ("1,5", "."), ("abc", "."), ("1,23,456", "."), ("nan", "."), ("--1", "."), ("S/ 3", ".")],
)
def test_an_amount_that_does_not_fit_the_separator_is_a_problem(
    duck: duckdb.DuckDBPyConnection, text: str, decimal: str
) -> None:
    value, problems = one(duck, "loans", "principal", Column(column="C"), text, decimal=decimal)
    assert value is None
    assert problems == [f"principal: C is not a number with decimal '{decimal}'"]


def test_an_amount_too_large_says_so(duck: duckdb.DuckDBPyConnection) -> None:
    assert one(duck, "loans", "principal", Column(column="C"), "1e20") == (None, ["principal: C is too large a number"])
    assert one(duck, "loans", "annual_rate", Column(column="C"), "1e999")[0] is None


def test_scale_and_units(duck: duckdb.DuckDBPyConnection) -> None:
    assert one(duck, "loans", "principal", Column(column="C", scale=1000), "12.345")[0] == Decimal("12345.00")
    assert one(duck, "loans", "annual_rate", Column(column="C", scale=0.01), "43")[0] == pytest.approx(0.43)
    assert one(duck, "loans", "term_days", Column(column="C", unit="months"), "12")[0] == 365
    assert one(duck, "loans", "term_days", Column(column="C", unit="weeks"), "2")[0] == 14


def test_counts_are_whole(duck: duckdb.DuckDBPyConnection) -> None:
    rule = Column(column="C")
    assert one(duck, "loans", "instalments", rule, "12.0") == (12, [])
    assert one(duck, "loans", "instalments", rule, "12.5") == (None, ["instalments: C is not a whole number"])
    assert one(duck, "loans", "instalments", rule, "99999999999") == (None, ["instalments: C is not a whole number"])


def test_times_are_read_by_the_formats_in_order_and_stand_in_utc(duck: duckdb.DuckDBPyConnection) -> None:
    dates = ["%d/%m/%Y %H:%M", "%d/%m/%Y", "%Y-%m-%dT%H:%M:%S%z"]
    rule = Column(column="C")
    assert one(duck, "loans", "event_time", rule, "02/01/2024 10:30", dates=dates)[0] == datetime.datetime(
        2024, 1, 2, 15, 30, tzinfo=UTC
    )
    assert one(duck, "loans", "event_time", rule, "02/01/2024", dates=dates)[0] == datetime.datetime(
        2024, 1, 2, 5, tzinfo=UTC
    )
    assert one(duck, "loans", "event_time", rule, "2024-01-02T10:30:00+0100", dates=dates)[0] == datetime.datetime(
        2024, 1, 2, 9, 30, tzinfo=UTC
    )
    assert one(duck, "loans", "event_time", rule, "01/13/2024", dates=dates) == (
        None,
        ["event_time: C is not a date of the form %d/%m/%Y %H:%M or %d/%m/%Y or %Y-%m-%dT%H:%M:%S%z"],
    )


def test_known_at_follows_event_time_or_its_own_rule(duck: duckdb.DuckDBPyConnection) -> None:
    rules = {"event_time": Column(column="C")}
    row = converted(duck, "bureau", rules, {"C": ["2024-01-31"]})[0]
    assert row["known_at"] == row["event_time"]
    row = converted(duck, "bureau", rules | {"known_at": Column(column="C", plus_days=45)}, {"C": ["2024-01-31"]})[0]
    assert row["known_at"] - row["event_time"] == datetime.timedelta(days=45)


def test_days_are_those_of_the_lenders_calendar_and_birth_is_coarsened(duck: duckdb.DuckDBPyConnection) -> None:
    late = pa.array([datetime.datetime(2024, 3, 1, 3, tzinfo=UTC)], pa.timestamp("us", "UTC"))
    assert one(duck, "repayments", "due_on", Column(column="C"), late)[0] == datetime.date(2024, 2, 29)
    assert one(duck, "borrowers", "birth_month", Column(column="C"), "1980-05-17")[0] == datetime.date(1980, 5, 1)
    assert one(duck, "borrowers", "business_since", Column(column="C"), "2019-12-31")[0] == datetime.date(2019, 12, 1)


def test_constants_and_the_as_of_day(duck: duckdb.DuckDBPyConnection) -> None:
    row = converted(
        duck,
        "loans",
        {
            "kind": Column(value="new"),
            "event_time": Column(value="as_of"),
            "known_at": Column(value="2024-02-01"),
            "principal": Column(column="C"),
        },
        {"C": ["1"]},
    )[0]
    assert row["kind"] == "new"
    assert row["event_time"] == datetime.datetime(2024, 6, 30, 5, tzinfo=UTC)
    assert row["known_at"] == datetime.datetime(2024, 2, 1, 5, tzinfo=UTC)
    assert row["currency"] == "PEN"
    assert row["term_days"] is None


def test_codes(duck: duckdb.DuckDBPyConnection) -> None:
    rule = Column(column="C", codes={"F": "female", "M": "male", "9": None})
    assert [one(duck, "borrowers", "sex", rule, text) for text in ("F", " M ", "9", "", None)] == [
        ("female", []),
        ("male", []),
        (None, []),
        (None, []),
        (None, []),
    ]
    assert one(duck, "borrowers", "sex", rule, "m") == (None, ["sex: C holds a code that the mapping does not list"])
    others = Column(column="C", codes={"F": "female", "*": "other"})
    assert [one(duck, "borrowers", "sex", others, text)[0] for text in ("F", "x", None)] == ["female", "other", None]
    numbers = pa.array([1.0, 2.0, None])
    rows = converted(duck, "borrowers", {"sex": Column(column="C", codes={"1": "male", "2": "female"})}, {"C": numbers})
    assert [row["sex"] for row in rows] == ["male", "female", None]


def test_flags(duck: duckdb.DuckDBPyConnection) -> None:
    assert one(duck, "borrowers", "rural", Column(column="C", codes={"R": True, "U": False}), "U") == (False, [])
    assert one(duck, "borrowers", "rural", Column(column="C"), "TRUE") == (True, [])
    assert one(duck, "borrowers", "rural", Column(column="C"), pa.array([False])) == (False, [])
    assert one(duck, "borrowers", "rural", Column(column="C"), "quizás") == (
        None,
        ["rural: C is neither true nor false"],
    )


@pytest.mark.parametrize(
    ("coding", "code", "department"),
    [
        ("inei", "150101", "15"),
        ("inei", "10101", "01"),
        ("reniec", "140101", "15"),
        ("reniec", "240101", "07"),
        ("reniec", "070101", "08"),
        ("reniec", "250101", "25"),
        ("reniec", "060101", "06"),
    ],
)
def test_of_a_ubigeo_only_the_inei_department_is_kept(
    duck: duckdb.DuckDBPyConnection, coding: Any, code: str, department: str
) -> None:
    assert one(duck, "borrowers", "department", Column(column="C", ubigeo=coding), code) == (department, [])
    assert (
        one(duck, "borrowers", "department", Column(column="C", ubigeo=coding), pa.array([int(code)]))[0] == department
    )


@pytest.mark.parametrize("code", ["990101", "15", "1501011", "Lima"])
def test_what_is_no_ubigeo_is_a_problem(duck: duckdb.DuckDBPyConnection, code: str) -> None:
    assert one(duck, "borrowers", "department", Column(column="C", ubigeo="inei"), code) == (
        None,
        ["department: C is not a UBIGEO of INEI"],
    )


def test_the_reniec_departments_are_those_of_the_published_table(
    duck: duckdb.DuckDBPyConnection, shared_data: Any
) -> None:
    import csv

    with (shared_data / "ubigeo_pe" / "ubigeo_distrito.csv").open(encoding="utf-8") as opened:
        districts = [row for row in csv.DictReader(opened) if "NA" not in (row["inei"], row["reniec"])]
    rows = converted(
        duck,
        "borrowers",
        {"department": Column(column="C", ubigeo="reniec")},
        {"C": [row["reniec"] for row in districts]},
    )
    assert [row["department"] for row in rows] == [row["inei"][:2] for row in districts]


def test_missing_texts_are_missing_without_a_problem(duck: duckdb.DuckDBPyConnection) -> None:
    rule = Column(column="C", missing=["-9"])
    assert one(duck, "loans", "principal", rule, "NA", missing=["NA"]) == (None, [])
    assert one(duck, "loans", "principal", rule, "-9", missing=["NA"]) == (None, [])
    assert one(duck, "loans", "principal", rule, pa.array([-9])) == (None, [])
    assert one(duck, "loans", "principal", rule, pa.array([float("nan")])) == (None, [])


def test_native_values_need_no_formats(duck: duckdb.DuckDBPyConnection) -> None:
    rule = Column(column="C")
    assert one(duck, "loans", "principal", rule, pa.array([Decimal("10.25")]), decimal=",")[0] == Decimal("10.25")
    assert one(duck, "loans", "principal", rule, pa.array([10.25]), decimal=",")[0] == Decimal("10.25")
    assert one(duck, "loans", "instalments", rule, pa.array([12], pa.int64()))[0] == 12
    naive = pa.array([datetime.datetime(2024, 1, 1)], pa.timestamp("ns"))
    assert one(duck, "loans", "event_time", rule, naive)[0] == datetime.datetime(2024, 1, 1, 5, tzinfo=UTC)
    assert one(duck, "loans", "event_time", rule, pa.array([DAY]))[0] == datetime.datetime(2024, 6, 30, 5, tzinfo=UTC)
    assert one(duck, "loans", "event_time", rule, pa.array([20240102]), dates=["%Y%m%d"])[0] == datetime.datetime(
        2024, 1, 2, 5, tzinfo=UTC
    )


def test_identifiers_of_any_type_give_the_token_of_their_text(duck: duckdb.DuckDBPyConnection) -> None:
    rule = {"loan_id": Column(column="C")}
    found = {
        converted(duck, "loans", rule, {"C": column})[0]["loan_id"]
        for column in (["123"], pa.array([123]), pa.array([123.0]), pa.array(["123"]))
    }
    assert len(found) == 1


def test_rows_without_identifiers_are_told_apart_by_file_and_row(duck: duckdb.DuckDBPyConnection) -> None:
    rows = converted(
        duck,
        "applications",
        {
            "application_id": Column(row_number=True),
            "borrower_id": Column(row_number=True),
            "amount": Column(column="C"),
        },
        {"C": ["1", "1"]},
    )
    assert len({row["application_id"] for row in rows} | {row["borrower_id"] for row in rows}) == 4


_RULES = {
    "application_id": Column(column="ID"),
    "borrower_id": Column(column="DNI", identifier="dni"),
    "event_time": Column(column="T"),
    "decided_at": Column(column="T", plus_days=3),
    "amount": Column(column="M", scale=10),
    "total_due": Column(column="M"),
    "term_days": Column(column="N", unit="months"),
    "incumbent_score": Column(column="M"),
    "channel": Column(column="K"),
    "outcome": Column(column="K", codes={"B": "good", "'": "bad"}),
}
_TEXTS = st.one_of(
    st.none(),
    st.text(max_size=12),
    st.from_regex(r"[0-9+\-.,eE/: ]{0,20}", fullmatch=True),
    st.sampled_from(
        ["1e308", "9" * 40, "inf", "-0", "10117410", "31/02/2024", "99999-01-01", "0001-01-01", "9999-12-31"]
    ),
)


@settings(deadline=None, max_examples=80)
@given(
    st.lists(st.tuples(*[_TEXTS] * 6), min_size=1, max_size=8),
    st.sampled_from([".", ","]),
    st.sampled_from([["%Y-%m-%d"], ["%d/%m/%Y", "%Y-%m-%d %z", "%y%j"], ["%c", "%H:%M:%S.%f"]]),
)
def test_no_text_in_any_column_fails_or_loses_a_row(
    duck: duckdb.DuckDBPyConnection, rows: list[tuple[str | None, ...]], decimal: str, dates: list[str]
) -> None:
    columns = dict(zip(("ID", "DNI", "T", "M", "N", "B"), zip(*rows, strict=True), strict=True))
    columns["K"] = columns["ID"]
    written = converted(duck, "applications", _RULES, columns, decimal=decimal, dates=dates)
    assert [row["source_row"] for row in written] == list(range(1, len(rows) + 1))
    # Sentences depend on the mapping only, so that no value can be within.
    sentences = {problem for row in written for problem in row["problems"]}
    assert len(sentences) <= 1 + len(_RULES)
    assert not {problem for problem in sentences if problem.partition(":")[0] not in {*_RULES, "attribute_balance"}}


@settings(deadline=None, max_examples=40)
@given(
    st.one_of(
        st.lists(st.none() | st.floats(), min_size=1).map(lambda values: pa.array(values, pa.float64())),
        st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=1).map(
            lambda values: pa.array(values, pa.int64())
        ),
        st.lists(st.none() | st.booleans(), min_size=1).map(lambda values: pa.array(values, pa.bool_())),
        st.lists(st.none() | st.integers(-(2**62), 2**62), min_size=1).map(
            lambda values: pa.array(values, pa.int64()).cast(pa.timestamp("us"))
        ),
        st.lists(st.none() | st.integers(-(2**31), 2**31 - 1), min_size=1).map(
            lambda values: pa.array(values, pa.int32()).cast(pa.date32())
        ),
        st.lists(
            st.none() | st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-1e20, max_value=1e20),
            min_size=1,
        ).map(lambda values: pa.array(values, pa.decimal128(38, 4))),
    )
)
def test_no_native_value_fails_or_loses_a_row(duck: duckdb.DuckDBPyConnection, column: pa.Array) -> None:
    rules = {name: Column(column="C", **options) for name, options in {
        "loan_id": {}, "event_time": {}, "principal": {}, "total_due": {"scale": 3}, "term_days": {"unit": "years"},
        "instalments": {}, "annual_rate": {}, "product": {}, "kind": {"codes": {"1": "new"}},
    }.items()}  # fmt: skip
    written = converted(duck, "loans", rules, {"C": column})
    assert [row["source_row"] for row in written] == list(range(1, len(column) + 1))
