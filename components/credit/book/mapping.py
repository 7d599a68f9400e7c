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
import re
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import pyarrow as pa
from msgspec import UNSET, Meta, Struct, UnsetType, field

from components.credit.book.contract import COUNT, CURRENCIES, DAY, FLAG, MONEY, TABLES, TIME, Field
from components.credit.errors import InputError, nearest
from components.credit.typed_yaml import parse_yaml

Scalar = str | int | float | bool | None
OTHER_CODES = "*"


class Source(Struct, forbid_unknown_fields=True, frozen=True):
    """Where rows come from: files of one layout, or one query.

    Args:
        files: Glob below the data folder or landing prefix; CSV, zipped CSV or Parquet by its ending.
        connection: Name of a database connection; its URI is a secret (``QUIPU_CONNECTION_<NAME>`` or its ``_FILE``).
        query: SQL to run on that connection; it should order its rows, so that the same rows give the same bytes.
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
    """What holds for every source that does not say otherwise.

    Args:
        delimiter: One character between the columns of a CSV file.
        encoding: Encoding of a CSV file.
        quote: Quote character of a CSV file.
        decimal: Decimal separator of the numbers in text, ``.`` or ``,``; the other one may group thousands.
        dates: Formats of dates and times in text, tried in order (strptime).
        missing: Texts that mean a missing value, besides the empty one.
    """

    delimiter: Annotated[str, Meta(min_length=1, max_length=1)] = ","
    encoding: str = "utf-8"
    quote: Annotated[str, Meta(min_length=1, max_length=1)] = '"'
    decimal: Literal[".", ","] = "."
    dates: list[str] = field(default_factory=lambda: ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d"])
    missing: list[str] = field(default_factory=list)


class Layout(Defaults, forbid_unknown_fields=True, frozen=True):
    """The layout of one source, with the defaults filled in; ``header`` is None where the file has a header line."""

    header: list[str] | None = None


class Column(Struct, forbid_unknown_fields=True, frozen=True):
    """How one column of the contract follows from a source; a bare string in YAML means ``{column: <string>}``.

    Args:
        column: Column of the source; the empty text is a column whose header is empty.
        value: A constant, instead of a column; ``{value: as_of}`` in a time column is the run's as-of day.
        row_number: The row's number in its file, for a source without identifiers.
        identifier: What a person's identifier is; ``dni`` and ``ruc`` are checked by their check digit where they
            carry one.
        suffix: Text put behind an identifier, where one source row gives several rows of a table.
        codes: The lender's code to the contract's value; null means missing; a code not listed is a problem of the row,
            unless ``"*"`` says what any other code stands for.
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
    codes: Annotated[dict[str, Scalar], Meta(min_length=1)] | None = None
    missing: list[str] = field(default_factory=list)
    scale: float = 1
    unit: Literal["days", "weeks", "months", "years"] = "days"
    plus_days: int = 0
    ubigeo: Literal["inei", "reniec"] | None = None


class TableSource(Struct, forbid_unknown_fields=True, frozen=True):
    """Rows of one table from one source; a table may have several.

    ``known_at`` left out follows ``event_time``; ``currency`` left out is the mapping's.

    Args:
        source: Name of the source.
        columns: Rule of each column of the contract that the source has; a bare text is the source's column.
    """

    source: str
    columns: dict[str, str | Column]

    def column(self, name: str) -> Column | None:
        """The column's rule, or None where the lender has no such column."""
        return self.rules.get(name)

    @property
    def rules(self) -> dict[str, Column]:
        """The rule of each column that has one."""
        return {name: Column(column=rule) if isinstance(rule, str) else rule for name, rule in self.columns.items()}


class Attribute(Struct, forbid_unknown_fields=True, frozen=True):
    """A ready attribute of an application, for lenders that deliver attributes instead of history.

    Args:
        column: Column of the source of ``applications``.
        type: ``number`` or ``category``.
        en: What it is, in English, for reasons and the feature dictionary.
        es: The same in Spanish.
        unit: Unit of a number.
        codes: The lender's code of a category to words that people can read, as in ``Column``.
        special: Values that are codes, not amounts, such as -9; each becomes a bin of its own.
        trend: How risk moves as it grows, where that is known.
        protected: Never an input of a model; kept apart for fairness tests.
    """

    column: str
    type: Literal["number", "category"]
    en: str
    es: str
    unit: str = ""
    codes: Annotated[dict[str, Scalar], Meta(min_length=1)] | None = None
    special: list[float] = field(default_factory=list)
    trend: Literal["increasing", "decreasing"] | None = None
    protected: bool = False


class Rate(Struct, forbid_unknown_fields=True, frozen=True, rename={"since": "from"}):
    """An exchange rate from a day on.

    Args:
        currency: Currency that is converted.
        since: First day on which the rate holds.
        rate: Units of the mapping's currency for one of ``currency``.
    """

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

    def layout(self, source: str) -> Layout:
        """The layout of a source: its own where it says so, else that of the defaults."""
        layout = Layout(**msgspec.structs.asdict(self.defaults))
        own = {name: getattr(self.sources[source], name) for name in Layout.__struct_fields__}
        return msgspec.structs.replace(layout, **{name: value for name, value in own.items() if value is not None})


def parse_mapping(text: str, name: str) -> Mapping:
    """A mapping that has been checked against the contract.

    Args:
        text: YAML.
        name: File name, for the message.

    Raises:
        InputError: An unknown key, table, column, source, currency or value (with the nearest right one), a table
            neither mapped nor declared absent, a required column without a rule, a rule that does not fit its column,
            or that would keep what identifies a person.
    """
    mapping = parse_yaml(text, name, Mapping)
    for table_name in [*mapping.tables, *mapping.absent]:
        if table_name not in TABLES:
            raise InputError(f"{name}: the contract has no table '{table_name}'{nearest(table_name, TABLES) or '.'}")
    for table_name in TABLES:
        if bool(mapping.tables.get(table_name)) == (table_name in mapping.absent):
            raise InputError(f"{name}: table '{table_name}' must stand either under tables or under absent.")
    if "applications" in mapping.absent:
        raise InputError(f"{name}: applications cannot be absent, since they are what is scored.")
    for currency in [mapping.currency, *(rate.currency for rate in mapping.rates)]:
        if currency not in CURRENCIES:
            raise InputError(f"{name}: the contract has no currency '{currency}'{nearest(currency, CURRENCIES) or '.'}")
    try:
        ZoneInfo(mapping.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InputError(f"{name}: there is no time zone '{mapping.time_zone}'; write it as America/Lima.") from error
    for source_name in mapping.sources:
        _check_source(f"{name}: sources.{source_name}", mapping, source_name)
    for table_name, table_rows in mapping.tables.items():
        for rows in table_rows:
            _check_rows(name, mapping, table_name, rows)
    _check_identifiers_stay_apart(name, mapping)
    for attribute_name, attribute in mapping.attributes.items():
        if not re.fullmatch("[a-z][a-z0-9_]*", attribute_name):
            raise InputError(
                f"{name}: attribute '{attribute_name}' must be named in small letters, digits and underscores."
            )
        if attribute.codes and attribute.type == "number":
            raise InputError(f"{name}: attributes.{attribute_name} is a number and so has no 'codes'; see 'special'.")
    return mapping


def _check_source(where: str, mapping: Mapping, source_name: str) -> None:
    source, layout = mapping.sources[source_name], mapping.layout(source_name)
    if bool(source.files) == bool(source.connection) or bool(source.connection) != bool(source.query):
        raise InputError(f"{where} must have either 'files', or 'connection' and 'query'.")
    if not re.fullmatch("[A-Za-z0-9_]*", source.connection):
        raise InputError(f"{where} names its connection '{source.connection}'; use letters, digits and underscores.")
    try:
        "".encode(layout.encoding)
    except LookupError as error:
        raise InputError(f"{where}: there is no encoding '{layout.encoding}'; write it as utf-8 or latin-1.") from error
    if layout.delimiter == layout.quote or not (layout.delimiter + layout.quote).isascii():
        raise InputError(f"{where}: 'delimiter' and 'quote' must be two different ASCII characters.")
    if not layout.dates:
        raise InputError(f"{where}: 'dates' must give at least one format.")


def _check_rows(name: str, mapping: Mapping, table_name: str, rows: TableSource) -> None:
    table = TABLES[table_name]
    where = f"{name}: tables.{table_name}"
    if rows.source not in mapping.sources:
        raise InputError(
            f"{where} names the source '{rows.source}', which is not under sources"
            f"{nearest(rows.source, mapping.sources) or '.'}"
        )
    known = {column.name for column in table.fields}
    for mapped, rule in rows.rules.items():
        if mapped not in known:
            raise InputError(
                f"{where} maps '{mapped}', which the contract does not have{nearest(mapped, known) or '.'}"
            )
        _check_rule(f"{where}.{mapped}", table.field(mapped), rule)
    implied = {"known_at", "currency"} | (set() if mapping.dated else {"event_time", "decided_at"})
    if table_name == "repayments" and "loans" in mapping.tables:
        implied.add("borrower_id")  # follows from the loan
    for column in table.fields:
        if column.required and column.name not in rows.columns and column.name not in implied:
            raise InputError(f"{where} from '{rows.source}' lacks a rule for '{column.name}', which is required.")


def _check_rule(where: str, field: Field, rule: Column) -> None:
    if (rule.column is not None) + (rule.value is not UNSET) + rule.row_number != 1:
        raise InputError(f"{where} must have exactly one of 'column', 'value' and 'row_number'.")
    identifier = field.name.endswith("_id")
    timed = field.type in (TIME, DAY)
    number = field.type in (MONEY, COUNT, pa.float64())
    options = {
        "row_number": (rule.row_number, identifier),
        "identifier": (rule.identifier != "text", identifier),
        "suffix": (rule.suffix != "", identifier),
        "value": (rule.value is not UNSET, not identifier),
        "codes": (rule.codes is not None, not identifier and not timed),
        "scale": (rule.scale != 1, number),
        "unit": (rule.unit != "days", field.name == "term_days"),
        "plus_days": (rule.plus_days != 0, timed),
        "ubigeo": (rule.ubigeo is not None, field.name == "department"),
    }
    for option, (used, fits) in options.items():
        if used and not fits:
            raise InputError(f"{where}: '{option}' does not apply to this column; leave it out.")
    if field.name == "department" and rule.column is not None and rule.ubigeo is None and rule.codes is None:
        raise InputError(f"{where} needs 'ubigeo' or 'codes', since no exact place may be kept.")
    for value in [*(rule.codes or {}).values(), *([] if rule.value is UNSET else [rule.value])]:
        _check_value(where, field, value)


def _check_value(where: str, field: Field, value: Scalar) -> None:
    """See that a value that a mapping gives is one that the contract takes."""
    if value is None:
        return
    if field.allowed and value not in field.allowed:
        raise InputError(
            f"{where} gives '{value}', which the contract does not allow{nearest(str(value), field.allowed) or '.'}"
        )
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if field.type in (MONEY, COUNT, pa.float64()) and not number:
        raise InputError(f"{where} gives '{value}', which is not a number.")
    if field.type == FLAG and not isinstance(value, bool):
        raise InputError(f"{where} gives '{value}'; give true or false.")
    if field.type in (TIME, DAY) and value != "as_of":
        try:
            datetime.datetime.fromisoformat(str(value))
        except ValueError as error:
            raise InputError(f"{where} gives '{value}'; give as_of or a date as YYYY-MM-DD.") from error


def _check_identifiers_stay_apart(name: str, mapping: Mapping) -> None:
    """See that no column that identifies a person is mapped once more as it stands, and so kept."""
    people: set[tuple[str, str | None]] = set()
    kept: list[tuple[str, str, str | None]] = []
    for table_name, table_rows in mapping.tables.items():
        for rows in table_rows:
            for mapped, rule in rows.rules.items():
                if mapped == "borrower_id":
                    people.add((rows.source, rule.column))
                elif not mapped.endswith("_id") and rule.codes is None:
                    kept.append((f"tables.{table_name}.{mapped}", rows.source, rule.column))
            if table_name == "applications":
                kept += [
                    (f"attributes.{each}", rows.source, attribute.column)
                    for each, attribute in mapping.attributes.items()
                ]
    for place, source, column in kept:
        if column is not None and (source, column) in people:
            raise InputError(f"{name}: {place} would keep '{column}', which identifies a person; leave it out.")
