"""A mapping file: how one lender's tables become the six tables of the contract. A new lender is a new mapping.

```yaml
lender: Caja Ejemplo
currency: PEN
time_zone: America/Lima
defaults: {delimiter: ";", encoding: latin-1, decimal: ",", dates: ["%d/%m/%Y"]}
sources:
  clients: {files: "clientes*.csv"}
  credits: {connection: core, query: "select * from creditos"}
tables:
  borrowers:
    - source: clients
      columns:
        borrower_id: {column: DNI, identifier: dni}
        event_time: FECHA_ALTA
        sex: {column: SEXO, codes: {F: female, M: male}}
absent: [transactions]
```
"""

import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from components.credit.config import parse_yaml
from components.credit.contract import TABLES
from components.credit.errors import InputError, nearest

Scalar = str | int | float | bool | None


class Source(Struct, forbid_unknown_fields=True, frozen=True):
    """Where rows come from: files of one layout, or one query.

    Args:
        files: Glob below the data folder or landing prefix; CSV, zipped CSV or Parquet by its ending.
        connection: Name of a database connection; its URI is a secret (``QUIPU_CONNECTION_<NAME>`` or its ``_FILE``).
        query: SQL to run on that connection.
        delimiter: One character between the columns of a CSV file.
        encoding: Encoding of a CSV file.
        quote: Quote character of a CSV file.
        decimal: Decimal separator of the numbers in text, ``.`` or ``,``; the other one may group thousands.
        dates: Formats of dates and times in text, tried in order (strptime).
        header: Column names, where the file has no header line.
        missing: Texts that mean a missing value, besides the empty one.
    """

    files: str = ""
    connection: str = ""
    query: str = ""
    delimiter: Annotated[str, Meta(min_length=1, max_length=1)] | None = None
    encoding: str | None = None
    quote: Annotated[str, Meta(min_length=1, max_length=1)] | None = None
    decimal: Literal[".", ","] | None = None
    dates: list[str] | None = None
    header: list[str] | None = None
    missing: list[str] | None = None


class Defaults(Struct, forbid_unknown_fields=True, frozen=True):
    """What holds for every source that does not say otherwise; the fields are those of ``Source``."""

    delimiter: Annotated[str, Meta(min_length=1, max_length=1)] = ","
    encoding: str = "utf-8"
    quote: Annotated[str, Meta(min_length=1, max_length=1)] = '"'
    decimal: Literal[".", ","] = "."
    dates: list[str] = field(default_factory=lambda: ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d"])
    missing: list[str] = field(default_factory=list)


class Column(Struct, forbid_unknown_fields=True, frozen=True):
    """How one column of the contract follows from a source; a bare string in YAML means ``{column: <string>}``.

    Args:
        column: Column of the source.
        value: A constant, instead of a column; ``{value: as_of}`` in a time column is the run's as-of day.
        row_number: The row's number in its file, for a source without identifiers.
        identifier: What a person's identifier is; ``dni`` and ``ruc`` are checked by their check digit where they
            carry one.
        suffix: Text put behind an identifier, where one source row gives several rows of a table.
        codes: The lender's code to the contract's value; null means missing; a code not listed is a problem of the row.
        missing: Texts that mean missing in this column.
        scale: Factor on a number, such as 1000 for amounts in thousands.
        unit: Unit of a term in the source; the contract's is days.
        plus_days: Days added to a time, such as a bureau's delay of publication.
        ubigeo: Coding of a UBIGEO district code, of which only the department is kept.
    """

    column: str | None = None
    value: Scalar | UnsetType = UNSET
    row_number: bool = False
    identifier: Literal["text", "dni", "ruc"] = "text"
    suffix: str = ""
    codes: dict[str, Scalar] | None = None
    missing: list[str] = field(default_factory=list)
    scale: float = 1
    unit: Literal["days", "weeks", "months", "years"] = "days"
    plus_days: int = 0
    ubigeo: Literal["inei", "reniec"] | None = None


class TableSource(Struct, forbid_unknown_fields=True, frozen=True):
    """Rows of one table from one source; a table may have several.

    ``known_at`` left out follows ``event_time``; ``currency`` left out is the mapping's.
    """

    source: str
    columns: dict[str, str | Column]

    def column(self, name: str) -> Column | None:
        """The column's rule, or None where the lender has no such column."""
        rule = self.columns.get(name)
        return Column(column=rule) if isinstance(rule, str) else rule


class Attribute(Struct, forbid_unknown_fields=True, frozen=True):
    """A ready attribute of an application, for lenders that deliver attributes instead of history.

    Args:
        column: Column of the source of ``applications``.
        type: ``number`` or ``category``.
        en: What it is, in English, for reasons and the feature dictionary.
        es: The same in Spanish.
        unit: Unit of a number.
        special: Values that are codes, not amounts, such as -9; each becomes a bin of its own.
        trend: How risk moves as it grows, where that is known.
        protected: Never an input of a model; kept apart for fairness tests.
    """

    column: str
    type: Literal["number", "category"]
    en: str
    es: str
    unit: str = ""
    special: list[float] = field(default_factory=list)
    trend: Literal["increasing", "decreasing"] | None = None
    protected: bool = False


class Rate(Struct, forbid_unknown_fields=True, frozen=True, rename={"since": "from"}):
    """An exchange rate from a day on: units of the mapping's currency for one of ``currency``."""

    currency: str
    since: datetime.date
    rate: Annotated[float, Meta(gt=0)]


class Mapping(Struct, forbid_unknown_fields=True, frozen=True):
    """A lender's whole mapping.

    Args:
        lender: Name of the lender.
        currency: Currency of the lender's books; features are in it.
        time_zone: Zone of the times without one, such as ``America/Lima``.
        dated: False for a set without dates: all rows then count as of the run's as-of day, and the split is random.
        as_of: As-of day when the command line gives none.
        unknown_borrowers: ``keep`` where the lender knows applicants of whom it holds no demographics.
        defaults: Layout of the sources.
        sources: Sources by name.
        tables: Sources of each table.
        attributes: Ready attributes of applications, by name.
        absent: Tables that the lender does not have; their features are left out.
        rates: Exchange rates of the other currencies.
        config: Configuration that belongs to this lender; a run's own configuration goes before it.
    """

    lender: str
    currency: str
    time_zone: str
    sources: dict[str, Source]
    tables: dict[str, list[TableSource]]
    dated: bool = True
    as_of: datetime.date | None = None
    unknown_borrowers: Literal["quarantine", "keep"] = "quarantine"
    defaults: Defaults = field(default_factory=Defaults)
    attributes: dict[str, Attribute] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    rates: list[Rate] = field(default_factory=list)
    config: dict[str, object] = field(default_factory=dict)


def parse_mapping(text: str, name: str) -> Mapping:
    """A mapping that has been checked against the contract.

    Args:
        text: YAML.
        name: File name, for the message.

    Raises:
        InputError: An unknown key, table, column or source (with the nearest right one), a table neither mapped nor
            declared absent, a required column without a rule.
    """
    mapping = parse_yaml(text, name, Mapping)
    for table_name in [*mapping.tables, *mapping.absent]:
        if table_name not in TABLES:
            raise InputError(f"{name}: the contract has no table '{table_name}'{nearest(table_name, TABLES) or '.'}")
    for table_name in TABLES:
        if (table_name in mapping.tables) == (table_name in mapping.absent):
            raise InputError(f"{name}: table '{table_name}' must stand either under tables or under absent.")
        for rows in mapping.tables.get(table_name, []):
            _check_rows(name, mapping, table_name, rows)
    if "applications" in mapping.absent:
        raise InputError(f"{name}: applications cannot be absent, since they are what is scored.")
    return mapping


def _check_rows(name: str, mapping: Mapping, table_name: str, rows: TableSource) -> None:
    table = TABLES[table_name]
    where = f"{name}: tables.{table_name}"
    if rows.source not in mapping.sources:
        raise InputError(
            f"{where} names the source '{rows.source}', which is not under sources"
            f"{nearest(rows.source, mapping.sources) or '.'}"
        )
    known = {column.name for column in table.fields}
    for mapped in rows.columns:
        if mapped not in known:
            raise InputError(
                f"{where} maps '{mapped}', which the contract does not have{nearest(mapped, known) or '.'}"
            )
    implied = {"known_at", "currency"} | (set() if mapping.dated else {"event_time", "decided_at"})
    if table_name == "repayments":
        implied.add("borrower_id")  # follows from the loan
    for column in table.fields:
        if column.required and column.name not in rows.columns and column.name not in implied:
            raise InputError(f"{where} from '{rows.source}' lacks a rule for '{column.name}', which is required.")
