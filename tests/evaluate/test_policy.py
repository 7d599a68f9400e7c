import datetime

import numpy as np
import pytest

from components.credit.book.manifest import Manifest
from components.credit.book.store import Store
from components.credit.config import Config, Policy, Rule, parse_config
from components.credit.errors import InputError
from components.credit.models.scorer import Scorer
from components.credit.progress import Progress
from components.credit.release.policy import in_force, policy
from components.evaluate.comparison import compare

LENDERS = Rule("many_lenders", "bureau_lenders", 4, "too many lenders", "demasiadas entidades")
DEBT = Rule("debt", "debt_to_income", 1.5, "too much debt", "demasiada deuda")


def test_a_row_has_the_codes_of_all_rules_that_decline_it_and_a_missing_value_passes():
    columns = {"bureau_lenders": np.array([4.0, 5, np.nan, 9]), "debt_to_income": np.array([1.5, 1.6, 9, np.nan])}
    assert policy(columns, [LENDERS, DEBT]) == [[], ["many_lenders", "debt"], ["debt"], ["many_lenders"]]
    assert policy(columns, []) == [[], [], [], []]


def test_a_rule_holds_from_its_first_to_its_last_day():
    dated = Rule("dated", "x", 1, "e", "s", "n", datetime.date(2024, 5, 1), datetime.date(2024, 10, 31))
    days = [datetime.date(2024, 4, 30), datetime.date(2024, 5, 1), datetime.date(2024, 10, 31)]
    assert [in_force([dated, LENDERS], day) for day in days] == [[LENDERS], [dated, LENDERS], [dated, LENDERS]]
    assert in_force([dated], datetime.date(2024, 11, 1)) == []


def test_a_decision_carries_its_rules_to_the_scorer(book: Manifest, scorers: dict[str, Scorer], store: Store):
    dated = Rule("debt", "debt_to_income", 1.5, "e", "s", "norm", datetime.date(2024, 5, 1))
    config = Config(policy=Policy(rules=[dated, LENDERS]))
    decision = compare(book, scorers, config, store, Progress("evaluate")).decision
    assert decision.rule.policy == [dated]
    assert decision.rule.policy_without_column == ["many_lenders"]


def test_rules_come_from_the_configuration():
    text = "policy: {rules: [{code: d, column: x, above: 2, en: e, es: s, norm: N, valid_from: 2024-05-01}]}"
    (rule,) = parse_config(text, "c.yaml").policy.rules
    assert (rule.above, rule.valid_from) == (2, datetime.date(2024, 5, 1))
    assert [rule.code for rule in Config().policy.rules] == ["many_lenders", "instalments_to_income"]
    assert all("6941-2008" in rule.norm for rule in Config().policy.rules)
    with pytest.raises(InputError, match="above"):
        parse_config("policy: {rules: [{code: d, column: x, en: e, es: s}]}", "c.yaml")
