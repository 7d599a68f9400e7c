"""What stands in the books: identities, places, classes, histories, and the dirt of real files."""

import csv
import unicodedata
from pathlib import Path

import duckdb
import pytest
from stdnum.pe import cui, ruc

from pipelines.portfolio.districts import DISTRICTS
from tests.portfolio.conftest import AS_OF

Books = duckdb.DuckDBPyConnection


def values(books: Books, query: str) -> list[tuple[object, ...]]:
    return books.execute(query).fetchall()


def test_files_look_like_an_export(folder: Path) -> None:
    text = (folder / "clientes.csv").read_bytes()
    with pytest.raises(UnicodeDecodeError):
        text.decode("utf-8")
    lines = text.decode("latin-1").splitlines()
    assert lines[0].startswith("DNI;RUC;APELLIDO_PATERNO;")
    assert any("ñ" in line for line in lines)
    loans = (folder / "creditos.csv").read_text(encoding="latin-1").splitlines()
    assert loans[1].count(";") == loans[0].count(";")
    assert "," in loans[1]
    assert "." not in loans[1]


def test_check_digits_of_people_hold(books: Books) -> None:
    numbers = [str(row[0]) for row in values(books, "select DNI from clientes")]
    broken = [number for number in numbers if not cui.is_valid(number)]
    assert 0 < len(broken) < 0.01 * len(numbers)
    assert any(number.startswith("0") for number in numbers)
    for number, tax in values(books, "select DNI, RUC from clientes where RUC is not null limit 3000"):
        if number not in broken:
            assert ruc.validate(str(tax))[2:10] == str(number)[:8]


def test_districts_are_those_of_inei(shared_data: Path) -> None:
    def plain(name: str) -> str:
        return "".join(sign for sign in unicodedata.normalize("NFD", name.upper()) if not unicodedata.combining(sign))

    with (shared_data / "ubigeo_pe" / "ubigeo_distrito.csv").open(encoding="utf-8") as file:
        known = {row["inei"]: (row["distrito"], row["departamento"]) for row in csv.DictReader(file)}
    for place in DISTRICTS:
        assert known[place.ubigeo] == (plain(place.name), plain(place.department))


def test_bureau_classes_follow_the_days_late(books: Books) -> None:
    wrong = values(
        books,
        """
        select count(*) from rcc where CLASIFICACION != '9' and CLASIFICACION::int != case
            when DIAS_ATRASO::int <= 8 then 0 when DIAS_ATRASO::int <= 30 then 1 when DIAS_ATRASO::int <= 60 then 2
            when DIAS_ATRASO::int <= 120 then 3 else 4 end
        """,
    )
    assert wrong == [(0,)]
    classes = dict(values(books, "select CLASIFICACION, count(*) from rcc group by 1"))
    assert {"0", "1", "2", "3", "4"} <= classes.keys()


def test_the_bureau_knows_several_lenders_and_leaves_some_people_out(books: Books) -> None:
    several = values(books, "select count(distinct DNI) filter (NRO_ENTIDADES::int >= 3) from rcc")[0][0]
    assert isinstance(several, int)
    assert several > 300
    without = values(
        books,
        """
        select avg(months) from (
            select NRO_SOLICITUD, (count(FECHA_REPORTE) = 0)::int as months from solicitudes s
            left join rcc r on r.DNI = s.DNI and day(r.FECHA_REPORTE) + 45 <= moment(s.FECHA_SOLICITUD)
            where TIPO_CLIENTE = 'Nuevo' group by 1)
        """,
    )[0][0]
    assert isinstance(without, float)
    assert 0.2 < without < 0.7


def test_nothing_is_of_the_day_of_the_export_or_later(books: Books) -> None:
    for table, column in {
        "clientes": "day(FECHA_REGISTRO)",
        "solicitudes": "moment(FECHA_RESOLUCION)",
        "creditos": "day(FECHA_DESEMBOLSO)",
        "cronograma": "day(FECHA_VENCIMIENTO)",
        "pagos": "day(FECHA_CARGA)",
        "situaciones": "day(FECHA_SITUACION)",
        "rcc": "day(FECHA_REPORTE) + 45",
        "movimientos": "moment(FECHA_CARGA)",
    }.items():
        assert values(books, f"select count(*) from {table} where {column} >= date '{AS_OF}'") == [(0,)], table


def test_some_rows_arrive_late(books: Books) -> None:
    for table, happened in (("movimientos", "moment(FECHA_OPERACION)"), ("pagos", "day(FECHA_PAGO)")):
        loaded = happened.replace("OPERACION", "CARGA").replace("PAGO", "CARGA")
        share = values(books, f"select avg(({loaded} > {happened} + interval 4 day)::int) from {table}")[0][0]
        assert isinstance(share, float)
        assert 0.005 < share < 0.05, table


def test_loans_follow_from_approved_applications(books: Books) -> None:
    assert values(books, "select count(*) from solicitudes where RESOLUCION != 'APR' and NRO_CREDITO is not null") == [
        (0,)
    ]
    declined = values(books, "select avg((RESOLUCION = 'DEN')::int) from solicitudes")[0][0]
    assert isinstance(declined, float)
    assert 0.12 < declined < 0.35
    early = values(
        books,
        "select count(*) from solicitudes s join creditos c using (NRO_CREDITO) "
        "where day(FECHA_DESEMBOLSO) < moment(FECHA_RESOLUCION)::date",
    )
    assert early == [(0,)]


def test_a_refinanced_loan_takes_over_where_the_old_one_ends(books: Books) -> None:
    pairs = values(
        books,
        """
        select day(n.FECHA_DESEMBOLSO) = day(s.FECHA_SITUACION), n.DNI = o.DNI
        from creditos n join creditos o on o.NRO_CREDITO = n.CREDITO_ANTERIOR
            join situaciones s on s.NRO_CREDITO = o.NRO_CREDITO and s.SITUACION = 'REF'
        where n.CONDICION = 'R' and day(n.FECHA_DESEMBOLSO) is not null and day(s.FECHA_SITUACION) is not null
        """,
    )
    assert len(pairs) > 50
    assert set(pairs) == {(True, True)}


def test_some_loans_are_in_dollars(books: Books) -> None:
    share = values(books, "select avg((MONEDA = 'USD')::int) from creditos where MONEDA in ('PEN', 'USD')")[0][0]
    assert share == pytest.approx(0.05, abs=0.015)


def test_no_payment_comes_before_the_one_ahead_of_it(books: Books) -> None:
    assert values(
        books,
        """
        select count(*) from pagos a join pagos b on a.NRO_CREDITO = b.NRO_CREDITO
            and a.NRO_CUOTA::int + 1 = b.NRO_CUOTA::int
        where day(a.FECHA_PAGO) > day(b.FECHA_PAGO) and a.NRO_CREDITO != 'C99999999999'
        """,
    ) == [(0,)]


def test_clients_come_twice_under_two_branches(books: Books) -> None:
    twice = values(
        books,
        "select count(*) from (select DNI from clientes group by 1 having count(distinct AGENCIA) > 1)",
    )[0][0]
    assert isinstance(twice, int)
    assert twice > 100


def test_movements_are_as_many_as_agreed(books: Books) -> None:
    each = values(books, "select count(*) / (select count(distinct DNI) from clientes) from movimientos")[0][0]
    assert isinstance(each, float)
    assert 40 < each < 80
