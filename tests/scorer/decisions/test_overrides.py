"""What a person decided otherwise: recorded once, for good, whichever scorer is asked."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from components.credit.book.store import AUDIT_BUCKET, Access, Store
from components.credit.release.registry import promote
from components.scorer.decisions.overrides import Override, UnknownDecision, record
from components.scorer.decisions.record import new_id, now
from components.scorer.decisions.shipping import ship
from components.scorer.decisions.spool import Spool
from components.scorer.http.routes import answer
from components.scorer.model import Model
from components.scorer.requests import Actor, Request
from pipelines.embedded import embedded_store
from tests.scorer.decisions.test_decisions import INFER, some_lines
from tests.scorer.running import REQUEST, running

SEEN = {"decision": "approve", "reason": "I saw the shop: it sells twice what was declared."}


FAR_AHEAD = "ffffffff-ffff-7fff-bfff-ffffffffffff"  # some 8,900 years
NEVER_MADE = "019365d2-1c00-7abc-8def-0123456789ab"


def of(decision_id: str, decision: str = "approve", actor: str = "ana") -> Override:
    return Override(decision_id, 1, None, decision, "Seen at the shop itself.", actor, "call-1", now())


def test_an_override_says_who_what_and_why_and_stands_once(store: Store, tmp_path: Path) -> None:
    [id_], [line] = some_lines(1)
    spool = Spool(tmp_path)
    spool.append(line)
    first = record(of(id_), store, tmp_path)
    assert (first.number, first.former, first.actor, first.decision) == (1, None, "ana", "approve")
    assert record(of(id_), store, tmp_path) == first
    second = record(of(id_, "decline", "luis"), store, tmp_path)
    assert (second.number, second.former, second.decision) == (2, 1, "decline")
    kept = [store.read(AUDIT_BUCKET, key) for key in store.keys(AUDIT_BUCKET, f"overrides/{id_}/")]
    assert [msgspec.json.decode(each, type=Override) for each in kept] == [first, second]


def test_a_decision_is_known_after_its_spool_is_gone(store: Store, tmp_path: Path) -> None:
    [id_], [line] = some_lines(1)
    spool = Spool(tmp_path / "one")
    spool.append(line)
    elsewhere = Spool(tmp_path / "two").folder
    with pytest.raises(UnknownDecision):
        record(of(id_), store, elsewhere)
    spool.close()
    ship(tmp_path / "one", store)
    assert record(of(id_), store, elsewhere).number == 1


@pytest.mark.parametrize("id_", [NEVER_MADE, "x", "../../models", "0" * 36, "a" * 5000, FAR_AHEAD])
def test_a_decision_that_was_never_made_is_unknown(store: Store, tmp_path: Path, id_: str) -> None:
    with pytest.raises(UnknownDecision, match="decision"):
        record(of(id_), store, Spool(tmp_path).folder)


@pytest.mark.parametrize(
    "body", [{}, {"decision": "approve"}, SEEN | {"reason": "short"}, SEEN | {"reason": "x" * 2_001}, SEEN | {"x": 1},
             SEEN | {"decision": "maybe"}],
)  # fmt: skip
def test_an_override_without_a_reason_is_refused(numbers: Model, body: dict[str, Any]) -> None:
    answered = answer(numbers, Request("POST", f"/v1/decisions/{new_id(now())}/override", msgspec.json.encode(body)))
    assert answered.status == 400
    assert answered.override is None


def test_it_needs_a_role_of_its_own(numbers: Model) -> None:
    path, clerk = f"/v1/decisions/{new_id(now())}/override", Actor("clerk", frozenset(("score", "read")))
    assert answer(numbers, Request("POST", path, msgspec.json.encode(SEEN), actor=clerk)).status == 403


def test_the_scorer_records_it_across_a_restart(
    access: Access, store: Store, keys: tuple[str, str], xgboost_version: str, tmp_path: Path
) -> None:
    promote(store, xgboost_version, "")
    with running(access, keys[1], QUIPU_SPOOL=str(tmp_path)) as scorer:
        id_ = scorer.http.post("/v2/models/quipu/infer", json=REQUEST).json()["parameters"]["decision_id"]
        path = f"/v1/decisions/{id_}/override"
        first = scorer.http.post(path, json=SEEN)
        assert first.status_code == 200
        assert first.json()["reason"] == SEEN["reason"]
        unknown = scorer.http.post(f"/v1/decisions/{new_id(now())}/override", json=SEEN)
        assert unknown.status_code == 404
        assert "no decision of this id" in unknown.json()["error"]
        for odd in ("a" * 5000, FAR_AHEAD):
            refused = scorer.http.post(f"/v1/decisions/{odd}/override", json=SEEN)
            assert (refused.status_code, set(refused.json())) == (404, {"error"})
            assert refused.headers["x-request-id"]
    with running(access, keys[1], QUIPU_SPOOL=str(tmp_path)) as scorer:
        assert scorer.http.post(path, json=SEEN).json() == first.json()
        changed = scorer.http.post(path, json=SEEN | {"decision": "decline"}).json()
        assert (changed["number"], changed["former"]) == (2, 1)


def test_a_store_that_hangs_holds_up_overrides_and_nothing_else(
    keys: tuple[str, str], put_into: Callable[[Store], str], tmp_path: Path
) -> None:
    with embedded_store(tmp_path / "store") as access:
        promote(Store(access), put_into(Store(access)), "")
        server = int(subprocess.check_output(["pgrep", "-n", "-P", str(os.getpid()), "weed"]))
        with running(access, keys[1], QUIPU_SPOOL=str(tmp_path / "spool")) as scorer:
            id_ = scorer.http.post(INFER, json=REQUEST).json()["parameters"]["decision_id"]
            address = f"http://127.0.0.1:{scorer.port}/v1/decisions/{id_}/override"
            os.kill(server, signal.SIGSTOP)
            try:
                with ThreadPoolExecutor(12) as pool:
                    asked = [pool.submit(httpx.post, address, json=SEEN, timeout=30) for _ in range(12)]
                    for _ in range(20):
                        assert scorer.http.post(INFER, json=REQUEST).status_code == 200
                    assert scorer.http.get("/v2/health/ready").status_code == 200
                    answers = [each.result() for each in asked]
            finally:
                os.kill(server, signal.SIGCONT)
            assert {(each.status_code, each.headers["retry-after"]) for each in answers} == {(503, "1")}
            sentences = {each.json()["error"].partition(";")[0] for each in answers}
            assert sentences == {
                "The store did not take the override within 5 s", "The store is slow to take overrides",
            }  # fmt: skip
            deadline = time.monotonic() + 60
            while (answered := httpx.post(address, json=SEEN)).status_code == 503 and time.monotonic() < deadline:
                time.sleep(0.2)
            assert answered.json()["number"] == 1, "what was asked again and again is on record once"
