"""What the champion says of recent applications, and of those whose outcome came to be known since its training."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from components.credit.book.manifest import Manifest
from components.credit.book.store import Store
from components.credit.config import Config, Rule
from components.credit.errors import InputError
from components.credit.features.moments import local_days
from components.credit.models.binning import Columns
from components.credit.models.calibration import Floats, Integers, sigmoid
from components.credit.models.distribution import Array, Distribution, Reference
from components.credit.models.scorer import Scorer
from components.credit.progress import Progress
from components.credit.release.policy import policy_by_day

Flags = np.ndarray[Any, np.dtype[np.bool_]]
_BATCH_ROWS = 65_536
_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Seen:
    """Rows that were scored.

    Args:
        since: First day of the recent applications.
        points: (n,) Points of the recent applications.
        probability: (n,) Their probabilities of bad.
        passes: (n,) Whether they break no hard rule of their day.
        counts: Their values by the bins of the training, feature by feature; empty where the model kept none.
        matured_probability: (m,) Probabilities of the applications whose outcome came to be known since.
        matured_bad: (m,) Whether they went bad, 0 or 1.
        matured_borrower: (m,) Whose they are, a number for each borrower.
    """

    since: datetime.date
    points: Integers
    probability: Floats
    passes: Flags
    counts: list[Array]
    matured_probability: Floats
    matured_bad: Integers
    matured_borrower: Integers


def look(
    features: Sequence[Manifest],
    scorer: Scorer,
    rules: Sequence[Rule],
    reference: Reference | None,
    trained_as_of: str,
    config: Config,
    store: Store,
    progress: Progress,
) -> Seen:
    """Score the recent applications and the matured ones, batch after batch.

    An outcome counts as known since the training where the performance window had not passed on the day that the model
    was trained as of, so that the model cannot have learnt from it.

    Args:
        features: Manifests of the model's inputs.
        scorer: The model.
        rules: The hard rules of its release.
        reference: What its training looked like.
        trained_as_of: As-of day of its training, YYYY-MM-DD.
        config: Windows.
        store: Holds the features.
        progress: Takes row counts.

    Raises:
        InputError: The features lack an input of the model or of its rules.
        StoreError: The store does not answer.
    """
    since = datetime.date.fromisoformat(features[0].as_of) - config.monitoring.window_days * _DAY
    unknown_days = config.target.window_days + config.target.maturity_days
    unknown_from = datetime.date.fromisoformat(trained_as_of) - unknown_days * _DAY
    inputs = [feature.name for feature in scorer.features]
    names = [*inputs, *sorted({rule.column for rule in rules} - set(inputs))]
    for name in names:
        if name not in features[0].tables["features"].columns:
            raise InputError(
                f"The features {features[0].prefix} lack '{name}', which the model takes; make them again."
            )
    distributions = reference.features if reference else []
    counts = [np.zeros(len(distribution.counts)) for distribution in distributions]
    parts: list[_Part] = []
    rows = 0
    for manifest in features:
        for batch in store.batches(
            manifest, "features", None, ["borrower_id", "decided_at", "label", *names], _BATCH_ROWS
        ):
            day = batch["decided_at"].cast(pa.timestamp("us")).to_numpy().astype("datetime64[D]")
            label = np.array(batch["label"].to_pylist(), dtype=object)
            recent = day > np.datetime64(since)
            matured = (day > np.datetime64(unknown_from)) & ((label == "good") | (label == "bad"))
            kept = recent | matured
            if kept.any():
                part = _score(batch.filter(pa.array(kept)), recent[kept], matured[kept], scorer, rules, distributions)
                parts.append(part)
                counts = [before + more for before, more in zip(counts, part.counts, strict=True)]
            rows += batch.num_rows
            progress.report("scoring", rows=rows)
    borrowers = np.concatenate([*(part.matured_borrower for part in parts), np.zeros(0, object)])
    return Seen(
        since=since + _DAY,
        points=np.concatenate([*(part.points for part in parts), np.zeros(0, np.int64)]),
        probability=np.concatenate([*(part.probability for part in parts), np.zeros(0)]),
        passes=np.concatenate([*(part.passes for part in parts), np.zeros(0, dtype=bool)]),
        counts=counts,
        matured_probability=np.concatenate([*(part.matured_probability for part in parts), np.zeros(0)]),
        matured_bad=np.concatenate([*(part.matured_bad for part in parts), np.zeros(0, np.int64)]),
        matured_borrower=np.unique(borrowers, return_inverse=True)[1],
    )


class _Part(NamedTuple):
    """``Seen`` of a batch; a borrower is a token here."""

    points: Integers
    probability: Floats
    passes: Flags
    counts: list[Array]
    matured_probability: Floats
    matured_bad: Integers
    matured_borrower: np.ndarray[Any, Any]


def _score(
    batch: pa.RecordBatch,
    recent: Flags,
    matured: Flags,
    scorer: Scorer,
    rules: Sequence[Rule],
    distributions: Sequence[Distribution],
) -> _Part:
    """The figures of the rows of a batch that are recent or matured."""
    columns = _columns(batch, scorer)
    log_odds = scorer.log_odds(scorer.margin(columns))
    probability = sigmoid(log_odds)
    local_day = local_days(str(scorer.recipe["time_zone"]) if scorer.recipe else "UTC")
    days = np.array([local_day(at) for at in batch["decided_at"].cast(pa.int64()).to_pylist()])
    ruled = {rule.column: batch[rule.column].to_numpy(zero_copy_only=False) for rule in rules}
    passes = np.array([not codes for codes in policy_by_day(ruled, rules, days)], dtype=bool)
    bad = np.array(batch["label"].to_pylist(), dtype=object) == "bad"
    return _Part(
        points=scorer.scaling.whole_points(log_odds)[recent],
        probability=probability[recent],
        passes=passes[recent],
        counts=[distribution.count(columns[distribution.name][recent]) for distribution in distributions],
        matured_probability=probability[matured],
        matured_bad=bad[matured].astype(np.int64),
        matured_borrower=np.array(batch["borrower_id"].to_pylist(), dtype=object)[matured],
    )


def _columns(batch: pa.RecordBatch, scorer: Scorer) -> Columns:
    return {
        feature.name: np.asarray(batch[feature.name].to_numpy(zero_copy_only=False), dtype=np.float64)
        if feature.type == "number"
        else np.array(batch[feature.name].to_pylist(), dtype=object)
        for feature in scorer.features
    }
