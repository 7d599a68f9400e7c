"""Texts of reasons, in Spanish and English: each is true of the feature's value that it speaks of.

A cause gathers features that a borrower would call by one name. It has a text for a value on the side of risk, one
for a value that is not known, and one that takes no side, for a category, for a feature of which no side is known to
be riskier, and for a value that is on the good side and yet worse than what the approved applications mostly have.
"""

from typing import NamedTuple

import numpy as np

from components.credit.dictionary import Feature


class Text(NamedTuple):
    """A text in both languages."""

    es: str
    en: str


class Cause(NamedTuple):
    """The texts of a cause.

    Args:
        adverse: Of a value on the side of risk.
        unknown: Of a value that is missing or a special code.
        neutral: Of any other value; None where ``adverse`` takes no side itself.
    """

    adverse: Text
    unknown: Text
    neutral: Text | None = None


_NO_PAYMENTS = Text(
    "Aún hay pocos o ningún pago con nosotros que muestre puntualidad",
    "Few payments with us, or none, that would show punctuality yet",
)
_NO_LATEST = Text(
    "Falta información sobre los últimos pagos o el último crédito con nosotros",
    "Information on the latest payments or the last loan with us is missing",
)
_NO_BUREAU = Text(
    "La central de riesgos tiene poca o ninguna información reciente",
    "The credit bureau has little recent information, or none",
)
_NO_MOVEMENTS = Text(
    "Se conocen pocos o ningún movimiento de cuenta o billetera, recibo o venta que sustente sus ingresos",
    "Few account or wallet movements, bills or sales are known that show income, or none",
)
_FLOW = Text(
    "Ingresos o saldos bajos en los movimientos de su cuenta o billetera",
    "Low income or balances in the movements of the account or wallet",
)
_HOUSEHOLD = Text("La situación y los gastos del hogar", "The situation and expenses of the household")
_TERMS = Text("El plazo o el costo del crédito solicitado", "The term or the cost of the loan asked for")
_SIZE = Text(
    "El monto solicitado, solo o frente a créditos anteriores",
    "The amount asked for, by itself or against earlier loans",
)
_OCCUPATION = Text("El tipo de actividad o empleo", "The kind of business or job")

# By key; the cause "attribute" is not here, since a ready attribute speaks with its own text.
CAUSES: dict[str, Cause] = {
    "late_payments": Cause(
        Text("Pagos atrasados en créditos anteriores", "Late payments on earlier loans"),
        _NO_PAYMENTS,
        Text("La forma en que se pagaron los créditos anteriores", "How earlier loans were repaid"),
    ),
    "recent_late_payments": Cause(
        Text(
            "Pagos atrasados en los últimos meses o créditos", "Late payments in recent months or on the latest loans"
        ),
        _NO_LATEST,
        Text("La forma en que se pagó últimamente", "How loans were repaid lately"),
    ),
    "punctual_time": Cause(
        Text("Poco tiempo pagando a tiempo con nosotros", "A short time of paying on time with us"), _NO_PAYMENTS
    ),
    "refinancing": Cause(
        Text("Créditos anteriores que tuvieron que refinanciarse", "Earlier loans that had to be refinanced"),
        _NO_PAYMENTS,
        Text("La forma en que terminaron los créditos anteriores", "How earlier loans ended"),
    ),
    "short_history": Cause(
        Text("Poco tiempo o pocos créditos pagados con nosotros", "A short history, or few loans repaid with us"),
        Text("Pocos o ningún crédito pagado con nosotros", "Few loans repaid with us, or none"),
        Text("Cuándo y con qué frecuencia se tomaron créditos", "When and how often loans were taken with us"),
    ),
    "open_loans": Cause(
        Text("Créditos con nosotros que aún no terminan de pagarse", "Loans with us that are not repaid yet"),
        _NO_LATEST,
        Text("Los créditos vigentes con nosotros", "The loans that are open with us"),
    ),
    "repayment_capacity": Cause(
        Text(
            "La cuota o el monto es alto para los ingresos sustentados",
            "The instalment or amount is high for the income shown",
        ),
        Text(
            "Falta información sobre ingresos, gastos o cuotas",
            "Information on income, expenses or instalments is missing",
        ),
        Text("La capacidad de pago", "The capacity to repay"),
    ),
    "debt_level": Cause(
        Text(
            "Deuda, uso de líneas o avales altos en el sistema",
            "High debt, use of lines or guarantees at other lenders",
        ),
        _NO_BUREAU,
        Text("El nivel de deuda en el sistema financiero", "The level of debt with financial institutions"),
    ),
    "debt_growth": Cause(
        Text("Más deuda o más entidades que hace seis meses", "More debt, or more lenders, than six months ago"),
        _NO_BUREAU,
        Text("La evolución de la deuda en seis meses", "How debt has developed in six months"),
    ),
    "many_lenders": Cause(
        Text("Deudas con varias entidades a la vez", "Debts with several lenders at once"),
        _NO_BUREAU,
        Text("El número de entidades con las que hay deuda", "The number of lenders with a debt"),
    ),
    "bureau_arrears": Cause(
        Text("Atrasos con otras entidades en la central de riesgos", "Arrears with other lenders in the credit bureau"),
        _NO_BUREAU,
        Text("El comportamiento en la central de riesgos", "The record in the credit bureau"),
    ),
    "bureau_record": Cause(
        Text("La central de riesgos no tiene reporte suyo", "The credit bureau has no report"),
        _NO_BUREAU,
        Text("La antigüedad de la información en la central de riesgos", "How long the credit bureau's record is"),
    ),
    "inquiries": Cause(
        Text("Solicitudes de crédito recientes en otras entidades", "Recent applications for credit elsewhere"),
        _NO_BUREAU,
        Text("Las consultas de otras entidades", "The inquiries by other lenders"),
    ),
    "cash_flow_level": Cause(
        _FLOW, _NO_MOVEMENTS, Text("Los movimientos de su cuenta o billetera", "The movements of the account or wallet")
    ),
    "cash_flow_trend": Cause(
        Text("Ingresos que bajan en los últimos meses", "Income that has been falling in recent months"),
        _NO_MOVEMENTS,
        Text("La evolución de los ingresos en los últimos meses", "How income has developed in recent months"),
    ),
    "cash_flow_regularity": Cause(
        Text("Ingresos irregulares de un mes a otro", "Income that varies from month to month"),
        _NO_MOVEMENTS,
        Text("La regularidad de los ingresos", "How regular income is"),
    ),
    "bills_late": Cause(
        Text("Atrasos en recibos de servicios o alquiler", "Late payment of utility bills or rent"),
        Text("No se conocen recibos de servicios o alquiler", "No utility bills or rent payments are known"),
        Text("El pago de recibos de servicios o alquiler", "The payment of utility bills or rent"),
    ),
    "little_alternative_data": Cause(
        Text(
            "Pocos movimientos recientes de billetera, recibos o ventas que sustenten sus ingresos",
            "Few recent wallet movements, bills or sales that show income",
        ),
        _NO_MOVEMENTS,
        Text("Los movimientos que sustentan sus ingresos", "The movements that show income"),
    ),
    "loan_terms": Cause(
        _TERMS,
        Text(
            "Falta información sobre el plazo o el costo, o un crédito anterior con que compararlos",
            "Information on the term or cost is missing, or an earlier loan to compare them with",
        ),
    ),
    "loan_size": Cause(
        _SIZE,
        Text(
            "No hay créditos anteriores con los que comparar el monto",
            "There are no earlier loans to compare the amount with",
        ),
    ),
    "business": Cause(
        Text("Poca antigüedad del negocio o empleo", "The business or job is recent"),
        Text("Falta información sobre el negocio o empleo", "Information on the business or job is missing"),
        _OCCUPATION,
    ),
    "occupation": Cause(
        _OCCUPATION,
        Text("Falta información sobre el negocio o empleo", "Information on the business or job is missing"),
    ),
    "household": Cause(_HOUSEHOLD, Text("Falta información sobre el hogar", "Information on the household is missing")),
    "seasonality": Cause(
        Text("La temporada en la que se pide el crédito", "The season in which the loan is asked for"),
        Text(
            "Faltan movimientos de hace un año que muestren la temporada",
            "Movements of a year ago that would show the season are missing",
        ),
    ),
}


def text(feature: Feature, value: object) -> Text:
    """Text of a reason for this value of a feature that takes points.

    Args:
        feature: The feature.
        value: A number, or a category as text; NaN or None where missing.
    """
    if feature.type == "number":
        value = float(value)  # type: ignore[arg-type]  # of a number it is one
    unknown = value is None or (isinstance(value, float) and (np.isnan(value) or value in feature.special))
    if feature.cause == "attribute":
        return Text(f"Sin dato: {feature.es}", f"Not known: {feature.en}") if unknown else Text(feature.es, feature.en)
    cause = CAUSES[feature.cause]
    if unknown:
        return cause.unknown
    if cause.neutral is None or (isinstance(value, float) and _is_adverse(feature, value)):
        return cause.adverse
    return cause.neutral


def _is_adverse(feature: Feature, value: float) -> bool:
    """Whether a known value lies on the side that the text of its cause speaks of."""
    if feature.trend is None:
        return not feature.unit and value == 1  # a flag: it says that something is missing
    if feature.trend == "increasing":  # counts, days and shares of what is adverse: any is; growth: more than none
        return value > (1 if feature.unit == "times" or feature.cause == "many_lenders" else 0)
    if feature.cause == "cash_flow_trend":
        return value < (1 if feature.unit == "times" else 0)
    return True
