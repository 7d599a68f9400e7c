"""Where the lender's history begins: of what was before nothing is on record, so early applications know less."""
# ruff: noqa: S608 - the SQL is made of a constant

from collections.abc import Iterable

import duckdb

from components.credit.features.moments import DAY_US
from components.credit.features.notes import HistoryStart
from components.credit.progress import Progress

# Tables whose rows come by themselves (repayments follow from loans), and how far back the features look at most,
# those over a whole life apart.
_TABLES = ("loans", "bureau", "transactions")
_DAYS_BACK = 365
_WARNED_SHARE = 0.05


def note_beginning(connection: duckdb.DuckDBPyConnection, name: str, earliest: Iterable[int]) -> None:
    """Add to the database's ``beginnings`` when a table of the partition at hand begins.

    Args:
        connection: Database.
        name: The table.
        earliest: Times of its earliest rows, microseconds since 1970 in UTC; none where it has no rows.
    """
    connection.execute("CREATE TABLE IF NOT EXISTS beginnings (name VARCHAR, begins BIGINT)")
    if name in _TABLES:
        connection.execute("INSERT INTO beginnings VALUES (?, ?)", [name, min(earliest, default=None)])


def beginnings(connection: duckdb.DuckDBPyConnection, progress: Progress) -> list[HistoryStart]:
    """When each table begins; tables without rows or without early training applications are left out.

    Args:
        connection: Database with ``beginnings``, ``made`` and ``samples``; its zone is the lender's.
        progress: Takes a warning where many are early.
    """
    rows = connection.execute(f"""
        SELECT b.name, strftime(to_timestamp(b.begins / 1000000), '%Y-%m-%d'),
            count_if(epoch_us(m.decided_at) < b.begins + {_DAYS_BACK * DAY_US}) AS early, count(*)
        FROM (SELECT name, min(begins) AS begins FROM beginnings GROUP BY name) b,
            (SELECT decided_at FROM made JOIN samples USING (application_id) WHERE sample = 'train') m
        WHERE b.begins IS NOT NULL GROUP BY ALL HAVING early > 0 ORDER BY b.name
    """).fetchall()
    starts = [HistoryStart(*row) for row in rows]
    for start in starts:
        if start.early / start.n >= _WARNED_SHARE:
            progress.warn(
                f"{start.table} begins on {start.begins}, and {start.early:,} of {start.n:,} training applications were"
                " decided within a year of that: they know less of the past than later ones; deliver earlier rows if "
                "there are any."
            )
    return starts
