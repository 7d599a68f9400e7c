"""Other people's clients of the Open Inference Protocol against a running scorer."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from components.scorer.model import Model
from tests.scorer.running import ROOT, Scorer

ROWS = np.array([[12.0, 0.5, np.nan, 800.0, 2500.0], [1.0, 0.0, 9.0, 100.0, 500.0]])
KSERVE = ROOT / "build" / "peers" / "kserve" / "bin" / "python"


@pytest.fixture
def client(scorer: Scorer) -> Iterator[triton.InferenceServerClient]:
    client = triton.InferenceServerClient(f"127.0.0.1:{scorer.port}")
    yield client
    client.close()


def expected(numbers: Model) -> np.ndarray:
    return numbers.scorer.probability(dict(zip(numbers.features, ROWS.T, strict=True)))


def test_triton_asks_what_is_there(client: triton.InferenceServerClient, xgboost_version: str) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("quipu")
    assert client.is_model_ready("quipu", xgboost_version)
    assert not client.is_model_ready("iris")
    assert not client.is_model_ready("quipu", "000000000000")
    assert client.get_server_metadata()["name"] == "quipu"
    metadata = client.get_model_metadata("quipu", xgboost_version)
    assert metadata["versions"] == [xgboost_version]
    assert [tensor["datatype"] for tensor in metadata["inputs"]] == ["FP64"] * 5


@pytest.mark.parametrize("binary", [True, False])  # bytes behind the JSON are what this client sends unless told not to
def test_triton_gets_scores_and_reasons(
    client: triton.InferenceServerClient, numbers: Model, xgboost_version: str, binary: bool
) -> None:
    rows = ROWS if binary else np.nan_to_num(ROWS)  # it has no way to say null in JSON
    given = triton.InferInput("rows", list(rows.shape), "FP64")
    given.set_data_from_numpy(rows, binary_data=binary)
    wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("probability", "points", "reasons")]
    answered = client.infer("quipu", [given], xgboost_version, wanted, request_id="seven")
    probability = numbers.scorer.probability(dict(zip(numbers.features, rows.T, strict=True)))
    assert answered.as_numpy("probability").tolist() == probability.tolist()
    assert answered.as_numpy("points").dtype == np.int64
    assert answered.as_numpy("reasons").shape == (2, 4)
    assert (answered.get_response()["id"], answered.get_response()["model_version"]) == ("seven", xgboost_version)


def test_triton_gives_one_tensor_a_feature_and_asks_for_nothing_special(
    client: triton.InferenceServerClient, numbers: Model
) -> None:
    given = []
    for name, column in zip(numbers.features, ROWS.T, strict=True):
        tensor = triton.InferInput(name, [2], "FP64")
        tensor.set_data_from_numpy(np.ascontiguousarray(column))
        given.append(tensor)
    assert client.infer("quipu", given).as_numpy("probability").tolist() == expected(numbers).tolist()


def test_triton_hears_why_it_is_refused(client: triton.InferenceServerClient) -> None:
    given = triton.InferInput("rows", [1, 2], "FP32")
    given.set_data_from_numpy(np.zeros((1, 2), dtype=np.float32))
    with pytest.raises(InferenceServerException, match="rows of 2 values; the model has 5 features"):
        client.infer("quipu", [given])


def test_kserves_own_client_gets_the_same(scorer: Scorer, numbers: Model, tmp_path: Path) -> None:
    if not KSERVE.exists():
        pytest.skip("no environment of KServe's own client: 'make peers' makes it")
    script = tmp_path / "ask.py"
    script.write_text(f"""
import asyncio
from kserve import InferInput, InferRequest, InferenceRESTClient, RESTConfig

async def main():
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    url = "http://127.0.0.1:{scorer.port}"
    assert await client.is_server_live(url) and await client.is_server_ready(url)
    assert await client.is_model_ready(url, "quipu")
    tensor = InferInput("rows", [2, 5], "FP64", {[[None if v != v else v for v in row] for row in ROWS.tolist()]})
    answered = await client.infer(url, InferRequest("quipu", [tensor]), model_name="quipu")
    print(answered.outputs[0].data)

asyncio.run(main())
""")
    told = subprocess.run([KSERVE, script], capture_output=True, text=True, check=False, timeout=120)
    assert told.returncode == 0, told.stderr
    assert told.stdout.strip().splitlines()[-1] == str(expected(numbers).tolist())
