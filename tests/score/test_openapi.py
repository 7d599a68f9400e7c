import json
from typing import Any

import jsonschema
import pytest

from components.score.model import Model
from components.score.requests import Request
from components.score.routes import ROLES_BY_PLACE, answer


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
    bodies = {"/v1/score": document, "/v1/score:batch": {"applications": [document, {}]}}
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
            check(described, responses["200"]["content"]["application/json"]["schema"], json.loads(answered.body))
            refused = answer(numbers, Request(method.upper(), f"{real}/nothing"))
            check(described, responses["4XX"]["content"]["application/json"]["schema"], json.loads(refused.body))


def test_each_place_is_described_with_who_may_ask(described: dict[str, Any]) -> None:
    paths = described["paths"]
    assert {(method.upper(), path) for path, operations in paths.items() for method in operations} == set(
        ROLES_BY_PLACE
    )
    for (method, path), roles in ROLES_BY_PLACE.items():
        assert paths[path][method.lower()]["security"] == ([{"bearer": sorted(roles)}] if roles else [])
    assert described["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def test_the_description_refuses_what_the_scorer_refuses(
    numbers: Model, described: dict[str, Any], document: dict[str, Any]
) -> None:
    schema = described["paths"]["/v1/score"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    document["loans"][0]["kind"] = "stolen"
    with pytest.raises(jsonschema.ValidationError):
        check(described, schema, document)
    assert answer(numbers, Request("POST", "/v1/score", json.dumps(document).encode())).status == 400
