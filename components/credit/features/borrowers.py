"""Features of the borrower's household and business, from the latest profile known at the decision.

Sex, age, department, rural living, language and marital status are in that profile too; they are kept apart for
fairness tests and are never features.
"""

from components.credit.features.definition import Definition, Source, ratio

PROFILE = """
    SELECT a.row, a.decided_day, b.* EXCLUDE (borrower_id, event_time, known_at)
    FROM borrowers b
    JOIN application a ON b.borrower_id = a.borrower_id AND b.known_at <= a.decided_at
    QUALIFY row_number() OVER (PARTITION BY a.row ORDER BY b.event_time DESC, b.known_at DESC) = 1
"""

# What models never see, at the decision.
PROTECTED = {
    "protected_sex": "sex",
    "protected_age_band": """CASE
        WHEN birth_month > decided_day - to_years(25) THEN 'under 25'
        WHEN birth_month > decided_day - to_years(35) THEN '25 to 34'
        WHEN birth_month > decided_day - to_years(45) THEN '35 to 44'
        WHEN birth_month > decided_day - to_years(55) THEN '45 to 54'
        WHEN birth_month > decided_day - to_years(65) THEN '55 to 64'
        WHEN birth_month IS NOT NULL THEN '65 and over' END""",
    "protected_department": "department",
    "protected_rural": "CAST(rural AS VARCHAR)",
    "protected_language": "language",
    "protected_marital_status": "marital_status",
}

BORROWERS = Source(
    table="borrowers",
    needs=("borrowers",),
    steps={"profile": PROFILE},
    grouped=False,
    apart=PROTECTED,
    definitions=(
        Definition(
            "employment", "How the borrower earns", "Situación laboral", "occupation", "employment", type="category"
        ),
        Definition("sector", "Economic activity", "Actividad económica", "occupation", "sector", type="category"),
        Definition(
            "business_age",
            "Age of the business or job",
            "Antigüedad del negocio o empleo",
            "business",
            ratio("decided_day - business_since", "30"),
            "months",
            "decreasing",
        ),
        Definition("education", "Highest schooling", "Nivel de instrucción", "household", "education", type="category"),
        Definition("housing", "Housing", "Vivienda", "household", "housing", type="category"),
        Definition(
            "dependants",
            "People who live on the borrower's income",
            "Personas a cargo",
            "household",
            "CAST(dependants AS DOUBLE)",
            "people",
            "increasing",
        ),
        Definition(
            "account_type", "Kind of bank account", "Tipo de cuenta", "household", "account_type", type="category"
        ),
    ),
)
