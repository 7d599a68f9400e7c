"""The as-of day of a run: one pure function, so that every DAG and every way of starting one agrees."""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

LIMA = ZoneInfo("America/Lima")


class AsOfRefused(ValueError):
    """The as-of day that a run was given cannot be used; the text is one sentence with the remedy."""


def resolve_as_of(
    *,
    requested: object,
    partition_key: str | None,
    events: Iterable[Mapping[str, Any]],
    interval_end: datetime | None,
    run_after: datetime,
    now: datetime,
    month_end: bool,
) -> date:
    """The as-of day of a run, from the first of these that says it.

    1. the parameter that a person gave; 2. the partition key; 3. the newest asset event that carries ``as_of``;
    4. the end of the data interval; 5. the moment after which the run was to start. Moments give the last day,
    or the last end of a month, whose books were closed in Lima at that moment.

    Args:
        requested: Parameter ``as_of``, YYYY-MM-DD, or nothing.
        partition_key: Partition of the run, YYYY-MM-DD or YYYY-MM, or nothing.
        events: What the asset events that started the run carry, oldest first.
        interval_end: End of the data interval, or nothing where the run has none.
        run_after: Moment after which the run was to start.
        now: This moment.
        month_end: Whether the day must be the end of a month.

    Raises:
        AsOfRefused: The day lies in the future, is no date, or is not the end of a month where it must be.
    """
    named = [("parameter as_of", requested), ("partition key", partition_key)]
    named += [("asset event's as_of", event.get("as_of")) for event in reversed(list(events))]
    for source, value in named:
        if value:
            return _checked(source, str(value), now, month_end)
    moment, source = (interval_end, "end of the data interval") if interval_end else (run_after, "moment of the run")
    return _not_future(f"day that follows from the {source}", last_closed(moment, month_end), now)


def last_closed(moment: datetime, month_end: bool) -> date:
    """The last day, or end of a month, whose books were closed in Lima at that moment."""
    day = moment.astimezone(LIMA).date() - timedelta(days=1)
    if not month_end or day == _end_of_month(day):
        return day
    return day.replace(day=1) - timedelta(days=1)


def _checked(source: str, value: str, now: datetime, month_end: bool) -> date:
    try:
        day = _end_of_month(date.fromisoformat(f"{value}-01")) if len(value) == 7 else date.fromisoformat(value)
    except ValueError:
        raise AsOfRefused(f"The {source} is '{value}', which is no date; write it as 2026-10-31.") from None
    _not_future(source, day, now)
    if month_end and day != _end_of_month(day):
        before = day.replace(day=1) - timedelta(days=1)
        raise AsOfRefused(
            f"The {source} is {day}, which is not the end of a month; give {before} or {_end_of_month(day)}."
        )
    return day


def _not_future(source: str, day: date, now: datetime) -> date:
    today = now.astimezone(LIMA).date()
    if day > today:
        raise AsOfRefused(
            f"The {source} is {day}, which lies in the future: today is {today} in Lima; "
            "give a day whose books are closed."
        )
    return day


def _end_of_month(day: date) -> date:
    return day.replace(day=calendar.monthrange(day.year, day.month)[1])
