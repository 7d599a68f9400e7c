"""The comparison of each segment's own card with the card of all rows, as the scorecard's training left it."""

import msgspec
from msgspec import Struct

from components.credit.models.scorer import Scorer


class OwnCard(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A segment on the folds of the training sample; where it has no card of its own, ``why`` stands for the figures.

    Args:
        by: How the book is parted: ``segment`` or ``thin_file``.
        value: Which segment.
        n: Rows that the folds tested; of the whole segment where they tested none.
        bads: The bads among them.
        why: Why the segment has no card of its own.
        auc_single: AUC of the card of all rows (DeLong by borrower).
        auc_single_low: Its lower end.
        auc_single_high: Its upper end.
        auc_own: AUC of the own card.
        auc_own_low: Its lower end.
        auc_own_high: Its upper end.
        difference: AUC of the own card less that of the card of all rows.
        difference_low: Its lower end.
        difference_high: Its upper end.
        p_value: P-value of the difference (DeLong by borrower).
        pays: Whether the difference is beyond the margin and chance.
        served: Whether the own card scores the segment.
    """

    auc_own: float | None = None
    auc_own_high: float | None = None
    auc_own_low: float | None = None
    auc_single: float | None = None
    auc_single_high: float | None = None
    auc_single_low: float | None = None
    bads: int
    by: str
    difference: float | None = None
    difference_high: float | None = None
    difference_low: float | None = None
    n: int
    p_value: float | None = None
    pays: bool
    served: bool
    value: str
    why: str | None = None


def own_cards(scorecard: Scorer) -> list[OwnCard]:
    """The rows of the scorecard's training report; none where no segment was tried."""
    return msgspec.convert(scorecard.training.get("own_cards", []), list[OwnCard])
