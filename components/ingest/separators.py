"""Amounts whose decimal separator probably parts thousands: read as they stand, they would be a thousandth."""

import re
from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from components.credit.book.contract import MONEY
from components.ingest.conversion import Conversion
from components.ingest.rows import Batch

_FEWEST = 3  # amounts of a column; fewer may be chance


class Separators:
    """Counts, by money column of one source, the amounts with three digits behind the separator, and the others."""

    def __init__(self, how: Conversion) -> None:
        self._columns = {rule.column for field, rule in how.ruled if field.type == MONEY and rule.column}
        self._decimal = how.layout.decimal
        separator = re.escape(self._decimal)
        self._three, self._any = rf"^[^\d]*\d{{1,3}}{separator}\d{{3}}[^\d]*$", rf"\d{separator}\d"
        self._threes, self._all = Counter[str](), Counter[str]()

    def add(self, batch: Batch) -> None:
        """Count the amounts of a batch; columns that are no text have no separator."""
        for name in self._columns & batch.columns.keys():
            column = batch.columns[name]
            if pa.types.is_string(column.type):
                self._threes[name] += _count(column, self._three)
                self._all[name] += _count(column, self._any)

    def doubts(self, source: str) -> list[str]:
        """A sentence for each column in which all amounts with the separator have three digits behind it."""
        other = "," if self._decimal == "." else "."
        return [
            f"{source}: each of the {count:,} amounts in '{name}' with a '{self._decimal}' has three digits behind it, "
            f'as thousands are written; where they are, set decimal: "{other}" for its source, or they count as a '
            "thousandth."
            for name, count in sorted(self._threes.items())
            if _FEWEST <= count == self._all[name]
        ]


def _count(column: pa.Array, pattern: str) -> int:
    return int(pc.sum(pc.match_substring_regex(column, pattern)).as_py() or 0)
