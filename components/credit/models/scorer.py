"""A trained model: from a row's features to its probability of bad, its points and its reasons.

The three families answer the same calls. A model is saved as ``model.json`` and, for trees, ``trees.ubj`` beside it:
no pickle, and the same bytes for the same model.
"""

import hashlib
from bisect import bisect_left
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from msgspec import Struct

from components.credit.dictionary import Feature
from components.credit.errors import ModelRefused
from components.credit.models.binning import Binning, Columns
from components.credit.models.calibration import Calibration, Floats, Integers, Scaling, sigmoid
from components.credit.models.card import Card
from components.credit.models.cards import Cards
from components.credit.models.engine import Engine
from components.credit.models.training_report import TrainingReport
from components.credit.models.trees.engine import BOOSTER_FILE, Encoder, Trees

Family = Literal["scorecard", "random_forest", "xgboost"]
FORMAT = 1
MODEL = "model.json"
# Folder, within the scorecard's, of the scorecard that infers what declined applicants would have done.
WITH_REJECTS = "with_rejects"
BANDS = ("A", "B", "C", "D", "E")


@dataclass(frozen=True)
class Scorer:
    """A trained model with all that a score needs.

    Args:
        family: ``scorecard``, ``random_forest`` or ``xgboost``.
        features: The inputs, in the order of ``contributions``.
        engine: What turns inputs into a margin.
        calibration: From the engine's log-odds to calibrated ones.
        scaling: From calibrated log-odds to points.
        cutoff: Probability of bad up to which a proposal is to approve; learnt on out-of-fold training predictions.
            It lies halfway between two whole points, so that "at most this probability" and "at least so many
            points" are one rule.
        bands: Upper probabilities of the bands A, B, C and D; E lies above.
        reference: Mean contribution of each feature over the approved part of the training set.
        training: The training report.
        recipe: How the features follow from a borrower's history; None where they are ready attributes.
    """

    family: Family
    features: tuple[Feature, ...]
    engine: Engine
    calibration: Calibration
    scaling: Scaling
    cutoff: float
    bands: tuple[float, ...]
    reference: dict[str, float]
    training: TrainingReport = field(default_factory=TrainingReport)
    recipe: dict[str, object] | None = None

    @property
    def base(self) -> float:
        """Margin before any contribution."""
        return self.engine.base

    def margin(self, columns: Columns) -> Floats:
        """Margin of each row, shape (n,): the engine's log-odds of bad, or the forest's raw probability."""
        return self.engine.margin(columns)

    def contributions(self, columns: Columns) -> Floats:
        """Part of each feature in the margin, shape (n, features); ``base`` plus a row's sum is its margin."""
        return self.engine.contributions(columns)

    def explained(self, columns: Columns) -> tuple[Floats, Floats]:
        """``margin`` and ``contributions`` of the same rows, for the price of the latter."""
        return self.engine.explained(columns)

    @cached_property
    def causes(self) -> list[list[int]]:
        """Indices of the features of each cause; a ready attribute is a cause of its own."""
        groups: dict[str, list[int]] = {}
        for index, feature in enumerate(self.features):
            groups.setdefault(feature.name if feature.cause == "attribute" else feature.cause, []).append(index)
        return list(groups.values())

    @cached_property
    def edges(self) -> list[tuple[list[float], list[float]]]:
        """For each feature the engine's edges, ascending, and the greatest float32 below each.

        Trees read float32, so that nothing nearer is below an edge to them.
        """
        return [(edges, [_below(edge) for edge in edges]) for edges in self.engine.edges]

    @cached_property
    def approved(self) -> Floats:
        """``reference`` in the order of the features, shape (features,)."""
        return np.array([self.reference[feature.name] for feature in self.features])

    def log_odds(self, margin: Floats) -> Floats:
        """Calibrated log-odds of bad at these margins, shape (n,)."""
        return self.calibration.intercept + self.calibration.slope * self.engine.log_odds(margin)

    def probability(self, columns: Columns) -> Floats:
        """Calibrated probability of bad, within (0, 1), shape (n,).

        Args:
            columns: An array by feature name: float64 with NaN for numbers, text with None for categories. A
                DataFrame does; the order of columns is of no account.

        Raises:
            KeyError: A feature is not among the columns.
        """
        return sigmoid(self.log_odds(self.margin(columns)))

    def points(self, columns: Columns) -> Integers:
        """Whole points, the more the better, shape (n,)."""
        return self.scaling.whole_points(self.log_odds(self.margin(columns)))

    def band(self, probability: Floats) -> list[str]:
        """Band of each probability, A to E."""
        return [BANDS[bisect_left(self.bands, each)] for each in probability.tolist()]

    @cached_property
    def cutoff_points(self) -> int:
        """Least points that are approved."""
        log_odds = np.log(self.cutoff) - np.log1p(-self.cutoff)
        return int(np.ceil(self.scaling.offset - self.scaling.factor * log_odds))

    @property
    def binnings(self) -> list[Binning]:
        """Bins of each feature with their rows in training: the engine's own, or those of the training report."""
        own = self.engine.binnings
        return self.training.bins or [] if own is None else own

    @property
    def single_card(self) -> Card | None:
        """The scorecard that scores all rows; None where there are two, or none."""
        cards = self.engine.cards
        return cards[0].card if len(cards) == 1 else None

    def version(self) -> str:
        """First 12 hex digits of the SHA-256 over the saved files."""
        digest = hashlib.sha256()
        for name, data in sorted(pack(self).items()):
            digest.update(f"{name} {len(data)}\n".encode() + data)
        return digest.hexdigest()[:12]


def _below(edge: float) -> float:
    below = np.float32(edge)
    return float(below if below < edge else np.nextafter(below, np.float32(-np.inf)))


class _Saved(Struct, forbid_unknown_fields=True, frozen=True):
    """Content of ``model.json``."""

    format: int
    family: Family
    features: list[Feature]
    calibration: Calibration
    scaling: Scaling
    cutoff: float
    bands: list[float]
    reference: dict[str, float]
    training: TrainingReport
    recipe: dict[str, object] | None
    card: Card | None = None
    cards: Cards | None = None
    encoder: Encoder | None = None


def pack(scorer: Scorer) -> dict[str, bytes]:
    """The files of a model by name: what ``save`` writes and a registry signs."""
    stored = scorer.engine.stored()
    saved = _Saved(
        FORMAT,
        scorer.family,
        list(scorer.features),
        scorer.calibration,
        scorer.scaling,
        scorer.cutoff,
        list(scorer.bands),
        scorer.reference,
        scorer.training,
        scorer.recipe,
    )
    saved = msgspec.structs.replace(saved, **{stored.section: stored.content})
    return {MODEL: msgspec.json.format(msgspec.json.encode(saved, order="sorted"), indent=1)} | stored.files


def unpack(files: dict[str, bytes], source: str) -> Scorer:
    """The model in these files.

    Args:
        files: Bytes by name, as ``pack`` gives them.
        source: Folder or address that they come from, for the message.

    Raises:
        ModelRefused: A file is missing or damaged, or of a format or a shape that this code does not know.
    """
    if MODEL not in files:
        raise ModelRefused(f"{source} holds no {MODEL}; it is not a model of Quipu.")
    try:
        version = msgspec.json.decode(files[MODEL], type=dict[str, object]).get("format")
    except msgspec.DecodeError as error:
        raise ModelRefused(f"{source}/{MODEL} is damaged; fetch the model again.") from error
    if version != FORMAT:
        raise ModelRefused(f"{source}/{MODEL} has format {version}, this code reads {FORMAT}; train the model again.")
    try:
        saved = msgspec.json.decode(files[MODEL], type=_Saved)
    except msgspec.DecodeError as error:
        raise ModelRefused(f"{source}/{MODEL} is not a model that this code reads; train it again.") from error
    return Scorer(
        saved.family,
        tuple(saved.features),
        _engine(saved, files, source),
        saved.calibration,
        saved.scaling,
        saved.cutoff,
        tuple(saved.bands),
        saved.reference,
        saved.training,
        saved.recipe,
    )


def save(scorer: Scorer, folder: str | Path) -> None:
    """Write a model into a folder; create the folder where it does not exist."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, data in pack(scorer).items():
        (Path(folder) / name).write_bytes(data)


def load(folder: str | Path) -> Scorer:
    """The model in a folder.

    Raises:
        ModelRefused: As ``unpack``.
    """
    files = {name: Path(folder) / name for name in (MODEL, BOOSTER_FILE)}
    return unpack({name: path.read_bytes() for name, path in files.items() if path.is_file()}, str(folder))


def _engine(saved: _Saved, files: dict[str, bytes], source: str) -> Engine:
    """The engine that the files hold, once it fits the inputs."""
    names = [feature.name for feature in saved.features]
    if saved.family == "scorecard":
        card = saved.card or saved.cards
        if card is None or not card.fits(names):
            raise ModelRefused(f"{source}/{MODEL} is a scorecard whose bins do not fit its features; train it again.")
        for _, each in card.cards:
            if [len(points) for points in each.points] != [len(binning.bins) for binning in each.binnings]:
                raise ModelRefused(f"{source}/{MODEL} is a scorecard whose points do not fit its bins; train it again.")
        return card
    if saved.encoder is None or [column.feature for column in saved.encoder.columns] != names:
        raise ModelRefused(f"{source}/{MODEL} holds trees whose encoder does not fit its features; train it again.")
    if BOOSTER_FILE not in files:
        raise ModelRefused(f"{source} holds no {BOOSTER_FILE}; fetch the model again.")
    try:
        return Trees(files[BOOSTER_FILE], saved.encoder)
    except ValueError as error:
        raise ModelRefused(f"{source}/{BOOSTER_FILE} {error}; fetch the model again.") from error
