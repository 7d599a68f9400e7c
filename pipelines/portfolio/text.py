"""Numbers, days and codes as the text that a Peruvian lender's export holds: decimal comma, dd/mm/yyyy."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.portfolio.arrays import NEVER, Flags, Floats, Ints


def day_text(days: Ints) -> pa.Array:
    """Days as dd/mm/yyyy; null for ``NEVER``."""
    known = days < NEVER
    if not known.any():
        return pa.nulls(len(days), pa.string())
    first, last = int(days[known].min()), int(days[known].max())
    names = pc.strftime(pa.array(np.arange(first, last + 1).astype("datetime64[D]")), "%d/%m/%Y")
    return names.take(pa.array(days - first, mask=~known))


def moment_text(days: Ints, seconds: Ints) -> pa.Array:
    """Times as dd/mm/yyyy HH:MM:SS, the seconds being those of the day; null for ``NEVER``."""
    clock = pc.strftime(pa.array(np.arange(86_400), pa.timestamp("s")), "%H:%M:%S").take(pa.array(seconds))
    return pc.binary_join_element_wise(day_text(days), clock, " ")


def money_text(amounts: Floats) -> pa.Array:
    """Amounts with two decimals behind a comma; null for NaN."""
    known = np.isfinite(amounts)
    cents = np.rint(np.where(known, amounts, 0) * 100).astype(np.int64)
    sign = coded(cents < 0, ("", "-"))
    whole = pa.array(abs(cents) // 100, mask=~known).cast(pa.string())
    return pc.binary_join_element_wise(sign, whole, ",", coded(abs(cents) % 100, _CENTS), "")


def decimal_text(numbers: Floats, places: int) -> pa.Array:
    """Numbers with a fixed number of decimals behind a comma."""
    scaled = np.rint(numbers * 10**places).astype(np.int64)
    behind = pc.utf8_lpad(pa.array(scaled % 10**places).cast(pa.string()), places, "0")
    return pc.binary_join_element_wise(pa.array(scaled // 10**places).cast(pa.string()), behind, ",")


def number_text(numbers: Ints | Floats, width: int = 0, prefix: str = "") -> pa.Array:
    """Whole numbers, with leading zeros up to a width, behind a prefix; null for a float NaN."""
    known = np.isfinite(numbers)
    digits = pa.array(np.where(known, numbers, 0).astype(np.int64), mask=~known).cast(pa.string())
    digits = pc.utf8_lpad(digits, width, "0") if width else digits
    return pc.binary_join_element_wise(prefix, digits, "") if prefix else digits


def coded(indices: Ints | Flags, names: Sequence[str]) -> pa.Array:
    """The name of each index."""
    return pa.array(names, pa.string()).take(pa.array(indices.astype(np.int64)))


def blank(column: pa.Array, where: Flags, word: str | None = None) -> pa.Array:
    """The column with nothing, or a word for it, where the mask is true."""
    return pc.if_else(pa.array(where), pa.scalar(word, pa.string()), column)


def latin_1(utf_8: bytes) -> bytes:
    """The same text in Latin-1."""
    return utf_8.decode("utf-8").encode("latin-1")


_CENTS = tuple(f"{cents:02d}" for cents in range(100))
