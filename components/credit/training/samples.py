"""Samples of the feature table as arrays: the labelled training rows, and the applications that were declined."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds

from components.credit.book.manifest import Manifest
from components.credit.book.store import Store
from components.credit.config import Config
from components.credit.dictionary import Feature
from components.credit.errors import GateStopped, InputError
from components.credit.models.calibration import Integers

# Beyond so many rows a card or a tree learns nothing more of some dozens of features, and memory stays bounded.
MOST_ROWS = 500_000
_BATCH_ROWS = 65_536


@dataclass(frozen=True)
class Training:
    """The training sample, in order of application.

    Args:
        columns: The features of the dictionary.
        bad: 0 or 1, shape (n,).
        borrowers: Token of each row's borrower, shape (n,).
        decided_at: Time of each row's decision, shape (n,).
        available: Labelled rows that the feature table has; more than n where they were thinned.
        shift: Log-odds of bad before the test set begins, less those of the training rows. Borrowers who come back
            stand in the test set alone, and they are good more often than others, so that the training rows are worse
            than the book; the intercept moves by the difference (King and Zeng, "Logistic Regression in Rare Events
            Data", 2001, prior correction).
    """

    columns: pd.DataFrame
    bad: Integers
    borrowers: np.ndarray
    decided_at: np.ndarray
    available: int
    shift: float = 0.0


def read_training(features: Manifest, dictionary: list[Feature], config: Config, store: Store) -> Training:
    """The labelled training rows, at most ``MOST_ROWS``: beyond, borrowers are left out by a hash of their token.

    Raises:
        InputError: The feature table lacks a feature of the dictionary.
        GateStopped: Fewer bads than the limit, or fewer goods.
    """
    names = [feature.name for feature in dictionary]
    for name in names:
        if name not in features.tables["features"].columns:
            raise InputError(f"The feature table {features.prefix} lacks '{name}' of the dictionary; make both again.")
    columns = ["application_id", "borrower_id", "decided_at", "bad", *names]
    table, available = _read(features, columns, (ds.field("sample") == "train") & ds.field("bad").is_valid(), store)
    bad = table["bad"].to_numpy().astype(np.int64)
    least = max(config.limits.least_bads, config.search.folds)
    for label, count in (("bads", int(bad.sum())), ("goods", int(len(bad) - bad.sum()))):
        if count < least:
            raise GateStopped(
                f"The training sample holds {count} {label}, fewer than the {least} that limits.least_bads and the "
                "folds ask for; bring more history, or set the target otherwise."
            )
    return Training(
        _frame(table, names),
        bad,
        table["borrower_id"].to_numpy(zero_copy_only=False),
        table["decided_at"].cast(pa.timestamp("us")).to_numpy(),
        available,
        _shift(features),
    )


def read_rejects(features: Manifest, names: list[str], until: np.datetime64, store: Store) -> pd.DataFrame:
    """These features of the applications that the lender declined up to a time, at most ``MOST_ROWS`` as above.

    What applicants withdrew is not among them. Without decisions in the table there are no rows.
    """
    if "decision" not in features.tables["features"].columns:
        return pd.DataFrame({name: [] for name in names})
    declined = (ds.field("sample") == "unlabelled") & (ds.field("decision") == "declined")
    table, _ = _read(features, ["application_id", "borrower_id", "decided_at", *names], declined, store)
    earlier = table["decided_at"].cast(pa.timestamp("us")).to_numpy() <= until
    return _frame(table.filter(pa.array(earlier)), names)


def _frame(table: pa.Table, names: list[str]) -> pd.DataFrame:
    return pd.DataFrame({name: table[name].to_numpy(zero_copy_only=False) for name in names})


def _shift(features: Manifest) -> float:
    samples, bads = features.notes.get("samples"), features.notes.get("bads")
    if not isinstance(samples, dict) or not isinstance(bads, dict) or not samples.get("excluded"):
        return 0.0
    train, before_test = (
        sum(bads[name] for name in names) / sum(samples[name] for name in names)
        for names in (("train",), ("train", "excluded"))
    )
    return math.log(before_test / (1 - before_test)) - math.log(train / (1 - train))


def _read(features: Manifest, columns: list[str], chosen: ds.Expression, store: Store) -> tuple[pa.Table, int]:
    dataset = store.table(features, "features")
    batches = []
    with store.scanning():
        available = dataset.count_rows(filter=chosen)
        for batch in dataset.scanner(columns=columns, filter=chosen, batch_size=_BATCH_ROWS).to_batches():
            if available > MOST_ROWS:
                hashes = pd.util.hash_array(batch["borrower_id"].to_numpy(zero_copy_only=False), categorize=False)
                batch = batch.filter(pa.array(hashes < np.uint64(2**64 * (MOST_ROWS / available))))
            batches.append(batch)
    schema = pa.schema([dataset.schema.field(name) for name in columns])
    return pa.Table.from_batches(batches, schema).sort_by("application_id").combine_chunks(), available
