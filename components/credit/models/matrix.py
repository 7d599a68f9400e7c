"""Columns of one matrix, for the rows whose features are all numbers."""

from collections.abc import Iterator, Mapping

from components.credit.models.calibration import Floats


class MatrixColumns(Mapping[str, Floats]):
    """Read-only mapping over one (n, features) matrix; forty arrays of one number cost more than to score them.

    Args:
        positions: Column of each feature in the matrix: the features of a model, all numbers, in its order.
        matrix: float64, NaN where missing, shape (n, features).
    """

    __slots__ = ("matrix", "positions")

    def __init__(self, positions: Mapping[str, int], matrix: Floats) -> None:
        self.positions, self.matrix = positions, matrix

    def __getitem__(self, name: str) -> Floats:
        return self.matrix[:, self.positions[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self.positions)

    def __len__(self) -> int:
        return len(self.positions)
