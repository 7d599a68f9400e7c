"""The portfolio against a Peruvian lender's book in aggregate: 29,728 loans of 2017-01 to 2018-06."""

from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Books = duckdb.DuckDBPyConnection


def shares(books: Books, query: str) -> dict[Any, float]:
    counts: dict[Any, int] = dict(books.execute(query).fetchall())
    return {key: count / sum(counts.values()) for key, count in counts.items()}


@pytest.fixture(scope="module")
def known(books: Books) -> pd.DataFrame:
    """Of each application with an outcome, a handful of facts that were known at its decision."""
    frame = books.execute(
        """
        with bills as (
            select NRO_SOLICITUD, avg((moment(FECHA_OPERACION)::date > day(m.FECHA_VENCIMIENTO))::int) as bills_late
            from outcomes o join movimientos m
                on m.DNI = o.DNI and m.FECHA_VENCIMIENTO is not null and moment(m.FECHA_CARGA) <= decided
            group by all
        ), before as (
            select o.NRO_SOLICITUD, avg(greatest(0, date_diff('day', day(p.FECHA_VENCIMIENTO), day(p.FECHA_PAGO))))
                as late_before
            from outcomes o join creditos c on c.DNI = o.DNI and c.NRO_CREDITO != o.NRO_CREDITO
                join pagos p on p.NRO_CREDITO = c.NRO_CREDITO and day(p.FECHA_CARGA) <= decided
            group by all
        ), elsewhere as (
            select NRO_SOLICITUD, max(DIAS_ATRASO::int) as days_late_elsewhere, count(*) as bureau_months
            from outcomes o join rcc r on r.DNI = o.DNI and day(r.FECHA_REPORTE) + 45 <= decided
            group by all
        ), people as (select left(DNI, 8) as DNI, min(day(INICIO_ACTIVIDAD)) as began from clientes group by 1)
        select decided, bad, PUNTAJE, bills_late, late_before, days_late_elsewhere, bureau_months,
            date_diff('day', began, decided::date) / 365.25 as years,
            ln(amount(TOTAL_A_PAGAR) / PLAZO_MESES::int / amount(INGRESO_MENSUAL)) as instalment_share
        from outcomes left join bills using (NRO_SOLICITUD) left join before using (NRO_SOLICITUD)
            left join elsewhere using (NRO_SOLICITUD) left join people using (DNI)
        where bad or peak < 31
        """
    ).df()
    return frame.replace([np.inf, -np.inf], np.nan)


def test_tickets(books: Books) -> None:
    low, median, high = books.execute(
        "select quantile_cont(soles(MONTO_SOLICITADO, MONEDA), [0.1, 0.5, 0.9]) from solicitudes "
        "where NRO_CREDITO is not null"
    ).fetchall()[0][0]
    assert median == pytest.approx(5_058, rel=0.08)
    assert low == pytest.approx(1_060, rel=0.12)
    assert high == pytest.approx(35_000, rel=0.12)


def test_terms(books: Books) -> None:
    found = shares(books, "select PLAZO_MESES, count(*) from solicitudes where NRO_CREDITO is not null group by 1")
    for term, share in {"12": 0.51, "18": 0.18, "24": 0.10, "36": 0.09, "6": 0.05}.items():
        assert found[term] == pytest.approx(share, abs=0.025), term


def test_clients_products_and_purposes(books: Books) -> None:
    loans = "from solicitudes where NRO_CREDITO is not null group by 1"
    for column, expected in {
        "TIPO_CLIENTE": {"Recurrente": 0.58, "Recuperado": 0.24, "Nuevo": 0.18},
        "TIPO_CREDITO": {"MES": 0.61, "PEQ": 0.26, "CNR": 0.13},
        "DESTINO": {"AF": 0.52, "CT": 0.30},
    }.items():
        found = shares(books, f"select {column}, count(*) {loans}")
        for code, share in expected.items():
            assert found[code] == pytest.approx(share, abs=0.035), code


def test_state_of_the_loans(books: Books) -> None:
    """Loans of a year and a half, half a year after the last: written off, past due, and the rest, mostly normal."""
    found = shares(
        books,
        """
        with loans as (
            select NRO_CREDITO from creditos
            where day(FECHA_DESEMBOLSO) between date '2023-06-30' and date '2024-12-30'
        ), ended as (
            select NRO_CREDITO, bool_or(SITUACION = 'CAS') as lost, bool_or(SITUACION = 'JUD') as court
            from situaciones where SITUACION in ('CAS', 'JUD', 'REF') group by all
        ), late as (
            select NRO_CREDITO, max(date_diff('day', day(c.FECHA_VENCIMIENTO), date '2025-06-30')) as days
            from cronograma c anti join pagos p using (NRO_CREDITO, NRO_CUOTA) group by all
        )
        select case when lost then 'written off' when court then 'judicial' when lost is not null then 'refinanced'
            when days > 120 then 'over 120' when days > 0 then 'past due' else 'normal' end, count(*)
        from loans left join ended using (NRO_CREDITO) left join late using (NRO_CREDITO) group by 1
        """,
    )
    assert found["written off"] == pytest.approx(0.051, abs=0.02)
    assert found["past due"] == pytest.approx(0.035, abs=0.02)
    assert found["over 120"] == pytest.approx(0.021, abs=0.015)
    assert found["judicial"] == pytest.approx(0.002, abs=0.0025)
    assert found["normal"] == pytest.approx(0.891, abs=0.03)


def test_enough_bads_to_learn_from(books: Books) -> None:
    goods, bads = books.execute(
        "select count(*) filter (peak < 31 and not bad), count(*) filter (bad) from outcomes"
    ).fetchall()[0]
    assert bads >= 300
    assert 0.08 < bads / (goods + bads) < 0.14


def test_demand_has_seasons(books: Books) -> None:
    by_month = shares(books, "select month(moment(FECHA_SOLICITUD)), count(*) from solicitudes where 1 = 1 group by 1")
    campaigns = by_month[2] + by_month[3] + by_month[7] + by_month[11]
    quiet = by_month[1] + by_month[4] + by_month[9] + by_month[12]
    assert campaigns > 1.2 * quiet


def test_takings_of_shops_peak_at_christmas_and_of_farms_at_harvest(books: Books) -> None:
    def peak(sector: str) -> object:
        return books.execute(
            f"""
            select month(moment(FECHA_OPERACION)) from movimientos m join clientes c on m.DNI = left(c.DNI, 8)
            where TIPO = 'VEN' and ACTIVIDAD = '{sector}' group by 1 order by median(amount(IMPORTE)) desc limit 1
            """
        ).fetchall()[0][0]

    assert peak("Comercio") == 12
    assert peak("Agricultura") in (5, 6)


def test_late_payers_of_bills_and_of_earlier_loans_are_the_bads(known: pd.DataFrame) -> None:
    """A handful of facts known at the decision part goods from bads out of time: well, and not too well."""
    columns = ["bills_late", "late_before", "instalment_share", "days_late_elsewhere", "years"]
    early, late = known[known["decided"] < "2023-06-30"], known[known["decided"] >= "2023-06-30"]
    model = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler(), LogisticRegression())
    model.fit(early[columns], early["bad"])
    assert 0.68 < roc_auc_score(late["bad"], model.predict_proba(late[columns])[:, 1]) < 0.84


def test_bills_tell_of_people_whom_the_bureau_does_not_know(known: pd.DataFrame) -> None:
    thin = known[known["bureau_months"].isna() & known["bills_late"].notna()]
    assert len(thin) > 150
    assert roc_auc_score(thin["bad"], thin["bills_late"]) > 0.60


def test_the_policy_in_force_knows_a_little(known: pd.DataFrame) -> None:
    assert 0.53 < roc_auc_score(known["bad"], -known["PUNTAJE"].astype(float)) < 0.70
