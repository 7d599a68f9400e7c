"""Whatever a reason says is true of the value that it is made from."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.credit.dictionary import Feature
from components.credit.features.query import dictionary
from components.credit.features.recipe import Recipe
from components.credit.reasons.causes import CAUSES, text

KNOWN = {
    feature.name: feature for feature in dictionary(Recipe("PEN", "America/Lima", absent=[], attributes={}, rates=[]))
}
NUMBERS = [feature for feature in KNOWN.values() if feature.type == "number"]
# What a text may only say of such values, by a word of it in both languages.
SAYS = [
    (("atrasado", "Late payments"), lambda value: value > 0),
    (("Atrasos con", "Arrears"), lambda value: value > 0),
    (("refinanciarse", "had to be refinanced"), lambda value: value > 0),
    (("altos en el sistema", "High debt"), lambda value: value > 0),
    (("varias entidades", "several lenders"), lambda value: value > 1),
    (("Solicitudes de crédito recientes", "Recent applications"), lambda value: value > 0),
]


def of(cause: str) -> list[Feature]:
    return [feature for feature in KNOWN.values() if feature.cause == cause]


def test_each_feature_has_a_cause_with_texts_in_two_languages() -> None:
    assert {feature.cause for feature in KNOWN.values()} == set(CAUSES), "no cause without a feature"
    for cause in CAUSES.values():
        for told in filter(None, cause):
            assert told.es != told.en
            assert not told.es.endswith(".")


@given(st.sampled_from(NUMBERS), st.one_of(st.just(math.nan), st.just(0.0), st.floats(-400, 400)))
def test_no_text_speaks_of_what_is_not_there(feature: Feature, value: float) -> None:
    es, en = text(feature, value)
    for (spanish, english), may_be_said in SAYS:
        if spanish in es or english in en:
            assert may_be_said(value), (feature.name, value, es)
            assert (spanish in es) == (english in en)


@pytest.mark.parametrize(
    "name", ["late_share", "peak_days_late", "mean_days_late_6m", "punctual_days", "last_loan_end_days"]
)
def test_a_borrower_without_payments_is_not_told_of_late_ones(name: str) -> None:
    es, en = text(KNOWN[name], math.nan)
    assert "pago con nosotros" in es or "último crédito con nosotros" in es
    assert "late" not in en.replace("latest", "").lower()


@pytest.mark.parametrize("name", [feature.name for feature in KNOWN.values() if feature.source == "bureau"])
def test_a_borrower_whom_the_bureau_does_not_know_is_told_so(name: str) -> None:
    value = {"no_bureau_file": 1.0}.get(name, math.nan)
    es, en = text(KNOWN[name], value)
    if KNOWN[name].cause == "repayment_capacity":
        assert (es, en) == CAUSES["repayment_capacity"].unknown
    else:
        assert "central de riesgos" in es
        assert "no report" in en or "little recent information" in en


@pytest.mark.parametrize(
    ("name", "value", "falls"),
    [
        ("inflow_slope", -0.1, True), ("inflow_slope", 0.1, False), ("inflow_growth", 0.8, True),
        ("inflow_growth", 1.2, False), ("takings_growth", 0.99, True), ("takings_growth", 3.0, False),
    ],
)  # fmt: skip
def test_income_is_said_to_fall_only_where_it_does(name: str, value: float, falls: bool) -> None:
    es, en = text(KNOWN[name], value)
    assert ("bajan" in es) == ("falling" in en) == falls


@pytest.mark.parametrize(("value", "grown"), [(0.5, False), (1.0, False), (1.4, True)])
def test_debt_is_said_to_have_grown_only_where_it_has(value: float, grown: bool) -> None:
    assert ("Más deuda" in text(KNOWN["bureau_debt_growth"], value).es) == grown
    assert ("Más deuda" in text(KNOWN["bureau_lenders_growth"], value - 1).es) == grown


def test_a_category_or_a_flag_takes_no_side() -> None:
    assert text(KNOWN["sector"], "farming") == CAUSES["occupation"].adverse
    assert text(KNOWN["sector"], None) == CAUSES["occupation"].unknown
    assert "no tiene reporte" in text(KNOWN["no_bureau_file"], 1.0).es
    assert "no tiene" not in text(KNOWN["no_bureau_file"], 0.0).es


def test_a_ready_attribute_speaks_for_itself_and_says_when_it_is_not_known() -> None:
    age = Feature(
        "attribute_x", "number", "Score of the shop", "Puntaje de la tienda", "x", "attribute", special=[-9.0]
    )
    assert text(age, 3.0) == ("Puntaje de la tienda", "Score of the shop")
    assert text(age, -9.0) == text(age, math.nan) == ("Sin dato: Puntaje de la tienda", "Not known: Score of the shop")


def test_what_models_never_see_is_no_feature() -> None:
    assert not {"marital_status", "sex", "age", "department", "rural", "language"} & set(KNOWN)
