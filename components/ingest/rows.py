"""Rows of a source on their way to a table: what every reader gives, whatever it reads."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from components.credit.errors import InputError, nearest

_VALUE_BYTES = 10


@dataclass(frozen=True)
class Batch:
    """Some rows of a source, in their order.

    Args:
        columns: Columns by their name in the source, as text or as the source's own type.
        rows: Number of each row in its file or query, from 1 (int64).
        problems: What was wrong with the line of a row as a whole; null where it could be read (string).
    """

    columns: dict[str, pa.Array]
    rows: pa.Array
    problems: pa.Array


@dataclass(frozen=True)
class Rows:
    """The rows of one file or query, not yet read.

    Args:
        name: File below the data folder, or ``connection:source``: it becomes ``source_file``.
        identity: Hex SHA-256 of the file or of the query's text.
        size: Bytes of the rows as text, about; of it follows the number of partitions.
        batches: Reads the rows; each call reads them anew.
    """

    name: str
    identity: str
    size: int
    batches: Callable[[], Iterator[Batch]]


def size_of_values(rows: int, columns: int) -> int:
    """Bytes of the values of a source that is no text, about, as text."""
    return rows * columns * _VALUE_BYTES


def check_columns(place: str, present: Sequence[str], needed: Sequence[str]) -> None:
    """See that a source has the columns that the mapping names.

    Raises:
        InputError: One is missing, or there twice. The names that the source has are not listed, since the first line
            of a file without a header holds values.
    """
    missing = [column for column in needed if column not in present]
    if missing and len(missing) == len(needed):
        raise InputError(
            f"{place} has none of the columns that the mapping names, such as '{missing[0]}'; see that it is the right "
            "file and, where it has no header line, give its 'header' in the mapping."
        )
    if missing:
        folded = {name.strip().casefold(): name for name in present}
        same = folded.get(missing[0].strip().casefold())
        offer = f"; did you mean '{same}'?" if same else nearest(missing[0], present)
        raise InputError(f"{place} has no column '{missing[0]}', which the mapping names{offer or '.'}")
    for column in needed:
        if list(present).count(column) > 1:
            raise InputError(f"{place} has two columns named '{column}'; rename one, or give its 'header'.")


def plain(column: pa.Array, place: str, name: str) -> pa.Array:
    """A column of a typed source without dictionary or extension types.

    Raises:
        InputError: The column is nested or binary, which no column of the contract can be made from.
    """
    if isinstance(column, pa.ExtensionArray):
        if isinstance(column.type, pa.UuidType):
            return pa.array([None if value is None else str(value) for value in column.to_pylist()], pa.string())
        column = column.storage
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_float16(column.type):
        column = column.cast(pa.float32())
    if pa.types.is_decimal256(column.type):
        column = _narrowed(column, place, name)
    kind = column.type
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.string())
    readable = (
        pa.types.is_string(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_date(kind)
        or pa.types.is_timestamp(kind)
        or pa.types.is_null(kind)
    )
    if not readable:
        raise InputError(
            f"{place}: column '{name}' is of type {kind}, which cannot become a column of a table; "
            "give a plain text, number, date or time instead."
        )
    return column


def _narrowed(column: pa.Array, place: str, name: str) -> pa.Array:
    """A decimal of up to 76 digits as one of up to 38, which is what amounts are made from."""
    try:
        return column.cast(pa.decimal128(38, column.type.scale))
    except pa.ArrowInvalid as error:
        raise InputError(
            f"{place}: column '{name}' holds numbers of more than 38 digits; see that it is the right column."
        ) from error
