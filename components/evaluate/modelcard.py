"""The model card for compliance: what the champion is, what it may be used for, and how it did. JSON and Markdown.

Both hold the numbers of the decision; the Markdown is the JSON in words.
"""

from msgspec import Struct

from components.credit.features.notes import ExclusionCount, Leak
from components.credit.models.scorer import Scorer
from components.credit.models.training_report import BinsReview
from components.credit.release.decision import (
    Bilingual,
    CrossValidation,
    Grade,
    JudgedModel,
    Samples,
    ScoreShift,
    TargetTerms,
)
from components.evaluate.approvals import RuleEffect, Step
from components.evaluate.champion import NAMES
from components.evaluate.comparison import Comparison
from components.evaluate.groups import Fairness
from components.evaluate.inclusion import InclusionFigures
from components.evaluate.record import JudgedSample
from components.evaluate.report import FIGURES, GROUPS, environment
from components.evaluate.stability import InputShift, PartCalibration

FORMAT = 1
_SCOPE = {
    "use": Bilingual(
        en="Support of decisions on loan applications of natural persons by the lender whose data it learnt from.",
        es="Apoyo a las decisiones sobre solicitudes de crédito de personas de la entidad cuyos datos usó.",
    ),
    "not": Bilingual(
        en="Not for other lenders, for setting limits or collections, nor for deciding without a person's review.",
        es="No para otras entidades, límites o cobranza, ni para decidir sin la revisión de una persona.",
    ),
    "protected": Bilingual(
        en="Sex, age, place and language are no inputs; they are held apart to test how groups are treated.",
        es="Sexo, edad, lugar y lengua no son variables; se guardan aparte para medir el trato a los grupos.",
    ),
    "limits": Bilingual(
        en="Outcomes are known of granted loans only, not of what declined applicants would have done.",
        es="Solo se conoce el resultado de los créditos otorgados, no el de los solicitantes rechazados.",
    ),
}
# Norms that the card answers to, and where in it.
NORMS = (
    ("Res. SBS 00053-2023", "model risk: development, validation, use, monitoring", "figures, stability, data"),
    ("Ley 26702 art. 222", "capacity to pay is the basic criterion", "inputs, rules"),
    ("Res. SBS 6941-2008", "risk of over-indebtedness of retail debtors", "rules"),
    ("Ley 29733, DS 016-2024-JUS", "people are told of automated decisions and may ask for a person", "use"),
    ("Ley 31814, DS 115-2025-PCM", "credit evaluation is of high risk: transparency, human oversight", "use, fairness"),
)


class ModelName(Struct, frozen=True):
    """The model: family, version and name."""

    family: str
    version: str
    name: Bilingual


class DataCard(Struct, frozen=True):
    """The feature table (hex SHA-256, as-of day, revision of the code), its split and its samples."""

    features: str
    as_of: str
    code: str
    split: JudgedSample
    samples: Samples


class InputCard(Struct, frozen=True):
    """An input of the model: names, unit, source table, trend of risk, and the people's review of its bins, if any."""

    name: str
    en: str
    es: str
    unit: str
    source: str
    trend: str | None
    bins_review: BinsReview | None


class FigureCard(Struct, frozen=True):
    """A figure of the champion with its interval, on ``n`` rows with ``bads``."""

    name: str
    label: str
    value: float
    low: float | None
    high: float | None
    n: int
    bads: int


class CutOffCard(Struct, frozen=True):
    """The cut-off as a probability of bad and as points."""

    probability: float
    points: int


class Norm(Struct, frozen=True):
    """A norm, what it asks for, and where the card answers."""

    norm: str
    asks: str
    answered_in: str


class ModelCard(Struct, frozen=True, kw_only=True):
    """The card; its parts are those of the decision.

    Args:
        format: Number of this form of the card.
        model: The champion.
        chosen: Why.
        cards: Whom each card of a scorecard with own cards scores; else empty.
        scope: What the model may be used for, by ``use``, ``not``, ``protected`` and ``limits``.
        person_decides: Whether a person must confirm each decision.
        data: What it learnt from.
        target: What counts as bad.
        exclusions: Applications that are out of scope.
        approvals: From all applications to the approved.
        training: Its cross-validation.
        inputs: Its inputs.
        confidence: Confidence of the intervals.
        figures: Its figures on the test sample.
        cutoff: Its cut-off.
        stability: Shift of its score since training.
        inputs_shift: Shift of its inputs.
        calibration_by_part: Calibration by part of the test sample.
        grades: Its bands.
        fairness: How it treats protected groups.
        inclusion: What alternative data do for people without a bureau record.
        rules: What each hard rule declines.
        leakage: Leaks found.
        norms: The norms that the card answers to.
    """

    format: int
    model: ModelName
    chosen: Bilingual
    cards: list[str]
    scope: dict[str, Bilingual]
    person_decides: bool
    data: DataCard
    target: TargetTerms
    exclusions: list[ExclusionCount]
    approvals: list[Step]
    training: CrossValidation
    inputs: list[InputCard]
    confidence: float
    figures: list[FigureCard]
    cutoff: CutOffCard
    stability: ScoreShift | None
    inputs_shift: list[InputShift]
    calibration_by_part: list[PartCalibration]
    grades: list[Grade]
    fairness: Fairness
    inclusion: InclusionFigures
    rules: list[RuleEffect]
    leakage: list[Leak]
    norms: list[Norm]


def model_card(comparison: Comparison) -> ModelCard:
    """The card of the champion."""
    decision, data = comparison.decision, comparison.decision.data
    champion = decision.champion
    model = decision.models[champion.family]
    return ModelCard(
        format=FORMAT,
        model=ModelName(champion.family, champion.version, Bilingual(*NAMES[champion.family])),
        chosen=decision.reason,
        cards=[rows for rows, _ in comparison.champion.engine.cards if rows],
        scope=_SCOPE,
        person_decides=decision.rule.person_decides,
        data=DataCard(data.features, data.as_of, data.code, decision.split, decision.samples),
        target=decision.target,
        exclusions=decision.exclusions,
        approvals=decision.approvals,
        training=model.training,
        inputs=_inputs(comparison.scorers[champion.family]),
        confidence=decision.rule.confidence,
        figures=_figures(model),
        cutoff=CutOffCard(model.cutoff, model.cutoff_points),
        stability=model.psi,
        inputs_shift=decision.stability.inputs,
        calibration_by_part=decision.stability.calibration,
        grades=model.grades,
        fairness=decision.fairness,
        inclusion=decision.inclusion,
        rules=decision.rules,
        leakage=decision.leakage,
        norms=[Norm(*row) for row in NORMS],
    )


def markdown(card: ModelCard) -> str:
    """The card as Markdown."""
    return (
        environment()
        .get_template("card.md.jinja")
        .render(
            card=card,
            forms={name: (decimals, as_share) for name, _, decimals, as_share in FIGURES},
            groups=GROUPS,
        )
    )


def _figures(model: JudgedModel) -> list[FigureCard]:
    found = []
    for name, label, _, _ in FIGURES:
        value = getattr(model, name)
        if value is not None:
            low, high = getattr(model, f"{name}_low"), getattr(model, f"{name}_high")
            found.append(FigureCard(name, label, value, low, high, model.n, model.bads))
    return found


def _inputs(scorer: Scorer) -> list[InputCard]:
    reviewed = scorer.training.manual_bins or {}
    return [
        InputCard(
            name=feature.name,
            en=feature.en,
            es=feature.es,
            unit=feature.unit,
            source=feature.source,
            trend=feature.trend,
            bins_review=reviewed.get(feature.name),
        )
        for feature in scorer.features
    ]
