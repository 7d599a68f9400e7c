"""A batch as the tables of a lender's export, all columns as text under the lender's own names and codes."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.portfolio import names
from pipelines.portfolio.arrays import NEVER, Floats, Ints
from pipelines.portfolio.bureau import Bureau
from pipelines.portfolio.calendar import Calendar
from pipelines.portfolio.districts import DISTRICTS
from pipelines.portfolio.lending import SOLES_A_DOLLAR, Book
from pipelines.portfolio.movements import Movements
from pipelines.portfolio.people import People, dni_check_digits, rucs
from pipelines.portfolio.policy import WITHDRAWN
from pipelines.portfolio.repayment import Life
from pipelines.portfolio.text import blank, coded, day_text, decimal_text, moment_text, money_text, number_text

_LANGUAGES = ("Castellano", "Quechua", "Aymara", "Asháninka")
_SCHOOLING = ("SIN", "PRI", "SEC", "TEC", "UNI", "POS")
_MARRIAGE = ("SOL", "CAS", "CON", "DIV", "VIU")
_HOUSING = ("Propia", "Alquilada", "De familiares", "Otra")
_SECTORS = (
    "Comercio",
    "Agricultura",
    "Ganadería",
    "Transporte",
    "Producción",
    "Servicios",
    "Preparación de comidas",
    "Construcción",
    "Pesca",
    "Dependiente",
    "Otras",
)
_CURRENCIES = ("PEN", "USD")
_PRODUCTS = ("MES", "PEQ", "CNR")  # microempresa, pequeña empresa, consumo no revolvente
_PURPOSES = ("CT", "AF", "VI", "CO", "ED", "CD")
_CHANNELS = ("Agencia", "Campo", "App móvil", "Recomendación")
_DECISIONS = ("APR", "DEN", "DES")
_CLIENTS = ("Nuevo", "Recurrente", "Recuperado")
_ENDINGS = ("CAN", "REF", "CAS", "JUD")
_MOVEMENTS = ("BIE", "BIS", "REC", "SER", "ALQ", "REM", "VEN", "SUE", "DEP", "RET", "COM")
_MOVES_IN = (1, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0)
_BRANCHES = tuple(dict.fromkeys(place.department for place in DISTRICTS))


def clients(rng: np.random.Generator, calendar: Calendar, people: People) -> pa.Table:
    """clientes.csv: a row a person and branch; a few people were registered again at a second branch."""
    count = len(people)
    again = np.flatnonzero(rng.random(count) < 0.04)
    row = np.concatenate([np.arange(count), again])
    second = np.arange(len(row)) >= count
    place = people.district[row]
    branch = np.array([_BRANCHES.index(home.department) for home in DISTRICTS])[place]
    branch = np.where(second, (branch + 1 + rng.integers(0, 3, len(row))) % len(_BRANCHES), branch)
    later = people.entry[row] + rng.integers(30, 900, len(row))
    registered = np.where(second, np.minimum(later, calendar.as_of - 1), people.entry[row])
    employment = np.select(
        [people.retired, people.salaried & (rng.random(count) < 0.7), people.salaried], [3, 1, 2], 0
    )[row]
    given = pc.if_else(pa.array(people.female[row]), _pick(rng, names.WOMEN, row), _pick(rng, names.MEN, row))
    return pa.table(
        {
            "DNI": _with_check_digit(people.dni[row]),
            "RUC": blank(number_text(rucs(people.dni[row])), people.salaried[row] | (rng.random(len(row)) < 0.6)),
            "APELLIDO_PATERNO": _pick(rng, names.SURNAMES, row),
            "APELLIDO_MATERNO": _pick(rng, names.SURNAMES, row),
            "NOMBRES": given,
            "FECHA_NACIMIENTO": blank(day_text(people.born[row]), rng.random(len(row)) < 0.01),
            "SEXO": coded(people.female[row], ("M", "F")),
            "LENGUA_MATERNA": blank(coded(people.speech[row], _LANGUAGES), rng.random(len(row)) < 0.15),
            "ESTADO_CIVIL": coded(people.marriage[row], _MARRIAGE),
            "GRADO_INSTRUCCION": blank(coded(people.schooling[row], _SCHOOLING), rng.random(len(row)) < 0.06, "S/D"),
            "CARGA_FAMILIAR": blank(
                number_text(people.dependants[row] + second * rng.integers(0, 2, len(row))), rng.random(len(row)) < 0.03
            ),
            "VIVIENDA": blank(coded(people.housing[row], _HOUSING), rng.random(len(row)) < 0.02, "S/D"),
            "CONDICION_LABORAL": coded(employment, ("IND", "EST", "EVE", "JUB")),
            "ACTIVIDAD": coded(people.sector[row], _SECTORS),
            "INICIO_ACTIVIDAD": blank(day_text(people.business_since[row]), rng.random(len(row)) < 0.05),
            "TIPO_CUENTA": blank(coded(rng.random(len(row)) < 0.1, ("AHO", "CTE")), ~people.banked[row]),
            "DIRECCION": pc.binary_join_element_wise(
                _pick(rng, names.STREETS, row), number_text(rng.integers(100, 2_000, len(row))), " "
            ),
            "UBIGEO": coded(place, [home.ubigeo for home in DISTRICTS]),
            "AMBITO": coded(people.rural[row], ("U", "R")),
            "TELEFONO": number_text(900_000_000 + rng.integers(0, 99_999_999, len(row))),
            "AGENCIA": coded(branch, _BRANCHES),
            "FECHA_REGISTRO": day_text(registered),
        }
    )


def applications(rng: np.random.Generator, calendar: Calendar, batch: int, people: People, book: Book) -> pa.Table:
    """solicitudes.csv: the requests of the four years that the system of applications has been in use."""
    held = book.applications
    row = np.flatnonzero((held.asked >= calendar.applications_begin) & (held.decided < calendar.as_of))
    row = row[np.argsort(held.asked[row], kind="stable")]
    asked = rng.integers(8 * 3_600, 17 * 3_600, len(row))
    decided = np.minimum(asked + rng.integers(1_200, 14_400, len(row)), 20 * 3_600)
    undecided = (held.decision[row] == WITHDRAWN) & (rng.random(len(row)) < 0.2)
    return pa.table(
        {
            "NRO_SOLICITUD": _number("S", batch, row),
            "DNI": _dni(people, held.borrower[row]),
            "FECHA_SOLICITUD": moment_text(held.asked[row], asked),
            "FECHA_RESOLUCION": moment_text(held.decided[row], decided),
            "RESOLUCION": coded(held.decision[row], _DECISIONS),
            "TIPO_CLIENTE": coded(held.client[row], _CLIENTS),
            "NRO_CREDITO": blank(_number("C", batch, row), held.disbursed[row] == NEVER),
            "MONTO_SOLICITADO": money_text(held.amount[row]),
            "TOTAL_A_PAGAR": blank(money_text(held.instalment[row] * held.instalments[row]), undecided),
            "MONEDA": coded(held.dollars[row], _CURRENCIES),
            "PLAZO_MESES": number_text(held.term[row]),
            "TIPO_CREDITO": coded(held.product[row], _PRODUCTS),
            "DESTINO": coded(held.purpose[row], _PURPOSES),
            "CANAL": coded(held.channel[row], _CHANNELS),
            "INGRESO_MENSUAL": _in_currency(rng, held.income[row], held.dollars[row]),
            "GASTO_MENSUAL": _in_currency(rng, held.expenses[row], held.dollars[row]),
            "PUNTAJE": number_text(held.score[row]),
        }
    )


def loans(calendar: Calendar, batch: int, people: People, book: Book) -> pa.Table:
    """creditos.csv: the loans of six years; those of before the system of applications carry no request."""
    held, again = book.applications, book.refinancings
    row = np.flatnonzero(held.disbursed < calendar.as_of)
    row = row[np.argsort(held.disbursed[row], kind="stable")]
    unknown = held.asked[row] < calendar.applications_begin
    new = {
        "NRO_CREDITO": _number("C", batch, row),
        "DNI": _dni(people, held.borrower[row]),
        "NRO_SOLICITUD": blank(_number("S", batch, row), unknown),
        "FECHA_DESEMBOLSO": day_text(held.disbursed[row]),
        "MONTO_DESEMBOLSADO": money_text(held.amount[row]),
        "TOTAL_A_PAGAR": money_text(held.instalment[row] * held.instalments[row]),
        "MONEDA": coded(held.dollars[row], _CURRENCIES),
        "PLAZO_MESES": number_text(held.term[row]),
        "NRO_CUOTAS": number_text(held.instalments[row]),
        "TEA": decimal_text(held.annual_rate[row] * 100, 2),
        "TIPO_CREDITO": coded(held.product[row], _PRODUCTS),
        "DESTINO": coded(held.purpose[row], _PURPOSES),
        "CONDICION": coded(np.zeros_like(row), ("N",)),
        "CREDITO_ANTERIOR": pa.nulls(len(row), pa.string()),
    }
    old = again.replaces
    refinanced = {
        "NRO_CREDITO": _refinanced_number(batch, len(old)),
        "DNI": _dni(people, again.borrower),
        "NRO_SOLICITUD": pa.nulls(len(old), pa.string()),
        "FECHA_DESEMBOLSO": day_text(again.disbursed),
        "MONTO_DESEMBOLSADO": money_text(again.amount),
        "TOTAL_A_PAGAR": money_text(again.instalment * again.instalments),
        "MONEDA": coded(held.dollars[old], _CURRENCIES),
        "PLAZO_MESES": number_text(again.instalments),
        "NRO_CUOTAS": number_text(again.instalments),
        "TEA": decimal_text(again.annual_rate * 100, 2),
        "TIPO_CREDITO": coded(held.product[old], _PRODUCTS),
        "DESTINO": coded(held.purpose[old], _PURPOSES),
        "CONDICION": coded(np.zeros_like(old), ("R",)),
        "CREDITO_ANTERIOR": _number("C", batch, old),
    }
    return pa.concat_tables([pa.table(new), pa.table(refinanced)])


def instalments(calendar: Calendar, batch: int, book: Book) -> pa.Table:
    """cronograma.csv: the instalments fallen due."""
    return pa.concat_tables(
        [_due(calendar, number, life, amount, dollars) for number, life, amount, dollars in _loan_books(batch, book)]
    )


def payments(rng: np.random.Generator, calendar: Calendar, batch: int, book: Book) -> pa.Table:
    """pagos.csv: the payments, in the books a day or two later, some of them weeks later."""
    return pa.concat_tables(
        [
            _paid(rng, calendar, number, life, amount, dollars)
            for number, life, amount, dollars in _loan_books(batch, book)
        ]
    )


def endings(calendar: Calendar, batch: int, book: Book) -> pa.Table:
    """situaciones.csv: loans repaid, refinanced, written off, taken to court."""
    parts = []
    for number, life, _, _ in _loan_books(batch, book):
        for code, days in enumerate((life.closed, life.refinanced, life.written_off, life.judicial)):
            row = np.flatnonzero(days < calendar.as_of)
            ending = coded(np.full(len(row), code), _ENDINGS)
            loan = number.take(row)
            parts.append(
                pa.table(
                    {
                        "ID_SITUACION": pc.binary_join_element_wise(loan, ending, "-"),
                        "NRO_CREDITO": loan,
                        "FECHA_SITUACION": day_text(days[row]),
                        "SITUACION": ending,
                    }
                )
            )
    return pa.concat_tables(parts)


def bureau(people: People, months: Bureau) -> pa.Table:
    """rcc.csv: months of the consolidated credit report."""
    return pa.table(
        {
            "DNI": _dni(people, months.borrower),
            "FECHA_REPORTE": day_text(months.month_end),
            "NRO_ENTIDADES": number_text(months.lenders),
            "DEUDA_DIRECTA": money_text(months.debt),
            "LINEAS_NO_UTILIZADAS": money_text(months.unused_lines),
            "DEUDA_CONTINGENTE": money_text(months.contingent),
            "CUOTA_MENSUAL": money_text(months.instalments),
            "CLASIFICACION": number_text(months.worst_class),
            "DIAS_ATRASO": number_text(months.days_past_due),
            "CONSULTAS": number_text(months.inquiries),
        }
    )


def movements(batch: int, people: People, held: Movements) -> pa.Table:
    """movimientos.csv: movements of money in wallets, accounts and stalls, and bills paid."""
    return pa.table(
        {
            "NRO_OPERACION": _number("M", batch, np.arange(len(held.day))),
            "DNI": _dni(people, held.borrower),
            "FECHA_OPERACION": moment_text(held.day, held.second),
            "FECHA_CARGA": moment_text(held.loaded, np.full(len(held.day), 5 * 3_600)),
            "TIPO": coded(held.kind, _MOVEMENTS),
            "SENTIDO": coded(np.array(_MOVES_IN)[held.kind], ("CARGO", "ABONO")),
            "IMPORTE": money_text(held.amount),
            "MONEDA": coded(held.dollars, _CURRENCIES),
            "SALDO": money_text(held.balance),
            "FECHA_VENCIMIENTO": day_text(held.due),
        }
    )


def _loan_books(batch: int, book: Book) -> tuple[tuple[pa.Array, Life, Floats, pa.Array], ...]:
    """Number, life, instalment and currency of the loans of applications, and of those that refinance others."""
    held, again = book.applications, book.refinancings
    every = np.arange(len(held.borrower))
    currency = coded(held.dollars, _CURRENCIES)
    return (
        (_number("C", batch, every), book.lives, held.instalment, currency),
        (
            _refinanced_number(batch, len(again.borrower)),
            book.refinanced_lives,
            again.instalment,
            currency.take(again.replaces),
        ),
    )


def _due(calendar: Calendar, number: pa.Array, life: Life, amount: Floats, currency: pa.Array) -> pa.Table:
    row, instalment = np.nonzero(life.due < np.minimum(life.ended, calendar.as_of)[:, None])
    loan, nth = number.take(row), number_text(instalment + 1)
    return pa.table(
        {
            "ID_CUOTA": pc.binary_join_element_wise(loan, nth, "-"),
            "NRO_CREDITO": loan,
            "NRO_CUOTA": nth,
            "FECHA_VENCIMIENTO": day_text(life.due[row, instalment]),
            "MONTO_CUOTA": money_text(amount).take(row),
            "MONEDA": currency.take(row),
        }
    )


def _paid(
    rng: np.random.Generator, calendar: Calendar, number: pa.Array, life: Life, amount: Floats, currency: pa.Array
) -> pa.Table:
    row, instalment = np.nonzero(life.paid < calendar.as_of)
    day = life.paid[row, instalment]
    late = rng.random(len(row)) < 0.02
    loaded = day + np.where(late, rng.integers(5, 40, len(row)), rng.integers(0, 2, len(row)))
    held = loaded < calendar.as_of
    row, instalment, day, loaded = row[held], instalment[held], day[held], loaded[held]
    loan, nth = number.take(row), number_text(instalment + 1)
    return pa.table(
        {
            "NRO_PAGO": pc.binary_join_element_wise("P", loan, nth, "-"),
            "NRO_CREDITO": loan,
            "NRO_CUOTA": nth,
            "FECHA_VENCIMIENTO": day_text(life.due[row, instalment]),
            "FECHA_PAGO": day_text(day),
            "FECHA_CARGA": day_text(loaded),
            "MONTO_PAGADO": money_text(amount).take(row),
            "MONEDA": currency.take(row),
        }
    )


def _number(letter: str, batch: int, row: Ints) -> pa.Array:
    return number_text(batch * 1_000_000 + row, 11, letter)


def _refinanced_number(batch: int, count: int) -> pa.Array:
    return _number("R", batch, np.arange(count))


def _dni(people: People, row: Ints) -> pa.Array:
    return number_text(people.dni, 8).take(row)


def _with_check_digit(dni: Ints) -> pa.Array:
    return pc.binary_join_element_wise(number_text(dni, 8), number_text(dni_check_digits(dni)), "-")


def _pick(rng: np.random.Generator, words: tuple[str, ...], row: Ints) -> pa.Array:
    return coded(rng.integers(0, len(words), len(row)), words)


def _in_currency(rng: np.random.Generator, soles: Floats, dollars: np.ndarray) -> pa.Array:
    """An amount of the application in its currency; seldom left empty."""
    amount = np.where(dollars, np.round(soles / SOLES_A_DOLLAR, -1), soles)
    return money_text(np.where(rng.random(len(amount)) < 0.03, np.nan, amount))
