"""Features of how the borrower repaid the earlier loans with this lender.

Days late are counted from the day on which an instalment was due to the day on which it was settled (the rules stand in
``settlement``), or to the decision. They are kept per instalment, so closing a loan does not wipe out how late it was.
"""

from components.credit.features.definition import Definition, Source, ratio
from components.credit.features.settlement import SETTLEMENT, event

EVENT = event("JOIN loan l ON r.loan_id = l.loan_id AND r.known_at <= l.decided_at", "l.decided_day")

REPAID = """
    SELECT row, nth, count(days) AS known, sum(days) AS sum_days, count_if(days > 0) AS late,
        count_if(days > 8) AS late_8, max(days_late) AS peak, sum(days_late) AS sum_late,
        max(CASE WHEN due_on > until - 365 THEN days_late END) AS peak_12m,
        sum(CASE WHEN due_on > until - 180 THEN days_late END) AS sum_late_6m,
        count(CASE WHEN due_on > until - 180 THEN days END) AS known_6m,
        max(open_days) AS open_for,
        count(open_days) AS open_late,
        max(CASE WHEN days > 8 THEN due_on END) AS last_late_on,
        min(CASE WHEN days IS NOT NULL THEN due_on END) AS first_due_on,
        arg_min(days, CAST(due_on - DATE '1900-01-01' AS BIGINT) * 100000 + days) AS first_days
    FROM settled
    GROUP BY row, nth
"""

# One row an earlier loan, with how it was repaid as far as that was known at the decision.
EARLIER_LOAN = """
    SELECT l.*, r.* EXCLUDE (row, nth), e.closed_on, e.refinanced_on, e.charged_off_on,
        coalesce(e.closed_on, CASE WHEN l.decided_day > l.lent_day + l.term_days THEN l.decided_day END)
            - (l.lent_day + l.term_days) AS end_days,
        coalesce(r.peak, CASE WHEN end_days IS NOT NULL THEN greatest(end_days, 0) END) AS peak_or_end
    FROM loan l
    LEFT JOIN repaid r ON r.row = l.row AND r.nth = l.nth
    LEFT JOIN ending e ON e.row = l.row AND e.nth = l.nth
"""


def _loan(column: str, nth: int) -> str:
    return f"CAST(max(CASE WHEN nth = {nth} THEN {column} END) AS DOUBLE)"


REPAYMENTS = Source(
    table="repayments",
    needs=("loans", "repayments"),
    steps={"event": EVENT, **SETTLEMENT, "repaid": REPAID, "earlier_loan": EARLIER_LOAN},
    definitions=(
        Definition(
            "instalments_known",
            "Instalments of earlier loans that were due or paid",
            "Cuotas vencidas o pagadas de créditos anteriores",
            "short_history",
            "coalesce(sum(known), 0)",
            "instalments",
            "decreasing",
            empty=0,
        ),
        Definition(
            "late_share",
            "Share of instalments paid late",
            "Parte de las cuotas pagadas con atraso",
            "late_payments",
            ratio("sum(late)", "sum(known)"),
            "share",
            "increasing",
        ),
        Definition(
            "late_8_share",
            "Share of instalments more than 8 days late",
            "Parte de las cuotas con más de 8 días de atraso",
            "late_payments",
            ratio("sum(late_8)", "sum(known)"),
            "share",
            "increasing",
        ),
        Definition(
            "peak_days_late",
            "Peak days late over all earlier loans",
            "Máximo de días de atraso en los créditos anteriores",
            "late_payments",
            "max(peak_or_end)",
            "days",
            "increasing",
        ),
        Definition(
            "peak_days_late_12m",
            "Peak days late of the instalments of the last 12 months",
            "Máximo de días de atraso en las cuotas de los últimos 12 meses",
            "recent_late_payments",
            "max(peak_12m)",
            "days",
            "increasing",
        ),
        Definition(
            "mean_days_late",
            "Average days late of an instalment, early ones as zero",
            "Promedio de días de atraso por cuota, sin contar adelantos",
            "late_payments",
            ratio("sum(sum_late)", "sum(known)"),
            "days",
            "increasing",
        ),
        Definition(
            "mean_days_late_6m",
            "Average days late of the instalments of the last 6 months",
            "Promedio de días de atraso de las cuotas de los últimos 6 meses",
            "recent_late_payments",
            ratio("sum(sum_late_6m)", "sum(known_6m)"),
            "days",
            "increasing",
        ),
        Definition(
            "mean_days_to_due",
            "Average days from the due date to the payment, early ones negative",
            "Promedio de días entre vencimiento y pago, adelantos en negativo",
            "late_payments",
            ratio("sum(sum_days)", "sum(known)"),
            "days",
            "increasing",
        ),
        Definition(
            "last_loan_peak_days_late",
            "Peak days late of the last loan",
            "Máximo de días de atraso del último crédito",
            "recent_late_payments",
            _loan("peak_or_end", 1),
            "days",
            "increasing",
        ),
        Definition(
            "previous_loan_peak_days_late",
            "Peak days late of the loan before the last",
            "Máximo de días de atraso del penúltimo crédito",
            "late_payments",
            _loan("peak_or_end", 2),
            "days",
            "increasing",
        ),
        Definition(
            "last_3_loans_days_late",
            "Average peak days late of the last three loans",
            "Promedio del máximo de días de atraso de los últimos tres créditos",
            "recent_late_payments",
            ratio("sum(CASE WHEN nth <= 3 THEN peak_or_end END)", "count(CASE WHEN nth <= 3 THEN peak_or_end END)"),
            "days",
            "increasing",
        ),
        Definition(
            "last_loan_first_days",
            "Days from due date to payment of the last loan's first instalment",
            "Días entre vencimiento y pago de la primera cuota del último crédito",
            "recent_late_payments",
            _loan("first_days", 1),
            "days",
            "increasing",
        ),
        Definition(
            "last_loan_end_days",
            "Days from the contractual end of the last loan to its closing, early ones negative",
            "Días entre el fin contractual del último crédito y su cancelación, adelantos en negativo",
            "recent_late_payments",
            _loan("end_days", 1),
            "days",
            "increasing",
        ),
        Definition(
            "mean_end_days",
            "Average days from a loan's contractual end to its closing, early ones negative",
            "Promedio de días entre el fin contractual y la cancelación, adelantos en negativo",
            "late_payments",
            ratio("sum(end_days)", "count(end_days)"),
            "days",
            "increasing",
        ),
        Definition(
            "last_loan_life_share",
            "Days that the last loan was open, over its term",
            "Días que el último crédito estuvo vigente, entre su plazo",
            "recent_late_payments",
            ratio("max(CASE WHEN nth = 1 THEN closed_on - lent_day END)", "max(CASE WHEN nth = 1 THEN term_days END)"),
            "share",
        ),
        Definition(
            "days_since_closing",
            "Days since the last closing of a loan",
            "Días desde la última cancelación de un crédito",
            "short_history",
            "min(decided_day - closed_on)",
            "days",
        ),
        Definition(
            "open_loans",
            "Earlier loans that are still open",
            "Créditos anteriores aún vigentes",
            "open_loans",
            "count_if(closed_on IS NULL)",
            "loans",
            "increasing",
            empty=0,
        ),
        Definition(
            "current_days_late",
            "Days that the oldest unpaid instalment is late now",
            "Días de atraso de la cuota impaga más antigua",
            "recent_late_payments",
            "coalesce(max(open_for), 0)",
            "days",
            "increasing",
            empty=0,
        ),
        Definition(
            "open_late_instalments",
            "Instalments overdue and unpaid now",
            "Cuotas vencidas e impagas",
            "recent_late_payments",
            "coalesce(sum(open_late), 0)",
            "instalments",
            "increasing",
            empty=0,
        ),
        Definition(
            "punctual_days",
            "Days since the last instalment that was more than 8 days late, or else since the first one",
            "Días desde la última cuota con más de 8 días de atraso o, si no la hay, desde la primera",
            "punctual_time",
            "max(decided_day) - coalesce(max(last_late_on), min(first_due_on))",
            "days",
            "decreasing",
        ),
        Definition(
            "refinancings",
            "Earlier loans that ended in a refinancing",
            "Créditos anteriores que terminaron refinanciados",
            "refinancing",
            "count(refinanced_on)",
            "loans",
            "increasing",
            empty=0,
        ),
        Definition(
            "charged_off_loans",
            "Earlier loans written off or taken to court",
            "Créditos anteriores castigados o en cobranza judicial",
            "late_payments",
            "count(charged_off_on)",
            "loans",
            "increasing",
            empty=0,
        ),
    ),
)
