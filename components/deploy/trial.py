"""Trial rows of a model, and whether a running scorer gives them the very scores that the model itself gives."""

import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from components.credit.errors import ClusterError
from components.credit.models.binning import Columns
from components.credit.models.scorer import Scorer

Ask = Callable[[bytes], tuple[int, bytes]]
_ROWS = 64
_ROUNDS = 8  # a Service spreads them over the pods behind it
_SETTLE_SECONDS = 30.0  # until a Service sends all to the side that it was just pointed at
# An exponential may differ in its last bit from one processor to another.
_TOLERANCE = 1e-9


def trial_rows(scorer: Scorer) -> Columns:
    """Rows that any model of these features must score, the same for the same model: nothing but missing values, ones,
    and draws over many orders of magnitude, a tenth of them missing.
    """
    rng = np.random.default_rng(int(scorer.version(), 16))
    columns: dict[str, np.ndarray[Any, np.dtype[Any]]] = {}
    for feature in scorer.features:
        missing = rng.random(_ROWS) < 0.1
        missing[:2] = True, False
        if feature.type == "number":
            values = rng.choice([-1.0, 1.0, 1.0, 1.0], _ROWS) * 10 ** rng.uniform(-3, 5, _ROWS)
            values[1] = 1.0
            columns[feature.name] = np.where(missing, np.nan, values)
        else:
            words = np.array(["1", "other", "branch"], dtype=object)[rng.integers(0, 3, _ROWS)]
            words[1], words[missing] = "1", None
            columns[feature.name] = words
    return columns


def compare(scorer: Scorer, ask: Ask) -> None:
    """Ask a running scorer for the scores of the trial rows until it has answered like the model often enough.

    Args:
        scorer: The model itself.
        ask: Posts a request in the Open Inference Protocol; gives status and body.

    Raises:
        ClusterError: It answers with another version or other scores, or not at all.
    """
    version, columns = scorer.version(), trial_rows(scorer)
    body = request(scorer, columns)
    deadline, alike = time.monotonic() + _SETTLE_SECONDS, 0
    while alike < _ROUNDS:
        status, answer = ask(body)
        told = _Answer("", []) if status != 200 else msgspec.json.decode(answer, type=_Answer)
        if told.model_version == version:
            _check(scorer, columns, told)
            alike += 1
        elif status == 401:
            raise ClusterError("The scorer asks for a token; give one that may score in QUIPU_SCORER_TOKEN.")
        elif time.monotonic() > deadline:
            found = f"model {told.model_version}" if status == 200 else f"status {status}"
            raise ClusterError(f"The scorer answers the trial with {found} instead of model {version}; see its log.")
        else:
            time.sleep(0.2)


class _Output(msgspec.Struct, frozen=True):
    name: str
    data: list[float]


class _Answer(msgspec.Struct, frozen=True):
    model_version: str
    outputs: list[_Output]


def request(scorer: Scorer, columns: Columns) -> bytes:
    """The rows as a request in the Open Inference Protocol."""
    inputs = []
    for feature in scorer.features:
        number = feature.type == "number"
        values = [None if number and value != value else value for value in columns[feature.name].tolist()]
        datatype = "FP64" if number else "BYTES"
        inputs.append({"name": feature.name, "shape": [_ROWS], "datatype": datatype, "data": values})
    outputs = [{"name": "probability"}, {"name": "points"}]
    return msgspec.json.encode({"inputs": inputs, "outputs": outputs})


def _check(scorer: Scorer, columns: Columns, told: _Answer) -> None:
    scores = {output.name: np.array(output.data) for output in told.outputs}
    wanted = {"probability": scorer.probability(columns), "points": scorer.points(columns)}
    for name, values in wanted.items():
        found = scores.get(name, np.array([]))
        apart = len(values) if found.shape != values.shape else int((np.abs(found - values) > _TOLERANCE).sum())
        if apart:
            raise ClusterError(
                f"The scorer gives {apart} of {len(values)} trial rows another {name} than model {scorer.version()} "
                "itself; build its image from the code that trained the model."
            )
