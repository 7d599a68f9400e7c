"""Where the lender's history begins: of what was before nothing is on record, so early applications know less."""
# ruff: noqa: S608 - the SQL is made of a constant

from collections.abc import Iterable
from typing import Any

import duckdb

from components.credit.features.moments import DAY_US
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


def beginnings(connection: duckdb.DuckDBPyConnection, progress: Progress) -> list[dict[str, Any]]:
    """For each table the day on which it begins, the training applications decided in the year after that, ``early``,
    and all of them, ``n``; tables without rows or without early applications are left out.

    Args:
        connection: Database with ``beginnings``, ``made`` and ``samples``; its zone is the lender's.
        progress: Takes a warning where many are early.
    """
    found = connection.execute(f"""
        SELECT b.name, strftime(to_timestamp(b.begins / 1000000), '%Y-%m-%d'),
            count_if(epoch_us(m.decided_at) < b.begins + {_DAYS_BACK * DAY_US}) AS early, count(*)
        FROM (SELECT name, min(begins) AS begins FROM beginnings GROUP BY name) b,
            (SELECT decided_at FROM made JOIN samples USING (application_id) WHERE sample = 'train') m
        WHERE b.begins IS NOT NULL GROUP BY ALL HAVING early > 0 ORDER BY b.name
    """).fetchall()
    for name, day, early, n in found:
        if early / n >= _WARNED_SHARE:
            progress.warn(
                f"{name} begins on {day}, and {early:,} of {n:,} training applications were decided within a year of "
                "that: they know less of the past than later ones; deliver earlier rows if there are any."
            )
    return [{"table": name, "begins": day, "early": early, "n": n} for name, day, early, n in found]
