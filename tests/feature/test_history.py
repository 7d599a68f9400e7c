"""One application's features have the bits of the batch's, whatever its history."""

import datetime
import itertools
import random
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st

from components.credit.book.contract import TABLES, TIME, Field
from components.credit.book.mapping import Attribute, Rate
from components.credit.errors import ModelRefused
from components.credit.features.moments import local_days
from components.credit.features.onerow.expressions import Expressions
from components.credit.features.onerow.history import History
from components.credit.features.query import application_schema, dictionary, tables
from components.credit.features.recipe import Recipe
from tests.feature.histories import PERU, Row, Rows, batch, columns

DAY = datetime.timedelta(days=1)
BORDERS = [  # of a day or a month in Lima and elsewhere, of a rate, of a season
    datetime.datetime(2024, 3, 1, 4, 59, 59, 999_999, tzinfo=datetime.UTC),
    datetime.datetime(2024, 3, 1, 5, tzinfo=datetime.UTC),
    datetime.datetime(2024, 3, 1, tzinfo=datetime.UTC),
    datetime.datetime(2023, 12, 31, 23, 59, 59, tzinfo=datetime.UTC),
    datetime.datetime(2024, 2, 29, 17, tzinfo=datetime.UTC),
    datetime.datetime(1986, 1, 1, 5, 30, tzinfo=datetime.UTC),  # Lima's summer time
    datetime.datetime(2031, 11, 2, 6, tzinfo=datetime.UTC),  # New York's last hour of summer time
]
ABROAD = Recipe(
    currency="USD",
    time_zone="America/New_York",
    absent=[],
    attributes={
        "shop score": Attribute("X", "number", "Score", "Puntaje"),
        "zone": Attribute("Y", "category", "Zone", "Zona"),
    },
    rates=[
        Rate("PEN", datetime.date(1850, 1, 1), 0.2734),
        Rate("PEN", datetime.date(2024, 3, 1), 0.26718893),
        Rate("EUR", datetime.date(1850, 1, 1), 1.085),
    ],
)
FEW_TABLES = Recipe(currency="PEN", time_zone="UTC", absent=["repayments", "borrowers"], attributes={}, rates=[])


def _time(draw: random.Random, decided_at: datetime.datetime) -> datetime.datetime:
    """Around the decision to the microsecond and the day, within the last years, or at a border of days."""
    instant = datetime.timedelta(microseconds=1)
    near = decided_at - draw.randrange(-3, 800) * DAY
    window = decided_at - draw.choice([0, 30, 60, 90, 180, 360, 365, 744]) * DAY
    return draw.choice([near, near + DAY / 3, window - instant, window, window + instant, draw.choice(BORDERS)])


def _amount(draw: random.Random, field: Field) -> Decimal:
    least = Decimal(-100_000) if field.minimum is None else Decimal(str(field.minimum))
    usual = Decimal(draw.randrange(1, 2_000_000)) / 100
    return draw.choice([usual, usual, usual, least, least + Decimal("0.01"), Decimal(10) ** 10 + usual])


def _value(draw: random.Random, field: Field, decided_at: datetime.datetime, recipe: Recipe) -> Any:
    if not field.required and draw.random() < 0.25:
        return None
    if field.name == "currency":
        return draw.choice([recipe.currency, *sorted({rate.currency for rate in recipe.rates})])
    if field.type == TIME:
        return _time(draw, decided_at)
    if field.name == "loan_id":
        return draw.choice(["l1", "l2", "l3", "\u00e9", "Z"])
    if field.name == "instalment":
        return draw.randint(1, 3)
    if field.allowed:
        return draw.choice(field.allowed)
    if pa.types.is_decimal(field.type):
        return _amount(draw, field)
    if pa.types.is_date32(field.type):
        return _time(draw, decided_at).date()
    if field.type == pa.bool_():
        return draw.random() < 0.5
    if field.type == pa.float64():
        return draw.uniform(field.minimum or 0, field.maximum or 1e6)
    if pa.types.is_integer(field.type):
        return draw.randint(
            int(field.minimum or 0), draw.choice([int(field.minimum or 0) + 3, int(field.maximum or 9_999)])
        )
    return draw.choice(["", "a", "ñ"])


def _history(draw: random.Random, recipe: Recipe, number: int) -> Rows:
    """One application and the rows of its borrower, with what is missing, late, extreme or on a border."""
    decided_at = draw.choice(
        [BORDERS[draw.randrange(5)], datetime.datetime.fromtimestamp(draw.uniform(-3e8, 4e9), datetime.UTC)]
    )
    made: Rows = {}
    for name in tables(recipe):
        table = TABLES[name]
        count = 1 if name == "applications" else draw.choice([0, 1, draw.randrange({"loans": 6}.get(name, 40))])
        rows = [{field.name: _value(draw, field, decided_at, recipe) for field in table.fields} for _ in range(count)]
        for place, each in enumerate(rows):
            if draw.random() < 0.7 or (name == "bureau" and each["known_at"] < each["event_time"]):
                each["known_at"] = each["event_time"]  # no bureau reports months that are still to come
            each["borrower_id"] = f"b{number}"
            if name in ("repayments", "transactions"):
                each[table.key[0]] = f"{number} {place}"
            if each.get("loan_id"):
                each["loan_id"] = f"{number} {each['loan_id']}"
            if name == "loans":
                each["application_id"] = draw.choice([None, None, f"a{number:03}", "another"])
        key = [column for column in table.key if column != "borrower_id"]
        made[name] = list({tuple(each[column] for column in key): each for each in rows}.values())
    (application,) = made["applications"]
    application |= {"decided_at": decided_at, "application_id": f"a{number:03}"}
    for name, attribute in recipe.attributes.items():
        known: list[Any] = ["", "ñ"] if attribute.type == "category" else [0.1, -1e300]
        application[f"attribute_{name}"] = draw.choice([None, *known])
    return made


def _arrow(rows: Rows, recipe: Recipe) -> dict[str, pa.Table]:
    schemas = {name: TABLES[name].schema for name in tables(recipe)} | {"applications": application_schema(recipe)}
    return {name: pa.Table.from_pylist(rows[name], schema=schema) for name, schema in schemas.items()}


def _bits(made: Row) -> dict[str, Any]:
    return {name: value.hex() if isinstance(value, float) else value for name, value in made.items()}


@pytest.fixture(scope="module", params=[PERU, ABROAD, FEW_TABLES], ids=["peru", "rates", "few tables"])
def history(request: pytest.FixtureRequest) -> tuple[Recipe, History]:
    """The recipe and the engine of one application."""
    return request.param, History(request.param)


@settings(max_examples=3, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32))
def test_every_feature_has_the_bits_of_the_batch(history: tuple[Recipe, History], seed: int) -> None:
    recipe, engine = history
    histories = [_history(random.Random(f"{seed} {number}"), recipe, number) for number in range(40)]
    together = {name: [row for each in histories for row in each[name]] for name in tables(recipe)}
    expected = batch(_arrow(together, recipe), recipe).to_pylist()
    names = [feature.name for feature in dictionary(recipe)]
    for rows, wanted in zip(histories, expected, strict=True):
        made = engine.features_of(columns(_arrow(rows, recipe)))
        assert list(made) == names
        assert _bits(made) == _bits({name: wanted[name] for name in names})


def test_sql_without_a_translation_refuses_the_model_in_one_sentence() -> None:
    translated = Expressions(lambda _node: None, itertools.count())
    with pytest.raises(ModelRefused, match=r"no translation for one application: MEDIAN\(1\)"):
        translated.value(sqlglot.parse_one("median(1)", dialect="duckdb"))


@pytest.mark.parametrize("zone", ["America/Lima", "America/Recife", "America/Santiago", "UTC"])
def test_a_time_falls_on_the_day_that_the_zone_says(zone: str) -> None:
    local_day, known = local_days(zone), ZoneInfo(zone)
    epoch = datetime.date(1970, 1, 1).toordinal()
    # Recife's summer time of 2000 lasted seven days
    moments = [datetime.datetime(2000, 9, 25, tzinfo=datetime.UTC) + hour * DAY / 48 for hour in range(48 * 60)]
    moments += [
        datetime.datetime(year, month, 1, 3, 59, tzinfo=datetime.UTC)
        for year in range(1900, 2200, 9)
        for month in (1, 4, 7)
    ]
    for moment in moments:
        microseconds = (moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)) // datetime.timedelta(
            microseconds=1
        )
        assert local_day(microseconds) == moment.astimezone(known).toordinal() - epoch, moment
