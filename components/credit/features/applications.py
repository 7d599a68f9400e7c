"""Features of the application itself: what is asked for, on which terms, out of which income, in which season."""

from components.credit.features.definition import Definition, Source, ratio

# A loan of less than a month falls due in one sum.
_INSTALMENT = "(total_due * 30)"
_MONTHS = "greatest(term_days, 30)"

# Columns of the answer besides the features.
IDENTITY = ("application_id", "borrower_id", "decided_at", "decision", "incumbent_score")

APPLICATIONS = Source(
    table="applications",
    needs=("applications",),
    steps={},
    grouped=False,
    apart={name: name for name in IDENTITY},
    definitions=(
        Definition(
            "asked_amount", "Amount asked for", "Monto solicitado", "loan_size", "CAST(asked AS DOUBLE)", "currency"
        ),
        Definition(
            "asked_term", "Term asked for", "Plazo solicitado", "loan_terms", "CAST(term_days AS DOUBLE)", "days"
        ),
        Definition(
            "cost_share",
            "Interest and fees over the whole term, as a share of the amount",
            "Intereses y comisiones de todo el plazo, como parte del monto",
            "loan_terms",
            ratio("total_due - asked", "asked"),
            "share",
        ),
        Definition(
            "monthly_cost_share",
            "Interest and fees of a month, as a share of the amount",
            "Intereses y comisiones de un mes, como parte del monto",
            "loan_terms",
            ratio("(total_due - asked) * 30", "asked * term_days"),
            "share",
        ),
        Definition(
            "declared_income",
            "Declared monthly income",
            "Ingreso mensual declarado",
            "repayment_capacity",
            "CAST(income AS DOUBLE)",
            "currency a month",
            "decreasing",
        ),
        Definition(
            "asked_to_income",
            "Amount asked for over declared monthly income",
            "Monto solicitado entre ingreso mensual declarado",
            "repayment_capacity",
            ratio("asked", "income"),
            "months",
            "increasing",
        ),
        Definition(
            "instalment_to_income",
            "Instalments of a month of this loan over declared monthly income",
            "Cuotas mensuales de este crédito entre ingreso mensual declarado",
            "repayment_capacity",
            ratio(_INSTALMENT, f"(income * {_MONTHS})"),
            "share",
            "increasing",
        ),
        Definition(
            "expenses_to_income",
            "Declared monthly expenses over declared monthly income",
            "Gastos mensuales declarados entre ingreso mensual declarado",
            "repayment_capacity",
            ratio("expenses", "income"),
            "share",
            "increasing",
        ),
        Definition(
            "surplus_to_instalment",
            "Declared income less expenses, over the instalments of a month of this loan",
            "Ingreso declarado menos gastos, entre las cuotas mensuales de este crédito",
            "repayment_capacity",
            ratio(f"(income - expenses) * {_MONTHS}", _INSTALMENT),
            "times",
            "decreasing",
        ),
        Definition(
            "foreign_currency",
            "Whether the loan is in another currency than the lender's books (1) or not (0)",
            "Si el crédito es en moneda distinta de la del prestamista (1) o no (0)",
            "loan_terms",
            "CASE WHEN foreign_currency THEN 1.0 ELSE 0.0 END",
        ),
        Definition("product", "Credit type", "Tipo de crédito", "loan_terms", "product", type="category"),
        Definition("purpose", "Purpose of the loan", "Destino del crédito", "loan_terms", "purpose", type="category"),
        Definition("channel", "How it came in", "Canal de la solicitud", "loan_terms", "channel", type="category"),
        Definition(
            "decision_month",
            "Month of the year of the decision",
            "Mes del año de la decisión",
            "seasonality",
            "strftime(decided_day, '%m')",
            type="category",
        ),
        Definition(
            "campaign",
            "Season of the year: school (February, March), Fiestas Patrias (July), Christmas (November, December)",
            "Campaña del año: escolar (febrero y marzo), Fiestas Patrias (julio), Navidad (noviembre y diciembre)",
            "seasonality",
            "CASE month(decided_day) WHEN 2 THEN 'school' WHEN 3 THEN 'school' WHEN 7 THEN 'fiestas_patrias' "
            "WHEN 11 THEN 'christmas' WHEN 12 THEN 'christmas' ELSE 'none' END",
            type="category",
        ),
    ),
)
