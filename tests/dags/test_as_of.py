from datetime import UTC, date, datetime
from typing import Any

import pytest
from quipu_dags.as_of import AsOfRefused, last_closed, resolve_as_of

NOW = datetime(2026, 11, 24, 15, tzinfo=UTC)


def resolve(**given: Any) -> date:
    nothing: dict[str, Any] = {
        "requested": None,
        "partition_key": None,
        "events": [],
        "interval_end": None,
        "run_after": NOW,
        "now": NOW,
        "month_end": False,
    }
    return resolve_as_of(**(nothing | given))


def test_the_first_that_says_it_wins() -> None:
    told: dict[str, Any] = {
        "requested": "2026-01-31",
        "partition_key": "2026-02-28",
        "events": [{"as_of": "2026-03-30"}, {"as_of": "2026-03-31"}, {"other": 1}, {}],
        "interval_end": datetime(2026, 5, 1, 12, tzinfo=UTC),
    }
    days = []
    for name in [*told, "run_after"]:
        days.append(resolve(**told).isoformat())
        if name in told:
            told[name] = [] if name == "events" else None
    assert days == ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30", "2026-11-23"]


def test_a_partition_may_be_a_month() -> None:
    assert resolve(partition_key="2024-02", month_end=True) == date(2024, 2, 29)


@pytest.mark.parametrize(
    ("moment", "day", "month"),
    [
        ("2026-11-02T08:00+00:00", "2026-11-01", "2026-10-31"),  # 3 in the morning in Lima
        ("2026-11-01T08:00+00:00", "2026-10-31", "2026-10-31"),
        ("2026-11-01T03:00+00:00", "2026-10-30", "2026-09-30"),  # still October in Lima
        ("2026-01-01T12:00+00:00", "2025-12-31", "2025-12-31"),
        ("2024-03-01T12:00+00:00", "2024-02-29", "2024-02-29"),
    ],
)
def test_a_moment_gives_the_books_that_were_closed_in_lima(moment: str, day: str, month: str) -> None:
    assert last_closed(datetime.fromisoformat(moment), month_end=False).isoformat() == day
    assert last_closed(datetime.fromisoformat(moment), month_end=True).isoformat() == month


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"requested": "2026-11-30"}, "parameter as_of is 2026-11-30, which lies in the future: today is 2026-11-24"),
        ({"requested": "31/10/2026"}, "parameter as_of is '31/10/2026', which is no date; write it as 2026-10-31"),
        ({"partition_key": "october"}, "partition key is 'october', which is no date"),
        ({"events": [{"as_of": "2027-01-31"}]}, "asset event's as_of is 2027-01-31, which lies in the future"),
        ({"requested": "2026-10-15", "month_end": True}, "not the end of a month; give 2026-09-30 or 2026-10-31"),
        (
            {"interval_end": datetime(2026, 12, 2, 8, tzinfo=UTC), "month_end": True},
            "follows from the end of the data interval is 2026-11-30, which lies in the future",
        ),
    ],
)
def test_a_day_that_cannot_be_is_refused_in_one_sentence(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AsOfRefused, match=sentence.replace("'", ".")):
        resolve(**given)


def test_today_in_lima_may_be_given_when_it_is_tomorrow_in_utc() -> None:
    late = datetime(2026, 11, 25, 3, tzinfo=UTC)
    assert resolve(requested="2026-11-24", now=late) == date(2026, 11, 24)
    with pytest.raises(AsOfRefused, match="today is 2026-11-24 in Lima"):
        resolve(requested="2026-11-25", now=late)
