"""Why a score is what it is: causes that a borrower understands and can act on, in Spanish and English.

A cause counts by what it takes compared with the approved applications, not with the average one: where few are
approved, the average is far below the cut-off and would name the wrong reasons.
"""

import numpy as np
from msgspec import Struct

from components.credit.binning import Columns
from components.credit.calibration import Floats
from components.credit.scorer import Scorer

# Spanish and English text by cause; a feature of the cause "attribute" speaks with its own text.
CAUSES: dict[str, tuple[str, str]] = {
    "late_payments": ("Pagos atrasados en créditos anteriores", "Late payments on earlier loans"),
    "recent_late_payments": ("Pagos atrasados en los últimos meses", "Late payments in recent months"),
    "refinancing": (
        "Créditos anteriores que tuvieron que refinanciarse",
        "Earlier loans that had to be refinanced",
    ),
    "short_history": (
        "Poco tiempo o pocos créditos pagados con nosotros",
        "A short history, or few loans repaid with us",
    ),
    "repayment_capacity": (
        "La cuota es alta para los ingresos sustentados",
        "The instalment is high for the income shown",
    ),
    "debt_level": ("Deuda alta en el sistema financiero", "High debt with financial institutions"),
    "many_lenders": ("Deudas con varias entidades a la vez", "Debts with several lenders at once"),
    "bureau_arrears": (
        "Atrasos con otras entidades en la central de riesgos",
        "Arrears with other lenders in the credit bureau",
    ),
    "inquiries": ("Muchas solicitudes de crédito recientes", "Many recent applications for credit"),
    "cash_flow_level": (
        "Ingresos bajos en los movimientos de su cuenta o billetera",
        "Low income in the movements of the account or wallet",
    ),
    "cash_flow_trend": (
        "Ingresos que bajan en los últimos meses",
        "Income that has been falling in recent months",
    ),
    "cash_flow_regularity": ("Ingresos irregulares de un mes a otro", "Income that varies from month to month"),
    "bills_late": (
        "Atrasos en recibos de servicios, alquiler o celular",
        "Late payment of utility, rent or phone bills",
    ),
    "little_alternative_data": (
        "Pocos movimientos de billetera, recibos o ventas que sustenten sus ingresos",
        "Few wallet movements, bills or sales that show income",
    ),
    "loan_terms": ("El plazo o el costo del crédito solicitado", "The term or the cost of the loan asked for"),
    "loan_size": ("El monto solicitado es alto", "The amount asked for is high"),
    "business": ("Poca antigüedad o tamaño del negocio o empleo", "The business or job is recent or small"),
    "household": ("La situación y los gastos del hogar", "The situation and expenses of the household"),
    "seasonality": (
        "La temporada en la que se pide el crédito",
        "The season in which the loan is asked for",
    ),
}


class Reason(Struct, frozen=True):
    """One cause that takes points.

    Args:
        cause: Key of ``CAUSES``, or ``attribute``.
        feature: The feature of the cause that takes most.
        es: Text in Spanish.
        en: Text in English.
        points: Points that the cause takes compared with the mean of the approved applications, greater than 0.
    """

    cause: str
    feature: str
    es: str
    en: str
    points: float


def reasons(scorer: Scorer, columns: Columns, row_contributions: Floats, keep: int = 4) -> list[list[Reason]]:
    """The causes that take most points of each row, the greatest first.

    Args:
        scorer: The model.
        columns: The rows.
        row_contributions: Their contributions, as ``scorer.contributions`` gives them, shape (n, features).
        keep: Most reasons of a row.

    Returns:
        For each row at most ``keep`` reasons; none where nothing takes points.
    """
    reference = np.array([scorer.reference[feature.name] for feature in scorer.features])
    taken = (row_contributions - reference) * _points_per_margin(scorer, scorer.margin(columns), reference)[:, None]
    groups: dict[str, list[int]] = {}
    for place, feature in enumerate(scorer.features):
        groups.setdefault(feature.name if feature.cause == "attribute" else feature.cause, []).append(place)
    sums = np.column_stack([taken[:, places].sum(axis=1) for places in groups.values()])
    order = np.argsort(-sums, axis=1, kind="stable")[:, :keep]
    members = list(groups.values())
    return [
        [
            _reason(scorer, members[group], taken[row], float(sums[row, group]))
            for group in ranked
            if sums[row, group] > 0
        ]
        for row, ranked in enumerate(order)
    ]


def _points_per_margin(scorer: Scorer, margin: Floats, reference: Floats) -> Floats:
    """Points that one unit of margin takes between the approved mean and a row: a slope where log-odds are linear in
    the margin, a secant where they are not, so that all parts add up to the points that lie between."""
    approved = np.full_like(margin, scorer.base + reference.sum())
    gap = margin - approved
    approved = np.where(np.abs(gap) < 1e-6, margin - 1e-6, approved)
    rise = scorer.log_odds(margin) - scorer.log_odds(approved)
    return np.asarray(scorer.scaling.factor * rise / (margin - approved), dtype=np.float64)


def _reason(scorer: Scorer, places: list[int], taken: Floats, points: float) -> Reason:
    feature = scorer.features[max(places, key=lambda place: taken[place])]
    es, en = (feature.es, feature.en) if feature.cause == "attribute" else CAUSES[feature.cause]
    return Reason(feature.cause, feature.name, es, en, points)
