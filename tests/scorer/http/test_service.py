import json
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from components.credit.book.store import MODEL_BUCKET, Access, Store
from components.credit.errors import ModelRefused
from components.credit.release.registry import promote
from components.credit.release.signing import new_key_pair
from components.scorer.decisions.spool import Spool
from components.scorer.http.server import serve
from components.scorer.settings import Listening
from tests.scorer.running import REQUEST, Scorer, free_port, running, start


@pytest.fixture
def first(scorer: Scorer, store: Store, xgboost_version: str) -> Scorer:
    """The scorer, answering with the first model."""
    promote(store, xgboost_version, "")
    deadline = time.monotonic() + 20
    while scorer.version() != xgboost_version and time.monotonic() < deadline:
        time.sleep(0.05)
    return scorer


def test_it_answers_both_faces(first: Scorer, document: dict[str, Any], xgboost_version: str) -> None:
    for path in ("/v2/health/live", "/v2/health/ready", "/v2", "/v2/models/quipu", "/v2/models/quipu/ready"):
        found, head = first.http.get(path), first.http.head(path)
        assert found.status_code == head.status_code == 200
        assert (head.content, head.headers["content-length"]) == (b"", str(len(found.content)))
    inferred = first.http.post("/v2/models/quipu/infer", json=REQUEST)
    assert inferred.status_code == 200
    assert inferred.headers["content-type"] == "application/json"
    scored = first.http.post("/v1/score", json=document)
    assert scored.status_code == 200
    assert scored.json()["model"]["version"] == inferred.json()["model_version"] == xgboost_version
    [model] = first.http.get("/v1/models").json()["models"]
    assert (model["version"], model["family"], model["metrics"]) == (xgboost_version, "xgboost", {"auc": 0.7})


def test_the_log_knows_the_request_but_not_what_it_asked(first: Scorer, document: dict[str, Any]) -> None:
    document["application"]["application_id"] = "SECRET-NAME"
    answered = first.http.post("/v1/score?who=SECRET-NAME", json=document, headers={"x-request-id": "call-7"})
    assert answered.headers["x-request-id"] == "call-7"
    line = first.wait("request", request="call-7")
    assert (line["route"], line["status"], line["version"]) == (
        "POST /v1/score", 200, answered.json()["model"]["version"],
    )  # fmt: skip
    document["application"]["channel"] = "SECRET-NAME"
    refused = first.http.post("/v1/score", json=document, headers={"x-request-id": "call-8"})
    assert refused.status_code == 400
    first.http.get("/SECRET-NAME", headers={"x-request-id": "call-9"})
    for request in ("call-8", "call-9"):
        first.wait("request", request=request)
    assert "SECRET-NAME" not in json.dumps(first.lines)


def test_an_id_that_is_no_plain_word_is_replaced(first: Scorer) -> None:
    answered = first.http.get("/v2", headers={"x-request-id": '"}{'})
    assert answered.headers["x-request-id"].isalnum()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused_and_the_scorer_lives_on(first: Scorer, chunked: bool) -> None:
    large = b" " * 50_000_000
    content = iter([large[start : start + 500_000] for start in range(0, len(large), 500_000)]) if chunked else large
    try:
        answered = first.http.post("/v1/score", content=content)
    except httpx.TransportError:
        pass  # the scorer closed the connection before the client had sent it all, which says it too
    else:
        assert answered.status_code == 413
        assert set(answered.json()) == {"error"}
    assert first.http.get("/v2/health/ready").status_code == 200


def test_a_refusal_by_length_is_told_to_who_asks_first(first: Scorer) -> None:
    with socket.create_connection(("127.0.0.1", first.port), timeout=10) as client:
        client.sendall(b"POST /v1/score HTTP/1.1\r\nhost: x\r\ncontent-length: 50000000\r\n\r\n")
        told = client.recv(65536)
    assert told.startswith(b"HTTP/1.1 413")
    assert b"error" in told


def test_a_client_that_goes_away_does_no_harm(first: Scorer) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", first.port), timeout=10) as client:
            client.sendall(b"POST /v1/score HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n{")
    assert first.http.post("/v2/models/quipu/infer", json=REQUEST).status_code == 200
    assert [line for line in first.lines if line["event"] == "error"] == []


def test_bad_requests_get_a_sentence_and_no_trace(first: Scorer) -> None:
    for body in (b"", b"{", b"[" * 10_000, b'{"inputs": []}', b"\xff\xfe"):
        for path in ("/v2/models/quipu/infer", "/v1/score"):
            answered = first.http.post(path, content=body)
            assert answered.status_code == 400
            assert set(answered.json()) == {"error"}
            assert "Traceback" not in answered.text
    missing = first.http.get("/v2/models/quipu/infer")
    assert (missing.status_code, missing.headers["allow"]) == (405, "POST")


def test_many_rows_are_answered_too(first: Scorer) -> None:
    rows = 2_000
    request = {"inputs": [{"name": "x", "shape": [rows, 5], "datatype": "FP64", "data": [[1, 0.5, None, 9, 9]] * rows}]}
    answered = first.http.post("/v2/models/quipu/infer", json=request).json()
    assert answered["outputs"][0]["shape"] == [rows]
    assert len(set(answered["outputs"][0]["data"])) == 1


def test_a_pinned_version_answers_whatever_the_pointer_says(
    first: Scorer, access: Access, store: Store, keys: tuple[str, str], xgboost_version: str, newer_version: str
) -> None:
    with running(access, keys[1], QUIPU_MODEL_VERSION=newer_version) as pinned:
        assert pinned.version() == newer_version
        promote(store, newer_version, "")
        first.wait("model_changed", version=newer_version)
        promote(store, xgboost_version, "")
        first.wait("model_changed", version=xgboost_version)  # the pinned one has had as many looks as this one
        assert pinned.version() == newer_version


def test_a_moved_pointer_is_followed_without_a_failed_request(
    first: Scorer, store: Store, xgboost_version: str, newer_version: str
) -> None:
    seen: list[tuple[int, str, float]] = []
    before = first.http.post("/v2/models/quipu/infer", json=REQUEST).json()
    promote(store, newer_version, "")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and (not seen or seen[-1][1] != newer_version):
        answered = first.http.post("/v2/models/quipu/infer", json=REQUEST)
        told = answered.json()
        seen.append((answered.status_code, told["model_version"], told["outputs"][0]["data"][0]))
    assert {status for status, _, _ in seen} == {200}
    assert seen[-1][1] == newer_version
    # no answer names one model and has the figures of the other
    figures = {
        version: {figure for _, told_version, figure in seen if told_version == version} for _, version, _ in seen
    }
    assert all(len(found) == 1 for found in figures.values())
    assert figures[newer_version] != {before["outputs"][0]["data"][0]}
    first.wait("model_changed", version=newer_version)
    assert first.http.get(f"/v2/models/quipu/versions/{xgboost_version}").status_code == 404


def test_a_bad_model_is_refused_and_the_old_one_goes_on(
    first: Scorer, store: Store, put: Callable[..., str], make_scorer: Callable[[int], Any], tmp_path: Path
) -> None:
    old = first.version()
    altered = put(make_scorer(3))
    (tmp_path / "trees.ubj").write_bytes(store.read(MODEL_BUCKET, f"models/{altered}/trees.ubj")[:-1] + b"x")
    store.upload(MODEL_BUCKET, f"models/{altered}/trees.ubj", tmp_path / "trees.ubj")
    forged = put(make_scorer(4), new_key_pair()[0])
    for version, sentence in ((altered, "is not the file that was signed"), (forged, "does not verify")):
        promote(store, version, "")
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if any(version in line.get("reason", "") and sentence in line["reason"] for line in first.lines):
                break
            time.sleep(0.05)
        else:
            raise AssertionError(f"nothing of {version} in {first.lines}")
        assert first.http.get("/v2/health/ready").status_code == 200
        assert first.version() == old
    time.sleep(0.5)  # some more looks at the pointer
    told = [line for line in first.lines if line["event"] == "model_refused" and forged in line["reason"]]
    assert len(told) == 1  # said once, not at each look


def test_a_stop_lets_a_request_end_and_leaves_no_process(
    access: Access, store: Store, keys: tuple[str, str], xgboost_version: str, document: dict[str, Any]
) -> None:
    promote(store, xgboost_version, "")
    with running(access, keys[1]) as scorer:
        idle = socket.create_connection(
            ("127.0.0.1", scorer.port)
        )  # a connection that asks nothing must not hold it up
        answers: list[int] = []
        asking = threading.Thread(
            target=lambda: answers.append(scorer.http.post("/v1/score", json=document).status_code)
        )
        asking.start()
        time.sleep(0.05)
        scorer.process.send_signal(signal.SIGTERM)
        asking.join(20)
        assert scorer.process.wait(40) == 0
        assert answers == [200]
        scorer.wait("stopped")
        idle.close()


def test_a_forged_champion_is_never_served(
    access: Access,
    store: Store,
    put: Callable[..., str],
    make_scorer: Callable[[int], Any],
    keys: tuple[str, str],
    tmp_path: Path,
) -> None:
    promote(store, put(make_scorer(5), new_key_pair()[0]), "")
    with pytest.raises(ModelRefused, match="does not verify with QUIPU_VERIFY_KEY"):
        serve(access, keys[1], Listening(port=free_port()), Spool(tmp_path))


def test_what_stops_a_start_is_one_sentence(access: Access, keys: tuple[str, str], first: Scorer) -> None:
    process = start(access, keys[1], first.port)
    out, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out == ""
    assert told == f"127.0.0.1:{first.port} cannot be listened on (Address already in use); choose another port.\n"
