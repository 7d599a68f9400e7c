"""The report of the validate stage: rows of each table, and why rows are in quarantine."""

from msgspec import Struct, field


class RowCounts(Struct, frozen=True):
    """Rows of a table that came in (``in`` in JSON), that keep the contract, and that are in quarantine."""

    received: int = field(name="in")
    clean: int
    quarantined: int


class QuarantineReason(Struct, frozen=True):
    """A reason for quarantine, and the rows that have it.

    Args:
        table: The table.
        reason: The rule that the rows break, in words.
        column: The column that it is about; empty where it is about none.
        rows: How many rows break it.
        first_file: File of the first of them.
        first_row: Its row in that file.
    """

    table: str
    reason: str
    column: str
    rows: int
    first_file: str
    first_row: int


class ValidationReport(Struct, frozen=True):
    """What validate counted.

    Args:
        rows: Row counts by table.
        reasons: The reasons, the most frequent of a table first.
        doubtful_loans: Loans of which a row is in quarantine; 0 in a report of before they were counted.
    """

    rows: dict[str, RowCounts]
    reasons: list[QuarantineReason]
    doubtful_loans: int = 0
