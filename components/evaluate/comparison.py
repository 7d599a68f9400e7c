"""The comparison of the three models on the test sample: what the decision, the report and the metrics are made of."""

import datetime
import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from components.credit import drift, metrics
from components.credit.book.manifest import Manifest
from components.credit.book.store import Store
from components.credit.config import Config
from components.credit.errors import GateStopped
from components.credit.models.binning import Columns
from components.credit.models.scorer import WITH_REJECTS, Scorer
from components.credit.progress import Progress
from components.credit.release.policy import in_force
from components.evaluate import money
from components.evaluate.approvals import PASSES, approval_steps, passes, rule_rows
from components.evaluate.baselines import fit_baselines
from components.evaluate.champion import SCORECARD, choose
from components.evaluate.figures import (
    APPROVAL_SHARES,
    Curves,
    Outcomes,
    curves,
    figures,
    grade_rows,
    resampled,
    strategy_row,
)
from components.evaluate.groups import attribute_rows, fairness_rows, refuse_unfair, segment_rows
from components.evaluate.inclusion import inclusion
from components.evaluate.rejects import inference
from components.evaluate.resampling import adversarial, random_split, refuse_clock
from components.evaluate.scored import inputs_of_sample, score_sample
from components.evaluate.stability import calibration_rows, input_rows
from components.evaluate.study import studied
from components.evaluate.swaps import swap_sets

_SHIFT_BINS = 10
# What the decision repeats of each model's training report.
_TRAINING = ("rows", "bads", "folds", "auc", "auc_sd", "tested")
_FEATURES_SHOWN = 12
# TreeSHAP of a deep forest takes tens of milliseconds a row.
_EXPLAINED_ROWS = 100
# Beyond so many rows a card of weights of evidence learns nothing more.
_BASELINE_ROWS = 50_000
_HEADLINE = (
    "auc", "auc_low", "auc_high", "ks", "gini", "brier", "log_loss", "accuracy", "precision", "recall", "f1",
    "approval_rate", "n", "bads",
)  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """The outcome of a comparison.

    Args:
        champion: The model that won.
        decision: All figures, the champion and why, ready for JSON; floats are rounded to six decimals.
        headline: Figures of the champion.
        roc: Champion's false positive rates, true positive rates and thresholds; finite, at most 200 points.
        confusion: Champion's counts at its cut-off: rows good and bad, columns predicted good and bad.
        scorers: The models by name.
        curves: What the plots show, by model.
        inclusion_curves: Of people without a bureau record, by score: share approved, bad rate of the approved.
    """

    champion: Scorer
    decision: dict[str, Any]
    headline: dict[str, float]
    roc: tuple[list[float], list[float], list[float]]
    confusion: list[list[int]]
    scorers: dict[str, Scorer]
    curves: dict[str, Curves]
    inclusion_curves: dict[str, tuple[metrics.Array, metrics.Array]]


def compare(
    features: Manifest,
    scorers: dict[str, Scorer],
    config: Config,
    store: Store,
    progress: Progress,
    with_rejects: Scorer | None = None,
) -> Comparison:
    """Judge the models on the test sample and choose the champion.

    Args:
        features: Manifest of the feature table.
        scorers: The models by name, ``scorecard`` among them.
        config: Margin, confidence, approval share and seed.
        store: The store that holds the table.
        progress: Told of each step.
        with_rejects: The scorecard with reject inference, which is shown and never chosen.

    Raises:
        GateStopped: The test sample lacks goods or bads.
        InputError: The feature table lacks a column that a model needs.
        StoreError: The store is away.
    """
    confidence = config.policy.confidence
    held = features.tables["features"].columns
    rules = [rule for rule in config.policy.rules if rule.column in held]
    training = score_sample(features, scorers, "train", store, progress)
    learnt = inputs_of_sample(features, scorers, "train", len(training), _BASELINE_ROWS, store)
    baselines = _baselines(scorers, learnt, config)
    beside = {*money.COLUMNS, *(rule.column for rule in rules)}
    beside_them = baselines | ({WITH_REJECTS: with_rejects} if with_rejects else {})
    decided = score_sample(features, scorers | beside_them, "test", store, progress, beside, declined=True)
    day = datetime.date.fromisoformat(features.as_of)
    decided[PASSES] = passes(decided, in_force(rules, day))
    test = decided[decided["bad"] >= 0].reset_index(drop=True) if len(decided) else decided
    _check_classes(test, features)
    held_now = inputs_of_sample(features, scorers, "test", len(test), _BASELINE_ROWS, store)
    inputs = list({each.name: each for scorer in scorers.values() for each in scorer.features}.values())
    told_apart = adversarial(learnt, held_now, inputs, confidence, config.seed)
    clock = refuse_clock(told_apart, config.limits)

    progress.report("figures and intervals", rows=len(test), share=0.6)
    seen = {name: _outcomes(test, name, scorer) for name, scorer in scorers.items()}
    drawn = resampled(seen, config.seed)
    models = {name: figures(outcomes, drawn[name], confidence, config.seed) for name, outcomes in seen.items()}
    shown = {name: curves(outcomes, confidence) for name, outcomes in seen.items()}
    tests = {
        name: metrics.delong_test(
            outcomes.bad, outcomes.probability, seen[SCORECARD].probability, confidence, outcomes.borrower
        )
        for name, outcomes in seen.items()
        if name != SCORECARD
    }
    choice = choose({name: float(found["auc"]) for name, found in models.items()}, tests, len(test), config.policy)
    champion = scorers[choice.champion]

    progress.report("segments, fairness, stability", rows=len(test), share=0.8)
    explained = inputs_of_sample(features, scorers, "test", len(test), _EXPLAINED_ROWS, store)
    importance = _importance(scorers, {str(name): column for name, column in explained.items()})
    groups, left_out = fairness_rows(test, choice.champion, champion.cutoff, confidence)
    refuse_unfair(groups, config.limits)
    progress.report("inclusion and money", rows=len(test), share=0.85)
    included = inclusion(
        decided, list(baselines), choice.champion, config.policy.approval_share, confidence, config.seed
    )
    made = money.loans(test, config.money, day) if test[PASSES].any() else None
    approvals = approval_steps(test, choice.champion, champion.cutoff, confidence)
    decision = {
        "champion": {"family": champion.family, "version": champion.version()},
        "reason": {"en": choice.en, "es": choice.es},
        "rule": {
            "margin": config.policy.champion_margin,
            "confidence": confidence,
            "approval_share": config.policy.approval_share,
            "person_decides": config.policy.person_decides,
            "policy": [msgspec.to_builtins(rule) for rule in rules],
            "policy_without_column": [rule.code for rule in config.policy.rules if rule.column not in held],
        },
        "release": {"approval": config.release.approval, "strategy": config.release.strategy},
        "target": msgspec.to_builtins(config.target),
        "data": {"features": features.sha256, "as_of": features.as_of, "code": features.code},
        "random_split": random_split(learnt, held_now, inputs, config.scorecard, confidence, config.seed)
        if _notes(features, "split").get("kind") == "out_of_time"
        else [],
        "split": {**_notes(features, "split"), "n": len(test), "bads": int(test["bad"].sum())},
        "samples": {"rows": _notes(features, "samples"), "bads": _notes(features, "bads")},
        "leakage": [*_listed(features, "leakage"), *clock],
        "checks": _listed(features, "checks"),
        "left_out": _notes(features, "left_out"),
        "beginnings": _listed(features, "beginnings"),
        "exclusions": _listed(features, "exclusions"),
        "study": studied(features, confidence),
        "models": {
            name: {
                **models[name],
                "version": scorer.version(),
                "psi": _shift(training, test, name, confidence),
                "calibration": shown[name].calibration,
                "grades": grade_rows(seen[name], scorer.band(seen[name].probability), confidence),
                "features": importance[name],
                "training": {key: scorer.training[key] for key in _TRAINING if key in scorer.training},
            }
            for name, scorer in scorers.items()
        },
        "tests": [
            {
                "challenger": name,
                "difference": test_.value,
                "low": test_.low,
                "high": test_.high,
                "p_value": test_.p_value,
                **_bootstrap_interval(drawn[name]["auc"] - drawn[SCORECARD]["auc"], confidence),
                "beats": test_.beats(config.policy.champion_margin, confidence),
            }
            for name, test_ in sorted(tests.items())
        ],
        "strategy": [
            {"share": share, "models": {name: strategy_row(seen[name], share, confidence) for name in scorers}}
            for share in sorted({*APPROVAL_SHARES, config.policy.approval_share})
        ],
        "segments": segment_rows(test, list(scorers), confidence),
        "own_cards": scorers[SCORECARD].training.get("own_cards", []),
        "inclusion": included.figures,
        "money": made
        and {
            **money.profit_rows(seen[choice.champion], test[PASSES].to_numpy(bool), made, confidence, config.seed),
            "assumptions": {
                name: getattr(config.money, name)
                for name in ("funding_rate", "running_cost_share", "loss_given_default", "exposure_share", "visit_cost")
            },
        },
        "approvals": approvals,
        "swaps": swap_sets(decided, choice.champion, champion.cutoff, confidence),
        "rules": rule_rows(test, in_force(rules, day), choice.champion, champion.cutoff, confidence),
        "rejects": inference(decided, scorers[SCORECARD], with_rejects, config),
        "fairness": {
            "model": choice.champion,
            "groups": groups,
            "left_out": left_out,
            "attributes": attribute_rows(test, choice.champion, champion.cutoff, confidence, config.seed),
        },
        "stability": {
            "adversarial": told_apart and {**told_apart, "limit": config.limits.adversarial_auc},
            "inputs": input_rows(champion, held_now, confidence),
            "calibration": calibration_rows(test, choice.champion, confidence),
        },
    }
    fpr, tpr, thresholds = shown[choice.champion].roc
    return Comparison(
        champion=champion,
        decision=_plain(decision),
        headline={name: float(models[choice.champion][name]) for name in _HEADLINE}
        | {"approval_rate": approvals[-1]["share"]},
        roc=(fpr.tolist(), tpr.tolist(), thresholds.tolist()),
        confusion=shown[choice.champion].confusion.tolist(),
        scorers=scorers,
        curves=shown,
        inclusion_curves=included.curves,
    )


def _baselines(scorers: dict[str, Scorer], learnt: pd.DataFrame, config: Config) -> dict[str, Scorer]:
    """Cards of parts of the data; none where the training sample lacks goods or bads."""
    if learnt.empty or learnt["bad"].nunique() < 2:
        return {}
    known = {feature.name: feature for scorer in scorers.values() for feature in scorer.features}
    return fit_baselines(known.values(), learnt, config.scorecard)


def _check_classes(test: pd.DataFrame, features: Manifest) -> None:
    bads = int(test["bad"].sum())
    if 0 < bads < len(test):
        return
    if test.empty:
        held = "no labelled application"
    else:
        held = f"{len(test):,} applications that are all {'bad' if bads else 'good'}"
    since = _notes(features, "split").get("test_from")
    raise GateStopped(
        f"The test sample{f' from {since} on' if since else ''} holds {held}, so no model can be judged on it; give "
        f"split.test_share a greater value, or target.window_days a smaller one."
    )


def _notes(features: Manifest, name: str) -> dict[str, Any]:
    found = features.notes.get(name, {})
    return dict(found) if isinstance(found, dict) else {}


def _listed(features: Manifest, name: str) -> list[Any]:
    found = features.notes.get(name, [])
    return found if isinstance(found, list) else []


def _outcomes(rows: pd.DataFrame, name: str, scorer: Scorer) -> Outcomes:
    return Outcomes(
        bad=rows["bad"].to_numpy(),
        probability=rows[f"probability_{name}"].to_numpy(),
        points=rows[f"points_{name}"].to_numpy(),
        borrower=rows["borrower_id"].to_numpy(),
        cutoff=scorer.cutoff,
        cutoff_points=scorer.cutoff_points,
    )


def _shift(training: pd.DataFrame, test: pd.DataFrame, name: str, confidence: float) -> dict[str, Any] | None:
    """PSI of a model's probability, test against training, by tenths of training; None without training rows."""
    if training.empty:
        return None
    reference, other = training[f"probability_{name}"].to_numpy(), test[f"probability_{name}"].to_numpy()
    edges = drift.quantile_edges(reference, _SHIFT_BINS)
    expected, actual = (
        metrics.counts(np.searchsorted(edges, values), bins=edges.size + 1) for values in (reference, other)
    )
    shift = drift.psi(expected, actual, confidence)
    return {"value": shift.psi, "critical": shift.critical, "verdict": shift.verdict, "n": reference.size}


def _bootstrap_interval(differences: metrics.Array, confidence: float) -> dict[str, float]:
    low, high = metrics.percentile_interval(differences, confidence)
    return {"bootstrap_low": float(low), "bootstrap_high": float(high)}


def _importance(scorers: dict[str, Scorer], inputs: Columns) -> dict[str, list[dict[str, Any]]]:
    """The features that move each model most: their share of the mean absolute contribution."""
    found = {}
    for name, scorer in scorers.items():
        size = np.abs(scorer.contributions(inputs)).mean(axis=0)
        share = size / size.sum() if size.sum() else size
        order = np.lexsort((np.arange(share.size), -share))[:_FEATURES_SHOWN]
        found[name] = [
            {"name": feature.name, "en": feature.en, "es": feature.es, "share": float(share[place])}
            for place in order
            for feature in (scorer.features[place],)
            if share[place] > 0
        ]
    return found


def _plain(value: Any) -> Any:
    """The value as JSON holds it: plain numbers, floats to six decimals, None for what is not a number."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value
