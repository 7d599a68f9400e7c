"""What the champion says of recent applications, and of those whose outcome came to be known since its training."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from components.credit.book.manifest import Manifest
from components.credit.book.store import Store
from components.credit.config import Config, Rule
from components.credit.drift import Array, Reference
from components.credit.errors import InputError
from components.credit.features.moments import local_days
from components.credit.models.binning import Columns
from components.credit.models.calibration import Floats, Integers, sigmoid
from components.credit.models.scorer import Scorer
from components.credit.progress import Progress
from components.credit.release.policy import policy_by_day

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
    passes: np.ndarray[Any, np.dtype[np.bool_]]
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
    local_day = local_days(str(scorer.recipe["time_zone"])) if scorer.recipe else local_days("UTC")
    for name in names:
        if name not in features[0].tables["features"].columns:
            raise InputError(
                f"The features {features[0].prefix} lack '{name}', which the model takes; make them again."
            )
    distributions = reference.features if reference else []
    counts = [np.zeros(len(distribution.counts)) for distribution in distributions]
    points, probability, passes, matured_probability, matured_bad, matured_borrower = [], [], [], [], [], []
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
                looked_at = batch.filter(pa.array(kept))
                columns = _columns(looked_at, scorer)
                recent, matured, label = recent[kept], matured[kept], label[kept]
                log_odds = scorer.log_odds(scorer.margin(columns))
                bad_probability = sigmoid(log_odds)
                points.append(scorer.scaling.whole_points(log_odds)[recent])
                probability.append(bad_probability[recent])
                days = np.array([local_day(at) for at in looked_at["decided_at"].cast(pa.int64()).to_pylist()])
                ruled = {rule.column: looked_at[rule.column].to_numpy(zero_copy_only=False) for rule in rules}
                passes.append(np.array([not codes for codes in policy_by_day(ruled, rules, days)], dtype=bool)[recent])
                matured_probability.append(bad_probability[matured])
                matured_bad.append((label[matured] == "bad").astype(np.int64))
                matured_borrower.append(np.array(batch["borrower_id"].to_pylist(), dtype=object)[kept][matured])
                for place, distribution in enumerate(distributions):
                    counts[place] += distribution.count(columns[distribution.name][recent])
            rows += batch.num_rows
            progress.report("scoring", rows=rows)
    return Seen(
        since=since + _DAY,
        points=np.concatenate([*points, np.zeros(0, np.int64)]),
        probability=np.concatenate([*probability, np.zeros(0)]),
        passes=np.concatenate([*passes, np.zeros(0, dtype=bool)]),
        counts=counts,
        matured_probability=np.concatenate([*matured_probability, np.zeros(0)]),
        matured_bad=np.concatenate([*matured_bad, np.zeros(0, np.int64)]),
        matured_borrower=np.unique(np.concatenate([*matured_borrower, np.zeros(0, object)]), return_inverse=True)[1],
    )


def _columns(batch: pa.RecordBatch, scorer: Scorer) -> Columns:
    return {
        feature.name: np.asarray(batch[feature.name].to_numpy(zero_copy_only=False), dtype=np.float64)
        if feature.type == "number"
        else np.array(batch[feature.name].to_pylist(), dtype=object)
        for feature in scorer.features
    }
