import json
from typing import Any

import numpy as np
import pytest

from components.scorer.http.routes import answer
from components.scorer.model import Model
from components.scorer.requests import Request

ROW = {"peak_days_late": 12.0, "late_share": 0.5, "bureau_debt": None, "inflow_monthly": 800.0, "asked_amount": 2500.0}


def tensors(*rows: dict[str, Any], datatype: str = "FP64", shape: list[int] | None = None) -> list[dict[str, Any]]:
    return [
        {"name": name, "shape": shape or [len(rows)], "datatype": datatype, "data": [row[name] for row in rows]}
        for name in rows[0]
    ]


def infer(model: Model, request: Any, path: str = "/v2/models/quipu/infer") -> tuple[int, Any]:
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    answered = answer(model, Request("POST", path, body))
    return answered.status, json.loads(answered.body)


def get(model: Model, path: str) -> tuple[int, Any]:
    answered = answer(model, Request("GET", path))
    return answered.status, json.loads(answered.body)


def expected(model: Model, *rows: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return model.scorer.probability({name: np.array([row[name] for row in rows], dtype=np.float64) for name in rows[0]})


def test_health_and_metadata_say_what_there_is(numbers: Model) -> None:
    assert get(numbers, "/v2/health/live") == (200, {"live": True})
    assert get(numbers, "/v2/health/ready") == (200, {"ready": True})
    assert get(numbers, "/v2") == get(numbers, "/v2/")
    status, server = get(numbers, "/v2")
    assert (status, set(server), server["name"]) == (200, {"name", "version", "extensions"}, "quipu")
    status, model = get(numbers, "/v2/models/quipu")
    assert status == 200
    assert model["versions"] == [numbers.version]
    assert model["platform"] == "xgboost_ubj"
    assert model["inputs"][0] == {"name": "peak_days_late", "datatype": "FP64", "shape": [-1]}
    assert [(output["name"], output["datatype"], output["shape"]) for output in model["outputs"]] == [
        ("probability", "FP64", [-1]),
        ("points", "INT64", [-1]),
        ("reasons", "BYTES", [-1, 4]),
    ]


@pytest.mark.parametrize("ending", ["", "/ready", "/infer"])
def test_a_version_may_be_named_and_only_the_one_that_answers_is_there(numbers: Model, ending: str) -> None:
    method, body = ("POST", json.dumps({"inputs": tensors(ROW)}).encode()) if ending == "/infer" else ("GET", b"")
    named = answer(numbers, Request(method, f"/v2/models/quipu/versions/{numbers.version}{ending}", body))
    assert named.body == answer(numbers, Request(method, f"/v2/models/quipu{ending}", body)).body
    other = answer(numbers, Request(method, f"/v2/models/quipu/versions/000000000000{ending}", body))
    assert (other.status, set(json.loads(other.body))) == (404, {"error"})
    other = answer(numbers, Request(method, f"/v2/models/iris{ending}", body))
    assert (other.status, json.loads(other.body)["error"]) == (
        404,
        "There is no model 'iris'; the model here is 'quipu'.",
    )


def test_one_tensor_a_feature_gives_probability_and_points(numbers: Model) -> None:
    late = ROW | {"peak_days_late": 60.0}
    status, told = infer(numbers, {"id": "seven", "inputs": tensors(ROW, late)})
    assert status == 200
    assert (told["model_name"], told["model_version"], told["id"]) == ("quipu", numbers.version, "seven")
    probability, points = told["outputs"]
    assert (probability["name"], probability["datatype"], probability["shape"]) == ("probability", "FP64", [2])
    assert probability["data"] == expected(numbers, ROW, late).tolist()
    assert (points["name"], points["datatype"], points["shape"]) == ("points", "INT64", [2])
    assert points["data"][0] > points["data"][1]


def test_null_is_missing(numbers: Model) -> None:
    status, told = infer(numbers, {"inputs": tensors(ROW)})
    assert status == 200
    assert told["outputs"][0]["data"] == expected(numbers, ROW | {"bureau_debt": float("nan")}).tolist()
    assert told["outputs"][0]["data"] != expected(numbers, ROW | {"bureau_debt": 0.0}).tolist()


def test_columns_of_width_one_and_the_order_of_tensors_make_no_difference(numbers: Model) -> None:
    flat = infer(numbers, {"inputs": tensors(ROW, ROW)})
    assert infer(numbers, {"inputs": tensors(ROW, ROW, shape=[2, 1])}) == flat
    nested = [tensor | {"data": [[value] for value in tensor["data"]]} for tensor in tensors(ROW, ROW, shape=[2, 1])]
    assert infer(numbers, {"inputs": nested[::-1]}) == flat


@pytest.mark.parametrize("nested", [False, True])
def test_one_tensor_of_all_numbers_in_order_does_too(numbers: Model, nested: bool) -> None:
    rows = [list(ROW.values()), [1.0, 0.0, 9.0, 100.0, 500.0]]
    data = rows if nested else [value for row in rows for value in row]
    matrix = {"name": "input-0", "shape": [2, 5], "datatype": "FP64", "data": data}
    by_feature = tensors(*(dict(zip(ROW, row, strict=True)) for row in rows))
    assert infer(numbers, {"inputs": [matrix]}) == infer(numbers, {"inputs": by_feature})


@pytest.mark.parametrize("datatype", ["FP16", "FP32", "INT16", "INT32", "INT64", "UINT16", "UINT64"])
def test_numbers_come_in_other_datatypes(numbers: Model, datatype: str) -> None:
    whole = {"peak_days_late": 12, "late_share": 1, "bureau_debt": None, "inflow_monthly": 800, "asked_amount": 2500}
    assert infer(numbers, {"inputs": tensors(whole, datatype=datatype)}) == infer(numbers, {"inputs": tensors(whole)})


def behind(*tensors: tuple[str, str, list[int], bytes], **more: Any) -> tuple[bytes, int]:
    """A request with its tensors behind the JSON, and where that ends."""
    inputs = [
        {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(content)}}
        for name, datatype, shape, content in tensors
    ]
    head = json.dumps({"inputs": inputs} | more).encode()
    return head + b"".join(content for *_, content in tensors), len(head)


def test_tensors_may_lie_behind_the_json(numbers: Model, mixed: Model) -> None:
    rows = np.array([[12.0, 0.5, np.nan, 800.0, 2500.0], [1.0, 0.0, 9.0, 100.0, 500.0]])
    body, head = behind(("x", "FP64", [2, 5], rows.tobytes()))
    answered = answer(numbers, Request("POST", "/v2/models/quipu/infer", body, head=head))
    matrix = {
        "name": "x",
        "shape": [2, 5],
        "datatype": "FP64",
        "data": [[12, 0.5, None, 800, 2500], [1, 0, 9, 100, 500]],
    }
    assert json.loads(answered.body) == infer(numbers, {"inputs": [matrix]})[1]
    texts = b"".join(len(text).to_bytes(4, "little") + text for text in (b"branch", "ñ".encode()))
    body, head = behind(
        ("late_share", "FP32", [2], np.array([0.5, 0.25], dtype="<f4").tobytes()),
        ("channel", "BYTES", [2], texts),
        ("attribute_shop_score", "INT16", [2], np.array([50, 60], dtype="<i2").tobytes()),
    )
    answered = answer(mixed, Request("POST", "/v2/models/quipu/infer", body, head=head))
    same = {
        "inputs": [
            {"name": "late_share", "shape": [2], "datatype": "FP64", "data": [0.5, 0.25]},
            {"name": "channel", "shape": [2], "datatype": "BYTES", "data": ["branch", "ñ"]},
            {"name": "attribute_shop_score", "shape": [2], "datatype": "FP64", "data": [50, 60]},
        ]
    }
    assert json.loads(answered.body) == infer(mixed, same)[1]


@pytest.mark.parametrize(
    ("tensor", "cut", "sentence"),
    [
        (("x", "FP64", [1, 5], bytes(39)), 0, "has shape [1, 5], but its data hold 39 bytes"),
        (("x", "FP64", [1, 5], bytes(40)), 1, "says that it has 40 bytes, which are not there"),
        (("x", "FP64", [1, 5], bytes(40)), -3, "There are 3 bytes behind the request that no input names"),
        (("x", "FP64", [1, 5], np.full(5, np.inf).tobytes()), 0, "hold an infinite number"),
        (("x", "FP64", [10**12, 5], bytes(40)), 0, "but its data hold 40 bytes"),
    ],
)
def test_bytes_that_do_not_fit_are_told_so(
    numbers: Model, tensor: tuple[str, str, list[int], bytes], cut: int, sentence: str
) -> None:
    body, head = behind(tensor)
    body = body[:-cut] if cut > 0 else body + bytes(-cut)
    answered = answer(numbers, Request("POST", "/v2/models/quipu/infer", body, head=head))
    assert (answered.status, sentence in json.loads(answered.body)["error"]) == (400, True), answered.body


@pytest.mark.parametrize("texts", [b"\x05\x00\x00\x00ab", b"\x01", b"\x01\x00\x00\x00\xff"])
def test_bytes_that_are_no_texts_are_told_so(mixed: Model, texts: bytes) -> None:
    body, head = behind(
        ("late_share", "FP32", [1], bytes(4)),
        ("channel", "BYTES", [1], texts),
        ("attribute_shop_score", "FP64", [1], bytes(8)),
    )
    answered = answer(mixed, Request("POST", "/v2/models/quipu/infer", body, head=head))
    assert (answered.status, "texts in UTF-8" in json.loads(answered.body)["error"]) == (400, True)


def test_fp32_values_are_those_of_fp32(numbers: Model) -> None:
    _, told = infer(numbers, {"inputs": tensors(ROW | {"late_share": 0.1}, datatype="FP32")})
    _, same = infer(numbers, {"inputs": tensors(ROW | {"late_share": float(np.float32(0.1))})})
    assert told == same


def test_categories_are_bytes(mixed: Model) -> None:
    request = {
        "inputs": [
            {"name": "late_share", "shape": [3], "datatype": "FP64", "data": [0.2, 0.2, 0.2]},
            {"name": "channel", "shape": [3], "datatype": "BYTES", "data": ["branch", "app", None]},
            {"name": "attribute_shop_score", "shape": [3], "datatype": "INT64", "data": [50, 50, 50]},
        ]
    }
    status, told = infer(mixed, request)
    assert status == 200
    columns = {
        "late_share": np.full(3, 0.2),
        "channel": np.array(["branch", "app", None], dtype=object),
        "attribute_shop_score": np.full(3, 50.0),
    }
    assert told["outputs"][0]["data"] == mixed.scorer.probability(columns).tolist()


def test_only_the_outputs_asked_for_come_back(numbers: Model) -> None:
    _, told = infer(numbers, {"inputs": tensors(ROW), "outputs": [{"name": "points"}]})
    assert [output["name"] for output in told["outputs"]] == ["points"]
    _, told = infer(numbers, {"inputs": tensors(ROW, ROW), "outputs": [{"name": "reasons"}, {"name": "probability"}]})
    reasons, probability = told["outputs"]
    assert (reasons["name"], reasons["datatype"], reasons["shape"], len(reasons["data"])) == (
        "reasons",
        "BYTES",
        [2, 4],
        8,
    )
    assert all(isinstance(code, str) for code in reasons["data"])
    assert probability["name"] == "probability"


def test_no_id_comes_back_where_none_was_sent(numbers: Model) -> None:
    assert "id" not in infer(numbers, {"inputs": tensors(ROW)})[1]


def _with(place: int, **changed: Any) -> dict[str, Any]:
    changed_inputs = tensors(ROW)
    changed_inputs[place] |= changed
    return {"inputs": changed_inputs}


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (b"", "The request is not JSON"),
        (b"{", "The request is not JSON"),
        (b"[]", "The request does not fit: Expected `object`"),
        (b"{}", "missing required field `inputs`"),
        (b'{"inputs": "\xff"}', "The request"),
        (b'{"inputs":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "The request"),
        (b'{"inputs": [], "x":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "nested too deep"),
        (json.dumps({"inputs": tensors(ROW | {"late_share": float("nan")})}).encode(), "is not JSON"),
        (json.dumps({"inputs": tensors(ROW | {"late_share": float("inf")})}).encode(), "is not JSON"),
        (json.dumps({"inputs": tensors(ROW)}).replace("0.5", "1e400").encode(), "Number out of range"),
        ({"inputs": []}, "The input 'peak_days_late' and 4 others is missing"),
        ({"inputs": tensors(ROW)[1:]}, "The input 'peak_days_late' is missing"),
        ({"inputs": [*tensors(ROW), *tensors(ROW)[:1]]}, "'peak_days_late' is given twice"),
        (_with(1, name="late_shar"), "no input 'late_shar'; did you mean 'late_share'?"),
        (_with(1, data=[0.5, 0.6]), "'late_share' has shape [1], but its data hold 2 values"),
        (_with(1, shape=[2]), "'late_share' has 2 rows where others have 1"),
        (_with(1, shape=[]), "has shape []; give [n] or [n, 1]"),
        (_with(1, shape=[1, 2], data=[[1, 2]]), "has shape [1, 2]; give [n] or [n, 1]"),
        (_with(1, shape=[-1]), "does not fit"),
        (_with(1, shape=["1"]), "does not fit"),
        (_with(1, data=["0.5"]), "The data of 'late_share' does not fit: Expected `float | null`, got `str`"),
        (_with(1, data=[True]), "got `bool`"),
        (_with(1, data=0.5), "got `float`"),
        (_with(1, datatype="BYTES", data=["0.5"]), "has datatype BYTES; give FP64 or another type of numbers"),
        (_with(1, datatype="INT64", data=[0.5]), "got `float`"),
        (_with(1, datatype="FP32", data=[1e300]), "FP32"),
        (_with(1, datatype="FP16", data=[70_000]), "holds a number that FP16 cannot; use FP64"),
        (_with(1, datatype="FP8"), "does not fit"),
        (_with(1, datatype="BOOL", data=[0.5]), "got `float`"),
        (_with(1, datatype="UINT8", data=[256]), "Expected `int` <= 255"),
        (_with(1, datatype="INT16", data=[-(2**15) - 1]), "Expected `int` >= -32768"),
        ({"inputs": [{"name": name, "shape": [1], "datatype": "FP64"} for name in ROW]}, "late' has no data"),
        ({"inputs": tensors(ROW, shape=[0])}, "[0]"),
        ({"inputs": [{"name": name, "shape": [0], "datatype": "FP64", "data": []} for name in ROW]}, "no rows"),
        ({"inputs": tensors(ROW), "outputs": [{"name": "shap"}]}, "no output 'shap'"),
        ({"inputs": tensors(ROW), "outputs": [{"name": "points"}] * 3_000}, "'points' is asked for twice"),
        ({"inputs": tensors(ROW), "id": 7}, "does not fit"),
        (
            {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [[1, 2]]}]},
            "rows of 2 values; the model has 5 features",
        ),
        (
            {"inputs": [{"name": "x", "shape": [1, 5], "datatype": "FP64", "data": [[1, 2]]}]},
            "has shape [1, 5], but its data hold 2 values in a row",
        ),
        (
            {"inputs": [{"name": "x", "shape": [2, 5], "datatype": "FP64", "data": [1, 2, 3, 4, 5]}]},
            "has shape [2, 5], but its data hold 5 values",
        ),
        (
            {"inputs": [{"name": "x", "shape": [10**18, 5], "datatype": "FP64", "data": [1, 2, 3, 4, 5]}]},
            "but its data hold 5 values",
        ),
    ],
)  # fmt: skip
def test_a_bad_request_gets_the_protocols_error_with_a_sentence(numbers: Model, request_: Any, sentence: str) -> None:
    status, told = infer(numbers, request_)
    assert status == 400
    assert set(told) == {"error"}
    assert sentence in told["error"]


def test_a_model_with_categories_takes_no_single_tensor(mixed: Model) -> None:
    matrix = {"name": "x", "shape": [1, 3], "datatype": "FP64", "data": [0.2, 1, 50]}
    status, told = infer(mixed, {"inputs": [matrix]})
    assert status == 400
    assert "'channel' is a category" in told["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/", 404),
        ("GET", "/v2/models/quipu/explain", 404),
        ("GET", "/v2/models", 404),
        ("GET", "/v2/models/quipu/versions", 404),
        ("POST", "/v2/models//infer", 404),
        ("GET", "/v2/models//ready", 404),
        ("GET", "/v2/models//versions/1/ready", 404),
        ("POST", "/v2/models/quipu/versions//infer", 404),
        ("GET", "/v2/models/quipu/versions//ready", 404),
        ("HEAD", "/v2/models/quipu/infer", 405),
        ("HEAD", "/v1/score", 405),
        ("GET", "/v2/models/quipu/infer", 405),
        ("DELETE", "/v2/models/quipu", 405),
        ("PUT", "/v1/score", 405),
    ],
)
def test_other_paths_and_methods_are_told_so(numbers: Model, method: str, path: str, status: int) -> None:
    answered = answer(numbers, Request(method, path))
    assert answered.status == status
    assert set(json.loads(answered.body)) == {"error"}
    assert ([name for name, _ in answered.headers] == ["allow"]) == (status == 405)


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", "/v2/models/quipu/", "/openapi.json"])
def test_head_is_answered_as_get(numbers: Model, path: str) -> None:
    assert answer(numbers, Request("HEAD", path)) == answer(numbers, Request("GET", path))
