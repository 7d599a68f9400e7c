"""Batch scoring: rows of ready features, batch after batch, to probability, points, band, proposal, rules and reasons.

A batch goes through the same calls as a request, so the same row gets the same bits and the same proposal. Two threads
score a batch each, since the engines let other threads run; the scores come in order, and at most three batches are in
memory.
"""

import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from components.credit.book.manifest import Manifest
from components.credit.book.store import Store
from components.credit.dictionary import Feature
from components.credit.errors import InputError
from components.credit.features.moments import local_days
from components.credit.models.binning import Columns
from components.credit.models.calibration import sigmoid
from components.credit.models.scorer import BANDS
from components.credit.progress import Progress
from components.credit.reasons.reasons import reasons
from components.credit.release.policy import policy_by_day
from components.credit.release.released import REASONS, Released, codes_of
from components.score.tally import Tally, merged, tallied

SCORES = pa.schema(
    [
        ("application_id", pa.string()),
        ("probability", pa.float64()),
        ("points", pa.int32()),
        ("band", pa.string()),
        ("proposal", pa.string()),
        ("rules", pa.list_(pa.string())),
        ("reasons", pa.list_(pa.string())),
        ("model", pa.string()),
    ]
)
BATCH_ROWS = 8192
_THREADS = 2
_PROPOSALS = ("approve", "decline")


def score_features(
    features: Manifest, model: Released, code: str, store: Store, progress: Progress
) -> tuple[Manifest, Tally]:
    """Score all applications of a feature table, part by part from the store.

    Args:
        features: Manifest of a dataset with the table ``features``.
        model: The model that answers.
        code: Revision of the code.
        store: Holds the features and takes the scores.
        progress: Takes row counts.

    Returns:
        Manifest of the dataset ``scores``, one file a file of the features; and the counts of the scores.

    Raises:
        InputError: The table lacks an input of the model or of its rules.
        StoreError: The store does not answer.
    """
    table = features.tables["features"]
    taken = [*model.features, *model.rule_columns]
    for name in taken:
        if name not in table.columns:
            raise InputError(
                f"The features {features.prefix} lack '{name}', which model {model.version} takes; make them again."
            )
    columns = ["application_id", *(["decided_at"] if model.rules else []), *taken]
    tally = Tally(model.version)
    with tempfile.TemporaryDirectory(prefix="quipu-score-") as name:
        folder = Path(name) / "scores"
        folder.mkdir()
        for index, part in enumerate(table.parts):
            batches = store.batches(features, "features", index, columns, BATCH_ROWS)
            with pyarrow.parquet.ParquetWriter(folder / Path(part.path).name, SCORES, compression="zstd") as file:
                for scored in scores(model, batches):
                    file.write_batch(scored)
                    tally = merged([tally, tallied(scored, model.version)])
                    progress.report("scores", rows=tally.rows, share=tally.rows / max(1, table.rows))
        inputs = {"features": features.sha256, "model": model.version}
        published = store.publish("scores", features.as_of, folder.parent, inputs=inputs, code=code, notes={})
    return published, tally


def scores(model: Released, batches: Iterable[pa.RecordBatch], explain: bool = True) -> Iterator[pa.RecordBatch]:
    """The scores of batches of features, in their order.

    Args:
        model: The model that answers.
        batches: ``application_id``, the model's inputs and, where it has hard rules, their columns and ``decided_at``.
        explain: Whether each row gets its reasons; they are null where not.
    """
    pending: deque[Future[pa.RecordBatch]] = deque()
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="score") as pool:
        for batch in batches:
            pending.append(pool.submit(score_batch, model, batch, explain))
            if len(pending) == _THREADS:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def score_batch(model: Released, batch: pa.RecordBatch, explain: bool = True) -> pa.RecordBatch:
    """The scores of one batch, with the schema ``SCORES``."""
    columns: Columns = {name: _column(batch.column(name), feature) for name, feature in model.features.items()}
    scorer, rows = model.scorer, batch.num_rows
    margin, contributions = scorer.explained(columns) if explain else (scorer.margin(columns), None)
    log_odds = scorer.log_odds(margin)
    probability, points = sigmoid(log_odds), scorer.scaling.whole_points(log_odds)
    band = np.searchsorted(scorer.bands, probability, side="left").astype(np.int8)
    rules = _rules(model, batch)
    declined = np.array([bool(codes) for codes in rules]) | (probability > scorer.cutoff)
    given = pa.nulls(rows, pa.list_(pa.string()))
    if contributions is not None:
        given = _lists(codes_of(reasons(scorer, columns, contributions, REASONS, margin)), rows)
    return pa.RecordBatch.from_arrays(
        [
            batch.column("application_id"),
            pa.array(probability),
            pa.array(points.astype(np.int32)),
            pa.DictionaryArray.from_arrays(band, BANDS).cast(pa.string()),
            pa.DictionaryArray.from_arrays(declined.astype(np.int8), _PROPOSALS).cast(pa.string()),
            pa.array(rules, pa.list_(pa.string())),
            given,
            pa.repeat(model.version, rows),
        ],
        schema=SCORES,
    )


def _rules(model: Released, batch: pa.RecordBatch) -> list[list[str]]:
    """Codes of the hard rules that decline each row and hold on the day of its decision."""
    if not model.rules or model.recipe is None:
        return [[]] * batch.num_rows
    values = {rule.column: np.asarray(batch.column(rule.column), dtype=np.float64) for rule in model.rules}
    local_day = local_days(model.recipe.time_zone)
    days = np.array([local_day(moment) for moment in batch.column("decided_at").cast(pa.int64()).to_pylist()])
    return policy_by_day(values, model.rules, days)


def _column(column: pa.Array, feature: Feature) -> np.ndarray:
    """A column as the scorer reads it: float64 with NaN, or text with None, where missing."""
    if feature.type == "number":
        return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)
    return np.array(column.to_pylist(), dtype=object)


def _lists(codes: list[str], rows: int) -> pa.Array:
    """Codes of the reasons as a list a row; ``codes`` has ``REASONS`` a row, empty where there are fewer."""
    given = np.array([code != "" for code in codes]).reshape(rows, REASONS).sum(axis=1)
    ends = np.concatenate([[0], np.cumsum(given)]).astype(np.int32)
    return pa.ListArray.from_arrays(ends, pa.array([code for code in codes if code], pa.string()))
