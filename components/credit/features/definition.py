"""What a feature's definition is: its entry in the dictionary, and the SQL that makes it."""

from dataclasses import dataclass, field
from typing import Literal

from components.credit.dictionary import Feature


@dataclass(frozen=True)
class Definition:
    """One feature.

    Args:
        name: Column of the feature table.
        en: What it is, in English.
        es: The same in Spanish.
        cause: Group of reasons that it belongs to (a key of ``causes.CAUSES``).
        sql: DuckDB expression over the rows of its source. Sums are of integers and decimals, and division comes
            last, so that neither the order of the rows nor the number of threads changes a bit.
        unit: Unit of a number.
        trend: How risk moves as it grows, where that is known.
        type: ``number`` or ``category``.
        empty: Value of a number where the source holds no row of the borrower; None means missing.
    """

    name: str
    en: str
    es: str
    cause: str
    sql: str
    unit: str = ""
    trend: Literal["increasing", "decreasing"] | None = None
    type: Literal["number", "category"] = "number"
    empty: int | None = None


@dataclass(frozen=True)
class Source:
    """The features of one table of the contract.

    Args:
        table: Table that they come from.
        needs: All tables that the lender must have for them.
        steps: Named queries that lead to the rows, in order; they may use ``application`` (one row an application,
            numbered by ``row``), ``priced_<table>`` (a table with its amounts in the recipe's currency), the steps of
            the sources before, and the macro ``local_day``. The last one has a column ``row``.
        definitions: The features.
        grouped: Whether the definitions aggregate over the rows of an application; otherwise it has one row at most.
        apart: Columns that are no features but come from the same rows, by name.
    """

    table: str
    needs: tuple[str, ...]
    steps: dict[str, str]
    definitions: tuple[Definition, ...]
    grouped: bool = True
    apart: dict[str, str] = field(default_factory=dict)

    def entries(self) -> list[Feature]:
        """The features' entries in the dictionary."""
        return [
            Feature(
                name=definition.name,
                type=definition.type,
                en=definition.en,
                es=definition.es,
                source=self.table,
                cause=definition.cause,
                unit=definition.unit,
                trend=definition.trend,
            )
            for definition in self.definitions
        ]


def ratio(above: str, below: str) -> str:
    """SQL of a quotient of two exact numbers; missing where the lower one is not positive."""
    return f"CASE WHEN {below} > 0 THEN CAST({above} AS DOUBLE) / CAST({below} AS DOUBLE) END"
