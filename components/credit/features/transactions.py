"""Features of the movements of money in the borrower's accounts, wallets, shop or stall: the last twelve months.

A month is 30 days counted back from the decision: month 0 is the last one, month 11 the first.
"""
# ruff: noqa: S608 - the SQL is made of constants, never of a value

from components.credit.features.definition import Definition, Source, ratio

MONTHS = 12
_DAY = 86_400 * 1_000_000  # microseconds
_MONTH = 30 * _DAY

MOVEMENT = f"""
    SELECT a.row, a.asked, a.total_due, a.term_days, t.kind, t.balance_after,
        greatest((epoch_us(a.decided_at) - epoch_us(t.event_time)) // {_MONTH}, 0) AS month,
        (epoch_us(a.decided_at) - epoch_us(t.event_time)) // {_DAY} AS days_ago,
        CASE WHEN t.direction = 'in' THEN t.amount END AS inflow,
        CASE WHEN t.direction = 'out' THEN t.amount END AS outflow,
        CASE WHEN t.kind IN ('utility', 'rent') AND t.due_on IS NOT NULL
            THEN greatest(local_day(t.event_time) - t.due_on, 0) END AS days_late
    FROM priced_transactions t
    JOIN application a ON t.borrower_id = a.borrower_id AND t.known_at <= a.decided_at
        AND t.event_time > a.decided_at - to_days({MONTHS * 30})
"""

# One row an application and month with movements. Whole units keep the squares of the variation exact.
MONTH = """
    SELECT row, month, any_value(asked) AS asked, any_value(total_due) AS total_due, any_value(term_days) AS term_days,
        count(*) AS movements, min(days_ago) AS days_ago,
        coalesce(sum(inflow), 0) AS money_in, coalesce(sum(outflow), 0) AS money_out,
        CAST(least(money_in, 1e12) AS HUGEINT) AS units_in,
        min(balance_after) AS lowest, sum(balance_after) AS balances, count(balance_after) AS balances_known,
        count_if(kind = 'wallet') AS wallet_movements,
        count_if(kind = 'top_up') AS top_ups,
        sum(CASE WHEN kind = 'remittance' THEN inflow END) AS remittances,
        coalesce(sum(CASE WHEN kind = 'takings' THEN inflow END), 0) AS takings,
        CAST(least(takings, 1e12) AS HUGEINT) AS units_takings,
        sum(CASE WHEN kind = 'salary' THEN inflow END) AS salary,
        count_if(kind IN ('utility', 'rent')) AS bills,
        count(CASE WHEN kind = 'utility' THEN days_late END) AS utilities_dated,
        count(CASE WHEN kind = 'rent' THEN days_late END) AS rents_dated,
        count_if(kind = 'utility' AND days_late > 0) AS utilities_late,
        count_if(kind = 'rent' AND days_late > 0) AS rents_late
    FROM movement
    GROUP BY row, month
"""


def _total(column: str, months: range) -> str:
    """SQL of a total over some of the months, zero where nothing moved."""
    return f"coalesce(sum(CASE WHEN month BETWEEN {months.start} AND {months.stop - 1} THEN {column} END), 0)"


def _variation(units: str) -> str:
    """SQL of the coefficient of variation over the last six months, from exact sums; months without count as 0."""
    total = f"sum(CASE WHEN month < 6 THEN {units} END)"
    squares = f"sum(CASE WHEN month < 6 THEN {units} * {units} END)"
    return ratio(f"sqrt(CAST(6 * {squares} - {total} * {total} AS DOUBLE))", total)


def _slope(units: str) -> str:
    """SQL of the least-squares slope over the last six months, sum((2.5 - month) x) / 17.5, over their mean."""
    weighted = f"sum(CASE WHEN month < 6 THEN (5 - 2 * month) * {units} END)"
    return ratio(f"6 * {weighted}", f"(35 * sum(CASE WHEN month < 6 THEN {units} END))")


_HALF_YEAR = range(6)
_IN = _total("money_in", _HALF_YEAR)
_OUT = _total("money_out", _HALF_YEAR)

TRANSACTIONS = Source(
    table="transactions",
    needs=("transactions",),
    steps={"movement": MOVEMENT, "month_flow": MONTH},
    definitions=(
        Definition(
            "no_movements",
            "Whether no movement of money is known (1) or one is (0)",
            "Si no se conoce ningún movimiento de dinero (1) o se conoce alguno (0)",
            "little_alternative_data",
            "0",
            empty=1,
        ),
        Definition(
            "movement_months",
            "Months with movements, of the last 12",
            "Meses con movimientos, de los últimos 12",
            "little_alternative_data",
            "count(*)",
            "months",
            "decreasing",
            empty=0,
        ),
        Definition(
            "movements_monthly",
            "Movements a month over the last 6 months",
            "Movimientos por mes en los últimos 6 meses",
            "little_alternative_data",
            ratio(_total("movements", _HALF_YEAR), "6"),
            "movements",
            "decreasing",
        ),
        Definition(
            "days_since_movement",
            "Days since the last movement",
            "Días desde el último movimiento",
            "little_alternative_data",
            "min(days_ago)",
            "days",
            "increasing",
        ),
        Definition(
            "inflow_monthly",
            "Money in, a month over the last 6 months",
            "Ingresos por mes en los últimos 6 meses",
            "cash_flow_level",
            ratio(_IN, "6"),
            "currency a month",
            "decreasing",
        ),
        Definition(
            "net_flow_share",
            "Money in less money out over money in, last 6 months",
            "Ingresos menos egresos, entre ingresos, últimos 6 meses",
            "cash_flow_level",
            ratio(f"({_IN}) - ({_OUT})", _IN),
            "share",
            "decreasing",
        ),
        Definition(
            "lowest_balance",
            "Lowest balance of the last 6 months",
            "Saldo mínimo de los últimos 6 meses",
            "cash_flow_level",
            "min(CASE WHEN month < 6 THEN lowest END)",
            "currency",
            "decreasing",
        ),
        Definition(
            "mean_balance",
            "Average balance after a movement, last 3 months",
            "Saldo promedio tras cada movimiento, últimos 3 meses",
            "cash_flow_level",
            ratio("sum(CASE WHEN month < 3 THEN balances END)", "sum(CASE WHEN month < 3 THEN balances_known END)"),
            "currency",
            "decreasing",
        ),
        Definition(
            "overdrawn_months",
            "Months with a negative balance, of the last 12",
            "Meses con saldo negativo, de los últimos 12",
            "cash_flow_level",
            "count_if(lowest < 0)",
            "months",
            "increasing",
        ),
        Definition(
            "asked_to_inflow",
            "Amount asked for over money in a month",
            "Monto solicitado entre ingresos mensuales",
            "repayment_capacity",
            ratio("max(asked) * 6", _IN),
            "months",
            "increasing",
        ),
        Definition(
            "instalment_to_inflow",
            "Instalments of a month of this loan over money in a month",
            "Cuotas mensuales de este crédito entre ingresos mensuales",
            "repayment_capacity",
            ratio("max(total_due) * 180", f"(max(greatest(term_days, 30)) * {_IN})"),
            "share",
            "increasing",
        ),
        Definition(
            "inflow_variation",
            "Variation of the money in from month to month, last 6 months",
            "Variación de los ingresos de mes a mes, últimos 6 meses",
            "cash_flow_regularity",
            _variation("units_in"),
            "share",
            "increasing",
        ),
        Definition(
            "inflow_slope",
            "Trend of the money in, as a share of its mean a month, last 6 months",
            "Tendencia de los ingresos, como parte de su promedio mensual, últimos 6 meses",
            "cash_flow_trend",
            _slope("units_in"),
            "share a month",
            "decreasing",
        ),
        Definition(
            "inflow_growth",
            "Money in of the last 3 months over the 3 before",
            "Ingresos de los últimos 3 meses entre los de los 3 anteriores",
            "cash_flow_trend",
            ratio(_total("money_in", range(3)), _total("money_in", range(3, 6))),
            "times",
            "decreasing",
        ),
        Definition(
            "coming_season",
            "Money in of the 3 months that followed a year ago, over the mean of 3 months",
            "Ingresos de los 3 meses siguientes de hace un año, entre el promedio de 3 meses",
            "seasonality",
            ratio(f"{_total('money_in', range(9, 12))} * 4", "sum(money_in)"),
            "times",
        ),
        Definition(
            "wallet_months",
            "Months with mobile-wallet movements, of the last 12",
            "Meses con movimientos de billetera móvil, de los últimos 12",
            "little_alternative_data",
            "count_if(wallet_movements > 0)",
            "months",
            "decreasing",
        ),
        Definition(
            "top_up_months",
            "Months with a phone top-up, of the last 12",
            "Meses con recarga de celular, de los últimos 12",
            "little_alternative_data",
            "count_if(top_ups > 0)",
            "months",
            "decreasing",
        ),
        Definition(
            "utility_late_share",
            "Share of utility bills paid late, last 12 months",
            "Parte de los recibos de servicios pagados tarde, últimos 12 meses",
            "bills_late",
            ratio("sum(utilities_late)", "sum(utilities_dated)"),
            "share",
            "increasing",
        ),
        Definition(
            "rent_late_share",
            "Share of rents paid late, last 12 months",
            "Parte de los alquileres pagados tarde, últimos 12 meses",
            "bills_late",
            ratio("sum(rents_late)", "sum(rents_dated)"),
            "share",
            "increasing",
        ),
        Definition(
            "bill_months",
            "Months with a utility bill or rent paid, of the last 12",
            "Meses con pago de recibos o alquiler, de los últimos 12",
            "little_alternative_data",
            "count_if(bills > 0)",
            "months",
            "decreasing",
        ),
        Definition(
            "remittance_months",
            "Months with a remittance received, of the last 12",
            "Meses con remesa recibida, de los últimos 12",
            "little_alternative_data",
            "count_if(remittances > 0)",
            "months",
        ),
        Definition(
            "takings_monthly",
            "Takings of shop or stall, a month over the last 6 months",
            "Ventas del negocio o puesto por mes, últimos 6 meses",
            "cash_flow_level",
            ratio(_total("takings", _HALF_YEAR), "6"),
            "currency a month",
            "decreasing",
        ),
        Definition(
            "takings_variation",
            "Variation of the takings from month to month, last 6 months",
            "Variación de las ventas de mes a mes, últimos 6 meses",
            "cash_flow_regularity",
            _variation("units_takings"),
            "share",
            "increasing",
        ),
        Definition(
            "takings_growth",
            "Takings of the last 3 months over the 3 before",
            "Ventas de los últimos 3 meses entre las de los 3 anteriores",
            "cash_flow_trend",
            ratio(_total("takings", range(3)), _total("takings", range(3, 6))),
            "times",
            "decreasing",
        ),
        Definition(
            "salary_months",
            "Months with a salary, of the last 12",
            "Meses con sueldo, de los últimos 12",
            "little_alternative_data",
            "count_if(salary > 0)",
            "months",
            "decreasing",
        ),
    ),
)
