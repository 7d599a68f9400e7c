"""The comparison of the three models on the test sample: what the decision, the report and the metrics are made of."""

import datetime
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import numpy as np
import pandas as pd

from components.credit import drift, metrics
from components.credit.book.manifest import Manifest
from components.credit.book.store import Store
from components.credit.config import Config, Policy, Rule
from components.credit.dictionary import Feature
from components.credit.errors import GateStopped
from components.credit.features.notes import FeatureNotes, feature_notes
from components.credit.metrics import Array, Difference
from components.credit.models.binning import Columns
from components.credit.models.scorer import WITH_REJECTS, Scorer
from components.credit.progress import Progress
from components.credit.release.decision import (
    Bilingual,
    ChosenModel,
    Criteria,
    CrossValidation,
    Data,
    FeatureShare,
    Figures,
    JudgedModel,
    ReleaseTerms,
    Samples,
    ScoreShift,
    TargetTerms,
)
from components.credit.release.policy import in_force
from components.evaluate import money
from components.evaluate.approvals import PASSES, approval_steps, passes, rule_effects
from components.evaluate.baselines import fit_baselines
from components.evaluate.champion import SCORECARD, Choice, choose
from components.evaluate.figures import Curves, Outcomes, curves, figures, grades, resampled, strategies
from components.evaluate.groups import fairness, segments
from components.evaluate.inclusion import inclusion
from components.evaluate.record import ChallengerTest, Evaluation, JudgedSample, rounded
from components.evaluate.rejects import inference
from components.evaluate.resampling import SplitTest, adversarial, random_split, refuse_clock
from components.evaluate.scored import inputs_of_sample, score_sample
from components.evaluate.stability import Stability, calibration_by_part, input_shifts
from components.evaluate.study import study_of
from components.evaluate.swaps import swap_sets

_SHIFT_BINS = 10
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
        decision: All figures, the champion and why; floats are rounded to six decimals.
        headline: Figures of the champion.
        roc: Champion's false positive rates, true positive rates and thresholds; finite, at most 200 points.
        confusion: Champion's counts at its cut-off: rows good and bad, columns predicted good and bad.
        scorers: The models by name.
        curves: What the plots show, by model.
        inclusion_curves: Of people without a bureau record, by score: share approved, bad rate of the approved.
    """

    champion: Scorer
    decision: Evaluation
    headline: dict[str, float]
    roc: tuple[list[float], list[float], list[float]]
    confusion: list[list[int]]
    scorers: dict[str, Scorer]
    curves: dict[str, Curves]
    inclusion_curves: dict[str, tuple[Array, Array]]


@dataclass(frozen=True)
class _Book:
    """The scored samples.

    Args:
        day: As-of day.
        rules: The hard rules whose columns the table has.
        baselines: Names of the cards of parts of the data.
        training: The training sample with each model's probability.
        decided: The test sample, followed by the applications declined in its time, with ``passes_rules``.
        test: The test sample alone.
        learnt: The models' inputs on the training sample.
        judged: The models' inputs on the test sample.
        explained: The same, some rows of it.
    """

    day: datetime.date
    rules: list[Rule]
    baselines: list[str]
    training: pd.DataFrame
    decided: pd.DataFrame
    test: pd.DataFrame
    learnt: pd.DataFrame
    judged: pd.DataFrame
    explained: pd.DataFrame


class _Judgement(NamedTuple):
    """Each model on the test sample: outcomes, figures, curves; the tests of the challengers, and who won."""

    seen: dict[str, Outcomes]
    drawn: dict[str, dict[str, Array]]
    figures: dict[str, Figures]
    curves: dict[str, Curves]
    tests: dict[str, Difference]
    choice: Choice


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
        InputError: The feature table lacks a column that a model needs, or a note.
        StoreError: The store is away.
    """
    policy, confidence = config.policy, config.policy.confidence
    notes = feature_notes(features)
    book = _score(features, notes, scorers, with_rejects, config, store, progress)
    test, inputs = book.test, _inputs(scorers)
    limit = config.limits.adversarial_auc
    adversary = adversarial(book.learnt, book.judged, inputs, limit, confidence, config.seed)
    clock = refuse_clock(adversary, config.limits)
    progress.report("figures and intervals", rows=len(test), share=0.6)
    judged = _judge(test, scorers, config)
    name = judged.choice.champion
    winner = scorers[name]
    progress.report("segments, fairness, stability", rows=len(test), share=0.8)
    importance = _importance(scorers, {str(column): values for column, values in book.explained.items()})
    treatment = fairness(test, name, winner.cutoff, confidence, config.limits, config.seed)
    progress.report("inclusion and money", rows=len(test), share=0.85)
    included = inclusion(book.decided, book.baselines, name, policy.approval_share, confidence, config.seed)
    evaluation = Evaluation(
        champion=ChosenModel(winner.family, winner.version()),
        reason=Bilingual(judged.choice.en, judged.choice.es),
        rule=_criteria(policy, book.rules),
        release=ReleaseTerms(config.release.approval, config.release.strategy),
        target=msgspec.convert(config.target, TargetTerms, from_attributes=True),
        data=Data(features.sha256, features.as_of, features.code),
        samples=Samples(notes.samples, notes.bads),
        models=_judged_models(judged, scorers, book, importance, confidence),
        approvals=approval_steps(test, name, winner.cutoff, confidence),
        checks=notes.checks,
        exclusions=notes.exclusions,
        fairness=treatment,
        history_starts=notes.history_starts,
        inclusion=included.figures,
        leakage=[*notes.leakage, *clock],
        left_out=notes.left_out,
        money=_profit(judged.seen[name], book, config),
        own_cards=scorers[SCORECARD].training.own_cards or [],
        random_split=_random_split(notes, book, inputs, config),
        rejects=inference(book.decided, scorers[SCORECARD], with_rejects, config),
        rules=rule_effects(test, in_force(book.rules, book.day), name, winner.cutoff, confidence),
        segments=segments(test, list(scorers), confidence),
        split=_sample(notes, test),
        stability=Stability(
            adversary,
            input_shifts(winner, book.judged, confidence),
            calibration_by_part(test, name, confidence),
        ),
        strategy=strategies(judged.seen, policy.approval_share, confidence),
        study=study_of(notes.study, confidence),
        swaps=swap_sets(book.decided, name, winner.cutoff, confidence),
        tests=_challenger_tests(judged, policy),
        unclear=notes.unclear,
    )
    return _comparison(judged, scorers, evaluation, included.curves)


def _comparison(
    judged: _Judgement,
    scorers: dict[str, Scorer],
    evaluation: Evaluation,
    inclusion_curves: dict[str, tuple[Array, Array]],
) -> Comparison:
    name = judged.choice.champion
    shown = judged.curves[name]
    fpr, tpr, thresholds = shown.roc
    return Comparison(
        champion=scorers[name],
        decision=rounded(evaluation),
        headline={figure: float(getattr(judged.figures[name], figure)) for figure in _HEADLINE}
        | {"approval_rate": evaluation.approvals[-1].share or 0.0},
        roc=(fpr.tolist(), tpr.tolist(), thresholds.tolist()),
        confusion=shown.confusion.tolist(),
        scorers=scorers,
        curves=judged.curves,
        inclusion_curves=inclusion_curves,
    )


def _score(
    features: Manifest,
    notes: FeatureNotes,
    scorers: dict[str, Scorer],
    with_rejects: Scorer | None,
    config: Config,
    store: Store,
    progress: Progress,
) -> _Book:
    """Score both samples.

    Raises:
        GateStopped: The test sample lacks goods or bads.
        InputError: The feature table lacks a column that a model needs.
    """
    held = features.tables["features"].columns
    rules = [rule for rule in config.policy.rules if rule.column in held]
    day = datetime.date.fromisoformat(features.as_of)
    training = score_sample(features, scorers, "train", store, progress)
    learnt = inputs_of_sample(features, scorers, "train", len(training), _BASELINE_ROWS, store)
    baselines = _baselines(scorers, learnt, config)
    beside = {*money.COLUMNS, *(rule.column for rule in rules)}
    beside_them = baselines | ({WITH_REJECTS: with_rejects} if with_rejects else {})
    decided = score_sample(features, scorers | beside_them, "test", store, progress, beside, declined=True)
    decided[PASSES] = passes(decided, in_force(rules, day))
    test = decided[decided["bad"] >= 0].reset_index(drop=True) if len(decided) else decided
    _check_classes(test, notes)
    return _Book(
        day=day,
        rules=rules,
        baselines=list(baselines),
        training=training,
        decided=decided,
        test=test,
        learnt=learnt,
        judged=inputs_of_sample(features, scorers, "test", len(test), _BASELINE_ROWS, store),
        explained=inputs_of_sample(features, scorers, "test", len(test), _EXPLAINED_ROWS, store),
    )


def _judge(test: pd.DataFrame, scorers: dict[str, Scorer], config: Config) -> _Judgement:
    """Each model's figures, the tests against the scorecard, and the choice of the champion."""
    confidence = config.policy.confidence
    seen = {name: _outcomes(test, name, scorer) for name, scorer in scorers.items()}
    drawn = resampled(seen, config.seed)
    found = {name: figures(outcomes, drawn[name], confidence, config.seed) for name, outcomes in seen.items()}
    tests = {
        name: metrics.delong_test(
            outcomes.bad, outcomes.probability, seen[SCORECARD].probability, confidence, outcomes.borrower
        )
        for name, outcomes in seen.items()
        if name != SCORECARD
    }
    return _Judgement(
        seen=seen,
        drawn=drawn,
        figures=found,
        curves={name: curves(outcomes, confidence) for name, outcomes in seen.items()},
        tests=tests,
        choice=choose({name: each.auc for name, each in found.items()}, tests, len(test), config.policy),
    )


def _criteria(policy: Policy, rules: list[Rule]) -> Criteria:
    known = {rule.column for rule in rules}
    return Criteria(
        margin=policy.champion_margin,
        confidence=policy.confidence,
        approval_share=policy.approval_share,
        person_decides=policy.person_decides,
        policy=rules,
        policy_without_column=[rule.code for rule in policy.rules if rule.column not in known],
    )


def _judged_models(
    judged: _Judgement,
    scorers: dict[str, Scorer],
    book: _Book,
    importance: dict[str, list[FeatureShare]],
    confidence: float,
) -> dict[str, JudgedModel]:
    return {
        name: JudgedModel(
            version=scorer.version(),
            psi=_shift(book.training, book.test, name, confidence),
            calibration=judged.curves[name].calibration,
            grades=grades(judged.seen[name], scorer.band(judged.seen[name].probability), confidence),
            features=importance[name],
            training=_cross_validation(scorer),
            **msgspec.structs.asdict(judged.figures[name]),
        )
        for name, scorer in scorers.items()
    }


def _cross_validation(scorer: Scorer) -> CrossValidation:
    return msgspec.convert(scorer.training, CrossValidation, from_attributes=True)


def _profit(outcomes: Outcomes, book: _Book, config: Config) -> money.Profit | None:
    keeps = book.test[PASSES].to_numpy(bool)
    made = money.loans(book.test, config.money, book.day) if keeps.any() else None
    if made is None:
        return None
    return money.profit(outcomes, keeps, made, config.money, config.policy.confidence, config.seed)


def _random_split(notes: FeatureNotes, book: _Book, inputs: list[Feature], config: Config) -> list[SplitTest]:
    if notes.split.kind != "out_of_time":
        return []
    return random_split(book.learnt, book.judged, inputs, config.scorecard, config.policy.confidence, config.seed)


def _sample(notes: FeatureNotes, test: pd.DataFrame) -> JudgedSample:
    split = notes.split
    return JudgedSample(
        split.kind, split.test_from, split.embargo_days, split.reason, len(test), int(test["bad"].sum())
    )


def _challenger_tests(judged: _Judgement, policy: Policy) -> list[ChallengerTest]:
    found = []
    for name, test in sorted(judged.tests.items()):
        differences = judged.drawn[name]["auc"] - judged.drawn[SCORECARD]["auc"]
        low, high = metrics.percentile_interval(differences, policy.confidence)
        found.append(
            ChallengerTest(
                challenger=name,
                difference=test.value,
                low=test.low,
                high=test.high,
                p_value=test.p_value,
                bootstrap_low=float(low),
                bootstrap_high=float(high),
                beats=test.beats(policy.champion_margin, policy.confidence),
            )
        )
    return found


def _inputs(scorers: dict[str, Scorer]) -> list[Feature]:
    """The inputs of all models, each once."""
    return list({each.name: each for scorer in scorers.values() for each in scorer.features}.values())


def _baselines(scorers: dict[str, Scorer], learnt: pd.DataFrame, config: Config) -> dict[str, Scorer]:
    """Cards of parts of the data; none where the training sample lacks goods or bads."""
    if learnt.empty or learnt["bad"].nunique() < 2:
        return {}
    return fit_baselines(_inputs(scorers), learnt, config.scorecard)


def _check_classes(test: pd.DataFrame, notes: FeatureNotes) -> None:
    bads = int(test["bad"].sum())
    if 0 < bads < len(test):
        return
    if test.empty:
        held = "no labelled application"
    else:
        held = f"{len(test):,} applications that are all {'bad' if bads else 'good'}"
    since = notes.split.test_from
    raise GateStopped(
        f"The test sample{f' from {since} on' if since else ''} holds {held}, so no model can be judged on it; give "
        f"split.test_share a greater value, or target.window_days a smaller one."
    )


def _outcomes(rows: pd.DataFrame, name: str, scorer: Scorer) -> Outcomes:
    return Outcomes(
        bad=rows["bad"].to_numpy(),
        probability=rows[f"probability_{name}"].to_numpy(),
        points=rows[f"points_{name}"].to_numpy(),
        borrower=rows["borrower_id"].to_numpy(),
        cutoff=scorer.cutoff,
        cutoff_points=scorer.cutoff_points,
    )


def _shift(training: pd.DataFrame, test: pd.DataFrame, name: str, confidence: float) -> ScoreShift | None:
    """PSI of a model's probability, test against training, by tenths of training; None without training rows."""
    if training.empty:
        return None
    reference, other = training[f"probability_{name}"].to_numpy(), test[f"probability_{name}"].to_numpy()
    edges = drift.quantile_edges(reference, _SHIFT_BINS)
    expected, actual = (
        metrics.counts(np.searchsorted(edges, values), bins=edges.size + 1) for values in (reference, other)
    )
    shift = drift.psi(expected, actual, confidence)
    return ScoreShift(shift.psi, shift.critical, shift.verdict, reference.size)


def _importance(scorers: dict[str, Scorer], inputs: Columns) -> dict[str, list[FeatureShare]]:
    """The features that move each model most: their share of the mean absolute contribution."""
    found = {}
    for name, scorer in scorers.items():
        size = np.abs(scorer.contributions(inputs)).mean(axis=0)
        share = size / size.sum() if size.sum() else size
        order = np.lexsort((np.arange(share.size), -share))[:_FEATURES_SHOWN]
        found[name] = [
            FeatureShare(feature.name, feature.en, feature.es, float(share[place]))
            for place in order
            for feature in (scorer.features[place],)
            if share[place] > 0
        ]
    return found
