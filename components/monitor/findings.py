"""What monitoring found: stability of score and features, performance as expected and as it came to be known, drift.

Without labels, the expected figures follow from the calibrated probabilities themselves (confidence-based performance
estimation, CBPE): of rows with a probability of bad of 10 %, one in ten counts as a bad. They hold as far as the
calibration does.
"""

from typing import Any

import numpy as np
from msgspec import Struct

from components.credit import metrics
from components.credit.config import Config
from components.credit.drift import Shift, psi
from components.credit.errors import ModelRefused
from components.credit.models.calibration import Floats
from components.credit.models.distribution import Reference
from components.credit.models.scorer import Scorer
from components.credit.release.decision import Decision
from components.monitor.recent import Seen


class Feature(Struct, frozen=True):
    """The CSI of one feature, what chance alone reaches, the verdict, and whether it counts as shifted."""

    name: str
    csi: float
    critical: float
    verdict: str
    shifted: bool


class Findings(Struct, frozen=True):
    """All that was found.

    Args:
        model: Version of the champion.
        as_of: As-of day, YYYY-MM-DD.
        since: First day of the recent applications, YYYY-MM-DD.
        rows: Recent applications.
        psi: PSI of their points against training, and ``critical`` and ``verdict`` with it; None where there is none.
        features: CSI of each feature, the greatest first.
        expected: Figures of the recent applications by CBPE; empty where there are none.
        matured: Figures of the applications whose outcome came to be known since; empty where there are none.
        drift: Sentences on what passed a limit; empty where nothing did.
    """

    model: str
    as_of: str
    since: str
    rows: int
    psi: float | None
    critical: float | None
    verdict: str | None
    features: list[Feature]
    expected: dict[str, float]
    matured: dict[str, float]
    drift: list[str]


def find(
    seen: Seen,
    scorer: Scorer,
    version: str,
    reference: Reference | None,
    released: float,
    as_of: str,
    config: Config,
) -> Findings:
    """Judge what was seen by the limits of the configuration.

    Args:
        seen: The scored rows.
        scorer: The model.
        version: Its version.
        reference: What its training looked like; None where it is not known.
        released: PSI of its score out of time when it was released.
        as_of: As-of day, YYYY-MM-DD.
        config: Limits and confidence.
    """
    shift, features = None, []
    if reference and seen.points.size:
        shift = psi(reference.points.counts, reference.points.count(seen.points), config.policy.confidence)
        features = _features(seen, reference, config)
    matured = _matured(seen, scorer, config.policy.confidence)
    return Findings(
        model=version,
        as_of=as_of,
        since=seen.since.isoformat(),
        rows=seen.points.size,
        psi=shift.psi if shift else None,
        critical=shift.critical if shift else None,
        verdict=shift.verdict if shift else None,
        features=features,
        expected=expected_figures(seen.probability, seen.passes, scorer.cutoff) if seen.probability.size else {},
        matured=matured,
        drift=_drift(shift, features, matured, released, config),
    )


def expected_figures(
    probability: Floats, passes: np.ndarray[Any, np.dtype[np.bool_]], cutoff: float
) -> dict[str, float]:
    """CBPE: the figures that calibrated probabilities lead to expect.

    Args:
        probability: (n,) Calibrated probabilities of bad.
        passes: (n,) Whether the application breaks no hard rule; one that does is declined.
        cutoff: Probability at or below which an application is approved.
    """
    level = metrics.levels(probability)
    bads, goods = metrics.counts(level, probability), metrics.counts(level, 1 - probability)
    declined = (probability > cutoff) | ~passes
    bad_declined, bad_total = float(probability[declined].sum()), float(probability.sum())
    return {
        "auc": metrics.auc_of_counts(bads, goods),
        "bad_rate": float(probability.mean()),
        "bad_rate_approved": float(probability[~declined].mean()) if not declined.all() else 0.0,
        "approval_rate": float((~declined).mean()),
        "precision": bad_declined / int(declined.sum()) if declined.any() else 0.0,
        "recall": bad_declined / bad_total,
    }


def _features(seen: Seen, reference: Reference, config: Config) -> list[Feature]:
    # of many features some pass by chance: each is held to its share of the doubt (Bonferroni)
    confidence = 1 - (1 - config.policy.confidence) / len(reference.features)
    found = []
    for distribution, counts in zip(reference.features, seen.counts, strict=True):
        shift = psi(distribution.counts, counts, confidence)
        shifted = shift.verdict != "stable" and shift.psi >= config.monitoring.feature_limit
        found.append(Feature(distribution.name, shift.psi, shift.critical, shift.verdict, shifted))
    return sorted(found, key=lambda feature: (-feature.csi, feature.name))


def _matured(seen: Seen, scorer: Scorer, confidence: float) -> dict[str, float]:
    bad, probability = seen.matured_bad, seen.matured_probability
    if not 0 < bad.sum() < bad.size:
        return {}
    auc = metrics.auc_interval(bad, probability, confidence, seen.matured_borrower)
    found = {
        "rows": float(bad.size),
        "bads": float(bad.sum()),
        "auc": auc.value,
        "auc_low": auc.low,
        "auc_high": auc.high,
        "brier": metrics.brier(bad, probability),
        "bad_rate": float(bad.mean()),
        "predicted_bad_rate": float(probability.mean()),
        "understated_p": float(metrics.jeffreys_test(bad.sum(), bad.size, probability.mean())),
        **metrics.at_cutoff(metrics.confusion_matrix(bad, probability, scorer.cutoff)),
    }
    line = metrics.calibration_line(bad, probability, confidence)
    if line:
        found |= {"calibration_slope": line.slope.value, "calibration_intercept": line.intercept.value}
    return found


def _drift(
    shift: Shift | None, features: list[Feature], matured: dict[str, float], released: float, config: Config
) -> list[str]:
    limits = config.monitoring
    found = []
    if shift and shift.verdict != "stable" and shift.psi >= released + limits.score_limit:
        shifted = [feature.name for feature in features if feature.shifted]
        most = f"; of the features {', '.join(shifted[:3])} shifted most" if shifted else ""
        found.append(
            f"The points have a PSI of {shift.psi:.3f} against training, where it was {released:.3f} at the release "
            f"and monitoring.score_limit lets it rise by {limits.score_limit:g}{most}."
        )
    # the red light of the committee's report: a fifth of the doubt
    if matured and matured["understated_p"] < (1 - config.policy.confidence) / 5:
        found.append(
            f"Of {matured['rows']:,.0f} applications whose outcome came to be known since the training, "
            f"{matured['bad_rate']:.1%} went bad where {matured['predicted_bad_rate']:.1%} was predicted."
        )
    return found


def released_psi(decision: Decision, family: str) -> float:
    """PSI of a model's score out of time in the decision that chose it; 0 where the training sample had no rows.

    Raises:
        ModelRefused: The decision does not hold the family.
    """
    model = decision.models.get(family)
    if model is None:
        raise ModelRefused(f"The decision that came with the champion has no figures of {family}; train it again.")
    return model.psi.value if model.psi else 0.0
