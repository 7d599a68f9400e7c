"""What the OpenAPI document allows, and what it does not, asked of a running scorer: nothing may break it."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from components.credit.book.store import Access, Store
from components.credit.release.registry import promote
from components.scorer.http.routes import ROUTES
from tests.scorer.running import Scorer, running

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
# An application that does not fit gets its error there in the answer, beside those of the others.
BY_ITSELF = "/v1/score:batch"
# A request without a body has nothing in it that could be wrong.
ASKED = [
    (method, path, mode)
    for method, path in sorted((route.method, route.path) for route in ROUTES if route.operation)
    for mode in GenerationMode
    if method == "POST" or mode is GenerationMode.POSITIVE
]


@pytest.fixture(scope="module")
def scorer(access: Access, store: Store, keys: tuple[str, str], xgboost_version: str) -> Iterator[Scorer]:
    promote(store, xgboost_version, "")
    with running(access, keys[1]) as scorer:
        yield scorer


@pytest.fixture(scope="module")
def described(scorer: Scorer) -> dict[str, Any]:
    """The document, without what it says of tokens: ``test_tokens`` tries these."""
    described: dict[str, Any] = scorer.http.get("/openapi.json").json()
    del described["components"]["securitySchemes"]
    for operations in described["paths"].values():
        for operation in operations.values():
            del operation["security"]
    return described


@pytest.mark.parametrize(("method", "path", "mode"), ASKED)
def test_nothing_that_is_asked_breaks_it(
    scorer: Scorer, described: dict[str, Any], method: str, path: str, mode: GenerationMode
) -> None:
    operation = schemathesis.openapi.from_dict(described)[path][method]
    with_body = "requestBody" in described["paths"][path][method.lower()]

    @seed(20_261_124)
    @settings(
        max_examples=20 if with_body else 5,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Case) -> None:
        response = case.call(base_url=f"http://127.0.0.1:{scorer.port}")
        assert "Traceback" not in response.text
        case.validate_response(response, checks=CHECKS if path != BY_ITSELF else CHECKS[:-1])

    ask()
    assert [line for line in scorer.lines if line["event"] == "error"] == []
