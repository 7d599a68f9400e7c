"""The choice of the champion: the scorecard stays unless a challenger wins by more than a margin, and not by chance."""

from dataclasses import dataclass

from components.credit.config import Policy
from components.credit.metrics import Difference

SCORECARD = "scorecard"

# Each model in a sentence: English and Spanish.
NAMES = {
    "scorecard": ("the scorecard", "la tarjeta de puntaje"),
    "random_forest": ("the random forest", "el bosque aleatorio"),
    "xgboost": ("XGBoost", "XGBoost"),
}


@dataclass(frozen=True)
class Choice:
    """The champion and why, each in one sentence."""

    champion: str
    en: str
    es: str


def choose(aucs: dict[str, float], tests: dict[str, Difference], rows: int, policy: Policy) -> Choice:
    """The champion among the models.

    Args:
        aucs: AUC of each model on the test sample, the scorecard among them.
        tests: Paired DeLong test of each challenger against the scorecard, challenger less scorecard.
        rows: Rows of the test sample.
        policy: Margin and confidence.

    Returns:
        The challenger of greatest AUC among those that beat the scorecard, else the scorecard.
    """
    winners = [name for name in sorted(tests) if tests[name].beats(policy.champion_margin, policy.confidence)]
    ranked = sorted(winners or tests, key=lambda name: (-aucs[name], name))
    if not ranked:
        return Choice(SCORECARD, "The scorecard has no challenger.", "La tarjeta de puntaje no tiene retador.")
    best, card = ranked[0], aucs[SCORECARD]
    (en, es), test = NAMES[best], tests[best]
    auc, gap, margin, chance = f"{aucs[best]:.3f}", f"{abs(test.value):.4f}", f"{policy.champion_margin:g}", _p(test)
    if winners:
        return Choice(
            best,
            f"{_capital(en)} replaces the scorecard: on {rows:,} applications its AUC of {auc} beats the scorecard's "
            f"{card:.3f} by {gap}, more than the margin of {margin}, and not by chance (DeLong p {chance}).",
            f"{_capital(es)} reemplaza a la tarjeta de puntaje: en {rows:,} solicitudes su AUC de {auc} supera el "
            f"{card:.3f} de la tarjeta de puntaje en {gap}, más que el margen de {margin}, y no por azar (DeLong p "
            f"{chance}).",
        )
    if test.value <= 0:
        return Choice(
            SCORECARD,
            f"The scorecard stays: on {rows:,} applications no challenger's AUC passes its {card:.3f}; the nearest, "
            f"{en}, has {auc}.",
            f"La tarjeta de puntaje se mantiene: en {rows:,} solicitudes ningún retador supera su AUC de "
            f"{card:.3f}; el más cercano, {es}, tiene {auc}.",
        )
    if test.value <= policy.champion_margin:
        return Choice(
            SCORECARD,
            f"The scorecard stays: on {rows:,} applications the AUC of the best challenger, {en}, is {auc} against "
            f"{card:.3f}, a lead of {gap} where the margin asks for more than {margin}.",
            f"La tarjeta de puntaje se mantiene: en {rows:,} solicitudes el AUC del mejor retador, {es}, es {auc} "
            f"contra {card:.3f}, una ventaja de {gap} cuando el margen exige más de {margin}.",
        )
    return Choice(
        SCORECARD,
        f"The scorecard stays: the AUC of {en} is {auc} against {card:.3f}, a lead of {gap}, but on {rows:,} "
        f"applications that may be chance (DeLong p {chance}).",
        f"La tarjeta de puntaje se mantiene: el AUC de {es} es {auc} contra {card:.3f}, una ventaja de {gap}, pero "
        f"en {rows:,} solicitudes puede deberse al azar (DeLong p {chance}).",
    )


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _p(test: Difference) -> str:
    return "< 0.0001" if test.p_value < 0.0001 else f"= {test.p_value:.4f}"
