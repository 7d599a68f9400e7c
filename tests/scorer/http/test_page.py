"""The page to try the scorer, and the page in a real browser."""

import base64
import datetime
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.credit.book.store import Access, Store
from components.credit.config import Rule
from components.credit.models.scorer import save
from components.credit.release.registry import Package, promote, register
from components.scorer.http.page import PAGE
from components.scorer.http.routes import answer
from components.scorer.model import Model
from components.scorer.requests import STRANGER, Request
from tests.decisions import decision
from tests.scorer.models import xgboost_scorer
from tests.scorer.running import Scorer as Running
from tests.scorer.running import running

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def test_anybody_gets_the_page_and_nothing_else_may_run_on_it(numbers: Model) -> None:
    answered = answer(numbers, Request("GET", "/", actor=STRANGER))
    assert (answered.status, answered.body, answered.content_type) == (200, PAGE, "text/html; charset=utf-8")
    policy = dict(answered.headers)["content-security-policy"]
    for tag in ("style", "script"):
        text = re.search(rf"<{tag}>(.*?)</{tag}>".encode(), PAGE, re.DOTALL)
        assert text is not None
        assert f"{tag}-src 'sha256-{base64.b64encode(hashlib.sha256(text[1]).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert not re.search(rb"(src|href)=.(https?:)?//|style=|onclick=", PAGE), "nothing from elsewhere, nothing inline"


@pytest.mark.parametrize("channel", re.findall(r'<option value="(\w{3,})"', PAGE.decode()))
def test_the_example_of_the_page_is_answered(numbers: Model, channel: str) -> None:
    history = re.search(r"<textarea[^>]*>(.*?)</textarea>", PAGE.decode(), re.DOTALL)
    assert history is not None
    values: dict[str, Any] = dict(re.findall(r'<input id="(\w+)" type="number"[^>]* value="([^"]+)"', PAGE.decode()))
    values |= {"term_days": int(values["term_days"]), "channel": channel, "decided_at": "2026-11-24T12:00:00.000Z"}
    document = json.loads(history[1]) | {"application": values}
    answered = answer(numbers, Request("POST", "/v1/score", json.dumps(document).encode()))
    assert answered.status == 200, answered.body
    shown = set(re.findall(r"\bscore\.(\w+)", PAGE.decode())) - {"decision_id"}
    assert shown <= set(json.loads(answered.body))


@pytest.fixture
def browser() -> Iterator[Any]:
    """The system's browser; without its sandbox, since tests may run as root."""
    if CHROMIUM is None:
        pytest.skip("no browser: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield opened
        finally:
            opened.close()


@pytest.fixture
def strict(access: Access, store: Store, keys: tuple[str, str], tmp_path: Path) -> Iterator[Running]:
    """A scorer whose model carries a rule that most borrowers with a bureau file break."""
    model = xgboost_scorer(31)
    save(model, tmp_path / "model")
    en, es = "The debt with all lenders is too high", "La deuda con todas las entidades es muy alta"
    rule = Rule("debt", "bureau_debt", 50_000.0, en, es, "Res. SBS N.° 6941-2008")
    chosen = decision(model.family, model.version(), [rule])
    made = ("2024-06-30", "test", "ab" * 32, {"auc": 0.7}, chosen, "run-1")
    register(store, tmp_path / "model", Package(model.version(), model.family, *made), keys[0])
    promote(store, model.version(), "")
    with running(access, keys[1]) as scorer:
        yield scorer


def test_the_page_tells_a_decline_with_its_rule_its_reasons_and_the_notice(
    strict: Running, browser: Any, tmp_path: Path
) -> None:
    page = browser.new_page(locale="es-PE", base_url=str(strict.http.base_url), viewport={"width": 420, "height": 900})
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto("/")
    month_end = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=30)).isoformat()
    in_debt = {"bureau": [{"event_time": month_end, "debt": 99_000, "lenders": 9, "worst_class": 4}]}
    page.get_by_label("Historial en bruto").fill(json.dumps(in_debt))
    page.get_by_role("button", name="Evaluar").click()
    answered = page.locator("#answer")
    answered.get_by_text("rechazar", exact=True).wait_for()
    spanish = answered.inner_text()
    page.screenshot(path=tmp_path / "spanish.png", full_page=True)
    page.get_by_label("Idioma").select_option("en")
    english = answered.inner_text()
    page.set_viewport_size({"width": 1200, "height": 900})
    page.screenshot(path=tmp_path / "english.png", full_page=True)
    assert complaints == []

    too_wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert too_wide == 0, "nothing is wider than the page"
    score = strict.http.post("/v1/score", json=in_debt | {"application": {"amount": 2500, "term_days": 360}}).json()
    assert score["rules"]
    for shown, language, other in ((spanish, "es", "en"), (english, "en", "es")):
        for told in [*score["rules"], *score["reasons"], score["notice"]]:
            assert told[language] in shown
            assert told[other] not in shown
    page.get_by_label("Raw history").fill("{")
    page.get_by_role("button", name="Score").click()
    answered.locator(".error").wait_for()
