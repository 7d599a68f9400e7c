"""Features of the borrower's earlier loans with this lender: how many, how large, how long ago."""

from components.credit.features.definition import Definition, Source, ratio

# An application's own loan is no history of it, even where the lender wrote it down before the decision.
LOAN = """
    SELECT a.row, a.decided_at, a.decided_day, a.asked, a.total_due AS asked_total_due, a.term_days AS asked_term,
        l.loan_id, local_day(l.event_time) AS lent_day, l.principal, l.total_due, l.term_days, l.kind,
        row_number() OVER (PARTITION BY a.row ORDER BY l.event_time DESC, l.loan_id DESC) AS nth
    FROM priced_loans l
    JOIN application a ON l.borrower_id = a.borrower_id AND l.known_at <= a.decided_at
    WHERE l.loan_id IS DISTINCT FROM a.loan_id AND l.application_id IS DISTINCT FROM a.application_id
"""

_LAST_PRINCIPAL = "max(CASE WHEN nth = 1 THEN principal END)"


def _wide(amount: str) -> str:
    """SQL of an amount that may be multiplied by another: DuckDB keeps such a product in 18 digits otherwise."""
    return f"CAST({amount} AS DECIMAL(38, 2))"


LOANS = Source(
    table="loans",
    needs=("loans",),
    steps={"loan": LOAN},
    definitions=(
        Definition(
            "loans_before",
            "Earlier loans with this lender",
            "Créditos anteriores con esta entidad",
            "short_history",
            "count(*)",
            "loans",
            "decreasing",
            empty=0,
        ),
        Definition(
            "loans_before_12m",
            "Loans with this lender in the last 12 months",
            "Créditos con esta entidad en los últimos 12 meses",
            "short_history",
            "count_if(lent_day > decided_day - 365)",
            "loans",
            empty=0,
        ),
        Definition(
            "days_since_first_loan",
            "Days since the first loan with this lender",
            "Días desde el primer crédito con esta entidad",
            "short_history",
            "max(decided_day - lent_day)",
            "days",
            "decreasing",
        ),
        Definition(
            "days_since_last_loan",
            "Days since the last loan with this lender",
            "Días desde el último crédito con esta entidad",
            "short_history",
            "min(decided_day - lent_day)",
            "days",
        ),
        Definition(
            "days_between_loans",
            "Average days from one loan to the next",
            "Días promedio entre un crédito y el siguiente",
            "short_history",
            ratio("max(lent_day) - min(lent_day)", "(count(*) - 1)"),
            "days",
        ),
        Definition(
            "largest_loan",
            "Largest earlier loan",
            "Mayor crédito anterior",
            "short_history",
            "max(principal)",
            "currency",
        ),
        Definition(
            "asked_to_last",
            "Amount asked for over the last loan",
            "Monto solicitado entre el último crédito",
            "loan_size",
            ratio("max(asked)", _LAST_PRINCIPAL),
            "times",
        ),
        Definition(
            "asked_to_largest",
            "Amount asked for over the largest earlier loan",
            "Monto solicitado entre el mayor crédito anterior",
            "loan_size",
            ratio("max(asked)", "max(principal)"),
            "times",
        ),
        Definition(
            "loan_growth",
            "Last loan over the first one",
            "Último crédito entre el primero",
            "short_history",
            ratio(_LAST_PRINCIPAL, "arg_max(principal, nth)"),
            "times",
        ),
        Definition(
            "term_to_last",
            "Term asked for over the term of the last loan",
            "Plazo solicitado entre el plazo del último crédito",
            "loan_terms",
            ratio("max(asked_term)", "max(CASE WHEN nth = 1 THEN term_days END)"),
            "times",
        ),
        Definition(
            "cost_share_to_last",
            "Total to repay per unit lent, over that of the last loan",
            "Total a pagar por unidad prestada, entre el del último crédito",
            "loan_terms",
            ratio(
                f"{_wide('max(asked_total_due)')} * {_LAST_PRINCIPAL}",
                f"({_wide('max(asked)')} * max(CASE WHEN nth = 1 THEN total_due END))",
            ),
            "times",
        ),
        Definition(
            "refinanced_loans",
            "Earlier loans that were refinanced or reprogrammed ones",
            "Créditos anteriores refinanciados o reprogramados",
            "refinancing",
            "count_if(kind <> 'new')",
            "loans",
            "increasing",
            empty=0,
        ),
    ),
)
