"""Whether the champion holds still: its inputs since training (CSI), its calibration by segment and by vintage."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from msgspec import Struct

from components.credit import metrics
from components.credit.drift import psi
from components.credit.models.scorer import Scorer
from components.evaluate.resampling import Adversary

_LEAST_ROWS = 50


class Backtest(NamedTuple):
    """Jeffreys' backtest: its p-value, and the light ``green``, ``amber`` or ``red``."""

    p_value: float
    light: str


class InputShift(Struct, frozen=True, forbid_unknown_fields=True):
    """The characteristic stability index (CSI) of an input, test sample against training sample.

    Args:
        feature: Its name.
        es: Its name in Spanish.
        en: Its name in English.
        csi: The index, 0 or more.
        critical: What chance seldom passes.
        verdict: ``stable``, ``small``, ``moderate`` or ``large``.
        n_training: Rows of the training sample.
        n: Rows of the test sample.
    """

    feature: str
    es: str
    en: str
    csi: float
    critical: float
    verdict: str
    n_training: int
    n: int


class PartCalibration(Struct, frozen=True, forbid_unknown_fields=True):
    """The champion's mean probability on a part of the test sample, and the part's bad rate with Jeffreys' interval.

    Args:
        by: ``segment``, ``thin_file`` or ``vintage`` (quarter of the decision).
        value: Which part.
        n: Its rows.
        bads: The bads among them.
        predicted: Their mean probability of bad.
        observed: Their bad rate.
        low: Lower end of its interval.
        high: Upper end of its interval.
        p_value: P-value of the backtest.
        light: Its light.
    """

    by: str
    value: str
    n: int
    bads: int
    predicted: float
    observed: float
    low: float
    high: float
    p_value: float | None
    light: str


class Stability(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether the champion holds still.

    Args:
        adversarial: How well a classifier tells the test sample from the training sample; None for a few rows.
        inputs: Shift of the champion's inputs, the greatest first.
        calibration: Its calibration by part.
    """

    adversarial: Adversary | None
    inputs: list[InputShift]
    calibration: list[PartCalibration]


def input_shifts(scorer: Scorer, columns: pd.DataFrame, confidence: float) -> list[InputShift]:
    """The characteristic stability index (CSI) of each input, test against training, the most moved first.

    Args:
        scorer: The champion, whose training report holds the distributions it learnt from.
        columns: Its inputs on the test sample.
        confidence: Confidence of the critical value, which depends on both numbers of rows.

    Returns:
        None where the report holds no distributions.
    """
    seen = scorer.training.reference
    if seen is None or columns.empty:
        return []
    named = {feature.name: feature for feature in scorer.features}
    found = []
    for distribution in seen.features:
        actual = distribution.count(columns[distribution.name].to_numpy())
        shift = psi(distribution.counts, actual, confidence)
        found.append(
            InputShift(
                feature=distribution.name,
                es=named[distribution.name].es,
                en=named[distribution.name].en,
                csi=shift.psi,
                critical=shift.critical,
                verdict=shift.verdict,
                n_training=int(sum(distribution.counts)),
                n=int(actual.sum()),
            )
        )
    return sorted(found, key=lambda row: (-row.csi, row.feature))


def calibration_by_part(rows: pd.DataFrame, model: str, confidence: float) -> list[PartCalibration]:
    """Predicted against observed by segment, by thin file and by vintage (quarter of the decision), with a light.

    Args:
        rows: The test sample.
        model: Name of the champion.
        confidence: Confidence of the intervals; the lights are those of the bands.

    Returns:
        Parts of fewer than fifty rows are left out.
    """
    parts: list[tuple[str, str, pd.DataFrame]] = []
    for by in ("segment", "thin_file"):
        parts += [(by, str(value), part) for value, part in rows.groupby(by, observed=True)]
    if "decided_at" in rows and rows["decided_at"].notna().all():
        quarter = rows["decided_at"].dt.tz_localize(None).dt.to_period("Q").astype(str)
        parts += [("vintage", str(value), part) for value, part in rows.groupby(quarter)]
    found = []
    for by, value, part in parts:
        if len(part) < _LEAST_ROWS:
            continue
        bads, predicted = int(part["bad"].sum()), float(part[f"probability_{model}"].mean())
        low, high = metrics.jeffreys(bads, len(part), confidence)
        test = backtest(bads, len(part), predicted, confidence)
        found.append(
            PartCalibration(
                by=by,
                value=value,
                n=len(part),
                bads=bads,
                predicted=predicted,
                observed=bads / len(part),
                low=float(low),
                high=float(high),
                p_value=test.p_value,
                light=test.light,
            )
        )
    return found


def backtest(bads: int, rows: int, predicted: float, confidence: float) -> Backtest:
    """Jeffreys' backtest as a traffic light: amber where risk was understated beyond chance, red where clearly so."""
    p_value = float(np.asarray(metrics.jeffreys_test(bads, rows, predicted)))
    amber = 1 - confidence
    return Backtest(p_value, "green" if p_value >= amber else "amber" if p_value >= amber / 5 else "red")
