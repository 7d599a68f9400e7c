"""Whether the service gives an application the very score that the batch gives it.

``python -m tests.pipelines.parity RUN --applications 10000`` compares the applications of a finished run: the batch
reads the features that the pipeline made; the service is sent each application with its raw history as JSON.
"""

import argparse
import dataclasses
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from components.credit.book.manifest import Manifest
from components.credit.book.store import Store, read_manifest
from components.credit.features.onerow.history import History
from components.credit.models.scorer import load
from components.score.batch import score_batch
from components.scorer.http.routes import answer
from components.scorer.model import Model, load_champion
from components.scorer.requests import Request
from pipelines.embedded import embedded_store
from pipelines.example import plain

FAMILIES = {"scorecard": "train-sklearn", "random_forest": "train-sklearn", "xgboost": "train-xgboost"}
_DECIDED_LATER = {"decision", "loan_id", "outcome", "outcome_known_at"}


@dataclasses.dataclass(frozen=True)
class Compared:
    """How many applications were compared for a family, and what differs: application, batch, service."""

    family: str
    applications: int
    differences: list[tuple[str, object, object]]


def compare(run: Path, store: Store, verify_key: str, most: int) -> Iterator[Compared]:
    """Compare the two ways for each family of a finished run, on its first applications by identifier."""
    (artifacts,) = (run / "pipeline").glob("quipu-training-*")
    features, clean = (read_manifest(str(artifacts / name)) for name in ("feature/features", "validate/clean"))
    table = store.table(features, "features").to_table().sort_by("application_id").slice(0, most).combine_chunks()
    documents = _documents(table["application_id"].to_pylist(), clean, store)
    champion = load_champion(store, verify_key)
    for family, stage in FAMILIES.items():
        scorer = load(artifacts / stage / family)
        assert champion.recipe is not None
        wanted = [*(feature.name for feature in scorer.features), *(rule.column for rule in champion.rules)]
        history = History(champion.recipe, wanted)
        model = dataclasses.replace(champion, scorer=scorer, history=history)
        yield Compared(family, table.num_rows, list(_differences(model, table, documents)))


def _differences(model: Model, table: pa.Table, documents: dict[str, bytes]) -> Iterator[tuple[str, object, object]]:
    wanted = ["application_id", "decided_at", *model.features, *model.rule_columns]
    (batch,) = table.select(wanted).to_batches()
    for row in score_batch(model, batch).to_pylist():
        name = row["application_id"]
        told = answer(model, Request("POST", "/v1/score", documents[name]))
        asked = json.loads(told.body)
        batched = tuple(row[name] for name in ("probability", "points", "band", "proposal", "rules", "reasons"))
        served: object = asked
        if told.status == 200:
            codes = [
                reason["feature"] if reason["cause"] == "attribute" else reason["cause"] for reason in asked["reasons"]
            ]
            rules = [rule["code"] for rule in asked["rules"]]
            plainly = (asked[name] for name in ("probability", "points", "band", "proposal"))
            served = (*plainly, rules, codes)
        if batched != served:
            yield name, batched, served


def _documents(applications: list[str], clean: Manifest, store: Store) -> dict[str, bytes]:
    """Each application with its raw history as it was known when it was decided."""
    asked = (
        store.table(clean, "applications").to_table(filter=ds.field("application_id").isin(applications)).to_pylist()
    )
    known: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for table in ("borrowers", "loans", "repayments", "bureau", "transactions"):
        rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
        if table in clean.tables:
            people = ds.field("borrower_id").isin([application["borrower_id"] for application in asked])
            for row in store.table(clean, table).to_table(filter=people).to_pylist():
                rows[row["borrower_id"]].append(row)
        known[table] = rows
    return {application["application_id"]: _document(application, known) for application in asked}


def _document(application: dict[str, Any], known: dict[str, dict[str, list[dict[str, Any]]]]) -> bytes:
    found = {
        table: sorted(
            (row for row in rows[application["borrower_id"]] if row["known_at"] <= application["decided_at"]),
            key=lambda row: row["event_time"],
        )
        for table, rows in known.items()
    }
    loans = {row["loan_id"] for row in found["loans"]}
    found["repayments"] = [row for row in found["repayments"] if row["loan_id"] in loans]
    borrowers = found.pop("borrowers")
    document: dict[str, Any] = {name: [_told(row) for row in rows] for name, rows in found.items()}
    document["application"] = {name: value for name, value in _told(application).items() if name not in _DECIDED_LATER}
    if borrowers:
        document["borrower"] = _told(borrowers[-1])
    return json.dumps(document).encode()


def _told(row: dict[str, Any]) -> dict[str, Any]:
    return {name: plain(value) for name, value in row.items() if value is not None and name != "borrower_id"}


def main() -> None:
    """Compare a run's applications and say what differs."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("run", type=Path)
    arguments.add_argument("--applications", type=int, default=10_000)
    asked = arguments.parse_args()
    with embedded_store(asked.run / "store") as access:
        for compared in compare(asked.run, Store(access), (asked.run / "verify.pem").read_text(), asked.applications):
            print(f"{compared.family}: {compared.applications:,} applications, {len(compared.differences)} differ")
            for difference in compared.differences[:3]:
                print(*difference, sep="\n   ")


if __name__ == "__main__":
    main()
