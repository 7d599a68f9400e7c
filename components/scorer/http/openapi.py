"""The OpenAPI document of the scorer: its routes, and the types by which it decodes and encodes their bodies."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import msgspec

from components.scorer.document import Document
from components.scorer.http.answers import Problem
from components.scorer.http.route import Route
from components.scorer.model import NAME

# What the OpenAPI specification calls an object; its form is that of the specification.
_Object = dict[str, Any]

_REFUSALS = {
    "4XX": "The request is not one that can be answered; a sentence says why.",
    "401": "No token, or one that is not believed.",
    "403": "The token lacks the role that this needs.",
    "429": "Asked too often; retry-after says how long to wait.",
    "500": "The scorer failed; its log says where.",
    "503": "Not now: too much to do, or about to stop.",
}
_BEARER = {
    "type": "http",
    "scheme": "bearer",
    "description": "A token of the identity provider, or an API key. A scorer without either answers everybody.",
}
# What each placeholder of a path means.
_PARAMETERS = {
    "model": NAME,
    "version": "version of the model",
    "id": "id of the decision, as its answer has it",
}


def document(routes: Sequence[Route]) -> bytes:
    """The document (OpenAPI 3.1) as JSON.

    Args:
        routes: The routes that it describes.
    """
    types = list(dict.fromkeys([type_ for route in routes for type_ in (route.request, route.response) if type_]))
    types.append(Problem)
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    by_type = dict(zip(types, schemas, strict=True))
    components["Batch"]["properties"]["applications"]["items"] = by_type[Document]  # ``Batch`` itself leaves them raw
    components["Tensor"]["properties"]["data"] = {"type": "array", "description": "Flat, or nested row by row."}
    paths: _Object = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_type)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Quipu scorer",
                "version": version("quipu"),
                "description": "Credit scores with their reasons. The paths below /v2 are the Open Inference Protocol.",
            },
            "paths": paths,
            "components": {"schemas": components, "securitySchemes": {"bearer": _BEARER}},
        }
    )


def _operation(route: Route, by_type: dict[Any, _Object]) -> _Object:
    """A route as an operation of the document; ``by_type`` holds the schema of each type."""
    problem = _json(by_type[Problem])
    described: _Object = {
        "operationId": route.operation,
        "summary": route.summary,
        "responses": {
            "200": {"description": "The answer.", "content": _json(by_type[route.response])},
            **{status: {"description": why, "content": problem} for status, why in _REFUSALS.items()},
        },
    }
    parameters = [(name, meaning) for name, meaning in _PARAMETERS.items() if f"{{{name}}}" in route.path]
    if parameters:
        described["parameters"] = [
            {"name": name, "in": "path", "required": True, "description": meaning, "schema": {"type": "string"}}
            for name, meaning in parameters
        ]
    if route.request is not None:
        described["requestBody"] = {"required": True, "content": _json(by_type[route.request], route.example)}
    roles = sorted(route.roles)
    described["security"] = [{"bearer": roles}] if roles else []
    described["description"] = f"For the roles {', '.join(roles)}." if roles else "For everybody."
    return described


def _json(schema: _Object, example: _Object | None = None) -> _Object:
    """Content in JSON."""
    return {"application/json": {"schema": schema} | ({"example": example} if example else {})}
