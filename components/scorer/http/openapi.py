"""The OpenAPI document of the scorer, made from the types that it decodes and encodes, so that it cannot lie."""

from functools import cache
from importlib.metadata import version
from typing import Any

import msgspec
from msgspec import Struct

from components.scorer.application import Batch, BatchAnswer, Score
from components.scorer.decisions.overrides import Override, OverrideRequest
from components.scorer.document import Document
from components.scorer.model import NAME, Models
from components.scorer.protocol import InferenceRequest, InferenceResponse, ModelMetadata, ServerMetadata
from components.scorer.requests import Role


class Problem(Struct, frozen=True):
    """Why there is no other answer, in one sentence."""

    error: str


class Live(Struct, frozen=True):
    """The process answers."""

    live: bool


class Ready(Struct, frozen=True, omit_defaults=True):
    """A model that verified is loaded; ``refused`` says why it is not the one that the champion pointer names."""

    ready: bool
    refused: str | None = None


class ModelReady(Struct, frozen=True):
    """The model is loaded."""

    name: str
    ready: bool


_REFUSALS = {
    "4XX": "The request is not one that can be answered; a sentence says why.",
    "401": "No token, or one that is not believed.",
    "403": "The token lacks the role that this needs.",
    "429": "Asked too often; retry-after says how long to wait.",
    "500": "The scorer failed; its log says where.",
    "503": "Not now: too much to do, or about to stop.",
}
_EXAMPLE = {
    "application": {
        "application_id": "A-2024-0001",
        "decided_at": "2024-06-15T10:00:00-05:00",
        "amount": 2500,
        "total_due": "3000.00",
        "term_days": 360,
        "channel": "branch",
        "declared_income": 1800.5,
    },
    "borrower": {"birth_month": "1985-02-01", "education": "secondary", "dependants": 2},
    "loans": [
        {"loan_id": "L1", "event_time": "2024-02-01T15:00:00Z", "principal": 1500, "term_days": 90, "kind": "new"}
    ],
    "repayments": [
        {"loan_id": "L1", "event_time": "2024-03-02T15:00:00Z", "kind": "due", "due_on": "2024-03-02", "amount": 520},
        {"loan_id": "L1", "event_time": "2024-03-04T15:00:00Z", "kind": "payment", "amount": 520},
    ],
    "bureau": [{"event_time": "2024-04-30T15:00:00Z", "debt": 4200, "worst_class": 0}],
    "transactions": [{"event_time": "2024-06-12T15:00:00Z", "direction": "in", "kind": "wallet", "amount": 120.4}],
}
_MODEL = [("model", NAME)]
_BEARER = {
    "type": "http",
    "scheme": "bearer",
    "description": "A token of the identity provider, or an API key. A scorer without either answers everybody.",
}
_DECISION = [("id", "id of the decision, as its answer has it")]
_VERSION = [*_MODEL, ("version", "version of the model")]


@cache
def openapi(places: frozenset[tuple[str, str, frozenset[Role]]]) -> bytes:
    """The document (OpenAPI 3.1) as JSON.

    Args:
        places: Path, method and who may ask there, of each place that the scorer has.
    """
    types = [Document, Score, Batch, BatchAnswer, OverrideRequest, Override, InferenceRequest, InferenceResponse,
             ModelMetadata, ServerMetadata, Problem, Live, Ready, ModelReady, Models, dict[str, Any]]  # fmt: skip
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    by_type = dict(zip(types, schemas, strict=True))
    components["Batch"]["properties"]["applications"]["items"] = by_type[Document]  # read one by one, so raw there
    components["Tensor"]["properties"]["data"] = {"type": "array", "description": "Flat, or nested row by row."}

    def operation(
        name: str, summary: str, gives: Any, takes: Any = None, parameters: list[tuple[str, str]] | None = None
    ) -> Any:
        described: dict[str, Any] = {
            "operationId": name,
            "summary": summary,
            "responses": {
                "200": {"description": "The answer.", "content": {"application/json": {"schema": by_type[gives]}}},
                **{
                    status: {"description": why, "content": {"application/json": {"schema": by_type[Problem]}}}
                    for status, why in _REFUSALS.items()
                },
            },
        }
        if parameters:
            described["parameters"] = [
                {"name": name, "in": "path", "required": True, "description": meaning, "schema": {"type": "string"}}
                for name, meaning in parameters
            ]
        if takes is not None:
            described["requestBody"] = {
                "required": True,
                "content": {"application/json": {"schema": by_type[takes]}},
            }
        return described

    paths: dict[str, Any] = {
        "/v1/score": {"post": operation("score", "Score an application with its raw history", Score, Document)},
        "/v1/score:batch": {
            "post": operation("scoreBatch", "Score several applications, each by itself", BatchAnswer, Batch)
        },
        "/v1/decisions/{id}/override": {
            "post": operation(
                "override", "Record that a person decided otherwise, and why", Override, OverrideRequest, _DECISION
            )
        },
        "/v1/models": {"get": operation("models", "What answers here", Models)},
        "/openapi.json": {"get": operation("description", "This document", dict[str, Any])},
        "/v2/health/live": {"get": operation("live", "Whether the process answers", Live)},
        "/v2/health/ready": {"get": operation("ready", "Whether a verified model is loaded", Ready)},
        "/v2": {"get": operation("server", "Who answers", ServerMetadata)},
    }
    paths["/v1/score"]["post"]["requestBody"]["content"]["application/json"]["example"] = _EXAMPLE
    for prefix, name, parameters in (
        ("/v2/models/{model}", "model", _MODEL),
        ("/v2/models/{model}/versions/{version}", "modelVersion", _VERSION),
    ):
        told = operation(f"{name}Metadata", "What the model takes and gives", ModelMetadata, None, parameters)
        ready = operation(f"{name}Ready", "Whether the model is loaded", ModelReady, None, parameters)
        scored = operation(
            f"{name}Infer", "Score rows of ready features", InferenceResponse, InferenceRequest, parameters
        )
        paths |= {prefix: {"get": told}, f"{prefix}/ready": {"get": ready}, f"{prefix}/infer": {"post": scored}}
    for path, method, roles in places:
        one_of = ", ".join(sorted(roles))
        operation_there = paths[path][method.lower()]
        operation_there["security"] = [{"bearer": sorted(roles)}] if roles else []
        operation_there["description"] = f"For the roles {one_of}." if roles else "For everybody."
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
