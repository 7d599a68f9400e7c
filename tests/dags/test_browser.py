"""``make airflow`` as a person uses it: signs in, triggers the training, approves its model and sees it end green."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# Small enough for a test, large enough for a champion.
SMALL = """
search: {folds: 3, forest_candidates: 2, xgboost_candidates: 3}
limits: {least_bads: 20}
"""
UP_SECONDS, TRAINED_SECONDS, SEEN_SECONDS = 600, 900, 120  # on a busy machine

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no browser: apt-get install chromium"),
    pytest.mark.skipif(
        not (ROOT / ".venv" / "bin" / "python").exists(), reason="no pipelines' environment: make setup"
    ),
]


@dataclass
class Airflow:
    """A running Airflow and how to get in."""

    page: str
    user: str
    password: str


def processes_of(folder: Path) -> list[str]:
    """Processes that name a folder in their command or their environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            if str(folder).encode() in told and int(entry.name) != os.getpid():
                found.append(f"{entry.name} {(entry / 'cmdline').read_bytes().decode().replace(chr(0), ' ')}")
    return found


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    folder = tmp_path_factory.mktemp("standalone")
    (folder / "small.yaml").write_text(SMALL)
    order = ["--borrowers", "2000", "--config", str(folder / "small.yaml"), "--port", "0"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "QUIPU"))}
    log = folder / "standalone.log"
    with log.open("wb") as opened:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "airflow" / "standalone.py"), "--folder", str(folder / "up"), *order],
            env=clean,
            stdin=subprocess.DEVNULL,
            stdout=opened,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + UP_SECONDS
        while not (told := re.search(r"Airflow is on (\S+); user (\S+), password (\S+);", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)
        yield Airflow(*told.groups())
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=120)
    assert "Traceback" not in log.read_text()
    assert processes_of(folder / "up") == [], "Ctrl-C leaves no process"


@pytest.fixture
def page(airflow: Airflow, tmp_path: Path) -> Iterator[Any]:
    """A page of a browser that has signed in."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # The system's browser; without its sandbox, since tests may run as root.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(base_url=airflow.page, viewport={"width": 1400, "height": 900})
        page.set_default_timeout(SEEN_SECONDS * 1000)
        page.goto("/")
        page.get_by_label("Username").fill(airflow.user)
        page.get_by_label("Password").fill(airflow.password)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("link", name="Dags").first.wait_for()
        try:
            yield page
        finally:
            page.screenshot(path=tmp_path / "last.png")
            browser.close()


def approve(page: Any) -> None:
    """Answer the one question that Airflow asks."""
    page.goto("/required_actions")
    page.get_by_role("link", name="Quipu: promote the model of").click()
    page.get_by_role("button", name="Approve").click()
    page.get_by_text("from admin").wait_for()


def wait_for(page: Any, task: str, state: str, run: str = "") -> None:
    """Look at a run's page until a task's row tells a state; again after a page gave up on a busy server.

    Airflow 3.3 may take the end of the asking, which hands over to its trigger, for the end of the task, where the
    answer comes within seconds: it then tries the task again and asks once more, and who watches ``run`` answers again.
    """
    from playwright.sync_api import expect

    deadline = time.monotonic() + TRAINED_SECONDS
    while True:
        try:
            expect(page.get_by_role("row", name=task)).to_contain_text(state, timeout=20_000)
            return
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            if run and page.get_by_role("row", name="approve").get_by_text("Awaiting Input").count():
                approve(page)
                page.goto(run)
            else:
                page.reload()


def test_a_person_triggers_the_training_approves_its_model_and_sees_it_end_green(page: Any) -> None:
    page.goto("/dags/quipu_training")
    page.get_by_role("button", name="Trigger").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Trigger").click()
    page.wait_for_url("**/dags/quipu_training/runs/*")
    run = page.url
    wait_for(page, "train", "Success")
    wait_for(page, "approve", "Awaiting Input")
    wait_for(page, "promote", "No Status")

    approve(page)
    page.goto(run)
    for name in ("promote", "approve", "train", "as_of"):
        wait_for(page, name, "Success", run)
    page.get_by_test_id("header-card").get_by_text("Success", exact=True).wait_for()
