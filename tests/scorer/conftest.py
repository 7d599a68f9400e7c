"""An application with its history, and a scorer that runs; the models are those of ``tests.scorer.models``."""

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.credit.book.store import Access, Store
from components.credit.release.registry import promote
from tests.scorer.models import (
    keys,
    make_scorer,
    mixed,
    newer_version,
    numbers,
    parted,
    put,
    put_into,
    xgboost_version,
)
from tests.scorer.running import Scorer as Running
from tests.scorer.running import running

__all__ = ["keys", "make_scorer", "mixed", "newer_version", "numbers", "parted", "put", "put_into", "xgboost_version"]

DAY = datetime.timedelta(days=1)
DECIDED = datetime.datetime(2024, 6, 15, 15, tzinfo=datetime.UTC)


@pytest.fixture(scope="session", autouse=True)
def spool_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The spool of all scorers that are not given another."""
    folder = tmp_path_factory.mktemp("spool")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUIPU_SPOOL", str(folder))
        yield folder


@pytest.fixture
def document() -> dict[str, Any]:
    """An application with two earlier loans, a bureau report and two movements."""
    lent = [DECIDED - 500 * DAY, DECIDED - 200 * DAY]
    return {
        "application": {
            "application_id": "A-1",
            "decided_at": DECIDED.isoformat(),
            "amount": 2500,
            "total_due": "3000.00",
            "term_days": 360,
            "channel": "branch",
            "declared_income": 1800.50,
        },
        "borrower": {"birth_month": "1985-02-01", "education": "secondary", "dependants": 2},
        "loans": [
            {
                "loan_id": f"L{number}",
                "event_time": day.isoformat(),
                "principal": 1500,
                "term_days": 90,
                "kind": "new",
            }
            for number, day in enumerate(lent)
        ],
        "repayments": [
            {
                "loan_id": f"L{number}",
                "event_time": (day + 30 * DAY + late * DAY).isoformat(),
                "kind": kind,
                "instalment": 1,
                "due_on": (day + 30 * DAY).date().isoformat(),
                "amount": 1600,
            }
            for number, day in enumerate(lent)
            for kind, late in (("due", 0), ("payment", 9 * number))
        ],
        "bureau": [
            {
                "event_time": (DECIDED - 60 * DAY).isoformat(),
                "known_at": (DECIDED - 30 * DAY).isoformat(),
                "debt": 4200,
                "worst_class": 0,
            }
        ],
        "transactions": [
            {
                "event_time": (DECIDED - days * DAY).isoformat(),
                "direction": "in",
                "kind": "wallet",
                "amount": 120.40,
            }
            for days in (3, 40)
        ],
        "attributes": {"shop_score": 61},
    }


@pytest.fixture(scope="module")
def scorer(access: Access, store: Store, keys: tuple[str, str], xgboost_version: str) -> Iterator[Running]:
    """A scorer that follows the pointer; it starts with the first model."""
    promote(store, xgboost_version, "")
    with running(access, keys[1]) as scorer:
        yield scorer
