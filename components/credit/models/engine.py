"""What every family's engine answers, so that no reader of a model asks of what kind it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from msgspec import Struct

from components.credit.models.binning import Binning, Columns
from components.credit.models.calibration import Floats

if TYPE_CHECKING:
    from components.credit.models.card import SegmentCard


class Boundary(NamedTuple):
    """What parts a book between two cards.

    Args:
        feature: Feature whose value chooses the card of a row.
        at: From this value on the second card scores the row; less, or missing, the first.
    """

    feature: str
    at: float


class Stored(NamedTuple):
    """How an engine is saved.

    Args:
        section: Key of ``model.json`` that holds it.
        content: What stands there.
        files: Further files of the model, by name.
    """

    section: Literal["card", "cards", "encoder"]
    content: Struct
    files: dict[str, bytes]


class Engine(Protocol):
    """What turns the features of a row into a margin: log-odds of bad, or the forest's raw probability."""

    @property
    def base(self) -> float:
        """Margin before any contribution."""
        ...

    @property
    def features(self) -> list[str]:
        """Names of the inputs, in the order of the contributions."""
        ...

    @property
    def edges(self) -> list[list[float]]:
        """Values of each feature, ascending, at which the margin may change; none for categories."""
        ...

    @property
    def margin_is_log_odds(self) -> bool:
        """Whether the margin is log-odds of bad; else it is a probability."""
        ...

    @property
    def binnings(self) -> list[Binning] | None:
        """Bins of each feature, in order; None where an engine has none, so that the training report keeps them."""
        ...

    @property
    def cards(self) -> list[SegmentCard]:
        """The scorecards that the engine consists of, each with the rows that it scores; none of trees."""
        ...

    @property
    def parting(self) -> Boundary | None:
        """What chooses between two cards; None where one engine scores all rows."""
        ...

    def margin(self, columns: Columns) -> Floats:
        """Margin of each row, shape (n,)."""
        ...

    def contributions(self, columns: Columns) -> Floats:
        """Part of each feature in the margin, shape (n, features); ``base`` plus a row's sum is its margin."""
        ...

    def explained(self, columns: Columns) -> tuple[Floats, Floats]:
        """``margin`` and ``contributions`` of the same rows, for the price of the latter."""
        ...

    def varied(self, columns: Columns, features: Sequence[int], values: Sequence[Sequence[float]]) -> Floats:
        """Margins of one row with one number at a time at other values: those that ``margin`` gives such rows.

        Args:
            columns: The row.
            features: Indices of the features that change, each of them a number.
            values: Other values of each, ascending.

        Returns:
            One margin a value, in their order.
        """
        ...

    def log_odds(self, margin: Floats) -> Floats:
        """Log-odds of bad at these margins, shape (n,), before calibration."""
        ...

    def stored(self) -> Stored:
        """How the engine is saved."""
        ...
