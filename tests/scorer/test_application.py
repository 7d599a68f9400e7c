import datetime
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from components.credit.book.contract import TABLES
from components.credit.config import Rule
from components.credit.errors import InputError
from components.credit.features.engine import connect
from components.credit.features.onerow.history import History
from components.credit.features.query import application_schema, query
from components.credit.features.recipe import Recipe
from components.credit.models.cards import Cards
from components.scorer.document import decision_time, read_document, tables_of
from components.scorer.http.routes import answer
from components.scorer.model import Model
from components.scorer.requests import Request
from tests.decisions import decision


def told(model: Model, document: Any) -> tuple[int, Any]:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    answered = answer(model, Request("POST", "/v1/score", body))
    return answered.status, json.loads(answered.body)


def tables(document: dict[str, Any], recipe: Recipe | None) -> dict[str, pa.Table]:
    """The document as tables of the contract."""
    assert recipe is not None
    schemas = {name: table.schema for name, table in TABLES.items()} | {"applications": application_schema(recipe)}
    read = read_document(json.dumps(document).encode())
    return {
        name: pa.table([_exact(values[field.name], field.type) for field in schemas[name]], schema=schemas[name])
        for name, values in tables_of(read, recipe, decision_time(read)).items()
    }


def _exact(values: list[Any], type_: pa.DataType) -> pa.Array:
    if pa.types.is_decimal(type_):
        return pa.array([None if value is None else Decimal(value).scaleb(-2) for value in values], type_)
    whole = {"timestamp[us, tz=UTC]": pa.int64(), "date32[day]": pa.int32()}.get(str(type_))
    return pa.array(values, type_) if whole is None else pa.array(values, whole).cast(type_)


def test_an_application_gets_probability_points_band_proposal_and_reasons(
    numbers: Model, document: dict[str, Any]
) -> None:
    status, score = told(numbers, document)
    assert status == 200
    assert score["application_id"] == "A-1"
    assert score["model"] == {"name": "quipu", "version": numbers.version, "family": "xgboost", "run": "run-1"}
    assert 0 < score["probability"] < 1
    assert score["band"] in "ABCDE"
    assert score["proposal"] == ("approve" if score["probability"] <= score["cutoff"] else "decline")
    assert (score["points"] >= score["cutoff_points"]) == (score["proposal"] == "approve")
    assert score["person_decides"] is True
    assert 1 <= len(score["reasons"]) <= 4
    for reason in score["reasons"]:
        assert reason["es"]
        assert reason["en"]
        assert reason["es"] != reason["en"]


def test_a_worse_history_scores_worse_and_says_why(numbers: Model, document: dict[str, Any]) -> None:
    _, good = told(numbers, document)
    for repayment in document["repayments"]:
        if repayment["kind"] == "payment":
            repayment["event_time"] = "2024-06-10T15:00:00-05:00"
    _, late = told(numbers, document)
    assert late["probability"] > good["probability"]
    assert late["points"] < good["points"]
    assert "late_payments" in [reason["cause"] for reason in late["reasons"]]


def test_the_score_is_that_of_the_pipelines_features_bit_for_bit(numbers: Model, document: dict[str, Any]) -> None:
    other = json.loads(json.dumps(document))
    other["application"] |= {"application_id": "A-2", "amount": 9000, "total_due": 9900}
    other["repayments"] = other["repayments"][:2]
    for row in [*other["loans"], *other["repayments"]]:
        row["loan_id"] += " of another"
    del other["bureau"]
    documents = [document, other]
    together: dict[str, list[pa.Table]] = {}
    for number, each in enumerate(documents):
        for name, table in tables(each, numbers.recipe).items():
            place = table.column_names.index("borrower_id")
            person = pa.array([f"person {number}"] * len(table), pa.string())
            together.setdefault(name, []).append(table.set_column(place, "borrower_id", person))
    assert numbers.recipe is not None
    connection = connect(numbers.recipe, threads=2, memory="256MB")
    for name, parts in together.items():
        connection.register(name, pa.concat_tables(parts))
    made = connection.sql(query(numbers.recipe)).to_arrow_table()
    columns = {name: made[name].to_numpy() for name in numbers.features}
    probability = numbers.scorer.probability(columns)
    alone = [told(numbers, each)[1] for each in documents]
    assert [score["probability"] for score in alone] == probability.tolist()
    assert [score["points"] for score in alone] == numbers.scorer.points(columns).tolist()


def test_what_becomes_known_after_the_decision_changes_nothing(numbers: Model, document: dict[str, Any]) -> None:
    before = told(numbers, document)
    later = "2024-06-16T00:00:00Z"
    document["bureau"].append({"event_time": "2024-05-31T12:00:00Z", "known_at": later, "debt": 90_000})
    document["transactions"].append({"event_time": later, "direction": "in", "kind": "wallet", "amount": 9_999})
    assert told(numbers, document) == before


def test_what_one_application_implies_may_be_left_out(numbers: Model, document: dict[str, Any]) -> None:
    spelt_out = json.loads(json.dumps(document))
    spelt_out["application"] |= {"currency": "PEN", "known_at": document["application"]["decided_at"]}
    for loan in spelt_out["loans"]:
        loan |= {"known_at": loan["event_time"], "currency": "PEN", "product": None}
    assert told(numbers, spelt_out) == told(numbers, document)


def test_a_decision_without_a_time_is_taken_now(numbers: Model, document: dict[str, Any]) -> None:
    del document["application"]["decided_at"]
    status, _ = told(numbers, document)
    assert status == 200


def test_an_application_alone_is_enough(numbers: Model) -> None:
    status, score = told(numbers, {"application": {"amount": 800, "term_days": 30}})
    assert status == 200
    assert score["application_id"] is None


@pytest.mark.parametrize(
    ("application", "missing"),
    [({}, "amount"), ({"term_days": 30}, "amount"), ({"amount": 100}, "term_days"), ({"amount": None}, "amount")],
)
def test_nothing_is_decided_without_amount_and_term(
    numbers: Model, document: dict[str, Any], application: dict[str, Any], missing: str
) -> None:
    status, refused = told(numbers, document | {"application": application})
    assert (status, refused["error"].split(";")[0]) == (400, f"application.{missing} is missing")


def test_a_lender_of_ready_attributes_needs_one_of_them_and_no_amount(mixed: Model) -> None:
    assert mixed.recipe is not None
    absent = ["bureau", "loans", "repayments", "transactions"]
    recipe = msgspec.structs.replace(mixed.recipe, absent=absent)

    def taken(**document: Any) -> list[Any]:
        read = read_document(json.dumps(document).encode())
        return tables_of(read, recipe, decision_time(read))["applications"]["attribute_shop_score"]

    assert taken(application={}, attributes={"shop_score": 40}) == [40]
    for empty in ({}, {"shop_score": None}):
        with pytest.raises(InputError, match="attributes is missing; this lender's"):
            taken(application={"amount": 900, "term_days": 30}, attributes=empty)


def test_a_decision_of_another_day_is_told_and_none_is_made_ahead_of_time(
    numbers: Model, document: dict[str, Any]
) -> None:
    assert told(numbers, document)[1]["decided_at"] == "2024-06-15T15:00:00Z"
    now = datetime.datetime.now(datetime.UTC)
    application = document["application"]
    for ahead, status in ((datetime.timedelta(hours=23), 200), (datetime.timedelta(hours=25), 400)):
        application["decided_at"] = (now + ahead).isoformat()
        assert told(numbers, document)[0] == status
    assert "application.decided_at lies ahead by more than a day" in told(numbers, document)[1]["error"]
    del application["decided_at"]
    assert datetime.datetime.fromisoformat(told(numbers, document)[1]["decided_at"]) >= now


def test_the_lenders_policy_says_whether_a_person_decides(
    numbers: Model, mixed: Model, document: dict[str, Any]
) -> None:
    assert told(numbers, document)[1]["person_decides"] is True
    assert told(mixed, document)[1]["person_decides"] is False


def test_new_and_recurrent_clients_are_scored_by_the_card_of_their_segment(
    parted: Model, mixed: Model, document: dict[str, Any]
) -> None:
    _, recurrent = told(parted, document)
    assert recurrent["points"] == told(mixed, document)[1]["points"]
    for table in ("loans", "repayments"):
        document[table] = []
    _, new = told(parted, document)
    card = parted.scorer.engine
    assert isinstance(card, Cards)
    assert new["points"] == 500 + card.below.points[0][0]
    assert new["points"] != told(mixed, document)[1]["points"]
    taken = {reason["feature"]: reason["points"] for reason in new["reasons"]}
    assert taken["loans_before"] == pytest.approx(540 - 500), "what the bases of the cards differ by"


def test_ready_attributes_count(mixed: Model, document: dict[str, Any]) -> None:
    _, high = told(mixed, document)
    del document["attributes"]
    _, missing = told(mixed, document)
    assert missing["probability"] != high["probability"]


def test_a_model_of_ready_features_says_where_to_ask(numbers: Model, document: dict[str, Any]) -> None:
    bare = Model(numbers.package, numbers.scorer, None, None)
    status, answer_ = told(bare, document)
    assert status == 400
    assert "takes ready features only; ask /v2/models/quipu/infer" in answer_["error"]


def _set(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        place: Any = document
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_set("application", value=3), "`$.application`"),
        (_set("aplication", value={}), "unknown field `aplication`"),
        (_set("application", "outcome", value="good"), "unknown field `outcome` - at `$.application`"),
        (_set("application", "amount", value=-5), "application.amount is not an amount"),
        (_set("application", "amount", value="12.345"), "application.amount is not an amount"),
        (_set("application", "amount", value="NaN"), "application.amount is not an amount"),
        (_set("application", "amount", value="Infinity"), "application.amount is not an amount"),
        (_set("application", "amount", value="1E-999999999"), "application.amount is not an amount"),
        (_set("application", "declared_income", value="0E-999999999"), "application.declared_income is not an amount"),
        (_set("application", "amount", value="1E+999999999"), "application.amount is not an amount"),
        (_set("application", "amount", value="99999999999999999.00"), "application.amount is not an amount"),
        (_set("application", "amount", value="much"), "application.amount is not an amount"),
        (_set("application", "term_days", value=0), "`$.application.term_days`"),
        (_set("application", "term_days", value=1.5), "`$.application.term_days`"),
        (_set("application", "channel", value="fax"), "Invalid enum value 'fax' - at `$.application.channel`"),
        (_set("application", "currency", value="XXX"), "`$.application.currency`"),
        (_set("application", "currency", value="USD"), "no rate"),
        (_set("application", "decided_at", value="2024-06-15T15:00:00"), "timezone"),
        (_set("application", "decided_at", value="yesterday"), "`$.application.decided_at`"),
        (_set("application", "decided_at", value="9999-12-31T23:59:59-05:00"), "application.decided_at lies ahead"),
        (_set("application", "decided_at", value="1080-01-01T00:00:00Z"), "application.decided_at is not a time"),
        (_set("borrower", "birth_month", value="2030-01-01"), "birth_month cannot be used: after the decision"),
        (_set("borrower", "birth_month", value="1080-01-01"), "borrower.birth_month is not a day"),
        (_set("loans", 0, "kind", value=None), "`$.loans[0].kind`"),
        (_set("loans", 1, "loan_id", value="L0"), "loans[1] is there twice"),
        (_set("loans", 0, "loan_id", value="elsewhere"), "repayments[0] names a loan that is not among the loans"),
        (_set("repayments", 2, "amount", value=[]), "`$.repayments[2].amount`"),
        (_set("bureau", value=None), "`$.bureau`"),
        (_set("attributes", "shop_scor", value=1), "no attribute 'shop_scor'; did you mean 'shop_score'?"),
        (_set("attributes", "shop_score", value="high"), "attributes.shop_score is a number"),
        (_set("attributes", "shop_score", value={}), "`$.attributes"),
    ],
)  # fmt: skip
def test_a_document_that_makes_no_sense_gets_a_sentence_with_the_place(
    mixed: Model, document: dict[str, Any], change: Callable[[dict[str, Any]], None], sentence: str
) -> None:
    change(document)
    status, answer_ = told(mixed, document)
    assert status == 400
    assert set(answer_) == {"error"}
    assert sentence in answer_["error"]


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[" * 10_000, b'{"application": {"amount": NaN}}', b"\xff"])
def test_a_body_that_is_no_document_gets_a_sentence(numbers: Model, body: bytes) -> None:
    status, answer_ = told(numbers, body)
    assert (status, set(answer_)) == (400, {"error"})


def test_the_trial_rows_do_not_leave_anything_behind(numbers: Model, document: dict[str, Any]) -> None:
    first = told(numbers, document)
    told(numbers, {"application": {"amount": 800, "term_days": 30}})
    assert told(numbers, document) == first
    assert np.isfinite(first[1]["probability"])


def test_a_time_of_another_zone_is_the_same_moment(numbers: Model, document: dict[str, Any]) -> None:
    document["application"]["decided_at"] = "2024-06-15T20:00:00Z"
    in_utc = tables(document, numbers.recipe)["applications"]
    document["application"]["decided_at"] = "2024-06-15T15:00:00-05:00"
    assert tables(document, numbers.recipe)["applications"].equals(in_utc)


def test_a_hard_rule_declines_whatever_the_points_and_says_why(mixed: Model, document: dict[str, Any]) -> None:
    rule = Rule("large", "asked_amount", 2_000, "Too large", "Muy alto", "n")
    later = msgspec.structs.replace(rule, code="later", valid_from=datetime.date(2024, 6, 16))
    package = msgspec.structs.replace(mixed.package, decision=decision("xgboost", mixed.version, [rule, later]))
    assert mixed.recipe is not None
    history = History(mixed.recipe, [*mixed.features, "asked_amount"])
    status, declined = told(Model(package, mixed.scorer, mixed.recipe, history), document)
    assert status == 200
    assert declined["proposal"] == "decline"
    assert declined["rules"] == [{"code": "large", "es": "Muy alto", "en": "Too large", "norm": "n"}]
    before = told(mixed, document)[1]
    assert (declined["probability"], before["rules"]) == (before["probability"], [])


def test_an_application_without_an_identifier_keeps_its_earlier_loans(numbers: Model, document: dict[str, Any]) -> None:
    _, named = told(numbers, document)
    del document["application"]["application_id"]
    _, unnamed = told(numbers, document)
    assert unnamed["probability"] == named["probability"]


@pytest.mark.parametrize("amount", [0.07, "0.07", 12345678.9, 4503599627370.49, 10**15, "9999999999999999.99"])
def test_an_amount_is_taken_to_the_cent(numbers: Model, document: dict[str, Any], amount: float | str) -> None:
    document["application"] |= {"amount": amount, "total_due": None}
    (taken,) = tables(document, numbers.recipe)["applications"]["amount"].to_pylist()
    assert taken == Decimal(str(amount))
