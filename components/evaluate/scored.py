"""The rows of a sample with what each model says of them, read and scored in batches."""

import math
from collections.abc import Collection, Iterator

import pandas as pd
import pyarrow.compute as pc

from components.credit.book.manifest import Manifest
from components.credit.book.store import Store
from components.credit.errors import InputError
from components.credit.models.binning import Columns
from components.credit.models.calibration import sigmoid
from components.credit.models.scorer import Scorer
from components.credit.progress import Progress

PROTECTED = "protected_"
_FACTS = (
    "borrower_id",
    "decided_at",
    "amount",
    "currency",
    "decision",
    "incumbent_score",
    "bad",
    "segment",
    "thin_file",
)
_OF_FOLDS = ("bad", "borrower_id", "decided_at", "segment", "thin_file")
_BATCH_ROWS = 65_536


def score_sample(
    features: Manifest,
    scorers: dict[str, Scorer],
    sample: str,
    store: Store,
    progress: Progress,
    also: Collection[str] = (),
    declined: bool = False,
) -> pd.DataFrame:
    """The labelled rows of a sample, in the table's order.

    Args:
        features: Manifest of the feature table.
        scorers: The models by name.
        sample: ``train`` or ``test``.
        store: The store that holds the table.
        progress: Told of the rows.
        also: Features to keep beside, where the table has them.
        declined: Whether the applications that were declined in the sample's time follow too, without an outcome.

    Returns:
        ``borrower_id`` (a number for each borrower), ``decided_at``, ``amount``, ``currency``, ``decision``,
        ``incumbent_score``, ``bad`` (int64; -1 where declined), ``segment``, ``thin_file``, the ``protected_`` columns,
        those of ``also``, and ``probability_<model>`` and ``points_<model>`` of each model.

    Raises:
        InputError: The feature table lacks a column that a model needs.
    """
    held = features.tables["features"].columns
    kept = [name for name in held if name in _FACTS or name in also or name.startswith(PROTECTED)]
    chosen = (pc.field("sample") == sample) & pc.field("bad").is_valid()
    if declined:
        chosen |= (pc.field("sample") == "unlabelled") & (pc.field("decision") == "declined")
    parts, done = [], 0
    for frame in _frames(features, scorers, kept, chosen, store):
        scored = frame[kept].copy()
        scored["bad"] = scored["bad"].fillna(-1).astype("int64")
        columns = _columns(frame)
        for name, scorer in scorers.items():
            log_odds = scorer.log_odds(scorer.margin(columns))
            scored[f"probability_{name}"] = sigmoid(log_odds)
            scored[f"points_{name}"] = scorer.scaling.whole_points(log_odds)
        parts.append(scored)
        done += len(scored)
        progress.report(f"scoring the {sample} sample", rows=done)
    if not parts:
        return pd.DataFrame({name: [] for name in kept})
    rows = pd.concat(parts, ignore_index=True)
    rows = rows.assign(borrower_id=pd.factorize(rows["borrower_id"])[0])
    decided = rows.loc[rows["bad"] >= 0, "decided_at"]
    return rows[(rows["bad"] >= 0) | rows["decided_at"].between(decided.min(), decided.max())].reset_index(drop=True)


def inputs_of_sample(
    features: Manifest, scorers: dict[str, Scorer], sample: str, rows: int, most: int, store: Store
) -> pd.DataFrame:
    """The models' inputs with ``bad``, borrower, time and segment: about ``most`` of a sample's ``rows`` labelled ones,
    evenly spaced."""
    step = max(1, math.ceil(rows / most))
    kept, seen = [], 0
    chosen = (pc.field("sample") == sample) & pc.field("bad").is_valid()
    for frame in _frames(features, scorers, _OF_FOLDS, chosen, store):
        kept.append(frame.iloc[-seen % step :: step])
        seen += len(frame)
    return pd.concat(kept, ignore_index=True).astype({"bad": "int64"}) if kept else pd.DataFrame()


def _columns(frame: pd.DataFrame) -> Columns:
    return {str(name): column for name, column in frame.items()}


def _frames(
    features: Manifest, scorers: dict[str, Scorer], also: Collection[str], chosen: pc.Expression, store: Store
) -> Iterator[pd.DataFrame]:
    table = store.table(features, "features")
    held = set(table.schema.names)
    for name, scorer in scorers.items():
        for feature in scorer.features:
            if feature.name not in held:
                raise InputError(
                    f"The feature table {features.prefix} has no column '{feature.name}', which the model '{name}' "
                    f"reads; train the models on this table."
                )
    inputs = {feature.name for scorer in scorers.values() for feature in scorer.features}
    columns = [name for name in table.schema.names if name in inputs or name in also]
    with store.scanning():
        for batch in table.scanner(columns=columns, filter=chosen, batch_size=_BATCH_ROWS).to_batches():
            if batch.num_rows:
                yield batch.to_pandas()
