"""What became of the instalments of one loan, told day by day: slow and obvious, to hold the SQL to."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from tests.feature.histories import Row

Day = datetime.date
LIMA = datetime.timezone(datetime.timedelta(hours=-5))
ONE = datetime.timedelta(days=1)


@dataclass
class Version:
    """An instalment as one version of the schedule has it."""

    order: tuple[int, datetime.datetime]
    known: Day
    due: Day
    amount: Decimal | None


@dataclass
class Instalment:
    """An instalment: the due day that counts, the day of settlement, and how late it was when it was moved."""

    due: Day
    settled: Day | None
    late_before: int | None


def day_of(moment: datetime.datetime) -> Day:
    """The day in Lima."""
    return moment.astimezone(LIMA).date()


def instalments(events: Sequence[Row]) -> list[Instalment]:
    """The instalments of a loan, of which all rows given are known."""
    moves = [each for each in events if each["kind"] in ("due", "payment", "reversal")]
    numbered = all(each["instalment"] is not None for each in moves)
    assert numbered or all(each["instalment"] is None for each in moves if each["kind"] != "due")
    schedule: dict[int, list[Version]] = {}
    for each in events:
        if each["kind"] == "due":
            order = (each["schedule_version"] or 0, each["known_at"])
            version = Version(order, day_of(each["known_at"]), each["due_on"], each["amount"])
            schedule.setdefault(each["instalment"], []).append(version)
    for versions in schedule.values():
        versions.sort(key=lambda version: version.order)
    newest = max((versions[-1].order[0] for versions in schedule.values()), default=0)
    of_newest = [each for versions in schedule.values() for each in versions if each.order[0] == newest]
    renewed = min(min(each.known, each.due) for each in of_newest)
    closed = max((day_of(each["event_time"]) for each in events if each["kind"] == "closing"), default=None)
    days = [day_of(each[name]) for each in events for name in ("event_time", "known_at")]
    days += [each.due for versions in schedule.values() for each in versions]
    found = []
    for number, versions in schedule.items():
        mine = [each for each in events if each["kind"] != "due" and (not numbered or each["instalment"] == number)]
        ahead = []
        if not numbered:
            place = (versions[0].due, number)
            ahead = [other[0] for name, other in schedule.items() if (other[0].due, name) < place]
        settled = _settled(versions, mine, ahead, min(days), max(days))
        if versions[-1].order[0] < newest:
            if versions[0].due >= renewed:
                continue
            settled = settled or renewed
        found.append(_dated(versions, settled, closed))
    return found


def _settled(versions: list[Version], events: list[Row], ahead: list[Version], first: Day, last: Day) -> Day | None:
    """Live through all days."""
    total, fees, whole = Decimal(0), Decimal(0), 0
    settled: Day | None = None
    day = first
    while day <= last:
        came, came_whole = Decimal(0), 0
        for each in events:
            if day_of(each["event_time"]) == day:
                sign = {"payment": 1, "reversal": -1}.get(each["kind"], 0)
                if each["kind"] == "fee":
                    fees += each["amount"]
                elif each["amount"] is None:
                    came_whole += sign
                elif sign:
                    came += sign * each["amount"]
        total, whole = total + came, whole + came_whole
        known = [version for version in versions if version.known <= day]
        now = known[-1] if known else versions[0]
        if now.amount == 0:
            enough = day >= now.due and now is versions[-1]
        elif whole > 0:
            enough = True
        elif now.amount is None:
            enough = total > 0
        else:
            owed_ahead = sum((each.amount or Decimal(0) for each in ahead), Decimal(0))
            enough = total - fees - owed_ahead >= now.amount * Decimal("0.99")
        if settled is None and enough:
            settled = day
        elif settled is not None and not enough and (came < 0 or came_whole < 0) and now.amount != 0:
            settled = None
        day += ONE
    return settled


def _dated(versions: list[Version], paid: Day | None, closed: Day | None) -> Instalment:
    """The due day that counts, once it is known when the instalment was paid."""
    late = []
    for place, version in enumerate(versions):
        later = versions[place + 1 :]
        if any(each.known >= each.due for each in later):
            continue  # a later row does not say when the instalment was moved
        moved = min((each.known for each in later), default=None)
        if moved is None or (paid is not None and paid < moved):
            return Instalment(version.due, paid or closed, max(late, default=None))
        if moved > version.due:
            late.append((moved - version.due).days)
    raise AssertionError("the last version is overruled by none")
