"""Leaks that make a model look better than it can be: a run stops at them before any model is fitted.

Three kinds: rows that repeat each other, one borrower on both sides of the split, and a single feature that alone
predicts better than whole models of credit risk do.
"""
# ruff: noqa: S608 - the SQL is made of the dictionary's names, quoted, never of a value

import duckdb
import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.credit.book.contract import CATEGORY, IDENTIFIER
from components.credit.config import Limits
from components.credit.dictionary import Feature
from components.credit.errors import GateStopped
from components.credit.features.notes import Check, Finding

SHARED, REPEATED, ALONE = "borrowers on both sides", "repeated rows", "single feature"
_SHARED = """
    SELECT borrower_id FROM samples WHERE sample IN ('train', 'test')
    GROUP BY borrower_id HAVING count(DISTINCT sample) > 1
"""
_CASES = "judged JOIN samples s USING (application_id)"
# Most rows kept of a finding, which states the number of all.
MOST_ROWS = 1_000
ROWS = pa.schema(
    [
        ("kind", CATEGORY),
        ("feature", CATEGORY),
        ("application_id", IDENTIFIER),
        ("borrower_id", IDENTIFIER),
        ("sample", CATEGORY),
        ("bad", pa.int8()),
        ("repeats", IDENTIFIER),
        ("value", pa.string()),
    ]
)


def checked(connection: duckdb.DuckDBPyConnection, features: list[Feature], limits: Limits) -> list[Check]:
    """The checks.

    Of the single features there is the one with the greatest AUC, and all that exceed the limit, worst first.

    Args:
        connection: Holds ``samples`` and the view ``made`` with the features of all applications.
        features: The features to check.
        limits: The limits.
    """
    connection.execute("""
        CREATE OR REPLACE TEMP VIEW judged AS
        SELECT m.*, s.bad, hash(s.borrower_id) % 2 AS half_of_borrowers
        FROM made m JOIN samples s USING (application_id) WHERE s.sample IN ('train', 'test')
    """)
    shared = _shared_borrowers(connection)
    repeated = _repeated_share(connection, features)
    alone = sorted((-_auc(connection, feature), feature.name) for feature in features)
    return [
        Check(kind=SHARED, borrowers=shared, limit=0, exceeds=shared > 0),
        Check(
            kind=REPEATED,
            share=round(repeated, 6),
            limit=limits.repeated_rows_share,
            exceeds=repeated > limits.repeated_rows_share,
        ),
        *(
            Check(
                kind=ALONE,
                feature=name,
                auc=round(-auc, 6),
                limit=limits.single_feature_auc,
                exceeds=-auc > limits.single_feature_auc,
            )
            for rank, (auc, name) in enumerate(alone)
            if not rank or -auc > limits.single_feature_auc
        ),
    ]


def leaks(connection: duckdb.DuckDBPyConnection, features: list[Feature], checks: list[Check]) -> list[Finding]:
    """The checks that exceed their limits, worst first within their kind, each with the number of its applications."""
    return [
        Finding(
            kind=check.kind,
            feature=check.feature,
            auc=check.auc,
            share=check.share,
            borrowers=check.borrowers,
            limit=check.limit,
            rows=connection.execute(f"SELECT count(*) FROM ({_cases(check, features)})").fetchall()[0][0],
        )
        for check in checks
        if check.exceeds
    ]


def leak_rows(connection: duckdb.DuckDBPyConnection, features: list[Feature], findings: list[Finding]) -> pa.Table:
    """The applications of each finding, at most ``MOST_ROWS`` of each.

    Returns:
        Table of ``ROWS``: of repeated rows, ``repeats`` is the first application with the same features; of a single
        feature, ``value`` is its value as text.
    """
    tables = [ROWS.empty_table()]
    for finding in findings:
        rows = connection.sql(
            f"SELECT * FROM ({_cases(finding, features)}) ORDER BY repeats, borrower_id, application_id "
            f"LIMIT {MOST_ROWS}"
        ).to_arrow_table()
        kind = pa.array([finding.kind] * len(rows), CATEGORY)
        feature = pa.array([finding.feature] * len(rows), CATEGORY)
        tables.append(rows.add_column(0, "kind", kind).add_column(1, "feature", feature).cast(ROWS))
    return pa.concat_tables(tables).combine_chunks()


def refuse(findings: list[Finding], limits: Limits, address: str) -> None:
    """Stop the run at a leak that nobody answers for.

    Args:
        findings: The findings that exceed their limits.
        limits: Holds the reason.
        address: Dataset of the findings' applications, for the message.

    Raises:
        GateStopped: There is a finding, and no ``limits.leakage_reason``; or a borrower is on both sides.
    """
    if not findings or (limits.leakage_reason.strip() and findings[0].kind != SHARED):
        return
    said = {
        SHARED: "{borrowers} borrowers stand in the training and in the test set",
        REPEATED: "a share of {share:.3f} of the applications repeat another's features (limit {limit})",
        ALONE: "the feature {feature} alone reaches an AUC of {auc:.3f} (limit {limit})",
    }
    sentences = "; ".join(said[finding.kind].format(**msgspec.structs.asdict(finding)) for finding in findings)
    raise GateStopped(
        f"A leak is likely: {sentences}; see the applications in {address}, and take the cause out of the mapping or "
        "the data, or say under limits.leakage_reason why it is none."
    )


def _cases(check: Check | Finding, features: list[Feature]) -> str:
    """SQL of the applications that a check concerns."""
    kept = f"SELECT application_id, s.borrower_id, sample, s.bad, {{}} FROM {_CASES}"
    if check.kind == SHARED:
        return kept.format("NULL AS repeats, NULL AS value") + f" WHERE s.borrower_id IN ({_SHARED})"
    if check.kind == REPEATED:
        same = f"PARTITION BY hash({_names(features)})"
        repeated = kept.format(f"min(application_id) OVER ({same}) AS repeats, NULL AS value")
        return f"{repeated} QUALIFY count(*) OVER ({same}) > 1"
    return kept.format(f"NULL AS repeats, CAST({_quoted(str(check.feature))} AS VARCHAR) AS value")


def _shared_borrowers(connection: duckdb.DuckDBPyConnection) -> int:
    """Borrowers with applications in the training and in the test set."""
    return int(connection.execute(f"SELECT count(*) FROM ({_SHARED})").fetchall()[0][0])


def _repeated_share(connection: duckdb.DuckDBPyConnection, features: list[Feature]) -> float:
    """Share of the applications whose features all repeat those of another that is counted already."""
    rows, different = connection.execute(
        f"SELECT count(*), count(DISTINCT hash({_names(features)})) FROM judged"
    ).fetchall()[0]
    return float(1 - different / rows)


def _auc(connection: duckdb.DuckDBPyConnection, feature: Feature) -> float:
    """AUC of a feature alone: of a number in the better direction, of a category out of sample."""
    return _auc_of_category(connection, feature) if feature.type == "category" else _auc_of_number(connection, feature)


def _auc_of_number(connection: duckdb.DuckDBPyConnection, feature: Feature) -> float:
    groups = connection.execute(f"""
        SELECT value IS NULL AS missing, CAST(sum(bad) AS DOUBLE) AS bads, CAST(count(*) AS DOUBLE) AS all_
        FROM (SELECT {_quoted(feature.name)} AS value, bad FROM judged)
        GROUP BY value ORDER BY value NULLS FIRST
    """).fetchnumpy()
    bads = np.asarray(groups["bads"])
    goods = np.asarray(groups["all_"]) - bads
    missing = np.asarray(groups["missing"])
    # A missing value may mean the best or the worst: both are tried.
    last = np.argsort(missing, kind="stable")
    aucs = [_auc_of_groups(bads, goods), _auc_of_groups(bads[last], goods[last])]
    return max(max(auc, 1 - auc) for auc in aucs)


def _auc_of_category(connection: duckdb.DuckDBPyConnection, feature: Feature) -> float:
    """Mean AUC of two halves of the borrowers, each ordered by the categories' bad rates in the other half.

    A category of few rows would predict its own outcomes, and so look like a leak: in the other half it is unknown, and
    counts as the average. Rates are drawn towards the average by one row.
    """
    categories = connection.execute(f"""
        SELECT sum(bad) FILTER (NOT second) AS bads_0, sum(bad) FILTER (second) AS bads_1,
            count(*) FILTER (NOT second) AS rows_0, count(*) FILTER (second) AS rows_1
        FROM (SELECT {_quoted(feature.name)} AS value, bad, half_of_borrowers = 1 AS second FROM judged)
        GROUP BY value ORDER BY value NULLS FIRST
    """).fetchnumpy()
    bads, rows = (
        np.stack([np.ma.filled(categories[f"{name}_{half}"], 0).astype(np.float64) for half in (0, 1)])
        for name in ("bads", "rows")
    )
    aucs = []
    for judged, learnt in ((0, 1), (1, 0)):
        if not 0 < bads[judged].sum() < rows[judged].sum() or not rows[learnt].any():
            continue
        average = bads[learnt].sum() / rows[learnt].sum()
        rate = (bads[learnt] + average) / (rows[learnt] + 1)
        of_rate = np.unique(rate.round(12), return_inverse=True)[1]
        of_bads, of_goods = (np.bincount(of_rate, each[judged]).astype(np.float64) for each in (bads, rows - bads))
        aucs.append(_auc_of_groups(of_bads, of_goods))
    return float(np.mean(aucs)) if aucs else 0.5


def _auc_of_groups(bads: npt.NDArray[np.float64], goods: npt.NDArray[np.float64]) -> float:
    """AUC where rows of a group are tied and groups stand in order of the score."""
    below = np.cumsum(goods) - goods
    return float((bads * (below + goods / 2)).sum() / (bads.sum() * goods.sum()))


def _names(features: list[Feature]) -> str:
    return ", ".join(_quoted(feature.name) for feature in features)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
