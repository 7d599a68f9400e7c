import json
from typing import Any

import jsonschema
import pytest

from components.scorer.http.routes import ROUTES, answer
from components.scorer.model import Model
from components.scorer.requests import Request


@pytest.fixture
def described(numbers: Model) -> dict[str, Any]:
    answered = answer(numbers, Request("GET", "/openapi.json"))
    assert answered.status == 200
    return dict(json.loads(answered.body))


def check(described: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    jsonschema.validate(value, schema | {"components": described["components"]}, jsonschema.Draft202012Validator)


def test_each_path_is_there_and_answers_as_described(
    numbers: Model, described: dict[str, Any], document: dict[str, Any]
) -> None:
    infer = {"inputs": [{"name": "x", "shape": [1, 5], "datatype": "FP64", "data": [[12.0, 0.5, None, 800.0, 2500.0]]}]}
    bodies = {"/v1/score": document, "/v1/score:batch": {"applications": [document, document]}}
    bodies["/v1/decisions/{id}/override"] = {"decision": "approve", "reason": "Seen at the shop."}
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            body = bodies.get(path, infer)
            if "requestBody" in operation:
                check(described, operation["requestBody"]["content"]["application/json"]["schema"], body)
            real = path.replace("{model}", "quipu").replace("{version}", numbers.version)
            answered = answer(numbers, Request(method.upper(), real, json.dumps(body).encode()))
            assert answered.status == 200, (path, answered.body)
            responses = operation["responses"]
            assert "500" in responses
            check(described, responses["200"]["content"]["application/json"]["schema"], json.loads(answered.body))
            refused = answer(numbers, Request(method.upper(), f"{real}/nothing"))
            check(described, responses["4XX"]["content"]["application/json"]["schema"], json.loads(refused.body))


def test_each_route_is_described_with_the_roles_that_it_asks_for(described: dict[str, Any]) -> None:
    paths = described["paths"]
    routes = {(route.method, route.path): route.roles for route in ROUTES if route.path != "/"}
    assert {(method.upper(), path) for path, operations in paths.items() for method in operations} == set(routes)
    for (method, path), roles in routes.items():
        assert paths[path][method.lower()]["security"] == ([{"bearer": sorted(roles)}] if roles else [])
    assert described["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def test_each_operation_has_a_name_of_its_own(described: dict[str, Any]) -> None:
    names = [one.get("operationId", "") for operations in described["paths"].values() for one in operations.values()]
    assert all(name.isidentifier() for name in names)
    assert len(set(names)) == len(names)


def test_its_example_of_an_application_is_scored(numbers: Model, mixed: Model, described: dict[str, Any]) -> None:
    content = described["paths"]["/v1/score"]["post"]["requestBody"]["content"]["application/json"]
    check(described, content["schema"], content["example"])
    for model in (numbers, mixed):
        answered = answer(model, Request("POST", "/v1/score", json.dumps(content["example"]).encode()))
        assert answered.status == 200, answered.body


@pytest.mark.parametrize(
    "amount", ["1_000", " 5 ", "٥", "+5", "1e3", "", ".5", "5.", "5.123", "0x5", "1" * 17, "5\n\n", "NaN"]
)
def test_an_amount_has_the_form_that_is_described(
    numbers: Model, described: dict[str, Any], document: dict[str, Any], amount: str
) -> None:
    schema = described["components"]["schemas"]["Application"]["properties"]["amount"]
    check(described, schema, "2500.50")
    with pytest.raises(jsonschema.ValidationError):
        check(described, schema, amount)
    document["application"]["amount"] = amount
    answered = answer(numbers, Request("POST", "/v1/score", json.dumps(document).encode()))
    assert (answered.status, b"application.amount is not an amount" in answered.body) == (400, True)


def test_the_applications_of_a_batch_are_described(described: dict[str, Any], document: dict[str, Any]) -> None:
    schema = described["paths"]["/v1/score:batch"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    check(described, schema, {"applications": [document]})
    with pytest.raises(jsonschema.ValidationError):
        check(described, schema, {"applications": [document, {}]})


def test_the_description_refuses_what_the_scorer_refuses(
    numbers: Model, described: dict[str, Any], document: dict[str, Any]
) -> None:
    schema = described["paths"]["/v1/score"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    document["loans"][0]["kind"] = "stolen"
    with pytest.raises(jsonschema.ValidationError):
        check(described, schema, document)
    assert answer(numbers, Request("POST", "/v1/score", json.dumps(document).encode())).status == 400
