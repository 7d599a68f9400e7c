"""The time that a portfolio covers, and its seasons: school campaign, Fiestas Patrias, Christmas, harvests."""

import datetime
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipelines.portfolio.arrays import Floats, Ints

_EPOCH = datetime.date(1970, 1, 1)
_WARM_UP_MONTHS = 24
_BOOK_MONTHS = 48

SECTORS = (
    "commerce",
    "agriculture",
    "livestock",
    "transport",
    "manufacture",
    "services",
    "food",
    "construction",
    "fishing",
    "salaried",
    "other",
)

# A month's income over a mean month's, January to December. Shops live on the school campaign (March), Fiestas
# Patrias (July) and Christmas; crops are sold from April to July; employees get a bonus in July and December.
_SHOP = (0.88, 0.96, 1.10, 0.94, 1.02, 0.94, 1.15, 0.92, 0.90, 0.92, 1.00, 1.27)
_FIELD = (0.70, 0.72, 0.85, 1.20, 1.50, 1.50, 1.30, 1.00, 0.85, 0.80, 0.80, 0.78)
_STEADY = (0.95, 0.95, 1.00, 0.98, 1.00, 1.00, 1.08, 1.00, 0.98, 1.00, 1.00, 1.06)
_BONUS = (0.90, 0.90, 0.92, 0.92, 0.93, 0.93, 1.42, 0.92, 0.92, 0.92, 0.92, 1.40)
_INCOME = np.array(
    [_SHOP, _FIELD, _FIELD, _STEADY, _SHOP, _STEADY, _SHOP, _STEADY, _FIELD[::-1], _BONUS, _STEADY], dtype=np.float64
)
# How many people ask for a loan in a month: before the campaigns in which they sell.
_DEMAND = np.array([0.80, 1.20, 1.15, 0.90, 0.90, 1.10, 1.15, 0.85, 0.85, 1.05, 1.25, 0.80])


@dataclass(frozen=True)
class Calendar:
    """The days and months of a portfolio; days count from 1970-01-01, months from the first of the calendar.

    The lender's books of loans begin two years before its books of applications, which cover four years.

    Args:
        as_of: Day of the export; nothing of that day or later is in it.
    """

    as_of: int

    @staticmethod
    def until(as_of: datetime.date) -> "Calendar":
        """The calendar of an export taken on a day."""
        return Calendar((as_of - _EPOCH).days)

    @cached_property
    def first_month(self) -> int:
        """The calendar's first month, counted from January 1970."""
        return int(_months(np.array([self.as_of]))[0]) - _WARM_UP_MONTHS - _BOOK_MONTHS

    @property
    def months(self) -> int:
        """Months of the calendar, the one of ``as_of`` included."""
        return _WARM_UP_MONTHS + _BOOK_MONTHS + 1

    @property
    def begin(self) -> int:
        """First day of the loan books."""
        return int(self.month_starts[0])

    @property
    def applications_begin(self) -> int:
        """First day of the books of applications, bureau and movements."""
        return int(self.month_starts[_WARM_UP_MONTHS])

    @cached_property
    def month_starts(self) -> Ints:
        """First day of each month, and of the one after the last."""
        return start_of_month(self.first_month + np.arange(self.months + 1))

    def month(self, days: Ints) -> Ints:
        """Month of each day; days outside the calendar count to its first or last month."""
        return np.asarray(np.clip(_months(days) - self.first_month, 0, self.months - 1))

    def income_seasons(self, sector: Ints) -> Floats:
        """Income of each month over that of a mean month, (len(sector), months)."""
        return np.asarray(_INCOME[sector][:, (self.first_month + np.arange(self.months)) % 12])

    def by_demand(self, days: Ints) -> Ints:
        """The days moved within their year so that as many fall in a month as people ask for loans; order is kept."""
        years: Ints = days.astype("datetime64[D]").astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64)
        return np.asarray(years + _BY_DEMAND[np.clip(days - years, 0, 364)])


def start_of_month(months: Ints) -> Ints:
    """First day of months counted from January 1970."""
    days: Ints = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    return days


def add_months(days: Ints, months: Ints) -> Ints:
    """The same day of a later month, at most the 28th."""
    start = _months(days)
    day_of_month = np.minimum(days - start_of_month(start), 27)
    return np.asarray(start_of_month(start + months) + day_of_month)


def _months(days: Ints) -> Ints:
    months: Ints = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return months


def _days_by_demand() -> Ints:
    """Day of the year by which as much of a year's demand has come as of the year has gone by."""
    lengths = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    demand = np.cumsum(np.repeat(_DEMAND / _DEMAND.mean(), lengths))
    return np.asarray(np.searchsorted(demand, demand[-1] * (np.arange(365) + 0.5) / 365))


_BY_DEMAND = _days_by_demand()
