import pytest

from components.credit.config import Policy
from components.credit.metrics import Difference
from components.evaluate.champion import choose

POLICY = Policy(champion_margin=0.01, confidence=0.95)


def ahead(value: float, p_value: float) -> Difference:
    return Difference(value, value - 0.02, value + 0.02, p_value)


def choice(forest: Difference, boosted: Difference):
    aucs = {"scorecard": 0.75, "random_forest": 0.75 + forest.value, "xgboost": 0.75 + boosted.value}
    return choose(aucs, {"random_forest": forest, "xgboost": boosted}, 4_321, POLICY)


@pytest.mark.parametrize(
    ("forest", "boosted", "champion"),
    [
        pytest.param(ahead(-0.02, 0.001), ahead(0.02, 0.001), "xgboost", id="beyond margin and chance"),
        pytest.param(ahead(-0.02, 0.001), ahead(0.009, 0.001), "scorecard", id="within the margin"),
        pytest.param(ahead(-0.02, 0.001), ahead(0.01, 0.001), "scorecard", id="on the margin"),
        pytest.param(ahead(-0.02, 0.001), ahead(0.03, 0.2), "scorecard", id="may be chance"),
        pytest.param(ahead(-0.02, 0.001), ahead(0.03, 0.051), "scorecard", id="just not significant"),
        pytest.param(ahead(-0.05, 0.001), ahead(-0.02, 0.001), "scorecard", id="behind, significantly"),
        pytest.param(ahead(0.0, 1.0), ahead(0.0, 1.0), "scorecard", id="ties"),
        pytest.param(ahead(0.03, 0.001), ahead(0.02, 0.001), "random_forest", id="both, the better one"),
        pytest.param(ahead(0.03, 0.2), ahead(0.02, 0.001), "xgboost", id="the better one by chance, the other not"),
    ],
)
def test_champion(forest: Difference, boosted: Difference, champion: str):
    assert choice(forest, boosted).champion == champion


def test_reason_of_a_winner_tells_margin_and_chance():
    found = choice(ahead(-0.02, 0.001), ahead(0.0212, 0.00001))
    assert found.en == (
        "XGBoost replaces the scorecard: on 4,321 applications its AUC of 0.771 beats the scorecard's 0.750 by 0.0212, "
        "more than the margin of 0.01, and not by chance (DeLong p < 0.0001)."
    )
    assert found.es == (
        "XGBoost reemplaza a la tarjeta de puntaje: en 4,321 solicitudes su AUC de 0.771 supera el 0.750 de la "
        "tarjeta de puntaje en "
        "0.0212, más que el margen de 0.01, y no por azar (DeLong p < 0.0001)."
    )


@pytest.mark.parametrize(
    ("boosted", "en", "es"),
    [
        (ahead(0.004, 0.001), "the margin asks for more than 0.01", "el margen exige más de 0.01"),
        (ahead(0.03, 0.2), "may be chance (DeLong p = 0.2000)", "puede deberse al azar (DeLong p = 0.2000)"),
        (ahead(-0.01, 0.2), "the nearest, XGBoost, has 0.740", "el más cercano, XGBoost, tiene 0.740"),
    ],
)
def test_reason_why_the_scorecard_stays(boosted: Difference, en: str, es: str):
    found = choice(ahead(-0.02, 0.5), boosted)
    assert found.en.startswith("The scorecard stays")
    assert found.es.startswith("La tarjeta de puntaje se mantiene")
    assert en in found.en
    assert es in found.es


def test_a_scorecard_alone_is_champion():
    assert choose({"scorecard": 0.7}, {}, 100, POLICY).champion == "scorecard"
