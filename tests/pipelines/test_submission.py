"""Runs on a cluster, against a server that answers as a recorded one did."""

import datetime
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from components.credit.errors import InputError
from pipelines import kfp_server, submission
from pipelines.kfp_server import Server, ServerRefused, server_from_environment
from pipelines.submission import RunFailed, Watched, news, submit, watch
from tests.dags import replay

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "pipelines" / "promotion.yaml"
PARAMETERS = {"as_of": "2024-06-30", "code": "abc", "target": "local", "training_run": "r-1", "approved_by": "Ana"}


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[replay.Server]:
    """A server that knows the promotion pipeline; pauses between tries are short."""
    monkeypatch.setattr(kfp_server, "_LONGEST_PAUSE", 0.02)
    with replay.serving() as server:
        server.pipelines["quipu-promotion"] = list(PARAMETERS)
        yield server


def follow(server: Server, run: str) -> list[str]:
    said: list[str] = []
    watch(server, run, said.append, sleep=lambda _: None)
    return said


def test_a_run_is_created_once_and_met_again_by_whoever_submits_it_again(recorded: replay.Server) -> None:
    server = Server(recorded.url)
    first = submit(server, PACKAGE, PARAMETERS)
    again = submit(server, PACKAGE, PARAMETERS)
    assert (first.adopted, again.adopted, first.run) == (False, True, again.run)
    assert [body["run_id"] for body in recorded.created] == [first.run]
    other = submit(server, PACKAGE, PARAMETERS | {"as_of": "2024-07-31"})
    assert other.run != first.run


def test_the_pipeline_is_uploaded_as_a_version_of_its_content_once(recorded: replay.Server) -> None:
    server = Server(recorded.url)
    submit(server, PACKAGE, PARAMETERS)
    submit(server, PACKAGE, PARAMETERS | {"as_of": "2024-07-31"})
    assert len(recorded.uploads) == 1


def test_a_post_whose_answer_was_lost_is_looked_up_and_not_sent_twice(recorded: replay.Server) -> None:
    recorded.fault("POST", "/runs", "drop after")
    submitted = submit(Server(recorded.url), PACKAGE, PARAMETERS)
    assert recorded.count("POST", "/runs") == 1
    assert not submitted.adopted
    assert follow(Server(recorded.url), submitted.run)


def test_two_who_submit_the_same_at_once_end_with_the_one_run(recorded: replay.Server) -> None:
    both = Barrier(2)

    def submitted(_: int) -> str:
        both.wait()
        return submit(Server(recorded.url), PACKAGE, PARAMETERS).run

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(submitted, range(2))
    assert one == other
    assert list(recorded.runs) == [one]


def test_who_comes_while_another_uploads_meets_its_run(
    recorded: replay.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, found = Server(recorded.url), submission._experiment
    asked: list[bool] = []

    def overtaken(server: Server) -> str:
        if not asked:
            asked.append(True)
            submit(server, PACKAGE, PARAMETERS)
        return found(server)

    monkeypatch.setattr(submission, "_experiment", overtaken)
    assert submit(server, PACKAGE, PARAMETERS).adopted
    assert recorded.count("POST", "/runs") == 1, "a second POST would leave a second workflow"


def test_a_busy_server_is_asked_again_and_a_broken_one_is_named(recorded: replay.Server) -> None:
    recorded.fault("GET", "/runs", 500, 503)
    recorded.fault("GET", "/versions", "drop")
    submit(Server(recorded.url), PACKAGE, PARAMETERS)
    recorded.fault("GET", "/runs", *[500] * 6)
    with pytest.raises(ServerRefused, match=r"did not answer GET /runs/.* well: 500"):
        submit(Server(recorded.url), PACKAGE, PARAMETERS)


def test_a_failed_run_says_the_task_and_the_reason_in_its_log_and_is_tried_again(recorded: replay.Server) -> None:
    recorded.life = replay.FAILS
    server = Server(recorded.url)
    run = submit(server, PACKAGE, PARAMETERS).run
    with pytest.raises(RunFailed, match="check failed: portfolio has 10 rows; at least 100 are needed"):
        follow(server, run)
    assert submit(server, PACKAGE, PARAMETERS).adopted
    assert recorded.count("POST", ":retry") == 1
    follow(server, run)


def test_a_cancelled_run_is_named_as_such(recorded: replay.Server) -> None:
    recorded.life = ("run_pending", "run_canceled")
    server = Server(recorded.url)
    run = submit(server, PACKAGE, PARAMETERS).run
    with pytest.raises(RunFailed, match="was cancelled"):
        follow(server, run)


def test_pods_that_do_not_start_are_warned_of_once() -> None:
    _, found = replay.recorded("run_running")
    late = datetime.datetime.fromisoformat(found["created_at"]) + datetime.timedelta(hours=1)
    seen = Watched()
    lines = news(found, seen, late)
    assert any("has not started" in line and "image can be pulled" in line for line in lines)
    assert not any("has not started" in line for line in news(found, seen, late))


def test_wrong_parameters_end_before_the_server_is_asked(recorded: replay.Server) -> None:
    server = Server(recorded.url)
    with pytest.raises(InputError, match="no parameter 'aproved_by'; did you mean 'approved_by'"):
        submit(server, PACKAGE, {**PARAMETERS, "aproved_by": "Ana"})
    with pytest.raises(InputError, match="needs the parameter 'training_run'"):
        submit(server, PACKAGE, {name: value for name, value in PARAMETERS.items() if name != "training_run"})
    assert not recorded.asked


def test_a_token_that_is_renewed_in_the_middle_is_read_again(
    recorded: replay.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("old")
    recorded.token = "old"
    monkeypatch.setenv("KFP_TOKEN_FILE", str(token))
    run = submit(Server(recorded.url), PACKAGE, PARAMETERS).run
    recorded.token = "new"
    token.write_text("new")
    assert follow(Server(recorded.url), run)


def test_a_server_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kfp_server, "_LONGEST_PAUSE", 0.02)
    with pytest.raises(ServerRefused, match=r"http://127\.0\.0\.1:9 did not answer"):
        submit(Server("http://127.0.0.1:9"), PACKAGE, PARAMETERS)
    monkeypatch.delenv("KFP_ENDPOINT", raising=False)
    with pytest.raises(InputError, match="KFP_ENDPOINT"):
        server_from_environment()


def quipu_submit(recorded: replay.Server, *more: str) -> "subprocess.Popen[str]":
    given = [each for name in ("target", "training_run", "approved_by") for each in ("--parameter", f"{name}=x")]
    command = [sys.executable, "-m", "pipelines.commandline", "submit", "promotion", "--as-of", "2024-06-30"]
    return subprocess.Popen(
        [*command, *given, *more],
        env=os.environ | {"KFP_ENDPOINT": recorded.url, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_the_command_line_submits_and_watches(recorded: replay.Server) -> None:
    done = quipu_submit(recorded)
    said, _ = done.communicate(timeout=120)
    assert done.returncode == 0, said
    assert "created" in said
    assert said.rstrip().endswith("The run succeeded.")
    assert json.dumps(recorded.created[0]["runtime_config"]["parameters"])


@pytest.mark.parametrize(("more", "ends"), [((), 0), (("--cancel-on-interrupt",), 1)], ids=["goes on", "is cancelled"])
def test_ctrl_c_cancels_the_run_only_where_asked(recorded: replay.Server, more: tuple[str, ...], ends: int) -> None:
    recorded.life = replay.NEVER_ENDS
    child = quipu_submit(recorded, *more)
    recorded.wait_until_asked(3, "GET", f"/runs/{_created(recorded)}")
    child.send_signal(signal.SIGINT)
    said, _ = child.communicate(timeout=60)
    assert child.returncode == 130, said
    assert recorded.count("POST", ":terminate") == ends


def _created(recorded: replay.Server) -> str:
    recorded.wait_until_asked(1, "POST", "/runs")
    while not recorded.created:
        pass
    return str(recorded.created[0]["run_id"])
