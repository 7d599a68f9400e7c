"""The data contract holds together: what one table promises, the others and every stage can rely on."""

import pyarrow as pa
import pytest

from components.credit.book.contract import CURRENCIES, MONEY, TABLES, TIME, Field, Table

FIELDS = [pytest.param(field, id=f"{table.name}.{field.name}") for table in TABLES.values() for field in table.fields]


@pytest.fixture(params=TABLES.values(), ids=TABLES)
def table(request: pytest.FixtureRequest) -> Table:
    found: Table = request.param
    return found


def test_every_row_has_a_borrower_and_both_times(table: Table) -> None:
    for name in ("borrower_id", "event_time", "known_at"):
        assert table.field(name).required
    assert table.schema.field("event_time").type == table.schema.field("known_at").type == TIME


def test_a_key_is_never_missing(table: Table) -> None:
    assert table.key
    assert all(table.field(name).required for name in table.key)


def test_a_reference_leads_to_a_key_of_the_same_type_in_a_table_before(table: Table) -> None:
    before = list(TABLES)[: list(TABLES).index(table.name)]
    for column, target in table.references.items():
        parent, _, key = target.partition(".")
        assert parent in before  # validate takes the tables in this order, so that children follow their parents
        assert TABLES[parent].key[0] == key
        assert TABLES[parent].schema.field(key).type == table.schema.field(column).type


def test_amounts_have_a_currency(table: Table) -> None:
    if MONEY in table.schema.types:
        assert table.field("currency").required
        assert table.field("currency").allowed == CURRENCIES


def test_no_column_stands_twice(table: Table) -> None:
    assert len(set(table.schema.names)) == len(table.schema.names)
    with pytest.raises(KeyError):
        table.field("no_such_column")


@pytest.mark.parametrize("field", FIELDS)
def test_rules_fit_the_type(field: Field) -> None:
    assert field.description.endswith(".")
    assert not field.allowed or (field.type == pa.string() and len(set(field.allowed)) == len(field.allowed))
    if field.minimum is not None or field.maximum is not None:
        assert pa.types.is_integer(field.type) or pa.types.is_decimal(field.type) or pa.types.is_floating(field.type)
    if field.minimum is not None and field.maximum is not None:
        assert field.minimum < field.maximum
