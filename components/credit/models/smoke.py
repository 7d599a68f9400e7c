"""The smoke set of a model: rows over the span of its inputs, with the answers that it gave when it was released.

It is signed with the model. Whoever loads the model asks it the same rows before anybody else may: other figures mean
another engine, library or processor than the one on which it was approved. The rows are of no borrower.
"""

from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from components.credit.dictionary import Feature
from components.credit.errors import ModelRefused
from components.credit.models.binning import Binning
from components.credit.models.scorer import Scorer

SMOKE = "smoke.json"
_ROWS = 24
_SEED = 20_240_731
# Where training left no bins: values of all sizes, on both sides of zero.
_SIZES = (-100.0, -1.0, 0.0, 0.01, 0.1, 0.3, 0.5, 0.8, 1.0, 2.0, 5.0, 12.0, 30.0, 90.0, 365.0, 1e3, 3e3, 1e4, 1e5)
# NumPy's exp has other last bits on other processors; a step of a tree or a point is 10,000,000,000 times as much.
_TOLERANCE = 1e-12


class Smoke(Struct, frozen=True, forbid_unknown_fields=True):
    """Rows and answers.

    Args:
        columns: Values by feature, None where missing; as many each as there are rows.
        probability: Probability of bad, by row.
        points: Points, by row.
    """

    columns: dict[str, list[float | str | None]]
    probability: list[float]
    points: list[int]


def smoke(scorer: Scorer) -> bytes:
    """The smoke set of a model (JSON): each input runs over the edges of its bins, in an order of its own."""
    rng = np.random.default_rng(_SEED)
    binnings = {binning.feature: binning for binning in scorer.binnings}
    drawn: dict[str, list[float | str | None]] = {}
    for feature in scorer.features:
        values = _values(feature, binnings.get(feature.name))
        drawn[feature.name] = [values[choice] for choice in rng.permutation(np.arange(_ROWS) % len(values))]
    columns = _arrays(scorer, drawn)
    probability, points = scorer.probability(columns), scorer.points(columns)
    return msgspec.json.encode(Smoke(drawn, probability.tolist(), points.tolist()))


def check_smoke(scorer: Scorer, data: bytes, source: str) -> None:
    """Ask a model its smoke set.

    Args:
        scorer: The model, as it was loaded.
        data: Its smoke set.
        source: Folder or address that it comes from, for the message.

    Raises:
        ModelRefused: It answers otherwise than when it was released, or the set is not one.
    """
    try:
        known = msgspec.json.decode(data, type=Smoke)
        columns = _arrays(scorer, known.columns)
        probability, points = scorer.probability(columns), scorer.points(columns)
        same = points.tolist() == known.points and np.allclose(probability, known.probability, rtol=_TOLERANCE, atol=0)
    except (msgspec.DecodeError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise ModelRefused(f"{source} cannot answer its own smoke set; deploy the model again.") from error
    if not same:
        raise ModelRefused(
            f"{source} answers its smoke set otherwise than when it was released; compare the versions of the scorer's "
            "libraries with those of the deploy stage, then deploy the model again."
        )


def _values(feature: Feature, binning: Binning | None) -> list[float | str | None]:
    """Values of a feature: missing, special codes, edges of bins and what lies beside them; or its categories."""
    if feature.type == "category":
        groups = binning.groups if binning else []
        return [None, "never seen", *(name for group in groups for name in group)]
    if binning is None or not binning.cuts:
        return [None, *_SIZES]
    middles = [(low + high) / 2 for low, high in zip(binning.cuts, binning.cuts[1:], strict=False)]
    return [None, *binning.special, binning.cuts[0] - 1, *binning.cuts, *middles, binning.cuts[-1] + 1]


def _arrays(scorer: Scorer, values: dict[str, list[float | str | None]]) -> dict[str, Any]:
    return {
        feature.name: np.array(values[feature.name], dtype=np.float64 if feature.type == "number" else object)
        for feature in scorer.features
    }
