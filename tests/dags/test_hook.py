import asyncio
from pathlib import Path

import pytest
from airflow_kfp.errors import (
    KfpConflict,
    KfpNotFound,
    KfpRejected,
    KfpUnauthorized,
    KfpUnavailable,
)
from airflow_kfp.hooks import KfpHook
from kfp_runs import calls
from kfp_runs.answers import NewRun, Run, RuntimeConfig, VersionReference
from kfp_runs.runs import FailedPod
from replay import FAILS, NEVER_ENDS, Server
from standins import connect

RUN = "11111111-2222-3333-4444-555555555555"


def new_run(**parameters: object) -> NewRun:
    return NewRun(
        RUN, "one", VersionReference("id-of-fails", "id-of-fails 1"), RuntimeConfig(parameters or {"rows": 10})
    )


def test_the_button_in_the_connection_page_tells_whether_the_server_answers(
    kfp: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert KfpHook().test_connection()[0]
    connect(monkeypatch, "http://127.0.0.1:9")
    answers, message = KfpHook(attempts=1).test_connection()
    assert not answers
    assert "http://127.0.0.1:9" in message


def test_a_connection_without_host_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_KFP_DEFAULT", '{"conn_type": "kfp"}')
    with pytest.raises(KfpRejected, match="'kfp_default' has no host"):
        KfpHook().run(RUN)


@pytest.mark.parametrize(
    ("connection", "url"),
    [
        ('{"conn_type": "kfp", "host": "ml-pipeline"}', "http://ml-pipeline:8888"),
        ('{"conn_type": "kfp", "host": "kfp.example", "schema": "https"}', "https://kfp.example:443"),
        ('{"conn_type": "kfp", "host": "https://kfp.example/pipeline/"}', "https://kfp.example/pipeline"),
        ("kfp://kfp.example:80/http", "http://kfp.example:80"),
    ],
)
def test_the_address_follows_from_the_fields_that_are_there(
    connection: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_KFP_DEFAULT", connection)
    assert KfpHook().endpoint.url == url


@pytest.mark.parametrize("extra", [{"timeout": "soon"}, {"timeout": -1}, {"ca_file": "/nowhere.pem"}])
def test_a_wrong_field_of_the_connection_is_named(
    kfp: Server, extra: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, kfp.url.replace("http:", "https:"), **extra)
    with pytest.raises(KfpRejected, match=next(iter(extra))):
        KfpHook().run(RUN)


def test_busy_answers_and_broken_lines_are_tried_again(kfp: Server) -> None:
    kfp.fault("GET", "/runs/", 503, "drop", 429)
    assert KfpHook().find_run(RUN) is None
    assert kfp.count("GET", RUN) == 4


def test_a_server_that_stays_away_is_named_after_the_last_try(kfp: Server) -> None:
    kfp.fault("GET", "/runs/", *[502] * 9)
    with pytest.raises(KfpUnavailable, match="answered with 502"):
        KfpHook(attempts=2).run(RUN)
    assert kfp.count("GET", RUN) == 2


def test_a_hanging_server_is_given_up_after_the_timeout(kfp: Server) -> None:
    kfp.fault("GET", "/runs/", "hang")
    with pytest.raises(KfpUnavailable, match="ReadTimeout"):  # the server itself would answer after three seconds
        KfpHook(attempts=1).run(RUN)


def test_the_token_file_is_read_again_for_each_request(
    kfp: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    connect(monkeypatch, kfp.url, token_path=str(token))
    hook, kfp.token = KfpHook(), "first"
    assert hook.find_run(RUN) is None
    kfp.token = "second"
    with pytest.raises(KfpUnauthorized, match="token has expired"):
        hook.find_run(RUN)
    token.write_text("second\n")
    assert hook.find_run(RUN) is None
    token.unlink()
    with pytest.raises(KfpUnauthorized, match="cannot be read"):
        hook.find_run(RUN)


def test_a_401_in_the_middle_is_met_with_the_renewed_token(
    kfp: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kfp.fault("GET", "/runs/", 401)
    assert KfpHook().find_run(RUN) is None


def test_a_sign_in_page_is_not_taken_for_an_answer(kfp: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kfp, "answer", lambda *_: (200, "<html>Sign in</html>"))
    with pytest.raises(KfpUnauthorized, match="sign-in page"):
        KfpHook().run(RUN)


def test_an_unknown_run_and_a_name_that_exists_have_errors_of_their_own(kfp: Server) -> None:
    with pytest.raises(KfpNotFound, match=RUN):
        KfpHook().run(RUN)
    with pytest.raises(KfpConflict, match="already exists"):
        KfpHook().send(calls.create_experiment("training", ""))
    assert KfpHook().ensure_experiment("training") == "6a7c8dbf-f12d-4e6d-be5b-4a23c214783f"


@pytest.mark.parametrize("fault", ["drop after", 500])
def test_a_run_whose_creation_was_answered_badly_is_created_once(kfp: Server, fault: str | int) -> None:
    if fault == 500:  # the answer of a server that had written the run down already
        KfpHook().submit(new_run())
        kfp.created.clear()
        created = KfpHook().submit(new_run())
        assert created.adopted
        assert kfp.created == []
    else:
        kfp.fault("POST", "/runs", fault)
        created = KfpHook().submit(new_run())
        assert not created.adopted
        assert len(kfp.created) == 1
    assert created.run.run_id == RUN


def test_a_run_is_sent_again_only_when_it_never_appeared(kfp: Server) -> None:
    kfp.fault("POST", "/runs", "drop")
    assert KfpHook().submit(new_run()).run.run_id == RUN
    assert len(kfp.created) == 1
    assert kfp.count("GET", RUN) > 2


def test_a_parameter_that_the_server_refuses_is_named(kfp: Server) -> None:
    with pytest.raises(KfpRejected, match="not required by pipeline: nope"):
        KfpHook().submit(new_run(nope=1))
    assert len(kfp.created) == 1


def test_a_spec_that_the_server_cannot_read_is_not_tried_again(kfp: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from replay import recorded

    monkeypatch.setattr(kfp, "_create", lambda _: recorded("run_bad_spec"))
    with pytest.raises(KfpRejected, match="pipeline spec is invalid"):
        KfpHook().submit(new_run())
    assert kfp.count("POST", "/runs") == 1


@pytest.mark.parametrize(("name", "offered"), [("fail", "'fails'"), ("seem", "'seam'")])
def test_a_pipeline_that_does_not_exist_is_answered_with_the_nearest(kfp: Server, name: str, offered: str) -> None:
    with pytest.raises(KfpRejected, match=f"no pipeline '{name}'.*did you mean {offered}"):
        KfpHook().resolve_pipeline(name, None)


def test_a_version_that_does_not_exist_is_answered_with_the_nearest(kfp: Server) -> None:
    with pytest.raises(KfpRejected, match="did you mean 'fails 1'"):
        KfpHook().resolve_pipeline("fails", "fails 2")


@pytest.mark.parametrize("retried", [False, True], ids=["plain task", "task that may be retried"])
def test_the_log_is_read_under_the_pods_real_name_and_never_the_words_that_it_is_gone(
    kfp: Server, retried: bool
) -> None:
    kfp.life, kfp.retried = FAILS, retried
    client = KfpHook().client
    KfpHook().submit(new_run())
    log = client.log_of(RUN, FailedPod("fails-bg5hj-2567477270", "executor"))
    assert log[-1].endswith("exit status 1")
    assert not any("error_message" in line for line in log)
    assert client.log_of(RUN, FailedPod("fails-bg5hj-1", "executor")) == []


def test_waiting_and_not_waiting_read_the_same(kfp: Server) -> None:
    kfp.life = NEVER_ENDS
    KfpHook().submit(new_run())
    kfp.fault("GET", "/runs/", 503, "drop")

    async def from_a_trigger() -> Run:
        hook = KfpHook()
        run = await hook.arun(RUN)
        await hook.aterminate(RUN)
        return run

    assert asyncio.run(from_a_trigger()).state == "PENDING"
    assert kfp.runs[RUN].ahead == ["run_canceled"]


def test_stopping_a_run_that_is_gone_is_no_error(kfp: Server) -> None:
    KfpHook().terminate(RUN)
    assert kfp.count("POST", f"{RUN}:terminate") == 1
