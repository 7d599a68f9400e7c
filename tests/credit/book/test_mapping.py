"""A mapping file that is not right is refused in one sentence with its place and, where there is one, the nearest."""

import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.credit.book.mapping import parse_mapping
from components.credit.errors import InputError

MAPPING = """
lender: Caja Ejemplo
currency: PEN
time_zone: America/Lima
as_of: 2024-06-30
defaults: {delimiter: ";", encoding: latin-1, decimal: ",", dates: ["%d/%m/%Y"]}
sources:
  clients: {files: "clientes*.csv"}
  credits: {connection: core, query: "select * from creditos"}
  requests: {files: solicitudes.csv, delimiter: "|", missing: [NA]}
tables:
  borrowers:
    - source: clients
      columns:
        borrower_id: {column: DNI, identifier: dni}
        event_time: FECHA_ALTA
        sex: {column: SEXO, codes: {F: female, M: male}}
        department: {column: UBIGEO, ubigeo: reniec}
  loans:
    - source: credits
      columns:
        loan_id: NUMERO
        borrower_id: {column: DNI, identifier: dni}
        event_time: FECHA
        principal: {column: MONTO, scale: 1000}
        term_days: {column: PLAZO, unit: months}
        kind: {value: new}
  repayments:
    - source: credits
      columns: {repayment_id: {column: NUMERO, suffix: -due}, loan_id: NUMERO, event_time: VENCE, kind: {value: due}}
  applications:
    - source: requests
      columns: {application_id: {row_number: true}, borrower_id: DNI, event_time: FECHA, decided_at: DECISION}
attributes:
  visits: {column: VISITAS, type: number, en: Visits, es: Visitas}
absent: [bureau, transactions]
rates:
  - {currency: USD, from: 2024-01-01, rate: 3.75}
"""


def refusal(old: str, new: str) -> str:
    assert old in MAPPING
    with pytest.raises(InputError) as error:
        parse_mapping(MAPPING.replace(old, new, 1), "lender.yaml")
    told = str(error.value)
    assert told.startswith("lender.yaml")
    assert "\n" not in told
    return told


def test_a_mapping_is_read_with_its_defaults() -> None:
    mapping = parse_mapping(MAPPING, "lender.yaml")
    assert mapping.as_of == datetime.date(2024, 6, 30)
    rule = mapping.tables["borrowers"][0].column("event_time")
    assert rule is not None
    assert rule.column == "FECHA_ALTA"
    assert mapping.tables["borrowers"][0].column("language") is None
    assert mapping.layout("clients").delimiter == ";"
    assert mapping.layout("requests").delimiter == "|"
    assert mapping.layout("requests").decimal == ","
    assert mapping.layout("requests").missing == ["NA"]
    assert mapping.layout("requests").header is None


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("time_zone:", "timezone:", "unknown key 'timezone'; did you mean 'time_zone'?"),
        ("identifier: dni", "identifer: dni", "did you mean 'identifier'?"),
        ("unit: months", "unit: month", "unit"),
        ("  borrowers:", "  borrower:", "no table 'borrower'; did you mean 'borrowers'?"),
        ("absent: [bureau", "absent: [buro", "no table 'buro'; did you mean 'bureau'?"),
        ("absent: [bureau, ", "absent: [", "table 'bureau' must stand either under tables or under absent"),
        ("absent: [bureau", "absent: [loans, bureau", "table 'loans' must stand either"),
        ("sex:", "sexo:", "tables.borrowers maps 'sexo', which the contract does not have; did you mean 'sex'?"),
        ("source: clients", "source: client", "not under sources; did you mean 'clients'?"),
        ("F: female", "F: femal", "gives 'femal', which the contract does not allow; did you mean 'female'?"),
        ("value: new", "value: nuevo", "tables.loans.kind gives 'nuevo'"),
        ("        event_time: FECHA\n", "", "lacks a rule for 'event_time', which is required"),
        ("currency: PEN", "currency: PENN", "no currency 'PENN'; did you mean 'PEN'?"),
        ("currency: USD", "currency: US$", "no currency 'US$'"),
        ("America/Lima", "America/Lina", "no time zone 'America/Lina'"),
        ("latin-1", "latin-one", "no encoding 'latin-one'"),
        ("latin-1", "base64", "no encoding 'base64'"),
        ('delimiter: ";"', 'delimiter: ";;"', "delimiter"),
        ('delimiter: ";"', 'delimiter: "\\""', "'delimiter' and 'quote' must be two different ASCII characters"),
        ('dates: ["%d/%m/%Y"]', "dates: []", "'dates' must give at least one format"),
        ('{files: "clientes*.csv"}', "{}", "either 'files', or 'connection' and 'query'"),
        (', query: "select * from creditos"', "", "either 'files', or 'connection' and 'query'"),
        ("connection: core", "connection: a/b", "letters, digits and underscores"),
        ("{value: new}", "{value: new, column: TIPO}", "exactly one of 'column', 'value' and 'row_number'"),
        ("{value: new}", "{scale: 2}", "exactly one of"),
        ("column: PLAZO", "column: PLAZO, suffix: x", "tables.loans.term_days: 'suffix' does not apply"),
        ("column: MONTO, scale: 1000", "column: MONTO, unit: months", "'unit' does not apply"),
        ("column: MONTO, scale: 1000", "column: MONTO, plus_days: 3", "'plus_days' does not apply"),
        ("loan_id: NUMERO\n", "loan_id: {value: 7}\n", "'value' does not apply"),
        ("column: UBIGEO, ubigeo: reniec", "column: DISTRITO", "no exact place may be kept"),
        ("codes: {F: female, M: male}", "codes: {1: female}", "put it in quotes"),
        ("event_time: FECHA_ALTA", "event_time: {value: 2024-01-01}", "put it in quotes"),
        ("event_time: FECHA_ALTA", "event_time: {value: ayer}", "give as_of or a date"),
        ("column: SEXO, codes: {F: female, M: male}", "column: SEXO, codes: {}", "codes"),
        ("department:", "branch: DNI\n        department:", "branch would keep 'DNI', which identifies a person"),
        ("column: VISITAS", "column: DNI", "attributes.visits would keep 'DNI'"),
        ("visits:", "Visits:", "attribute 'Visits' must be named in small letters"),
        ("column: VISITAS, type: number", "column: V, type: number, codes: {a: b}", "attributes.visits is a number"),
        ("rate: 3.75", "rate: 0", "rate"),
        ("tables:", "tables: [", "is not YAML"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(old: str, new: str, told: str) -> None:
    assert told in refusal(old, new)


def test_applications_cannot_be_absent() -> None:
    start = MAPPING.index("  applications:")
    mapping = MAPPING[:start] + "absent: [applications, bureau, transactions]\n"
    with pytest.raises(InputError, match="applications cannot be absent"):
        parse_mapping(mapping, "lender.yaml")


def test_repayments_without_loans_need_their_borrower() -> None:
    start, end = MAPPING.index("  loans:"), MAPPING.index("  repayments:")
    mapping = (MAPPING[:start] + MAPPING[end:]).replace("absent: [", "absent: [loans, ")
    with pytest.raises(InputError, match=r"tables\.repayments from 'credits' lacks a rule for 'borrower_id'"):
        parse_mapping(mapping, "lender.yaml")


def test_a_set_without_dates_needs_no_times() -> None:
    mapping = MAPPING.replace(", event_time: FECHA, decided_at: DECISION", "") + "dated: false\n"
    assert not parse_mapping(mapping, "lender.yaml").dated


_NODES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(["lender", "time_zone", "defaults", "sources", "tables", "attributes", "rates", "config"]), _NODES
)
def test_anything_in_the_place_of_a_part_is_read_or_refused(part: str, node: object) -> None:
    import yaml

    document = yaml.safe_load(MAPPING) | {part: node}
    try:
        parse_mapping(yaml.safe_dump(document, allow_unicode=True), "lender.yaml")
    except InputError as error:
        told = str(error)
        if "\n" in told:
            raise AssertionError(told) from error


@settings(deadline=None, max_examples=150)
@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_mapping(text, "lender.yaml")
