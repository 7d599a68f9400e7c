"""The samples: which applications train, which test, and which do neither.

Out of time, the latest decisions are the test set. An embargo before it, as long as the performance window, leaves
only such applications to train on whose outcome was known when the test set began. A borrower with applications on
both sides stays in the test set alone, so that it looks like future applications. This has a price: borrowers who come
back have mostly paid well, so the training set keeps a greater share of bads than the book. The rows and bads of the
sample ``excluded`` say how much.
"""
# ruff: noqa: S608 - the SQL is made of numbers and days, never of a text from outside

import datetime
from dataclasses import dataclass

import duckdb

from components.credit.config import Config, Target
from components.credit.errors import GateStopped, InputError
from components.credit.features.notes import ExclusionCount

SAMPLES = ("train", "test", "embargo", "unlabelled", "indeterminate", "excluded", "out_of_scope")
OUT_OF_TIME = "out_of_time"
RANDOM = "random grouped by borrower"


@dataclass(frozen=True)
class Split:
    """How the applications were split.

    Args:
        kind: ``out_of_time`` or ``random grouped by borrower``.
        test_from: First day of the test set; None where the split is random.
        embargo_days: Days before ``test_from`` that are left out.
        reason: Why the split is random.
    """

    kind: str
    test_from: datetime.date | None
    embargo_days: int
    reason: str


def assign_samples(connection: duckdb.DuckDBPyConnection, config: Config, dated: bool) -> Split:
    """Make the table ``samples`` (application_id, sample, bad) from the table ``labels``.

    Args:
        connection: Holds ``labels``: application_id, borrower_id, decided_day, label.
        config: Split, target and seed.
        dated: Whether the book has dates.

    Raises:
        InputError: A book with dates is to be split at random without a reason, or is of one day, or holds no label or
            one class only.
    """
    _check_labels(connection)
    split = _split(connection, config, dated)
    if split.test_from is None:
        # The first 32 bits of a hash of the seed and the borrower, below the test set's share of them.
        below = f"{min(int(config.split.test_share * 2**32), 2**32 - 1):08x}"
        tests = f"substr(md5('{config.seed}:' || borrower_id), 1, 8) < '{below}'"
        embargoed = "FALSE"
    else:
        tests = f"decided_day >= DATE '{split.test_from}'"
        embargoed = f"decided_day >= DATE '{split.test_from}' - {split.embargo_days}"
    connection.execute(f"""
        CREATE TABLE samples AS
        SELECT application_id, borrower_id, CASE
            WHEN label NOT IN ('good', 'bad') THEN label
            WHEN {tests} THEN 'test'
            WHEN {embargoed} THEN 'embargo'
            WHEN borrower_id IN (SELECT borrower_id FROM labels WHERE label IN ('good', 'bad') AND {tests})
                THEN 'excluded'
            ELSE 'train' END AS sample,
            CAST(CASE label WHEN 'bad' THEN 1 WHEN 'good' THEN 0 END AS TINYINT) AS bad
        FROM labels
    """)
    return split


def counted(connection: duckdb.DuckDBPyConnection) -> tuple[dict[str, int], dict[str, int]]:
    """Applications and bads of each sample."""
    samples = connection.execute(
        "SELECT sample, count(*), CAST(coalesce(sum(bad), 0) AS BIGINT) FROM samples GROUP BY sample"
    ).fetchall()
    rows = {sample: count for sample, count, _ in samples}
    bads = {sample: count for sample, _, count in samples}
    return {name: rows.get(name, 0) for name in SAMPLES}, {name: bads.get(name, 0) for name in SAMPLES}


def exclusions(connection: duckdb.DuckDBPyConnection, target: Target) -> list[ExclusionCount]:
    """The target's exclusions, with the number of applications that each left out."""
    excluded = dict(connection.execute("SELECT exclusion, count(*) FROM labels GROUP BY exclusion").fetchall())
    return [
        ExclusionCount(each.code, each.column, each.values, each.reason, excluded.get(each.code, 0))
        for each in target.exclusions
    ]


def check_samples(split: Split, rows: dict[str, int], bads: dict[str, int], config: Config) -> None:
    """Stop a run that has too little to train on.

    Raises:
        GateStopped: The training set holds fewer bads than the floor, or no good.
    """
    least = config.limits.least_bads
    if bads["train"] >= least and rows["train"] > bads["train"]:
        return
    size = f"{bads['train']:,} bads in {rows['train']:,} applications"
    if split.test_from is None:
        raise GateStopped(
            f"The training set holds {size}, and limits.least_bads asks for {least} and for goods beside them; give "
            f"more history, or set split.test_share lower."
        )
    raise GateStopped(
        f"The training set before {split.test_from} less an embargo of {split.embargo_days} days holds {size} "
        f"({bads['embargo']:,} bads lie in the embargo, {bads['excluded']:,} belong to borrowers of the test set), and "
        f"limits.least_bads asks for {least} and for goods beside them; give more history, or set split.embargo_days, "
        f"target.window_days or split.test_share lower."
    )


def _check_labels(connection: duckdb.DuckDBPyConnection) -> None:
    by_label = dict(connection.execute("SELECT label, count(*) FROM labels GROUP BY label").fetchall())
    goods, bads = by_label.get("good", 0), by_label.get("bad", 0)
    if not goods and not bads:
        raise InputError(
            f"None of the {sum(by_label.values()):,} applications has a known outcome; map applications.outcome, or "
            "loans and repayments that reach back further than target.window_days."
        )
    if not goods or not bads:
        raise InputError(
            f"All {goods + bads:,} applications with a known outcome are {'good' if goods else 'bad'}; check the codes "
            "of applications.outcome, the repayments, or target.bad_days."
        )


def _split(connection: duckdb.DuckDBPyConnection, config: Config, dated: bool) -> Split:
    if not dated:
        return Split(RANDOM, None, 0, "The mapping says that the book has no dates (dated: false).")
    if config.split.kind == "random":
        if not config.split.random_reason.strip():
            raise InputError(
                "split.kind is random although the book has dates; say why under split.random_reason, or set "
                "split.kind to out_of_time."
            )
        return Split(RANDOM, None, 0, config.split.random_reason)
    embargo = config.split.embargo_days
    if embargo is None:
        embargo = config.target.window_days + config.target.maturity_days
    return Split(OUT_OF_TIME, _test_from(connection, config.split.test_share), embargo, "")


def _test_from(connection: duckdb.DuckDBPyConnection, share: float) -> datetime.date:
    """The day from which on the labelled applications come nearest to the share of the test set."""
    days: list[tuple[datetime.date, int]] = connection.execute("""
        SELECT decided_day, count(*) FROM labels WHERE label IN ('good', 'bad')
        GROUP BY decided_day ORDER BY decided_day
    """).fetchall()
    if len(days) == 1:
        raise InputError(
            f"All applications with a known outcome were decided on {days[0][0]}, so that none can be tested out of "
            "time; map applications.decided_at, or set split.kind to random with split.random_reason."
        )
    total = sum(count for _, count in days)
    since, nearest = days[-1][0], float("inf")
    later = 0
    for day, count in reversed(days):
        later += count
        if abs(later - share * total) < nearest:
            since, nearest = day, abs(later - share * total)
    return since
