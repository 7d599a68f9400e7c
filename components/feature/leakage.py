"""Leaks: what makes a model look better than it can be, found before any model is fitted.

Rows that repeat each other, one borrower on both sides of the split, and a single feature that predicts alone what
models of credit risk never predict together.
"""
# ruff: noqa: S608 - the SQL is made of the dictionary's names, quoted, never of a value

import duckdb
import numpy as np
import numpy.typing as npt

from components.credit.config import Limits
from components.credit.dictionary import Feature
from components.credit.errors import GateStopped

Finding = dict[str, object]


def leaks(connection: duckdb.DuckDBPyConnection, features: list[Feature], limits: Limits) -> list[Finding]:
    """What exceeds its limit, worst first within its kind.

    Args:
        connection: Holds ``samples`` and the view ``made`` with the features of all applications.
        features: The features to look at.
        limits: The limits.
    """
    connection.execute("""
        CREATE OR REPLACE TEMP VIEW judged AS
        SELECT m.*, s.bad FROM made m JOIN samples s USING (application_id) WHERE s.sample IN ('train', 'test')
    """)
    found: list[Finding] = []
    shared = _shared_borrowers(connection)
    if shared:
        found.append({"kind": "borrowers on both sides", "borrowers": shared, "limit": 0})
    repeated = _repeated_share(connection, features)
    if repeated > limits.repeated_rows_share:
        found.append({"kind": "repeated rows", "share": round(repeated, 6), "limit": limits.repeated_rows_share})
    alone = sorted((-_auc(connection, feature), feature.name) for feature in features)
    found += [
        {"kind": "single feature", "feature": name, "auc": round(-auc, 6), "limit": limits.single_feature_auc}
        for auc, name in alone
        if -auc > limits.single_feature_auc
    ]
    return found


def refuse(found: list[Finding], limits: Limits) -> None:
    """Stop the run where a leak was found that nobody answers for.

    Raises:
        GateStopped: There is a finding, and no ``limits.leakage_reason``; or a borrower is on both sides.
    """
    if not found or (limits.leakage_reason.strip() and found[0]["kind"] != "borrowers on both sides"):
        return
    said = {
        "borrowers on both sides": "{borrowers} borrowers stand in the training and in the test set",
        "repeated rows": "a share of {share:.3f} of the applications repeat another's features (limit {limit})",
        "single feature": "the feature {feature} alone reaches an AUC of {auc:.3f} (limit {limit})",
    }
    sentences = "; ".join(said[str(finding["kind"])].format(**finding) for finding in found)
    raise GateStopped(
        f"A leak is likely: {sentences}; take the cause out of the mapping or the data, or say under "
        "limits.leakage_reason why it is none."
    )


def _shared_borrowers(connection: duckdb.DuckDBPyConnection) -> int:
    """Borrowers with applications in the training and in the test set."""
    found = connection.execute("""
        SELECT count(*) FROM (
            SELECT borrower_id FROM samples WHERE sample IN ('train', 'test')
            GROUP BY borrower_id HAVING count(DISTINCT sample) > 1
        )
    """).fetchall()
    return int(found[0][0])


def _repeated_share(connection: duckdb.DuckDBPyConnection, features: list[Feature]) -> float:
    """Share of the applications whose features all repeat those of another that is counted already."""
    names = ", ".join(_quoted(feature.name) for feature in features)
    rows, different = connection.execute(f"SELECT count(*), count(DISTINCT hash({names})) FROM judged").fetchall()[0]
    return float(1 - different / rows)


def _auc(connection: duckdb.DuckDBPyConnection, feature: Feature) -> float:
    """AUC of a feature alone, in the better direction; categories in order of their share of bads."""
    order = "value" if feature.type == "number" else "sum(bad) / count(*), value"
    found = connection.execute(f"""
        SELECT value IS NULL AS missing, CAST(sum(bad) AS DOUBLE) AS bads, CAST(count(*) AS DOUBLE) AS all_
        FROM (SELECT {_quoted(feature.name)} AS value, bad FROM judged)
        GROUP BY value ORDER BY {order} NULLS FIRST
    """).fetchnumpy()
    bads = np.asarray(found["bads"])
    goods = np.asarray(found["all_"]) - bads
    missing = np.asarray(found["missing"])
    # A missing value may mean the best or the worst: both are tried.
    last = np.argsort(missing, kind="stable")
    aucs = [_auc_of_groups(bads, goods), _auc_of_groups(bads[last], goods[last])]
    return max(max(auc, 1 - auc) for auc in aucs)


def _auc_of_groups(bads: npt.NDArray[np.float64], goods: npt.NDArray[np.float64]) -> float:
    """AUC where rows of a group are tied and groups stand in order of the score."""
    below = np.cumsum(goods) - goods
    return float((bads * (below + goods / 2)).sum() / (bads.sum() * goods.sum()))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
