"""The decision log: what it keeps, and that nothing that was told is ever missing or there twice."""

import errno
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet
import pytest

from components.credit.book.store import AUDIT_BUCKET, Access, Store
from components.credit.release.registry import promote
from components.scorer.decisions.overrides import Override, record
from components.scorer.decisions.record import Decision, following_id, lines, milliseconds_of, new_id, now, read_lines
from components.scorer.decisions.shipping import SCHEMA, parquet_of, ship
from components.scorer.decisions.spool import ENDING, Spool, SpoolError, segments
from components.scorer.http.routes import Answer, answer
from components.scorer.model import Model
from components.scorer.requests import Actor, Request
from pipelines.embedded import embedded_store
from tests.scorer.running import ROOT, running

INFER = "/v2/models/quipu/infer"
ROWS = {"inputs": [{"name": "x", "shape": [2, 5], "datatype": "FP64", "data": [[9, 0.5, None, 8, 5], [1, 0, 1, 1, 1]]}]}


def asked(model: Model, path: str, content: Any) -> tuple[Answer, Any]:
    actor = Actor("branch-7", frozenset(("score",)))
    request = Request("POST", path, json.dumps(content).encode(), "call-1", actor, decision=new_id(now()), at=now())
    answered = answer(model, request)
    return answered, json.loads(answered.body)


def logged(store: Store) -> pa.Table:
    """The whole decision log."""
    parts = [
        pyarrow.parquet.read_table(io.BytesIO(store.read(AUDIT_BUCKET, key)))
        for key in store.keys(AUDIT_BUCKET, "decisions/")
    ]
    return pa.concat_tables(parts) if parts else SCHEMA.empty_table()


def spooled(folder: Path) -> list[str]:
    """Ids of the decisions that wait in a spool."""
    found = [read_lines(path.read_bytes().split(b"\n")[:-1]) for path in segments(folder)]
    return [decision.id for part in found for decision in part if decision is not None]


def some_lines(count: int) -> tuple[list[str], list[bytes]]:
    decisions = [
        Decision(
            id=new_id(at), at=at, kind="infer", request="r", actor="a", model="v", inputs="00",
            probability=[0.5, 0.25], points=[500, 520], person_decides=True,
        )
        for at in (now() for _ in range(count))
    ]  # fmt: skip
    return [decision.id for decision in decisions], [lines([decision], 7) for decision in decisions]


def test_an_id_is_in_order_of_time_and_not_to_be_guessed() -> None:
    first, second = new_id(1_700_000_000_000_000), new_id(1_700_000_000_001_000)
    assert first < second
    assert first != new_id(1_700_000_000_000_000)
    assert uuid.UUID(first).version == 7
    assert uuid.UUID(first).variant == uuid.RFC_4122
    assert milliseconds_of(first) == 1_700_000_000_000
    assert uuid.UUID(following_id(first, 3)).int == uuid.UUID(first).int + 3


def test_a_score_is_kept_with_what_was_told_and_nothing_of_the_borrower(
    numbers: Model, document: dict[str, Any]
) -> None:
    answered, told = asked(numbers, "/v1/score", document)
    [decision] = answered.decisions
    assert decision.id == told["decision_id"]
    assert (decision.kind, decision.request, decision.actor) == ("score", "call-1", "branch-7")
    assert (decision.model, decision.run) == (numbers.version, "run-1")
    assert (decision.probability, decision.points) == ([told["probability"]], [told["points"]])
    assert (decision.band, decision.proposal, decision.person_decides) == (told["band"], told["proposal"], True)
    assert decision.reasons == [[reason["cause"] for reason in told["reasons"]]]
    assert decision.inputs == hashlib.sha256(json.dumps(document).encode()).hexdigest()
    [row] = pyarrow.parquet.read_table(io.BytesIO(parquet_of([decision]))).to_pylist()
    assert row["decided_at"].isoformat() == "2024-06-15T15:00:00+00:00"  # as given; ``at`` is the time of the request
    assert row["at"] > row["decided_at"]
    assert decision.application == hashlib.sha256(b"A-1").hexdigest()
    line = lines(answered.decisions, 1_234)
    assert json.loads(line)["latency_us"] == 1_234
    for value in ("A-1", "1985", 'branch"', "secondary", "2500"):
        assert value not in line.decode()


def test_a_person_decides_in_the_words_of_the_norm(numbers: Model, mixed: Model, document: dict[str, Any]) -> None:
    told = asked(numbers, "/v1/score", document)[1]
    assert "Ley N.° 29733" in told["notice"]["es"]
    assert "a person decides" in told["notice"]["en"]
    assert asked(mixed, "/v1/score", document)[1]["notice"] is None


def test_rows_of_ready_features_are_one_decision_of_several_rows(numbers: Model) -> None:
    outputs = [{"name": name} for name in ("reasons", "probability", "points")]
    answered, told = asked(numbers, INFER, ROWS | {"outputs": outputs})
    [decision] = answered.decisions
    assert told["parameters"] == {"decision_id": decision.id}
    by_name = {output["name"]: output["data"] for output in told["outputs"]}
    assert (decision.probability, decision.points) == (by_name["probability"], by_name["points"])
    assert [code for row in decision.reasons for code in row] == [code for code in by_name["reasons"] if code]


def test_what_was_not_answered_is_no_decision(numbers: Model) -> None:
    assert asked(numbers, "/v1/score", {})[0].decisions == ()
    assert answer(numbers, Request("GET", "/v1/models")).decisions == ()


def test_a_batch_answers_each_application_by_itself(numbers: Model, document: dict[str, Any]) -> None:
    bad = {"application": {"amount": -3, "term_days": 30}}
    answered, told = asked(numbers, "/v1/score:batch", {"applications": [document, bad, document]})
    first, second, third = told["answers"]
    assert answered.status == 200
    assert "application.amount" in second["error"]
    alone = asked(numbers, "/v1/score", document)[1]
    for one in (first, third):
        assert one["score"] | {"decision_id": ""} == alone | {"decision_id": ""}
    assert [decision.id for decision in answered.decisions] == [
        first["score"]["decision_id"], third["score"]["decision_id"],
    ]  # fmt: skip
    assert first["score"]["decision_id"] < third["score"]["decision_id"]


@pytest.mark.parametrize("applications", [[], [{}] * 101, 3])
def test_a_batch_of_none_or_too_many_is_refused(numbers: Model, applications: Any) -> None:
    answered, told = asked(numbers, "/v1/score:batch", {"applications": applications})
    assert answered.status == 400
    assert "applications" in told["error"]


def test_a_spool_becomes_parquet_once_and_is_gone(store: Store, tmp_path: Path) -> None:
    ids, written = some_lines(3)
    spool = Spool(tmp_path)
    spool.append(written[0])
    spool.append(written[1] + written[2])
    ship(tmp_path, store)
    assert spooled(tmp_path) == ids  # the segment is still written to
    spool.close()
    [segment] = segments(tmp_path)
    content = segment.read_bytes()
    ship(tmp_path, store)
    assert segments(tmp_path) == []
    segment.write_bytes(content)  # as after a crash between the upload and the removal
    ship(tmp_path, store)
    rows = [row for row in logged(store).to_pylist() if row["id"] in ids]
    assert [(row["id"], row["row"], row["probability"]) for row in rows] == [
        (id_, row, probability) for id_ in ids for row, probability in enumerate((0.5, 0.25))
    ]
    assert {(row["latency_us"], row["band"], row["at"].tzinfo is not None) for row in rows} == {(7, None, True)}


@pytest.mark.parametrize("kept", [0, 1, 200])
def test_a_write_that_was_cut_off_loses_no_decision(access: Access, tmp_path: Path, kept: int) -> None:
    with embedded_store(tmp_path / "store") as own:
        store = Store(own)
        ids, written = some_lines(3)
        spool = Spool(tmp_path / "first")
        spool.append(b"".join(written))
        spool.close()
        content = segments(tmp_path / "first")[0].read_bytes()
        ship(tmp_path / "first", store)
        [key] = store.keys(AUDIT_BUCKET, "decisions/")
        part = store.read(AUDIT_BUCKET, key)[:kept]
    with embedded_store(tmp_path / "other") as own:
        store = Store(own)
        store.write_once(AUDIT_BUCKET, key, part)  # what a store kept that died meanwhile
        again = tmp_path / "again"
        again.mkdir()
        (again / f"0{ENDING}").write_bytes(content)
        ship(again, store)
        ship(again, store)
        assert segments(again) == []
        keys = store.keys(AUDIT_BUCKET, "decisions/")
        assert len(keys) == 2
        whole = pyarrow.parquet.read_table(io.BytesIO(store.read(AUDIT_BUCKET, max(keys, key=len))))
        assert whole["id"].to_pylist() == [id_ for id_ in ids for _ in range(2)]
        told = Override(ids[1], 1, None, "approve", "I saw the shop myself.", "ana", "r", now())
        assert record(told, store, tmp_path / "none").number == 1, "a decision in the whole file is known"


def test_half_a_line_is_no_decision_and_a_damaged_one_is_kept_apart(store: Store, tmp_path: Path) -> None:
    ids, written = some_lines(3)
    (tmp_path / f"half{ENDING}").write_bytes(written[0] + written[1][:-9])
    (tmp_path / f"zeros{ENDING}").write_bytes(written[2] + b"\0\0\0\n")
    assert ship(tmp_path, store) == 1
    assert segments(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["zeros.damaged"]
    found = set(logged(store)["id"].to_pylist())
    assert [id_ in found for id_ in ids] == [True, False, True]


def test_a_full_spool_takes_nothing_until_it_was_shipped(store: Store, tmp_path: Path) -> None:
    _, written = some_lines(1)
    spool = Spool(tmp_path, most=1_000)
    for _ in range(1 + 1_000 // len(written[0])):
        spool.append(written[0])
    with pytest.raises(SpoolError, match="no decision is made until it does"):
        spool.append(written[0])
    spool.close()
    ship(tmp_path, store)
    spool.measure()
    assert spool.problem() == ""
    spool.append(written[0])


def test_what_is_appended_goes_to_the_disk_itself_and_a_disk_that_fails_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The system's call is the edge here: what it does cannot be seen without cutting the power."""
    _, written = some_lines(2)
    synced = []

    def kept(file: int) -> None:
        synced.append(len(os.pread(file, 10_000, 0).rstrip(b"\0")))

    monkeypatch.setattr(os, "fdatasync", kept)
    spool = Spool(tmp_path)
    spool.append(written[0])
    spool.sync()
    spool.sync()  # nothing new
    spool.append(written[1])
    spool.sync()
    assert synced == [len(written[0]), len(written[0] + written[1])]

    def failing(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", failing)
    spool.append(written[0])
    spool.sync()
    assert spool.problem() == f"The disk of the spool {tmp_path} does not keep what is written: Input/output error."
    spool.sync()
    with pytest.raises(SpoolError, match="does not keep"):
        spool.append(written[1])
    monkeypatch.setattr(os, "fdatasync", kept)
    spool.sync()
    spool.append(written[1])
    assert synced[2:] == [len(written[0] + written[1] + written[0])]


def test_a_full_disk_is_told_and_loses_nothing_that_was_kept(small_disk: Path, store: Store) -> None:
    ids, written = some_lines(1)
    spool = Spool(small_disk)
    spool.append(written[0])

    def filled() -> None:
        for _ in range(10_000):
            spool.append(written[0])

    with pytest.raises(SpoolError, match=r"cannot be written: No space left on device\.$"):
        filled()
    spool.sync()
    assert spool.problem() == ""
    held = spooled(small_disk)
    assert set(held) == set(ids)
    assert 1_000 < len(held) < 10_000
    spool.close()
    [segment] = segments(small_disk)
    assert segment.read_bytes() == written[0] * len(held)


def test_two_that_ship_one_folder_ship_each_segment_once(access: Access, store: Store, tmp_path: Path) -> None:
    ids, written = some_lines(40)
    for line in written:
        spool = Spool(tmp_path)
        spool.append(line)
        spool.close()
    environment = os.environ | {
        "QUIPU_STORE_ENDPOINT": access.endpoint,
        "QUIPU_STORE_ACCESS_KEY": access.access_key,
        "QUIPU_STORE_SECRET_KEY": access.secret_key,
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "components.scorer.decisions.shipping", str(tmp_path)]
    both = [subprocess.Popen(command, env=environment) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert segments(tmp_path) == []
    counted = Counter(logged(store)["id"].to_pylist())
    assert {counted[id_] for id_ in ids} == {2}  # once, of two rows


def ask_until_it_ends(port: int, told: list[str], enough: Callable[[], bool]) -> None:
    """Ask one row after another, and note the decisions that were told, until the scorer ends or it is enough."""
    one = {"inputs": [{"name": "x", "shape": [1, 5], "datatype": "FP64", "data": [9, 0.5, None, 8, 5]}]}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as http:
        while not enough():
            try:
                answered = http.post(INFER, json=one)
            except httpx.HTTPError:
                return
            assert answered.status_code == 200
            told.append(answered.json()["parameters"]["decision_id"])


def test_a_kill_in_the_middle_loses_no_decision_that_was_told(
    access: Access, store: Store, keys: tuple[str, str], xgboost_version: str, tmp_path: Path
) -> None:
    promote(store, xgboost_version, "")
    settings = {"QUIPU_SPOOL": str(tmp_path), "QUIPU_SPOOL_SECONDS": "1"}
    told: list[list[str]] = [[], []]
    with running(access, keys[1], **settings) as scorer:
        clients = [threading.Thread(target=ask_until_it_ends, args=(scorer.port, mine, lambda: False)) for mine in told]
        for client in clients:
            client.start()
        deadline = time.monotonic() + 60

        def enough() -> bool:
            return min(map(len, told)) > 50 and (len(segments(tmp_path)) >= 2 or min(map(len, told)) >= 300)

        while not enough() and time.monotonic() < deadline:
            time.sleep(0.01)
        scorer.process.send_signal(signal.SIGKILL)
        for client in clients:
            client.join(20)
    ids = [id_ for mine in told for id_ in mine]
    assert len(ids) > 100
    with running(access, keys[1], **settings) as scorer:
        left = segments(tmp_path)
        ask_until_it_ends(scorer.port, ids, iter([False, False, True]).__next__)
        deadline = time.monotonic() + 60
        while any(path.exists() for path in left) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(path.exists() for path in left)  # it ships what the killed one left
    ship(tmp_path, store)
    counted = Counter(logged(store)["id"].to_pylist())
    assert {counted[id_] for id_ in ids} == {1}
    assert {row["model"] for row in logged(store).to_pylist() if row["id"] in set(ids)} == {xgboost_version}


def test_a_store_that_is_down_makes_the_spool_grow_to_its_bound(
    keys: tuple[str, str], put_into: Callable[[Store], str], tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    with embedded_store(tmp_path / "store") as access:
        version = put_into(Store(access))
        promote(Store(access), version, "")
        started = subprocess.check_output(["pgrep", "-n", "-P", str(os.getpid()), "weed"])
        server = int(started)
        settings = {"QUIPU_SPOOL": str(spool), "QUIPU_SPOOL_SECONDS": "1", "QUIPU_SPOOL_BYTES": "20000"}
        with running(access, keys[1], **settings) as scorer:
            os.kill(server, signal.SIGSTOP)
            told: list[str] = []
            deadline = time.monotonic() + 100
            while time.monotonic() < deadline:
                answered = scorer.http.post(INFER, json=ROWS)
                if answered.status_code != 200:
                    break
                told.append(answered.json()["parameters"]["decision_id"])
            assert answered.status_code == 503
            assert "no decision is made" in answered.json()["error"]
            assert scorer.http.get("/v2/health/ready").status_code == 503
            assert scorer.http.get("/v2/health/live").status_code == 200
            scorer.wait("spool_grown")
            assert len(told) > 20
            os.kill(server, signal.SIGCONT)
            while time.monotonic() < deadline and scorer.http.get("/v2/health/ready").status_code != 200:
                time.sleep(0.1)
            answered = scorer.http.post(INFER, json=ROWS)
            told.append(answered.json()["parameters"]["decision_id"])
        ship(spool, Store(access))
        counted = Counter(logged(Store(access))["id"].to_pylist())
        assert {counted[id_] for id_ in told} == {2}  # rows of one request
