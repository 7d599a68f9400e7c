"""Features of one application whose raw history is in memory: what a scorer asks for."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from components.credit.book.contract import ATTRIBUTE_PREFIX, DAY, FLAG, MONEY, TABLES, TIME
from components.credit.features.moments import local_days, microseconds
from components.credit.features.onerow.compiler import Plan, Source
from components.credit.features.onerow.expressions import CALLED, Value
from components.credit.features.query import PRICED, check_currencies, dictionary, midnight, query, tables
from components.credit.features.recipe import Recipe

Columns = Mapping[str, list[Any]]
_ENDLESS = 10**30  # microseconds; earlier and later than any time


class History:
    """Makes the features of one application, by source that is made of the batch's query once.

    Args:
        recipe: What to know of the lender.
        wanted: Names of the features that a model takes: what it does not take is not computed. None means all.
    """

    def __init__(self, recipe: Recipe, wanted: Collection[str] | None = None) -> None:
        self._recipe = recipe
        self._names = [each.name for each in dictionary(recipe) if wanted is None or each.name in wanted]
        given = {name: Source(_kinds(name, recipe)) for name in tables(recipe)}
        called = CALLED | {"local_day": local_days(recipe.time_zone)}
        if recipe.rates:
            given["rates"] = Source(_RATES, "rates")
            called["rates"] = _rates(recipe)
        self.source = Plan(query(recipe), self._names, given).source
        exec(compile(self.source, "features of one application", "exec"), called)  # noqa: S102 - made of our own SQL
        self._features: Callable[[Mapping[str, Columns]], list[tuple[Any, ...]]] = called["features"]

    def features_of(self, rows: Mapping[str, Columns]) -> dict[str, float | str | None]:
        """The wanted features, by name, in order of the dictionary.

        Args:
            rows: The columns of each table of the lender by name: days as numbers since 1970, times as microseconds
                since 1970, amounts in hundredths. All rows are of the borrower of the one application.

        Raises:
            InputError: An amount is in a currency for which the recipe has no rate at that time.
        """
        for name in PRICED:
            if name in rows:
                currencies = rows[name]["currency"]
                if currencies.count(self._recipe.currency) != len(currencies):
                    check_currencies(name, _earliest(rows[name]), self._recipe)
        (made,) = self._features(rows)
        return dict(zip(self._names, made, strict=True))


_RATES = {
    "currency": Value("", "text"),
    "since": Value("", "time"),
    "until": Value("", "time"),
    "rate": Value("", "int", 8),
}


def _kinds(table: str, recipe: Recipe) -> dict[str, Value]:
    """Kinds of a table's columns."""
    kinds = {MONEY: ("int", 2), TIME: ("time", 0), DAY: ("day", 0), FLAG: ("flag", 0)}
    found = {}
    for field in TABLES[table].fields:
        text = "double" if str(field.type) == "double" else "int" if str(field.type) == "int32" else "text"
        kind, scale = kinds.get(field.type, (text, 0))
        found[field.name] = Value("", kind, scale, not field.required)
    if table == "applications":
        for name, attribute in recipe.attributes.items():
            kind = "text" if attribute.type == "category" else "double"
            found[ATTRIBUTE_PREFIX + name] = Value("", kind, 0, True)
    return found


def _rates(recipe: Recipe) -> list[tuple[str, int, int, int]]:
    """Each rate with the span in which it holds, in hundred-millionths."""
    spans = [(recipe.currency, -_ENDLESS, _ENDLESS, 10**8)]
    for currency in sorted({rate.currency for rate in recipe.rates} - {recipe.currency}):
        dated = sorted((rate.since, rate.rate) for rate in recipe.rates if rate.currency == currency)
        starts = [microseconds(midnight(since, recipe)) for since, _ in dated]
        for since, until, (_, rate) in zip(starts, [*starts[1:], _ENDLESS], dated, strict=True):
            spans.append((currency, since, until, round(rate * 10**8)))
    return spans


def _earliest(rows: Columns) -> dict[str, int]:
    found: dict[str, int] = {}
    for currency, moment in zip(rows["currency"], rows["event_time"], strict=True):
        found[currency] = min(found.get(currency, moment), moment)
    return found
