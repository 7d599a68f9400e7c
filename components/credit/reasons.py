"""Why a score is what it is: causes that a borrower understands and can act on, in Spanish and English.

A cause counts by what it takes compared with the approved applications, not with the average one: where few are
approved, the average is far below the cut-off and would name the wrong reasons.
"""

from math import fsum

import numpy as np
from msgspec import Struct

from components.credit.binning import Columns
from components.credit.calibration import Floats
from components.credit.dictionary import Feature
from components.credit.scorer import Scorer
from components.credit.trees import Trees

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


class Change(Struct, frozen=True):
    """What would have to change in a feature.

    Args:
        feature: The feature.
        least: The value that it would have to reach, or
        below: the value that it would have to stay below.
        points: Points that this alone would win.
        es: The same in Spanish.
        en: The same in English.
    """

    feature: str
    least: float | None
    below: float | None
    points: int
    es: str
    en: str


class Reason(Struct, frozen=True):
    """One cause that takes points.

    Args:
        cause: Key of ``CAUSES``, or ``attribute``.
        feature: The feature of the cause that takes most.
        es: Text in Spanish.
        en: Text in English.
        points: Points that the cause takes compared with the mean of the approved applications, greater than 0.
        changes: What would have to change, as ``changes.with_changes`` says, in the order of what it takes.
    """

    cause: str
    feature: str
    es: str
    en: str
    points: float
    changes: list[Change] = []


def reasons(
    scorer: Scorer, columns: Columns, row_contributions: Floats, keep: int = 4, margin: Floats | None = None
) -> list[list[Reason]]:
    """The causes that take most points of each row, the greatest first.

    Args:
        scorer: The model.
        columns: The rows.
        row_contributions: Their contributions, as ``scorer.contributions`` gives them, shape (n, features).
        keep: Most reasons of a row.
        margin: Their margins, where the caller has them: ``scorer.explained`` gives both.

    Returns:
        For each row at most ``keep`` reasons; none where nothing takes points.
    """
    features, causes = scorer.features, scorer.causes
    given = []
    for taken in taken_points(scorer, row_contributions, scorer.margin(columns) if margin is None else margin):
        sums = [taken[places[0]] if len(places) == 1 else fsum([taken[place] for place in places]) for places in causes]
        ranked = sorted(range(len(sums)), key=sums.__getitem__, reverse=True)[:keep]
        given.append([_reason(features, causes[cause], taken, sums[cause]) for cause in ranked if sums[cause] > 0])
    return given


def taken_points(scorer: Scorer, row_contributions: Floats, margin: Floats) -> list[list[float]]:
    """Points that each feature takes of each row, compared with the mean of the approved applications."""
    slopes, approved = _points_per_margin(scorer, margin).tolist(), scorer.approved.tolist()
    # plain numbers: one row is the common case, and its bits must not depend on how many come together
    return [
        [(part - usual) * slope for part, usual in zip(parts, approved, strict=True)]
        for parts, slope in zip(row_contributions.tolist(), slopes, strict=True)
    ]


def _points_per_margin(scorer: Scorer, margin: Floats) -> Floats:
    """Points that one unit of margin takes between the approved mean and a row: a slope where log-odds are linear in
    the margin, a secant where they are not, so that all parts add up to the points that lie between."""
    if not isinstance(scorer.engine, Trees) or scorer.engine.encoder.margin == "log_odds":
        return np.full(len(margin), scorer.scaling.factor * scorer.calibration.slope)
    approved = np.full(len(margin), scorer.base + scorer.approved.sum())
    approved = np.where(np.abs(margin - approved) < 1e-6, margin - 1e-6, approved)
    rise = scorer.log_odds(margin) - scorer.log_odds(approved)
    return np.asarray(scorer.scaling.factor * rise / (margin - approved), dtype=np.float64)


def _reason(features: tuple[Feature, ...], places: list[int], taken: list[float], points: float) -> Reason:
    feature = features[max(places, key=taken.__getitem__)]
    es, en = (feature.es, feature.en) if feature.cause == "attribute" else CAUSES[feature.cause]
    return Reason(feature.cause, feature.name, es, en, points)
