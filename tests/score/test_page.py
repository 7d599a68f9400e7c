"""The page to try the scorer."""

import base64
import hashlib
import json
import re
from typing import Any

import pytest

from components.score.model import Model
from components.score.page import PAGE
from components.score.requests import STRANGER, Request
from components.score.routes import answer


def test_anybody_gets_the_page_and_nothing_else_may_run_on_it(numbers: Model) -> None:
    answered = answer(numbers, Request("GET", "/", actor=STRANGER))
    assert (answered.status, answered.body, answered.type) == (200, PAGE, "text/html; charset=utf-8")
    policy = dict(answered.headers)["content-security-policy"]
    for tag in ("style", "script"):
        text = re.search(rf"<{tag}>(.*?)</{tag}>".encode(), PAGE, re.DOTALL)
        assert text is not None
        assert f"{tag}-src 'sha256-{base64.b64encode(hashlib.sha256(text[1]).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert not re.search(rb"(src|href)=.(https?:)?//|style=|onclick=", PAGE), "nothing from elsewhere, nothing inline"


@pytest.mark.parametrize("channel", re.findall(r"<option>(\w+)", PAGE.decode()))
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
