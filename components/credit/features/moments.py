"""Times and days as exact integers: microseconds and days since 1970, as the features of one application count them."""

import datetime

EPOCH = datetime.date(1970, 1, 1)
DAY_US = 86_400 * 1_000_000
# Years whose days and times have a meaning in a lender's books.
FIRST_YEAR, LAST_YEAR = 1900, 2199
_START = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)


def microseconds(moment: datetime.datetime) -> int:
    """Microseconds from 1970 to a time with a zone."""
    return (moment - _START) // _MICROSECOND
