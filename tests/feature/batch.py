"""Features of a few applications by the batch's engine: what ``history.History`` is held to."""

from collections.abc import Collection

import pyarrow as pa

from components.credit.book.contract import TABLES
from components.credit.features.engine import connect
from components.credit.features.query import PRICED, application_schema, check_currencies, dictionary, query, tables
from components.credit.features.recipe import Recipe


class Batch:
    """Features of a few applications by the batch's engine: what ``history.History`` is held to.

    The query is planned once and the tables are exchanged under it, which saves most of the time of one application.
    One instance serves one thread.

    Args:
        recipe: What to know of the lender.
        wanted: Names of the features that a model takes: what it does not take is not computed. None means all.
    """

    def __init__(self, recipe: Recipe, wanted: Collection[str] | None = None) -> None:
        self._recipe = recipe
        self._connection = connect(recipe, threads=1, memory="512MB")
        self._slots = {name: _Slot(TABLES[name].schema.empty_table()) for name in tables(recipe)}
        self._slots["applications"].table = application_schema(recipe).empty_table()
        for name, slot in self._slots.items():
            self._connection.register(name, slot)
        unwanted = [] if wanted is None else [each.name for each in dictionary(recipe) if each.name not in wanted]
        excluded = f"EXCLUDE ({', '.join(map(_quoted, unwanted))})" if unwanted else ""
        self._connection.execute(
            f"PREPARE features AS SELECT * {excluded} FROM ({query(recipe)}) ORDER BY application_id"
        )

    def features_of(self, rows: dict[str, pa.Table]) -> pa.Table:
        """One row an application, in order of ``application_id``, with the columns of ``query``, unwanted ones apart.

        Args:
            rows: ``applications`` and, by name, what is known of their borrowers, each with the columns of the
                contract; a table left out has no rows.

        Raises:
            InputError: An amount is in a currency for which the recipe has no rate at that time.
        """
        for name, slot in self._slots.items():
            slot.table = rows[name] if name in rows else TABLES[name].schema.empty_table()
            if name in PRICED:
                check_currencies(name, _earliest(slot.table), self._recipe)
        return self._connection.sql("EXECUTE features").to_arrow_table()

    def close(self) -> None:
        """Give the memory back."""
        self._connection.close()


class _Slot:
    """A place in a planned query for a table that is exchanged from run to run."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)

    def __arrow_c_schema__(self) -> object:
        return self.table.schema.__arrow_c_schema__()


def _earliest(table: pa.Table) -> dict[str, int]:
    # As numbers: pyarrow looks for pytz, in vain and for long, each time that it hands out a time with a zone.
    found = table.group_by("currency").aggregate([("event_time", "min")])
    times = found["event_time_min"].cast(pa.int64())
    return dict(zip(found["currency"].to_pylist(), times.to_pylist(), strict=True))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
