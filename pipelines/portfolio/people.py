"""The borrowers of a batch: who they are, and the qualities that make them pay or not."""

from dataclasses import dataclass

import numpy as np

from pipelines.portfolio.arrays import Flags, Floats, Ints, draw, draw_rows
from pipelines.portfolio.calendar import SECTORS, Calendar
from pipelines.portfolio.districts import DISTRICTS

SALARIED = SECTORS.index("salaried")
AGRICULTURE = SECTORS.index("agriculture")

_NUMBERS = 80_000_000
_STRIDE = 31_415_927  # has no factor in common with _NUMBERS, so no number comes twice
_TOWN = (0.40, 0.05, 0.03, 0.13, 0.08, 0.13, 0.11, 0.05, 0.01, 0.0, 0.01)
_COUNTRY = (0.18, 0.42, 0.22, 0.05, 0.03, 0.03, 0.04, 0.01, 0.01, 0.0, 0.01)
_SALARIED_SHARE = 0.118
_SCHOOLING = (0.03, 0.20, 0.44, 0.19, 0.13, 0.01)
_INCOME_MEDIAN = 2_300.0
_INCOME_SPREAD = 0.80
_DNI_CHECKS = np.array([6, 5, 4, 3, 2, 1, 1, 0, 9, 8, 7])  # by the weighted sum of the digits modulo 11


@dataclass(frozen=True)
class People:
    """Borrowers, one element each.

    Args:
        dni: Number of the identity document, without check digit.
        district: Index into ``DISTRICTS``.
        rural: Whether the person lives in the countryside.
        female: Sex.
        speech: Mother tongue: 0 Spanish, 1 Quechua, 2 Aymara, 3 Asháninka.
        born: Day of birth.
        schooling: 0 none, 1 primary, 2 secondary, 3 technical, 4 university, 5 postgraduate.
        marriage: 0 single, 1 married, 2 cohabiting, 3 divorced, 4 widowed.
        dependants: People who live on the income.
        housing: 0 owned, 1 rented, 2 family, 3 other.
        sector: Index into ``SECTORS``.
        retired: Whether the income is a pension.
        entry: Day of the first application.
        business_since: Day on which the business or job began.
        income: Monthly net income of a mean month, soles.
        discipline: Standard normal; the higher, the more punctual.
        appetite: Standard normal; the higher, the more lenders.
        size: Standard normal; the higher, the larger the loans asked for.
        banked: Whether other lenders know the person.
        remittances: Whether relatives abroad send money.
        traced: Whether movements of money reach the lender.
    """

    dni: Ints
    district: Ints
    rural: Flags
    female: Flags
    speech: Ints
    born: Ints
    schooling: Ints
    marriage: Ints
    dependants: Ints
    housing: Ints
    sector: Ints
    retired: Flags
    entry: Ints
    business_since: Ints
    income: Floats
    discipline: Floats
    appetite: Floats
    size: Floats
    banked: Flags
    remittances: Flags
    traced: Flags

    def __len__(self) -> int:
        """How many they are."""
        return len(self.dni)

    @property
    def salaried(self) -> Flags:
        """Who lives on a salary or pension: their loans are consumer loans."""
        return np.asarray(self.sector == SALARIED)


def people(rng: np.random.Generator, calendar: Calendar, first: int, count: int, seed: int) -> People:
    """Draw the borrowers ``first`` to ``first + count - 1`` of a portfolio."""
    dni = ((first + np.arange(count)) * _STRIDE + seed * 7_919 + 1_234_567) % _NUMBERS
    district = draw(rng, [place.weight for place in DISTRICTS], count)
    rural = rng.random(count) < np.array([place.rural for place in DISTRICTS])[district]
    speech = draw_rows(rng, np.array([place.speech for place in DISTRICTS])[district])
    female = rng.random(count) < 0.54

    sector = np.where(rural, draw(rng, _COUNTRY, count), draw(rng, _TOWN, count))
    sector[rng.random(count) < np.where(rural, 0.4, 1.15) * _SALARIED_SHARE] = SALARIED
    entry = calendar.by_demand(_entries(rng, calendar, count))
    age = 20 + np.minimum(rng.gamma(3.0, 6.5, count), 52)
    years_in_business = np.minimum(rng.gamma(1.5, 4.0, count), age - 17)

    schooling = draw(rng, _SCHOOLING, count)
    ability = rng.standard_normal(count)
    log_income = ability * _INCOME_SPREAD + 0.08 * (schooling - 2) - 0.20 * rural
    size = 0.9 * ability + np.sqrt(1 - 0.9**2) * rng.standard_normal(count)
    appetite = rng.standard_normal(count)
    banked = rng.random(count) < np.clip(0.50 + 0.008 * (age - 38) - 0.12 * rural + 0.10 * ability, 0.05, 0.95)

    return People(
        dni=dni,
        district=district,
        rural=rural,
        female=female,
        speech=speech,
        born=(entry - age * 365.25).astype(np.int64),
        schooling=schooling,
        marriage=np.where(age > 55, draw(rng, (10, 50, 15, 8, 17), count), draw(rng, (38, 26, 31, 4, 1), count)),
        dependants=np.minimum(rng.poisson(np.where(age < 28, 0.8, 1.7)), 8).astype(np.int64),
        housing=draw(rng, (46, 22, 29, 3), count),
        sector=sector,
        retired=(sector == SALARIED) & (age > 62),
        entry=entry,
        business_since=(entry - years_in_business * 365.25).astype(np.int64),
        income=_INCOME_MEDIAN * np.exp(log_income),
        discipline=rng.standard_normal(count) + np.where(female, 0.07, -0.08),
        appetite=appetite,
        size=size,
        banked=banked,
        remittances=rng.random(count) < 0.16,
        traced=rng.random(count) < np.where(banked, 0.48, 0.80),
    )


def _entries(rng: np.random.Generator, calendar: Calendar, count: int) -> Ints:
    """Days of the first application: a part before the books of applications begin, the others spread over them."""
    early = rng.random(count) < 0.70
    return np.where(
        early,
        rng.integers(calendar.begin, calendar.applications_begin, count),
        rng.integers(calendar.applications_begin, calendar.as_of - 60, count),
    )


def dni_check_digits(dni: Ints) -> Ints:
    """Check digit of each identity document; the digits weigh 3, 2, 7, 6, 5, 4, 3, 2."""
    weighted = _digits(dni, 8) @ np.array([3, 2, 7, 6, 5, 4, 3, 2])
    return np.asarray(_DNI_CHECKS[weighted % 11])


def rucs(dni: Ints) -> Ints:
    """Tax number of each person: 10, the identity document, a check digit (weights 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)."""
    body = 10 * 10**8 + dni
    weighted = _digits(body, 10) @ np.array([5, 4, 3, 2, 7, 6, 5, 4, 3, 2])
    return np.asarray(body * 10 + (11 - weighted % 11) % 10)


def _digits(numbers: Ints, width: int) -> Ints:
    return np.asarray(numbers[:, None] // 10 ** np.arange(width - 1, -1, -1) % 10)
