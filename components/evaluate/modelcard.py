"""The model card for compliance: what the champion is, what it may be used for, and how it did. JSON and Markdown.

Both hold the numbers of the decision; the Markdown is the JSON in words.
"""

from typing import Any

from components.credit.models.scorer import Scorer
from components.evaluate.champion import NAMES
from components.evaluate.comparison import Comparison
from components.evaluate.report import FIGURES, GROUPS, environment

FORMAT = 1
_SCOPE = {
    "use": {
        "en": "Support of decisions on loan applications of natural persons by the lender whose data it learnt from.",
        "es": "Apoyo a las decisiones sobre solicitudes de crédito de personas de la entidad cuyos datos usó.",
    },
    "not": {
        "en": "Not for other lenders, for setting limits or collections, nor for deciding without a person's review.",
        "es": "No para otras entidades, límites o cobranza, ni para decidir sin la revisión de una persona.",
    },
    "protected": {
        "en": "Sex, age, place and language are no inputs; they are held apart to test how groups are treated.",
        "es": "Sexo, edad, lugar y lengua no son variables; se guardan aparte para medir el trato a los grupos.",
    },
    "limits": {
        "en": "Outcomes are known of granted loans only, not of what declined applicants would have done.",
        "es": "Solo se conoce el resultado de los créditos otorgados, no el de los solicitantes rechazados.",
    },
}
# Norms that the card answers to, and where in it.
NORMS = (
    ("Res. SBS 00053-2023", "model risk: development, validation, use, monitoring", "figures, stability, data"),
    ("Ley 26702 art. 222", "capacity to pay is the basic criterion", "inputs, rules"),
    ("Res. SBS 6941-2008", "risk of over-indebtedness of retail debtors", "rules"),
    ("Ley 29733, DS 016-2024-JUS", "people are told of automated decisions and may ask for a person", "use"),
    ("Ley 31814, DS 115-2025-PCM", "credit evaluation is of high risk: transparency, human oversight", "use, fairness"),
)


def model_card(comparison: Comparison) -> dict[str, Any]:
    """The card, ready for JSON."""
    decision = comparison.decision
    champion = decision["champion"]["family"]
    found = decision["models"][champion]
    engine = comparison.champion.engine
    return {
        "format": FORMAT,
        "model": {**decision["champion"], "name": dict(zip(("en", "es"), NAMES[champion], strict=True))},
        "chosen": decision["reason"],
        "cards": [rows for rows, _ in engine.cards if rows],
        "scope": _SCOPE,
        "person_decides": decision["rule"]["person_decides"],
        "data": {**decision["data"], "split": decision["split"], "samples": decision["samples"]},
        "target": decision["target"],
        "exclusions": decision["exclusions"],
        "approvals": decision["approvals"],
        "training": found["training"],
        "inputs": _inputs(comparison.scorers[champion]),
        "confidence": decision["rule"]["confidence"],
        "figures": [
            {"name": name, "label": label, "value": found[name], "low": found[f"{name}_low"],
             "high": found[f"{name}_high"], "n": found["n"], "bads": found["bads"]}
            for name, label, _, _ in FIGURES if name in found
        ],
        "cutoff": {"probability": found["cutoff"], "points": found["cutoff_points"]},
        "stability": found["psi"],
        "inputs_shift": decision["stability"]["inputs"],
        "calibration_by_part": decision["stability"]["calibration"],
        "grades": found["grades"],
        "fairness": decision["fairness"],
        "inclusion": decision["inclusion"],
        "rules": decision["rules"],
        "leakage": decision["leakage"],
        "norms": [{"norm": norm, "asks": asks, "answered_in": where} for norm, asks, where in NORMS],
    }  # fmt: skip


def markdown(card: dict[str, Any]) -> str:
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


def _inputs(scorer: Scorer) -> list[dict[str, Any]]:
    reviewed: Any = scorer.training.get("manual_bins", {})
    return [
        {
            "name": feature.name,
            "en": feature.en,
            "es": feature.es,
            "unit": feature.unit,
            "source": feature.source,
            "trend": feature.trend,
            "bins_review": reviewed.get(feature.name),
        }
        for feature in scorer.features
    ]
