"""The scorer's way with the champion pointer and the shadow's, under load."""

import asyncio
import base64
import hashlib
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest

from components.credit.book.store import MODEL_BUCKET, Access, Store
from components.credit.errors import ModelRefused, StoreError
from components.credit.models.smoke import SMOKE, Smoke, check_smoke, smoke
from components.credit.release.registry import MANIFEST, fetch, promote, set_shadow, shadow
from components.credit.release.signing import sign
from components.scorer.following import _tried
from components.scorer.model import Model, load_model
from pipelines.embedded import embedded_store
from tests.scorer.decisions.test_decisions import logged
from tests.scorer.running import REQUEST, free_port, running

INFER = "/v2/models/quipu/infer"
DATA = [12.0, 0.5, None, 800.0, 2500.0]


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_switching_back_and_forth_under_load_loses_nothing_and_no_answer_names_the_other(
    access: Access, store: Store, keys: tuple[str, str], xgboost_version: str, newer_version: str
) -> None:
    figures: dict[str, float] = {}
    for version in (xgboost_version, newer_version):
        model = load_model(store, version, keys[1])
        row = [np.array([np.nan if value is None else value]) for value in DATA]
        probability, _ = model.scores(dict(zip(model.features, row, strict=True)))
        figures[version] = float(probability[0])
    assert len(set(figures.values())) == 2
    promote(store, xgboost_version, "")
    told: list[tuple[int, str, float]] = []
    ended = threading.Event()

    def ask(port: int) -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
            while not ended.is_set():
                answered = http.post(INFER, json=REQUEST)
                body = answered.json()
                told.append((answered.status_code, body["model_version"], body["outputs"][0]["data"][0]))

    with running(access, keys[1]) as scorer:
        clients = [threading.Thread(target=ask, args=(scorer.port,)) for _ in range(2)]
        for client in clients:
            client.start()
        for version in [newer_version, xgboost_version] * 2:
            seen = len(told)
            promote(store, version, "")
            wait_for(lambda version=version, seen=seen: any(one[1] == version for one in told[seen:]))  # type: ignore[misc]
        ended.set()
        for client in clients:
            client.join(30)
        models = scorer.http.get("/v1/models").json()
    assert {status for status, _, _ in told} == {200}
    assert {(version, figure) for _, version, figure in told} == set(figures.items())
    assert [model["version"] for model in models["models"]] == [xgboost_version]
    assert models["previous"] == newer_version


def test_readiness_says_that_a_bad_champion_was_refused(
    access: Access, store: Store, keys: tuple[str, str], xgboost_version: str, put: Callable[..., str],
    make_scorer: Callable[[int], Any], tmp_path: Path,
) -> None:  # fmt: skip
    promote(store, xgboost_version, "")
    with running(access, keys[1]) as scorer:
        assert scorer.http.get("/v2/health/ready").json() == {"ready": True}
        bad = put(make_scorer(11))
        (tmp_path / "model.json").write_bytes(store.read(MODEL_BUCKET, f"models/{bad}/model.json") + b" ")
        store.upload(MODEL_BUCKET, f"models/{bad}/model.json", tmp_path / "model.json")
        promote(store, bad, "")
        wait_for(lambda: "refused" in scorer.http.get("/v2/health/ready").json())
        answered = scorer.http.get("/v2/health/ready")
        assert answered.status_code == 200
        assert "is not the file that was signed" in answered.json()["refused"]
        assert scorer.version() == xgboost_version
        promote(store, xgboost_version, "")
        wait_for(lambda: "refused" not in scorer.http.get("/v2/health/ready").json())


def test_a_released_model_brings_its_smoke_set_and_must_answer_it(
    store: Store, keys: tuple[str, str], xgboost_version: str, make_scorer: Callable[[int], Any]
) -> None:
    _, scorer = fetch(store, xgboost_version, keys[1])
    kept = store.read(MODEL_BUCKET, f"models/{xgboost_version}/{SMOKE}")
    assert kept == smoke(make_scorer(1))
    check_smoke(scorer, kept, "here")
    known = msgspec.json.decode(kept, type=Smoke)
    assert len(set(known.points)) > 3  # its rows walk different ways
    other = msgspec.structs.replace(known, probability=[*known.probability[:-1], known.probability[-1] * (1 + 1e-9)])
    for data in (msgspec.json.encode(other), smoke(make_scorer(2)), b"{}"):
        with pytest.raises(ModelRefused, match="smoke set"):
            check_smoke(scorer, data, "here")


def test_a_model_that_answers_otherwise_than_when_it_was_released_never_serves(
    access: Access, store: Store, keys: tuple[str, str], xgboost_version: str, put: Callable[..., str],
    make_scorer: Callable[[int], Any], tmp_path: Path,
) -> None:  # fmt: skip
    changed = put(make_scorer(51))
    prefix = f"models/{changed}/"
    other = smoke(make_scorer(52))
    envelope = msgspec.json.decode(store.read(MODEL_BUCKET, f"{prefix}{MANIFEST}"))
    statement = msgspec.json.decode(base64.b64decode(envelope["payload"]))
    for each in statement["subject"]:
        if each["name"] == SMOKE:
            each |= {"digest": {"sha256": hashlib.sha256(other).hexdigest()}, "annotations": {"bytes": len(other)}}
    signed = sign(msgspec.json.encode(statement, order="sorted"), keys[0])
    for name, data in ((SMOKE, other), (MANIFEST, signed)):
        (tmp_path / name).write_bytes(data)
        store.upload(MODEL_BUCKET, f"{prefix}{name}", tmp_path / name)
    with pytest.raises(ModelRefused, match="smoke set otherwise"):
        load_model(store, changed, keys[1])
    promote(store, xgboost_version, "")
    with running(access, keys[1]) as scorer:
        promote(store, changed, "")
        wait_for(lambda: "smoke set otherwise" in scorer.http.get("/v2/health/ready").json().get("refused", ""))
        assert scorer.version() == xgboost_version
    promote(store, xgboost_version, "")


@pytest.mark.parametrize(
    ("failure", "told"),
    [(ModelRefused("It does not verify."), "It does not verify."), (StoreError("Away."), None), (OSError("x"), None)],
)
def test_only_the_registry_ends_a_refusal(failure: Exception, told: str | None, store: Store) -> None:
    answering: Any = SimpleNamespace(model=SimpleNamespace(version="v1"))

    async def failing(*_: object) -> None:
        raise failure

    async def fine(*_: object) -> None:
        return

    def tried(follow_one: Any) -> str | None:
        return asyncio.run(_tried("champion", follow_one, answering, store, "", {}))

    assert tried(failing) == told, "None: whether it is refused is not known now, and what was known stands"
    assert tried(fine) == ""


def test_a_pointer_that_cannot_be_read_is_told_by_its_age(
    keys: tuple[str, str], put_into: Callable[[Store], str], tmp_path: Path
) -> None:
    with embedded_store(tmp_path / "store") as access:
        promote(Store(access), put_into(Store(access)), "")
        server = int(subprocess.check_output(["pgrep", "-n", "-P", str(os.getpid()), "weed"]))
        port = free_port()
        with running(access, keys[1], QUIPU_METRICS_PORT=str(port)):

            def age() -> float:
                told = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
                return time.time() - float(re.findall(r"^quipu_pointer_read_seconds (\S+)", told, re.MULTILINE)[0])

            assert age() < 3
            os.kill(server, signal.SIGSTOP)
            try:
                wait_for(lambda: age() > 5)
            finally:
                os.kill(server, signal.SIGCONT)
            wait_for(lambda: age() < 3)


def test_a_category_and_a_card_have_a_smoke_set_too(mixed: Model) -> None:
    known = msgspec.json.decode(smoke(mixed.scorer), type=Smoke)
    assert {None, "never seen", "branch", "field", "app"} <= set(known.columns["channel"])
    assert None in known.columns["late_share"]
    check_smoke(mixed.scorer, smoke(mixed.scorer), "here")


def test_a_challenger_scores_beside_the_champion_and_its_answers_are_kept(
    access: Access, store: Store, keys: tuple[str, str], xgboost_version: str, newer_version: str, tmp_path: Path,
    document: dict[str, Any],
) -> None:  # fmt: skip
    promote(store, xgboost_version, "")
    set_shadow(store, newer_version)
    assert shadow(store) == newer_version
    with running(access, keys[1], QUIPU_SPOOL=str(tmp_path), QUIPU_SPOOL_SECONDS="1") as scorer:
        scorer.wait("shadow_changed", version=newer_version)
        assert scorer.http.get("/v1/models").json()["shadow"] == newer_version
        told = [scorer.http.post(INFER, json=REQUEST).json() for _ in range(3)]
        scored = scorer.http.post("/v1/score", json=document).json()
        ids = {each["parameters"]["decision_id"] for each in told} | {scored["decision_id"]}
        assert {each["model_version"] for each in told} == {xgboost_version} == {scored["model"]["version"]}
        rows: list[dict[str, Any]] = []

        def kept() -> bool:
            rows[:] = [row for row in logged(store).to_pylist() if row["id"] in ids]
            return len(rows) == 2 * len(ids)

        wait_for(kept)
        shadows = [row for row in rows if row["kind"] == "shadow"]
        assert {row["id"] for row in shadows} == ids
        assert {row["model"] for row in shadows} == {newer_version}
        assert {row["model"] for row in rows if row["kind"] != "shadow"} == {xgboost_version}
        set_shadow(store, None)
        scorer.wait("shadow_changed", version="")
        assert scorer.http.get("/v1/models").json()["shadow"] is None
    assert "error" not in json.dumps(scorer.lines)
