"""Times and days as exact integers: microseconds and days since 1970, as the features of one application count them."""

import datetime
from bisect import bisect_right
from collections.abc import Callable, Iterable
from functools import cache
from zoneinfo import ZoneInfo

from components.credit.book.row_rules import FIRST_YEAR, LAST_YEAR

EPOCH = datetime.date(1970, 1, 1)
DAY_US = 86_400 * 1_000_000
_APART = 5  # days; the nearest changes in the time zone database are seven days apart (Recife in 2000)
_START = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)


def microseconds(moment: datetime.datetime) -> int:
    """Microseconds from 1970 to a time with a zone."""
    return (moment - _START) // _MICROSECOND


def all_microseconds(moments: Iterable[datetime.datetime | None]) -> list[int | None]:
    """``microseconds`` of each, None where it is not known; in a fifth less time than one by one."""
    return [None if moment is None else (moment - _START) // _MICROSECOND for moment in moments]


@cache
def local_days(zone: str) -> Callable[[int], int]:
    """What gives the day, as a number since 1970, on which a time in microseconds falls in a zone."""
    known = ZoneInfo(zone)

    def offset(day: int, second: int = 0) -> int:
        moment = datetime.datetime.combine(EPOCH, datetime.time(), datetime.UTC) + datetime.timedelta(day, second)
        shift = moment.astimezone(known).utcoffset()
        assert shift is not None
        return shift // datetime.timedelta(microseconds=1)

    first, last = ((datetime.date(year, 1, 1) - EPOCH).days - 1 for year in (FIRST_YEAR, LAST_YEAR + 2))
    starts, shifts = [], [offset(first)]
    for day in range(first, last, _APART):
        after = offset(day + _APART)
        if after != shifts[-1]:
            starts.append(_change(offset, day, shifts[-1]))
            shifts.append(after)
    if not starts:
        return lambda moment: (moment + shifts[0]) // DAY_US
    latest, shift = starts[-1], shifts[-1]

    def local_day(moment: int) -> int:
        if moment >= latest:
            return (moment + shift) // DAY_US
        return (moment + shifts[bisect_right(starts, moment)]) // DAY_US

    return local_day


def _change(offset: Callable[[int, int], int], day: int, before: int) -> int:
    """The time, to the second, at which the shift of a zone changes within some days."""
    least, most = 0, _APART * 86_400
    while least < most:
        middle = (least + most) // 2
        if offset(day, middle) != before:
            most = middle
        else:
            least = middle + 1
    return day * DAY_US + least * 1_000_000
