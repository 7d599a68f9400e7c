import pytest

from components.scorer.http.route import Route
from components.scorer.http.routes import ROUTES, NoRoute, match
from tests.scorer.running import REQUEST, Scorer

INFER = "/v2/models/quipu/infer"


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
@pytest.mark.parametrize("model", ["quipu", "another", "versions"])
def test_each_path_leads_to_its_route_and_says_what_it_names(route: Route, model: str) -> None:
    path = route.path.format(model=model, version="4f2a", id="01936")
    matched = match(route.method, path)
    assert matched.route is route
    # the one model that there is need not be named: a plain path is looked up
    assert matched.model in ((model, None) if model == "quipu" else (model,) if "{model}" in route.path else (None,))
    assert matched.version == ("4f2a" if "{version}" in route.path else None)
    with pytest.raises(NoRoute) as missing:
        match("DELETE", path)
    assert missing.value.answer.status == (405 if path != "/" else 404)


def test_the_log_leaves_out_health_that_is_well_and_nothing_else(scorer: Scorer) -> None:
    paths = ["/v2/health/live", "/v2/health/ready", "/v2", "/v1/models", "/v2/models/quipu/ready", "/nothing"]
    for number, path in enumerate(paths):
        scorer.http.get(path, headers={"x-request-id": f"health-{number}"})
    scorer.http.post("/v2/health/live", headers={"x-request-id": "health-6"})
    scorer.http.post(INFER, json=REQUEST, headers={"x-request-id": "health-7"})
    scorer.wait("request", request="health-7")
    ids = {line["request"] for line in scorer.lines if line["event"] == "request"}
    assert {id_ for id_ in ids if id_.startswith("health-")} == {f"health-{number}" for number in range(2, 8)}
