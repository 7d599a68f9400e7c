"""The rows of a sample with what each model says of them, read and scored in batches."""

import math
from collections.abc import Iterator

import pandas as pd
import pyarrow.compute as pc

from components.credit.binning import Columns
from components.credit.calibration import sigmoid
from components.credit.errors import InputError
from components.credit.manifest import Manifest
from components.credit.progress import Progress
from components.credit.scorer import Scorer
from components.credit.store import Store

PROTECTED = "protected_"
_FACTS = ("borrower_id", "bad", "segment", "thin_file")
_BATCH_ROWS = 65_536
# TreeSHAP of a deep forest takes tens of milliseconds a row.
_EXPLAINED_ROWS = 100


def score_sample(
    features: Manifest, scorers: dict[str, Scorer], sample: str, store: Store, progress: Progress
) -> pd.DataFrame:
    """The labelled rows of a sample, in the table's order.

    Returns:
        ``borrower_id`` (a number for each borrower), ``bad`` (int64), ``segment``, ``thin_file``, the ``protected_``
        columns, and ``probability_<model>`` and ``points_<model>`` of each model.

    Raises:
        InputError: The feature table lacks a column that a model needs.
    """
    facts = [*_FACTS, *(name for name in features.tables["features"].columns if name.startswith(PROTECTED))]
    parts, done = [], 0
    for frame in _frames(features, scorers, sample, store):
        scored = frame[facts].astype({"bad": "int64"})
        columns = _columns(frame)
        for name, scorer in scorers.items():
            log_odds = scorer.log_odds(scorer.margin(columns))
            scored[f"probability_{name}"] = sigmoid(log_odds)
            scored[f"points_{name}"] = scorer.scaling.whole_points(log_odds)
        parts.append(scored)
        done += len(scored)
        progress.report(f"scoring the {sample} sample", rows=done)
    if not parts:
        return pd.DataFrame({name: [] for name in facts})
    rows = pd.concat(parts, ignore_index=True)
    return rows.assign(borrower_id=pd.factorize(rows["borrower_id"])[0])


def inputs_of_sample(features: Manifest, scorers: dict[str, Scorer], sample: str, rows: int, store: Store) -> Columns:
    """The models' inputs for about a hundred of a sample's ``rows`` labelled rows, evenly spaced."""
    step = math.ceil(rows / _EXPLAINED_ROWS)
    kept, seen = [], 0
    for frame in _frames(features, scorers, sample, store):
        kept.append(frame.iloc[-seen % step :: step])
        seen += len(frame)
    return _columns(pd.concat(kept, ignore_index=True))


def _columns(frame: pd.DataFrame) -> Columns:
    return {str(name): column for name, column in frame.items()}


def _frames(features: Manifest, scorers: dict[str, Scorer], sample: str, store: Store) -> Iterator[pd.DataFrame]:
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
    columns = [name for name in table.schema.names if name in inputs or name in _FACTS or name.startswith(PROTECTED)]
    chosen = (pc.field("sample") == sample) & pc.field("bad").is_valid()
    with store.scanning():
        for batch in table.scanner(columns=columns, filter=chosen, batch_size=_BATCH_ROWS).to_batches():
            if batch.num_rows:
                yield batch.to_pandas()
