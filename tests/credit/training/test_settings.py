"""What a committee sets of the scorecard: trends and bins by feature, with their review kept in the model."""

from datetime import date
from pathlib import Path

import msgspec
import numpy as np
import pytest

from components.credit.config import Config, ManualBins, Scorecard, parse_config
from components.credit.errors import InputError
from components.credit.models.card import Card
from components.credit.models.export import exported
from components.credit.models.scorer import Scorer
from components.credit.progress import Progress
from components.credit.training.finish import Trained
from components.credit.training.folds import make_folds
from components.credit.training.samples import Training
from components.train_sklearn.scorecard import fit_scorecard
from tests.credit.models.book import CONFIG, DICTIONARY, NAMES, make_rows


@pytest.fixture(scope="module")
def training() -> Training:
    rows = make_rows(1_500, 51)
    decided = rows["decided_at"].dt.tz_localize(None).to_numpy()
    return Training(
        rows[NAMES], rows["bad"].to_numpy().astype(np.int64), rows["borrower_id"].to_numpy(), decided, 1_500
    )


def _fitted(training: Training, settings: Scorecard) -> tuple[Trained, Card]:
    folds = make_folds(training.borrowers, training.decided_at, training.bad, 3, 7)
    config = msgspec.structs.replace(CONFIG, scorecard=settings)
    trained = fit_scorecard(training, DICTIONARY, folds, config, Progress("train-sklearn"))
    assert isinstance(trained.engine, Card)
    return trained, trained.engine


def test_the_trend_of_the_configuration_holds_instead_of_the_features_own(training: Training):
    _, usual = _fitted(training, Scorecard())
    _, asked = _fitted(training, Scorecard(trends={"shop_score": "valley", "income": "automatic"}))
    trends = [{b.feature: b.trend for b in card.binnings} for card in (usual, asked)]
    assert (trends[0]["shop_score"], trends[1]["shop_score"]) == ("decreasing", "valley")
    assert trends[0]["income"] == trends[1]["income"] == "decreasing"
    rates = [bin_.bads / bin_.rows for b in asked.binnings if b.feature == "shop_score" for bin_ in b.bins[1:]]
    low = rates.index(min(rates))
    assert rates == sorted(rates[:low], reverse=True) + sorted(rates[low:])


def test_a_trend_against_the_data_is_warned_of_and_automatic_is_none(
    training: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    events = tmp_path / "events"
    monkeypatch.setenv("QUIPU_PROGRESS_FILE", str(events))
    _, card = _fitted(training, Scorecard(trends={"shop_score": "increasing", "income": "automatic"}))
    warned = [line for line in events.read_text().splitlines() if "warning" in line]
    assert len(warned) == 1
    assert "'shop_score' tells of risk, but not along its trend 'increasing'" in warned[0]
    assert "income" in {binning.feature for binning in card.binnings}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"trends": {"shop_scor": "peak"}}, "trends names 'shop_scor', which is no feature; did you mean 'shop_score'"),
        ({"trends": {"sector": "peak"}}, "trends.sector has no use, since it is a category"),
        (
            {
                "trends": {"income": "peak"},
                "manual_bins": {"income": ManualBins("Comité", date(2024, 5, 2), cuts=[900.0])},
            },
            "trends.income has no use, since it is among scorecard.manual_bins",
        ),
    ],
)
def test_settings_of_no_use_are_refused(settings: dict, sentence: str, training: Training):
    with pytest.raises(InputError, match=sentence):
        _fitted(training, Scorecard(**settings))


def test_who_reviewed_bins_when_and_as_what_version_stays_with_the_model(training: Training):
    reviewed = ManualBins("Comité 12", date(2024, 5, 2), "v3", cuts=[800.0, 1500.0])
    trained, card = _fitted(training, Scorecard(manual_bins={"income": reviewed}))
    assert next(b.cuts for b in card.binnings if b.feature == "income") == [800.0, 1500.0]
    assert msgspec.to_builtins(trained.report.manual_bins) == {
        "income": {"reviewed_by": "Comité 12", "reviewed_on": "2024-05-02", "version": "v3"}
    }
    assert _fitted(training, Scorecard())[0].report.manual_bins is None


def test_exported_bins_are_refused_until_reviewed_and_then_give_the_same_bins(
    training: Training, scorers: dict[str, Scorer]
):
    card = scorers["scorecard"].engine
    assert isinstance(card, Card)
    written = exported(scorers["scorecard"], "abc123", "bins", []).decode()
    with pytest.raises(InputError, match=r"reviewed_by|reviewed_on"):
        parse_config(written, "bins.yaml")
    signed = written.replace("reviewed_by: ''", "reviewed_by: Comité").replace(
        "reviewed_on: null", "reviewed_on: 2024-05-02"
    )
    settings = parse_config(signed, "bins.yaml").scorecard
    assert {bins.version for bins in settings.manual_bins.values()} == {"from abc123"}
    _, again = _fitted(training, settings)
    before = {binning.feature: (binning.cuts, binning.groups, binning.special) for binning in card.binnings}
    for binning in again.binnings:
        if binning.feature in settings.manual_bins:
            assert (binning.cuts, binning.groups, binning.special) == before[binning.feature]
    assert Config(scorecard=settings) != Config()
