"""The feature dictionary: what each input of a model is, for people and for reasons."""

from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct, field


class Feature(Struct, frozen=True, forbid_unknown_fields=True):
    """One input of a model.

    Args:
        name: Column of the feature table.
        type: ``number`` (float64, NaN where missing) or ``category`` (string, null where missing).
        en: What it is, in English.
        es: The same in Spanish.
        unit: Unit of a number.
        source: Table of the contract that it comes from.
        cause: Group of reasons that it belongs to (a key of ``causes.CAUSES``), or ``attribute`` for a ready one.
        trend: How risk moves as it grows, where that is known.
        special: Values that are codes, not amounts.
    """

    name: str
    type: Literal["number", "category"]
    en: str
    es: str
    source: str
    cause: str
    unit: str = ""
    trend: Literal["increasing", "decreasing"] | None = None
    special: list[float] = field(default_factory=list)


def write_dictionary(path: str, features: list[Feature]) -> None:
    """Write the dictionary as JSON, the same bytes for the same content."""
    Path(path).write_bytes(msgspec.json.format(msgspec.json.encode(features), indent=1))


def read_dictionary(path: str) -> list[Feature]:
    """A dictionary from a JSON file."""
    return msgspec.json.decode(Path(path).read_bytes(), type=list[Feature])
