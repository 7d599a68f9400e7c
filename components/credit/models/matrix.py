"""Rows of numbers as they come, in one matrix, where others would have an array for each column."""

from collections.abc import Iterator, Mapping

from components.credit.models.calibration import Floats


class Rows(Mapping[str, Floats]):
    """Columns that are those of one matrix; making forty arrays of one number would cost more than to score them.

    Args:
        places: Place of each feature in the matrix: those of a model, all numbers, in its order.
        matrix: float64, NaN where missing, shape (n, features).
    """

    __slots__ = ("matrix", "places")

    def __init__(self, places: Mapping[str, int], matrix: Floats) -> None:
        self.places, self.matrix = places, matrix

    def __getitem__(self, name: str) -> Floats:
        return self.matrix[:, self.places[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)
