"""What the tests of the portfolio share: one portfolio, large enough to measure, and a way to read its tables."""

import datetime
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from pipelines.portfolio.generate import generate

AS_OF = datetime.date(2025, 6, 30)
BORROWERS = 6_000
_VIEWS = {
    "clientes": "clientes.csv",
    "solicitudes": "solicitudes.csv",
    "creditos": "creditos.csv",
    "cronograma": "cronograma-*.csv",
    "pagos": "pagos-*.csv",
    "situaciones": "situaciones.csv",
    "rcc": "rcc-*.csv",
    "movimientos": "movimientos-*.csv",
}

Generate = Callable[..., Path]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a portfolio of 6,000 borrowers."""
    out = tmp_path_factory.mktemp("portfolio") / "caja"
    generate(BORROWERS, 1, AS_OF, out, lambda borrowers: None)
    return out


@pytest.fixture(scope="session")
def books(folder: Path) -> duckdb.DuckDBPyConnection:
    """The portfolio's tables as text, and macros that read its days, times and amounts; rows that repeat once.

    ``outcomes`` holds the approved and matured applications with the peak of the days past due within a year.
    """
    connection = duckdb.connect()
    connection.execute("set threads = 2")
    connection.execute("create macro day(t) as try_strptime(t, '%d/%m/%Y')::date")
    connection.execute("create macro moment(t) as try_strptime(t, '%d/%m/%Y %H:%M:%S')")
    connection.execute("create macro amount(t) as try_cast(replace(t, ',', '.') as double)")
    connection.execute("create macro soles(t, currency) as amount(t) * if(currency = 'USD', 3.75, 1)")
    for name, files in _VIEWS.items():
        connection.execute(
            f"create table {name} as select distinct * from read_csv("
            f"'{folder / files}', delim = ';', quote = '\"', all_varchar = true, encoding = 'latin-1')"
        )
    connection.execute(
        f"""
        create table outcomes as
        with instalments as (
            select c.NRO_CREDITO, day(c.FECHA_VENCIMIENTO) as due, day(p.FECHA_PAGO) as paid
            from cronograma c left join pagos p using (NRO_CREDITO, NRO_CUOTA)
        ), peaks as (
            select NRO_SOLICITUD, moment(FECHA_RESOLUCION) as decided,
                max(date_diff('day', due, least(coalesce(paid, date '{AS_OF}'), decided::date + 365)))
                    filter (due < decided::date + 365) as peak
            from solicitudes join instalments using (NRO_CREDITO)
            where decided::date + 365 < date '{AS_OF}' group by all
        ), refinanced as (
            select NRO_CREDITO, min(day(FECHA_SITUACION)) as refinanced
            from situaciones where SITUACION = 'REF' group by all
        )
        select s.*, decided, greatest(peak, 0) as peak,
            peak >= 60 or coalesce(refinanced < decided::date + 365, false) as bad
        from solicitudes s join peaks using (NRO_SOLICITUD) left join refinanced using (NRO_CREDITO)
        """
    )
    return connection


@pytest.fixture
def new_portfolio(tmp_path: Path) -> Generate:
    """Generates a small portfolio into a folder of the test's own."""

    def new(name: str, borrowers: int = 300, seed: int = 1, as_of: datetime.date = AS_OF) -> Path:
        out = tmp_path / name
        generate(borrowers, seed, as_of, out, lambda written: None)
        return out

    return new
