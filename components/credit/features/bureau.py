"""Features of the credit bureau's monthly reports: debt at all lenders, arrears, lines, inquiries.

The bureau publishes a month with a delay; a report counts from its ``known_at``. Having no report is a state of its
own (a thin file), never a debt of zero.
"""
# ruff: noqa: S608 - the SQL is made of constants, never of a value

from components.credit.features.definition import Definition, Source, ratio

MONTHS = 24

# `behind` counts the months from a report to the latest one known.
REPORT = f"""
    SELECT a.row, a.asked, a.income, a.total_due, a.term_days, b.*,
        year(local_day(b.event_time)) * 12 + month(local_day(b.event_time)) AS month_number,
        CAST(max(month_number) OVER (PARTITION BY a.row) - month_number AS INTEGER) AS behind
    FROM priced_bureau b
    JOIN application a ON b.borrower_id = a.borrower_id AND b.known_at <= a.decided_at
        AND b.event_time > a.decided_at - to_days({MONTHS * 31})
"""


def _now(column: str) -> str:
    return f"max(CASE WHEN behind = 0 THEN {column} END)"


def _half_a_year_before(column: str) -> str:
    return f"max(CASE WHEN behind = 6 THEN {column} END)"


def _peak(column: str) -> str:
    return f"max(CASE WHEN behind < 12 THEN {column} END)"


BUREAU = Source(
    table="bureau",
    needs=("bureau",),
    steps={"report": REPORT},
    definitions=(
        Definition(
            "no_bureau_file",
            "Whether the bureau knows no report of the borrower (1) or does (0)",
            "Si la central de riesgos no tiene reporte del cliente (1) o lo tiene (0)",
            "bureau_record",
            "0",
            empty=1,
        ),
        Definition(
            "bureau_months",
            f"Months with a report in the last {MONTHS}",
            f"Meses con reporte en los últimos {MONTHS}",
            "bureau_record",
            "bit_count(bit_or(1 << behind))",
            "months",
        ),
        Definition("bureau_debt", "Debt at all lenders", "Deuda en el sistema", "debt_level", _now("debt"), "currency"),
        Definition(
            "bureau_debt_to_income",
            "Debt at all lenders over declared monthly income",
            "Deuda en el sistema entre ingreso mensual declarado",
            "debt_level",
            ratio(_now("debt"), "max(income)"),
            "months",
            "increasing",
        ),
        Definition(
            "bureau_debt_growth",
            "Debt at all lenders now, over that of 6 months before",
            "Deuda en el sistema, entre la de 6 meses antes",
            "debt_growth",
            ratio(_now("debt"), _half_a_year_before("debt")),
            "times",
            "increasing",
        ),
        Definition(
            "bureau_lenders",
            "Lenders with a debt of the borrower",
            "Entidades con deuda del cliente",
            "many_lenders",
            _now("lenders"),
            "lenders",
            "increasing",
        ),
        Definition(
            "bureau_lenders_growth",
            "Lenders now, less those of 6 months before",
            "Entidades ahora, menos las de 6 meses antes",
            "debt_growth",
            f"{_now('lenders')} - {_half_a_year_before('lenders')}",
            "lenders",
            "increasing",
        ),
        Definition(
            "bureau_utilisation",
            "Debt over debt and unused lines",
            "Deuda entre deuda y líneas no usadas",
            "debt_level",
            ratio(_now("debt"), f"({_now('debt')} + {_now('unused_lines')})"),
            "share",
            "increasing",
        ),
        Definition(
            "bureau_contingent_share",
            "Guarantees given for others over own debt",
            "Avales otorgados entre deuda propia",
            "debt_level",
            ratio(_now("contingent"), _now("debt")),
            "share",
            "increasing",
        ),
        Definition(
            "bureau_instalments_to_income",
            "Instalments of a month at all lenders over declared monthly income",
            "Cuotas mensuales en el sistema entre ingreso mensual declarado",
            "repayment_capacity",
            ratio(_now("monthly_instalments"), "max(income)"),
            "share",
            "increasing",
        ),
        Definition(
            "all_instalments_to_income",
            "Instalments of a month at all lenders and of this loan, over declared monthly income",
            "Cuotas mensuales en el sistema y de este crédito, entre ingreso mensual declarado",
            "repayment_capacity",
            ratio(
                f"{_now('monthly_instalments')} * max(greatest(term_days, 30)) + max(total_due) * 30",
                "(max(income) * max(greatest(term_days, 30)))",
            ),
            "share",
            "increasing",
        ),
        Definition(
            "bureau_class",
            "Worst SBS class in the latest report (0 Normal to 4 Pérdida)",
            "Peor calificación SBS en el último reporte (0 Normal a 4 Pérdida)",
            "bureau_arrears",
            _now("worst_class"),
            "class",
            "increasing",
        ),
        Definition(
            "bureau_class_12m",
            "Worst SBS class of the last 12 months (0 Normal to 4 Pérdida)",
            "Peor calificación SBS de los últimos 12 meses (0 Normal a 4 Pérdida)",
            "bureau_arrears",
            _peak("worst_class"),
            "class",
            "increasing",
        ),
        Definition(
            "bureau_months_in_arrears",
            f"Months in a class worse than Normal in the last {MONTHS}",
            f"Meses con calificación peor que Normal en los últimos {MONTHS}",
            "bureau_arrears",
            "coalesce(bit_count(bit_or(CASE WHEN worst_class > 0 THEN 1 << behind END)), 0)",
            "months",
            "increasing",
        ),
        Definition(
            "bureau_days_late",
            "Greatest days late at any lender in the latest report",
            "Máximo de días de atraso en el sistema en el último reporte",
            "bureau_arrears",
            _now("days_past_due"),
            "days",
            "increasing",
        ),
        Definition(
            "bureau_peak_days_late",
            "Greatest days late at any lender in the last 12 months",
            "Máximo de días de atraso en el sistema en los últimos 12 meses",
            "bureau_arrears",
            _peak("days_past_due"),
            "days",
            "increasing",
        ),
        Definition(
            "inquiries_3m",
            "Inquiries by lenders in the last 3 months reported",
            "Consultas de entidades en los últimos 3 meses reportados",
            "inquiries",
            "sum(CASE WHEN behind < 3 THEN inquiries END)",
            "inquiries",
            "increasing",
        ),
    ),
)
