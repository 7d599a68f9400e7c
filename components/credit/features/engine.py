"""DuckDB, as the batch runs ``query`` on it."""

import duckdb

from components.credit.features.query import text_of
from components.credit.features.recipe import Recipe


def connect(recipe: Recipe, *, threads: int, memory: str, spill: str = "") -> duckdb.DuckDBPyConnection:
    """A connection on which ``query`` can run once the tables are registered by name.

    Args:
        recipe: What to know of the lender.
        threads: Threads of the connection.
        memory: Memory that it may use, such as ``2GB``.
        spill: Folder for what does not fit; empty means none.
    """
    connection = duckdb.connect(config={"threads": threads, "memory_limit": memory, "temp_directory": spill})
    connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
    # DuckDB does not know how many rows Arrow will bring, and would hold the large table of a join in memory: the
    # queries name the small one last, and stay as they are written.
    connection.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
    connection.execute(
        f"CREATE MACRO local_day(moment) AS CAST(moment AT TIME ZONE {text_of(recipe.time_zone)} AS DATE)"
    )
    return connection
