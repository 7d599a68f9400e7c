"""An own card of a segment is kept where its risk follows other things; where chance may do as much, one serves all."""

from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from components.credit.book.manifest import Manifest
from components.credit.config import Config, Limits
from components.credit.dictionary import Feature
from components.credit.errors import ModelRefused
from components.credit.models.card import Card
from components.credit.models.cards import Cards
from components.credit.models.scorer import Scorer, load, pack, save, unpack
from components.credit.progress import Progress
from components.credit.reasons.advice import with_changes
from components.credit.reasons.reasons import reasons
from components.credit.training.finish import Trained, finish
from components.credit.training.folds import make_folds
from components.credit.training.samples import Training
from components.train_sklearn.scorecard import fit_scorecard

FEATURES = [
    Feature("late", "number", "late", "atraso", "repayments", "late_payments"),
    Feature("loans_before", "number", "Earlier loans", "Créditos anteriores", "loans", "short_history"),
    Feature("debt", "number", "debt", "deuda", "bureau", "debt_level"),
    Feature("no_bureau_file", "number", "No file", "Sin reporte", "bureau", "bureau_record"),
]
NAMES = [feature.name for feature in FEATURES]


def _training(turned: bool, rows: int = 4_000) -> Training:
    """Debt makes recurrent clients risky; of new ones it does the reverse where ``turned``."""
    random = np.random.default_rng(5)
    new, (late, debt) = random.random(rows) < 0.3, random.normal(size=(2, rows))
    loans = np.where(new, 0.0, random.integers(1, 5, rows))
    log_odds = 0.6 * late - 0.5 * loans - 0.5 * new + np.where(new & turned, -1.5, 1.5) * debt
    columns = {
        "late": late,
        "loans_before": loans,
        "debt": debt,
        "no_bureau_file": (random.random(rows) < 0.4).astype(np.float64),
    }
    decided = np.datetime64("2023-01-01") + np.arange(rows).astype("timedelta64[h]")
    bad = (random.random(rows) < 1 / (1 + np.exp(-log_odds))).astype(np.int64)
    return Training(pd.DataFrame(columns), bad, np.arange(rows), decided, rows)


def _fitted(training: Training, features: list[Feature] = FEATURES, config: Config = Config()) -> Trained:  # noqa: B008
    folds = make_folds(training.borrowers, training.decided_at, training.bad, 4, 1)
    return fit_scorecard(training, features, folds, config, Progress("train-sklearn"))


def _scorer(trained: Trained, training: Training) -> Scorer:
    folds = make_folds(training.borrowers, training.decided_at, training.bad, 4, 1)
    return finish(trained, training, folds, Config(), Manifest("features", "2025-01-01", "ab" * 32, "features", "", {}))


@pytest.fixture(scope="module")
def training() -> Training:
    return _training(turned=True)


@pytest.fixture(scope="module")
def trained(training: Training) -> Trained:
    return _fitted(training)


@pytest.fixture(scope="module")
def scorer(trained: Trained, training: Training) -> Scorer:
    return _scorer(trained, training)


def test_a_segment_whose_risk_is_another_is_scored_by_its_own_card(trained: Trained, training: Training):
    new, recurrent, known, thin = trained.report.own_cards
    assert [(row.by, row.value) for row in (new, recurrent, known, thin)] == [
        ("segment", "new"), ("segment", "recurrent"), ("thin_file", "no"), ("thin_file", "yes"),
    ]  # fmt: skip
    assert new.pays
    assert new.served
    assert new.difference == pytest.approx(new.auc_own - new.auc_single)
    assert new.difference_low < new.difference < new.difference_high
    assert new.difference > 0.1
    assert known.pays is thin.pays is False
    # the later 60 % of the rows are tested
    assert new.n + recurrent.n == known.n + thin.n == 2_400
    engine = trained.engine
    assert isinstance(engine, Cards)
    assert (engine.by, engine.at) == ("loans_before", 1)
    debt = {name: card.points[card.features.index("debt")][1:] for name, card in _sides(engine)}
    assert debt["new"] == sorted(debt["new"])
    assert debt["recurrent"] == sorted(debt["recurrent"], reverse=True)
    single = _fitted(training, [feature for feature in FEATURES if feature.name != "loans_before"])
    auc = [_auc(training, each) for each in (single, trained)]
    assert auc[1] > auc[0] + 0.05


def _sides(engine: Cards) -> list[tuple[str, Card]]:
    return [("new", engine.below), ("recurrent", engine.above)]


def _auc(training: Training, trained: Trained) -> float:
    from sklearn.metrics import roc_auc_score

    tested = ~np.isnan(trained.out_of_fold)
    return float(roc_auc_score(training.bad[tested], trained.out_of_fold[tested]))


def test_one_card_serves_all_where_an_own_one_may_be_chance():
    trained = _fitted(_training(turned=False))
    assert isinstance(trained.engine, Card)
    rows = trained.report.own_cards
    assert not any(row.pays or row.served for row in rows)
    assert all(row.difference_low < row.difference < row.difference_high for row in rows)


def test_each_row_has_the_points_of_its_segments_card(scorer: Scorer, training: Training):
    engine = scorer.engine
    assert isinstance(engine, Cards)
    new = training.columns["loans_before"].to_numpy() < 1
    points = scorer.points(training.columns)
    for rows, card in ((new, engine.below), (~new, engine.above)):
        own = card.base_points + card.feature_points(training.columns[rows]).sum(axis=1)
        assert points[rows].tolist() == own.tolist()
    margin, parts = scorer.explained(training.columns)
    assert scorer.base + parts.sum(axis=1) == pytest.approx(margin, abs=1e-9)
    missing = training.columns.head(1).assign(loans_before=np.nan)
    assert scorer.points(missing)[0] == engine.below.base_points + engine.below.feature_points(missing).sum()


def test_a_row_alone_has_the_bits_of_many(scorer: Scorer, training: Training):
    columns = {name: training.columns[name].to_numpy()[:200] for name in NAMES}
    margin, parts = scorer.explained(columns)
    for row in range(200):
        one = {name: column[row : row + 1] for name, column in columns.items()}
        for found, whole in zip(scorer.explained(one), (margin, parts), strict=True):
            assert found.tobytes() == whole[row : row + 1].tobytes()


def test_what_would_have_to_change_is_told_by_the_segments_own_card(scorer: Scorer, training: Training):
    columns = training.columns.head(300).reset_index(drop=True)
    parts = scorer.contributions(columns)
    given = with_changes(scorer, columns, parts, reasons(scorer, columns, parts))
    before, told = scorer.points(columns), set()
    for row, found in enumerate(given):
        new = columns.loc[row, "loans_before"] < 1
        for change in (change for reason in found for change in reason.changes):
            value = change.least if change.below is None else np.nextafter(np.float32(change.below), -np.inf)
            mended = columns.iloc[[row]].assign(**{change.feature: float(value)})
            assert scorer.points(mended)[0] - before[row] == change.points > 0
            assert change.feature != "loans_before"
            told.add((new, change.feature, change.below is None))
    assert (True, "debt", True) in told
    assert (False, "debt", False) in told
    engine = scorer.engine
    assert isinstance(engine, Cards)
    assert any(engine.edges[engine.features.index("loans_before")]), "it could be told, and is not"


def test_it_is_saved_and_read_with_the_same_version(scorer: Scorer, training: Training, tmp_path: Path):
    save(scorer, tmp_path)
    again = load(tmp_path)
    assert again.version() == scorer.version()
    assert again.points(training.columns).tolist() == scorer.points(training.columns).tolist()


@pytest.mark.parametrize(
    "damage",
    [
        lambda cards: {**cards, "features": cards["features"][::-1]},
        lambda cards: {**cards, "by": "debts"},
        lambda cards: {**cards, "below": {**cards["below"], "points": [[1]] * len(cards["below"]["points"])}},
        lambda cards: {**cards, "above": {**cards["above"], "points": cards["above"]["points"][1:]}},
    ],
)
def test_cards_that_do_not_fit_are_refused(scorer: Scorer, damage):
    files = pack(scorer)
    saved = msgspec.json.decode(files["model.json"])
    saved["cards"] = damage(saved["cards"])
    with pytest.raises(ModelRefused, match="train it again"):
        unpack({"model.json": msgspec.json.encode(saved)}, "here")


@pytest.mark.parametrize("change", [{"own_card": []}, {"auc": "high"}, {"own_cards": [{"by": "segment"}]}])
def test_a_training_report_that_does_not_fit_is_refused(scorer: Scorer, change: dict[str, object]):
    saved = msgspec.json.decode(pack(scorer)["model.json"])
    saved["training"] |= change
    with pytest.raises(ModelRefused, match="train it again"):
        unpack({"model.json": msgspec.json.encode(saved)}, "here")


def test_a_segment_of_few_bads_says_why_and_the_others_are_compared(training: Training):
    bad = np.where(training.columns["loans_before"] < 1, 0, training.bad)
    book = Training(training.columns, bad, training.borrowers, training.decided_at, training.available)
    new, recurrent, *_ = _fitted(book).report.own_cards
    assert (new.bads, new.pays, new.why) == (0, False, "fewer than 50 bads or goods to learn from")
    assert recurrent.auc_own is not None


def test_books_that_cannot_be_parted_have_no_rows(training: Training):
    plain = [FEATURES[0], FEATURES[2]]
    assert _fitted(training, plain).report.own_cards == []
    columns = training.columns.assign(loans_before=0.0, no_bureau_file=1.0)
    book = Training(columns, training.bad, training.borrowers, training.decided_at, training.available)
    assert _fitted(book, config=Config(limits=Limits(least_bads=1))).report.own_cards == []
