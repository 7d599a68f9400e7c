"""A lender's PostgreSQL: its query becomes rows as a file does, and what is wrong with it one sentence."""

import re
from decimal import Decimal

import adbc_driver_postgresql.dbapi
import pytest

from components.credit.errors import InputError
from tests.ingest.conftest import HEADER, LENDER, Ingest

MAPPING = LENDER.replace(
    '{files: "solicitudes*.csv"}', '{connection: core, query: "select * from solicitudes order by \\"NUMERO\\";"}'
)


@pytest.fixture
def core(postgres: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A connection named core, to a database with one table."""
    monkeypatch.setenv("QUIPU_CONNECTION_CORE", postgres)
    statements = """
        drop table if exists solicitudes;
        create table solicitudes ("NUMERO" bigint, "DNI" char(12), "FECHA" timestamptz, "MONTO" numeric(12, 3),
            "ESTADO" text, nombre text, coordenadas float8[]);
        insert into solicitudes values (1, '10117410', '2024-01-15 10:00-05', 1200.5, 'B', 'Rosa', '{1,2}'),
            (2, '10117411', '2024-01-16 00:00-05', 1.234, 'M', null, null), (3, null, null, null, null, null, null);
    """
    with adbc_driver_postgresql.dbapi.connect(postgres) as connection, connection.cursor() as cursor:
        for statement in statements.split(";")[:-1]:
            cursor.execute(statement)
        connection.commit()
    return postgres


@pytest.mark.usefixtures("core")
def test_a_query_becomes_rows_as_a_file_does(ingested: Ingest) -> None:
    landed = ingested({}, MAPPING)
    first, second, third = landed.applications
    assert (first["amount"], second["amount"], third["amount"]) == (Decimal("1200.50"), Decimal("1.23"), None)
    assert first["event_time"].isoformat() == "2024-01-15T15:00:00+00:00"
    assert (first["source_file"], first["source_row"], first["problems"]) == ("core:requests", 1, [])
    assert landed.manifest.notes == {"rows": {"applications": 3}}
    assert ingested({}, MAPPING).manifest == landed.manifest
    file = ingested({"solicitudes.csv": HEADER + "1;10117410;15/01/2024;1;B\n"}).applications[0]
    assert (file["borrower_id"], file["application_id"]) == (first["borrower_id"], first["application_id"])


@pytest.mark.usefixtures("core")
def test_many_rows_come_in_batches_and_none_is_lost(ingested: Ingest) -> None:
    query = (
        'select g as \\"NUMERO\\", (10000000 + g)::text as \\"DNI\\", date \'2024-01-01\' as \\"FECHA\\", '
        'g::numeric as \\"MONTO\\", repeat(\'B\', 300) as \\"ESTADO\\" from generate_series(1, 80000) as g'
    )
    landed = ingested({}, re.sub("select.*;", lambda _: query, MAPPING))
    assert [row["source_row"] for row in landed.applications] == list(range(1, 80_001))
    assert landed.manifest.notes == {"rows": {"applications": 80_000}}


def refusal(ingested: Ingest, mapping: str = MAPPING) -> str:
    with pytest.raises(InputError) as error:
        ingested({}, mapping)
    return str(error.value)


def test_a_missing_secret(ingested: Ingest) -> None:
    assert "QUIPU_CONNECTION_CORE is not set" in refusal(ingested)


def test_a_database_that_does_not_answer(ingested: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUIPU_CONNECTION_CORE", "postgresql://quipu:hunter2@127.0.0.1:1/core")
    told = refusal(ingested)
    assert told == (
        "core:requests: the database does not answer or refuses the login; see the address in QUIPU_CONNECTION_CORE."
    )


@pytest.mark.usefixtures("core")
def test_a_query_that_the_database_refuses(ingested: Ingest) -> None:
    assert 'refuses the query (relation "solicitud" does not exist)' in refusal(
        ingested, MAPPING.replace("from solicitudes", "from solicitud")
    )
    assert "refuses the query (syntax error" in refusal(ingested, MAPPING.replace("select *", "selec *"))


@pytest.mark.usefixtures("core")
def test_a_query_that_breaks_off_does_not_tell_a_value(ingested: Ingest) -> None:
    told = refusal(ingested, MAPPING.replace("select *", "select *, nombre::int as x"))
    assert told == "core:requests: the query broke off while its rows were read; run it by hand to see why."


@pytest.mark.usefixtures("core")
def test_a_column_that_the_query_lacks_or_that_is_nested(ingested: Ingest) -> None:
    assert "The query of core:requests has no column 'IMPORTE'" in refusal(
        ingested, MAPPING.replace("MONTO", "IMPORTE")
    )
    assert "core:requests: column 'coordenadas' is of type list" in refusal(
        ingested, MAPPING.replace("amount: MONTO", "amount: coordenadas")
    )
