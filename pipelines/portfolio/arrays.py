"""The arrays that a batch is made of: their types, how they are drawn, and records of them."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

# A day that no calendar reaches: not paid, never ended, never asked again.
NEVER = 1_000_000

# A dataclass of arrays of one length.
_Record = TypeVar("_Record", bound=Any)


def draw(rng: np.random.Generator, shares: Sequence[float], size: int) -> Ints:
    """Indices into ``shares`` (size,), each as likely as its share of their sum."""
    return draw_rows(rng, np.broadcast_to(np.array(shares), (size, len(shares))))


def draw_rows(rng: np.random.Generator, shares: Floats) -> Ints:
    """One index a row of ``shares`` (n, k), each as likely as its share of the row's sum."""
    cumulative = np.cumsum(shares, axis=1)
    return np.asarray((rng.random((len(shares), 1)) * cumulative[:, -1:] >= cumulative[:, :-1]).sum(axis=1))


def sigmoid(x: Floats) -> Floats:
    """Probability of a log-odds."""
    return 1 / (1 + np.exp(-x))


def join(parts: Sequence[_Record]) -> _Record:
    """One record of arrays from several, end to end."""
    names = [field.name for field in fields(parts[0])]
    return replace(parts[0], **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def take(record: _Record, rows: Ints) -> _Record:
    """The rows of a record of arrays."""
    return replace(record, **{field.name: getattr(record, field.name)[rows] for field in fields(record)})
