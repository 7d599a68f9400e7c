"""Leaks: what makes a model look better than it can be, found before any model is fitted.

Rows that repeat each other, one borrower on both sides of the split, and a single feature that predicts alone what
models of credit risk never predict together.
"""
# ruff: noqa: S608 - the SQL is made of the dictionary's names, quoted, never of a value

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.credit.book.contract import CATEGORY, IDENTIFIER
from components.credit.config import Limits
from components.credit.dictionary import Feature
from components.credit.errors import GateStopped

Finding = dict[str, object]
SHARED, REPEATED, ALONE = "borrowers on both sides", "repeated rows", "single feature"
_SHARED = """
    SELECT borrower_id FROM samples WHERE sample IN ('train', 'test')
    GROUP BY borrower_id HAVING count(DISTINCT sample) > 1
"""
_CASES = "judged JOIN samples s USING (application_id)"
# Rows that are kept of a finding; it says how many there are.
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


def checked(connection: duckdb.DuckDBPyConnection, features: list[Feature], limits: Limits) -> list[Finding]:
    """Each thing that was looked for, with what was found, its limit, and whether it ``exceeds`` it.

    Of the single features there is the one that tells most, and all that exceed the limit, worst first.

    Args:
        connection: Holds ``samples`` and the view ``made`` with the features of all applications.
        features: The features to look at.
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
        {"kind": SHARED, "borrowers": shared, "limit": 0, "exceeds": shared > 0},
        {
            "kind": REPEATED,
            "share": round(repeated, 6),
            "limit": limits.repeated_rows_share,
            "exceeds": repeated > limits.repeated_rows_share,
        },
        *(
            {
                "kind": ALONE,
                "feature": name,
                "auc": round(-auc, 6),
                "limit": limits.single_feature_auc,
                "exceeds": -auc > limits.single_feature_auc,
            }
            for place, (auc, name) in enumerate(alone)
            if not place or -auc > limits.single_feature_auc
        ),
    ]


def leaks(checks: list[Finding]) -> list[Finding]:
    """What exceeds its limit, worst first within its kind."""
    return [{key: value for key, value in check.items() if key != "exceeds"} for check in checks if check["exceeds"]]


def leak_rows(connection: duckdb.DuckDBPyConnection, features: list[Feature], found: list[Finding]) -> pa.Table:
    """The applications of each finding, at most ``MOST_ROWS`` of each, and their number in the finding's ``rows``.

    Returns:
        Table of ``ROWS``: of repeated rows, ``repeats`` is the first application with the same features; of a single
        feature, ``value`` is its value as text.
    """
    tables = [ROWS.empty_table()]
    for finding in found:
        kept = f"SELECT application_id, s.borrower_id, sample, s.bad, {{}} FROM {_CASES}"
        if finding["kind"] == SHARED:
            sql = kept.format("NULL AS repeats, NULL AS value") + f" WHERE s.borrower_id IN ({_SHARED})"
        elif finding["kind"] == REPEATED:
            same = f"PARTITION BY hash({_names(features)})"
            sql = kept.format(f"min(application_id) OVER ({same}) AS repeats, NULL AS value")
            sql += f" QUALIFY count(*) OVER ({same}) > 1"
        else:
            sql = kept.format(f"NULL AS repeats, CAST({_quoted(str(finding['feature']))} AS VARCHAR) AS value")
        finding["rows"] = connection.execute(f"SELECT count(*) FROM ({sql})").fetchall()[0][0]
        rows = connection.sql(
            f"SELECT * FROM ({sql}) ORDER BY repeats, borrower_id, application_id LIMIT {MOST_ROWS}"
        ).to_arrow_table()
        kind = pa.array([finding["kind"]] * len(rows), CATEGORY)
        feature = pa.array([finding.get("feature")] * len(rows), CATEGORY)
        tables.append(rows.add_column(0, "kind", kind).add_column(1, "feature", feature).cast(ROWS))
    return pa.concat_tables(tables).combine_chunks()


def refuse(found: list[Finding], limits: Limits, place: str) -> None:
    """Stop the run where a leak was found that nobody answers for.

    Args:
        found: The findings.
        limits: Holds the reason.
        place: Where the findings' applications are.

    Raises:
        GateStopped: There is a finding, and no ``limits.leakage_reason``; or a borrower is on both sides.
    """
    if not found or (limits.leakage_reason.strip() and found[0]["kind"] != SHARED):
        return
    said = {
        SHARED: "{borrowers} borrowers stand in the training and in the test set",
        REPEATED: "a share of {share:.3f} of the applications repeat another's features (limit {limit})",
        ALONE: "the feature {feature} alone reaches an AUC of {auc:.3f} (limit {limit})",
    }
    sentences = "; ".join(said[str(finding["kind"])].format(**finding) for finding in found)
    raise GateStopped(
        f"A leak is likely: {sentences}; see the applications in {place}, and take the cause out of the mapping or the "
        "data, or say under limits.leakage_reason why it is none."
    )


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
    found = connection.execute(f"""
        SELECT value IS NULL AS missing, CAST(sum(bad) AS DOUBLE) AS bads, CAST(count(*) AS DOUBLE) AS all_
        FROM (SELECT {_quoted(feature.name)} AS value, bad FROM judged)
        GROUP BY value ORDER BY value NULLS FIRST
    """).fetchnumpy()
    bads = np.asarray(found["bads"])
    goods = np.asarray(found["all_"]) - bads
    missing = np.asarray(found["missing"])
    # A missing value may mean the best or the worst: both are tried.
    last = np.argsort(missing, kind="stable")
    aucs = [_auc_of_groups(bads, goods), _auc_of_groups(bads[last], goods[last])]
    return max(max(auc, 1 - auc) for auc in aucs)


def _auc_of_category(connection: duckdb.DuckDBPyConnection, feature: Feature) -> float:
    """Mean AUC of two halves of the borrowers, each ordered by the categories' bad rates in the other half.

    A category that has few rows tells its own outcomes, and so would be a leak by itself: in the other half it is
    unknown, and counts as the average. Rates are drawn towards the average by one row.
    """
    found = connection.execute(f"""
        SELECT sum(bad) FILTER (NOT second) AS bads_0, sum(bad) FILTER (second) AS bads_1,
            count(*) FILTER (NOT second) AS rows_0, count(*) FILTER (second) AS rows_1
        FROM (SELECT {_quoted(feature.name)} AS value, bad, half_of_borrowers = 1 AS second FROM judged)
        GROUP BY value ORDER BY value NULLS FIRST
    """).fetchnumpy()
    bads, rows = (
        np.stack([np.ma.filled(found[f"{name}_{half}"], 0).astype(np.float64) for half in (0, 1)])
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
