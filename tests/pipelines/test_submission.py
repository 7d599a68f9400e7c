"""Runs on a cluster, against a server that answers as a recorded one did."""

import datetime
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Barrier, Thread
from urllib.parse import unquote

import pytest
from kfp_runs import calls, creation
from kfp_runs.client import Client
from kfp_runs.server import Server

from components.credit.errors import InputError
from pipelines import submission
from pipelines.kfp_server import ServerRefused, server_from_environment, start_seconds
from pipelines.submission import RunFailed, news, submit, watch
from tests.dags import replay
from tests.dags.recorded_answers import BUSY, NOT_BUSY, TABLE, Reading

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "pipelines" / "promotion.yaml"
PARAMETERS = {"as_of": "2024-06-30", "code": "abc", "target": "local", "training_run": "r-1", "approved_by": "Ana"}


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[replay.Server]:
    """A server that knows the promotion pipeline; pauses between tries are short."""
    monkeypatch.setattr(calls, "_FIRST_PAUSE", 0.02)
    monkeypatch.setattr(calls, "_LONGEST_PAUSE", 0.02)
    monkeypatch.setattr(creation, "_FIRST_LOOK_PAUSE", 0.02)
    monkeypatch.setattr(creation, "_LOOK_PAUSE", 0.02)
    monkeypatch.setenv("KUBECONFIG", "/nowhere")  # the machine's own cluster is no part of these tests
    with replay.serving() as server:
        server.pipelines["quipu-promotion"] = list(PARAMETERS)
        yield server


def follow(server: Server, run: str, start_seconds: float = 1800.0) -> list[str]:
    said: list[str] = []
    watch(server, run, said.append, start_seconds, sleep=lambda _: None)
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


def at_once(server: Server, submitters: int) -> list[submission.Submitted]:
    """What so many submitters of one order are told, who all begin at the same moment."""
    together = Barrier(submitters)

    def submitted(_: int) -> submission.Submitted:
        together.wait()
        return submit(server, PACKAGE, PARAMETERS)

    with ThreadPoolExecutor(submitters) as pool:
        return list(pool.map(submitted, range(submitters)))


def test_of_those_who_submit_the_same_at_once_one_creates_the_run_and_the_others_meet_it(
    recorded: replay.Server,
) -> None:
    recorded.pipelines.clear()  # so that all upload it, and one of them is answered with 409
    recorded.create_seconds = 0.3  # in which a real server shows nobody that a run is being created
    told = at_once(Server(recorded.url), 4)
    assert sorted(one.adopted for one in told) == [False, True, True, True]
    assert {one.run for one in told} == set(recorded.runs)
    assert len(recorded.created) == 1, "the same id twice is two workflows"
    assert [one["display_name"] for one in recorded.experiments] == ["quipu"], "turns are given back"


def test_the_turn_of_a_submitter_that_died_is_taken(recorded: replay.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    run = submit(Server(recorded.url), PACKAGE, PARAMETERS).run
    del recorded.runs[run]
    Client(Server(recorded.url)).ask(calls.create_experiment(f"starting {run}", ""))
    monkeypatch.setattr(creation, "_LONGEST_TURN", 0.1)
    assert not submit(Server(recorded.url), PACKAGE, PARAMETERS).adopted
    assert list(recorded.runs) == [run]


def test_who_comes_while_another_uploads_meets_its_run(
    recorded: replay.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, ensure_experiment = Server(recorded.url), submission.ensure_experiment
    asked: list[bool] = []

    def overtaken(client: Client, name: str) -> str:
        if not asked:
            asked.append(True)
            submit(server, PACKAGE, PARAMETERS)
        return ensure_experiment(client, name)

    monkeypatch.setattr(submission, "ensure_experiment", overtaken)
    assert submit(server, PACKAGE, PARAMETERS).adopted
    assert recorded.count("POST", "/runs") == 1, "a second POST would leave a second workflow"


def test_a_run_that_a_client_without_turns_created_is_met_and_its_second_workflow_told(
    recorded: replay.Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(recorded.url)
    submit(server, PACKAGE, PARAMETERS)
    find_run, looks = Client.find_run, [0]

    def too_early(client: Client, run_id: str) -> object:
        looks[0] += 1
        return None if looks[0] <= 2 else find_run(client, run_id)

    monkeypatch.setattr(Client, "find_run", too_early)
    assert submit(server, PACKAGE, PARAMETERS).adopted
    assert "kubectl get workflows -A -l pipeline/runid=" in caplog.text


def test_two_who_try_a_failed_run_again_at_once_both_meet_it(recorded: replay.Server) -> None:
    recorded.life = replay.FAILS
    server = Server(recorded.url)
    run = submit(server, PACKAGE, PARAMETERS).run
    with pytest.raises(RunFailed):
        follow(server, run)
    recorded.fault("POST", ":retry", 400)  # as the second is answered, for the run goes on already
    recorded.runs[run].ahead = ["run_failed", "run_retried"]
    assert submit(server, PACKAGE, PARAMETERS).adopted


def test_a_busy_server_is_asked_again_and_a_broken_one_is_named(recorded: replay.Server) -> None:
    recorded.fault("GET", "/runs", 500, 503)
    recorded.fault("GET", "/versions", "drop")
    submit(Server(recorded.url), PACKAGE, PARAMETERS)
    recorded.fault("GET", "/runs", *[500] * 6)
    with pytest.raises(ServerRefused, match=r"GET .*/runs/.* was answered with 500"):
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


@pytest.mark.parametrize("reading", TABLE, ids=lambda reading: reading.case)
def test_submit_reads_an_answer_as_the_table_says(recorded: replay.Server, reading: Reading) -> None:
    server = Server(recorded.url)
    run = submit(server, PACKAGE, PARAMETERS).run
    recorded.runs[run].ahead, recorded.changes = [reading.answer], reading.changes
    states: dict[str, str] = {}
    news(Client(server).run(run), states)
    assert states == reading.tasks
    if reading.state == "SUCCEEDED":
        assert len(follow(server, run)) == len(reading.tasks)
    elif reading.ended:
        said = f"{', '.join(reading.failed)} failed: {reading.reason}" if reading.failed else "was cancelled."
        with pytest.raises(RunFailed, match=f"{re.escape(said)}$"):
            follow(server, run)


@pytest.mark.parametrize("status", BUSY + NOT_BUSY)
def test_submit_asks_a_busy_server_again(recorded: replay.Server, status: int) -> None:
    server = Server(recorded.url)
    run = submit(server, PACKAGE, PARAMETERS).run
    asked = recorded.count("GET", run)
    recorded.fault("GET", f"/runs/{run}", status)
    if status in (*BUSY, 404):  # to be unknown is an answer
        submit(server, PACKAGE, PARAMETERS)
    else:
        with pytest.raises((ServerRefused, InputError), match=f"was answered with {status}"):
            submit(server, PACKAGE, PARAMETERS)
    assert recorded.count("GET", run) - asked == {404: 2}.get(status, 1 + (status in BUSY))


def test_a_reason_stands_in_the_log_of_a_pod_that_may_be_retried_and_never_in_the_words_that_it_is_gone(
    recorded: replay.Server,
) -> None:
    recorded.life, recorded.retried = replay.FAILS, True
    server = Server(recorded.url)
    run = submit(server, PACKAGE, PARAMETERS).run
    with pytest.raises(RunFailed, match=r"^check failed: portfolio has 10 rows; at least 100 are needed$"):
        follow(server, run)
    recorded.runs[run].ahead, recorded.retried = ["run_failed"], False
    FAILED_POD, replay.FAILED_POD = replay.FAILED_POD, "no pod"
    try:
        with pytest.raises(RunFailed, match=r"^check failed: its log is not kept any more$"):
            follow(server, run)
    finally:
        replay.FAILED_POD = FAILED_POD


def test_the_words_of_a_500_are_shown(recorded: replay.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "_create", lambda _: replay.recorded("run_create_no_kubernetes"))
    with pytest.raises(ServerRefused, match=r"Failed to create a workflow for \(\).*: connection refused\.$"):
        submit(Server(recorded.url), PACKAGE, PARAMETERS)


def test_pods_that_do_not_start_are_warned_of_after_a_minute_and_their_run_is_ended_after_the_bound(
    recorded: replay.Server,
) -> None:
    recorded.life = replay.NEVER_ENDS
    server = Server(recorded.url)
    run = submit(server, PACKAGE, PARAMETERS).run
    recorded.runs[run].age = datetime.timedelta(seconds=70)
    states: list[str] = []

    def sleep(_: float) -> None:
        states.append("looked")
        if len(states) == 3:
            recorded.runs[run].age = datetime.timedelta(hours=1)

    said: list[str] = []
    with pytest.raises(RunFailed, match=r"was ended after 1200 s \(KFP_START_SECONDS\)\. The pod of 'slow' has not"):
        watch(server, run, said.append, 1200.0, sleep)
    warnings = [line for line in said if "has not started" in line]
    assert len(warnings) == 1
    assert "Its image cannot be pulled" in warnings[0]
    assert f"'kubectl describe pods -A -l pipeline/runid={run}'" in warnings[0]
    assert recorded.count("POST", f"{run}:terminate") == 1


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A Kubernetes API server with one pod, whose image cannot be pulled; gives the paths that it is asked for."""
    asked: list[str] = []
    waiting = {"image": "quipu/ingest:1", "state": {"waiting": {"reason": "ErrImagePull"}}}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(unquote(self.path))
            body = json.dumps({"items": [{"status": {"containerStatuses": [waiting]}}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    (tmp_path / "config").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    yield asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_warning_has_the_cause_that_the_cluster_tells(recorded: replay.Server, cluster: list[str]) -> None:
    recorded.life = replay.NEVER_ENDS
    server = Server(recorded.url, namespace="team-a")
    run = submit(server, PACKAGE, PARAMETERS).run
    recorded.runs[run].age = datetime.timedelta(hours=1)
    with pytest.raises(RunFailed, match=r"The image quipu/ingest:1 of the run .* cannot be pulled \(ErrImagePull\)"):
        follow(server, run)
    assert cluster == [f"/api/v1/namespaces/team-a/pods?labelSelector=pipeline/runid={run}"]


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "inf"])
def test_a_bound_that_is_no_number_of_seconds_is_named(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KFP_START_SECONDS", text)
    with pytest.raises(InputError, match=f"KFP_START_SECONDS is '{text}'"):
        start_seconds()


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
    monkeypatch.setenv("KFP_ENDPOINT", recorded.url)
    monkeypatch.setenv("KFP_TOKEN_FILE", str(token))
    server = server_from_environment()
    run = submit(server, PACKAGE, PARAMETERS).run
    recorded.token = "new"
    token.write_text("new")
    assert follow(server, run)


def test_a_server_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_FIRST_PAUSE", 0.02)
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
    recorded.wait_until_asked(1, "POST", "/runs", seconds=180)  # a loaded machine takes its time to import kfp
    while not recorded.created:
        pass
    return str(recorded.created[0]["run_id"])
