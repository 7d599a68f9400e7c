"""The configuration of a run: what a lender's risk committee decides, as one YAML file with defaults for all."""

import datetime
from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from components.credit.typed_yaml import parse_yaml

Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[int, Meta(ge=1)]
NotNegative = Annotated[int, Meta(ge=0)]


class Exclusion(Struct, forbid_unknown_fields=True, frozen=True):
    """Applications that are no business of the model: they neither train nor test, and are counted apart.

    Args:
        code: What reports call it, such as ``staff``.
        column: Column of ``applications`` or ``loans`` that holds text, such as ``applications.product``.
        values: Its values that are left out.
        reason: Why; it is kept in the report.
    """

    code: Annotated[str, Meta(pattern="^[a-z][a-z0-9_]*$")]
    column: Annotated[str, Meta(pattern=r"^(applications|loans)\.[a-z][a-z0-9_]*$")]
    values: Annotated[list[str], Meta(min_length=1)]
    reason: Annotated[str, Meta(min_length=1)]


class Target(Struct, forbid_unknown_fields=True, frozen=True):
    """What a bad loan is. Days past due are the peak within the window, never the last value.

    Args:
        bad_days: Peak days past due from which a loan is bad.
        indeterminate_days: Peak days past due from which a loan is neither; up to ``bad_days``.
        window_days: Performance window from the decision on.
        maturity_days: Days that must have passed since the window's end before a loan counts, for lenders whose
            payments are booked late.
        refinanced_is_bad: Whether a loan refinanced within the window is bad (a refinanced loan is never a good).
        exclusions: Applications to leave out; the first that fits counts.
    """

    bad_days: Positive = 60
    indeterminate_days: Positive = 31
    window_days: Positive = 365
    maturity_days: NotNegative = 0
    refinanced_is_bad: bool = True
    exclusions: list[Exclusion] = []

    def __post_init__(self) -> None:
        if self.indeterminate_days > self.bad_days:
            raise ValueError(
                f"indeterminate_days is {self.indeterminate_days} and bad_days {self.bad_days}; give "
                "indeterminate_days at most the value of bad_days, which leaves none between good and bad"
            )


class Split(Struct, forbid_unknown_fields=True, frozen=True):
    """How applications are split into a training and a test set.

    Args:
        kind: ``out_of_time`` tests on the latest decisions; ``random`` is for books without dates.
        test_share: Share of the latest labelled decisions that are the test set.
        embargo_days: Days before the test set whose applications are left out; null means the performance window with
            its maturity.
        random_reason: Why a dated book is split at random all the same; it is kept in the report.
    """

    kind: Literal["out_of_time", "random"] = "out_of_time"
    test_share: Share = 0.25
    embargo_days: NotNegative | None = None
    random_reason: str = ""


class Limits(Struct, forbid_unknown_fields=True, frozen=True):
    """Limits that stop a run.

    Args:
        quarantined_share: Greatest share of a table's rows that may go to quarantine.
        unclear_share: Greatest share of the loans that are old enough for a label of which rows in quarantine, or rows
            that contradict each other, decide it.
        least_bads: Least number of bads in the training set.
        single_feature_auc: AUC from which a single feature is held to be a leak.
        repeated_rows_share: Greatest share of applications whose features all repeat another's.
        adversarial_auc: AUC from which a classifier that tells test from training rows by the models' inputs is held to
            have found a clock among them, such as a number given in order of time. Seasons are left out. Out of
            time, honest inputs tell them too, by histories that grow: .976 on the synthetic book with a year's
            embargo, .65 on SuperLender; on random splits about .5.
        leakage_reason: Why a run goes on although a leak was found; it is kept in the report.
        approval_ratio: Least ratio of a protected group's approval rate to that of the attribute's largest group; a
            run stops where a group is below it beyond chance. Null only reports.
    """

    quarantined_share: Share = 0.05
    unclear_share: Share = 0.25
    least_bads: Positive = 50
    single_feature_auc: Share = 0.95
    repeated_rows_share: Share = 0.10
    adversarial_auc: Share = 0.998
    leakage_reason: str = ""
    approval_ratio: Share | None = None


class Search(Struct, forbid_unknown_fields=True, frozen=True):
    """The search for hyper-parameters.

    Args:
        folds: Folds of the cross-validation, grouped by borrower, ordered by time where there is time.
        forest_candidates: Candidates tried for the random forest.
        xgboost_candidates: Candidates tried for XGBoost.
        forest_space: Values to choose from, by parameter of RandomForestClassifier.
        xgboost_space: Values to choose from, by parameter of XGBoost.
    """

    folds: Annotated[int, Meta(ge=2, le=20)] = 4
    forest_candidates: Positive = 8
    xgboost_candidates: Positive = 24
    forest_space: dict[str, list[float | int | str]] = msgspec.field(
        default_factory=lambda: {
            "max_depth": [8, 12, 20],
            "min_samples_leaf": [2, 5, 15, 40],
            "max_features": ["sqrt", 0.35],
        }
    )
    xgboost_space: dict[str, list[float | int]] = msgspec.field(
        default_factory=lambda: {
            "max_depth": [2, 3, 4, 5, 6],
            "min_child_weight": [1, 3, 10, 30],
            "subsample": [0.6, 0.75, 0.9],
            "colsample_bytree": [0.3, 0.5, 0.7, 0.9],
            "reg_lambda": [0.3, 1, 3, 10, 30],
            "gamma": [0, 0.3, 1],
        }
    )


class ManualBins(Struct, forbid_unknown_fields=True, frozen=True):
    """Bins of a feature that people set instead of the search.

    ``quipu models export --as bins`` writes a scorecard's own to start from.

    Args:
        reviewed_by: Who answers for them.
        reviewed_on: Day of the review.
        version: What the reviewers call this state of the bins; the model and its reports keep all three.
        cuts: Where the ranges of a number part, ascending; a range holds its lower cut.
        groups: The groups of a category; a category of no group counts as other.
    """

    reviewed_by: Annotated[str, Meta(min_length=1)]
    reviewed_on: datetime.date
    version: str = ""
    cuts: list[float] = []
    groups: list[list[str]] = []


class Scorecard(Struct, forbid_unknown_fields=True, frozen=True):
    """The points of the scorecard and how its bins are cut.

    Args:
        points: Points at the base odds.
        odds: Good to bad odds at those points.
        pdo: Points that double the odds.
        bins: Greatest number of bins of a feature, missing and special codes apart.
        least_bin_share: Least share of the rows in a bin.
        least_information_value: Features with less are left out.
        manual_bins: Bins that people set, by feature.
        trends: How risk moves from bin to bin of a number, by feature, in place of the feature's own trend;
            ``automatic`` looks for it in the data, as for features without one.
    """

    points: float = 600
    odds: Annotated[float, Meta(gt=0)] = 30
    pdo: Annotated[float, Meta(gt=0)] = 20
    bins: Annotated[int, Meta(ge=2, le=50)] = 10
    least_bin_share: Share = 0.02
    least_information_value: float = 0.005
    manual_bins: dict[str, ManualBins] = {}
    trends: dict[str, Literal["increasing", "decreasing", "peak", "valley", "free", "automatic"]] = {}


class Rejects(Struct, forbid_unknown_fields=True, frozen=True):
    """Whether a second scorecard is made that learns from declined applications too, by outcomes inferred for them.

    The report shows it beside the scorecard without it, and nothing decides by it: what is inferred was never seen.

    Args:
        method: ``parcelling`` draws an outcome for each by its score band, ``fuzzy`` takes each as partly bad and
            partly good, ``none`` makes no second card.
        factor: How many times the bad to good odds of a declined application are those of a granted loan with the
            same score. The lender knows it, the data do not: look at several.
        score_bands: Parcelling's score bands, each with as many granted loans.
    """

    method: Literal["none", "parcelling", "fuzzy"] = "none"
    factor: Annotated[float, Meta(gt=0, le=100)] = 2.0
    score_bands: Annotated[int, Meta(ge=2, le=50)] = 10


class Rule(Struct, forbid_unknown_fields=True, frozen=True):
    """A hard rule, apart from the score: an application beyond the limit is declined whatever its points.

    Args:
        code: What decisions and reports call it.
        column: Feature that it looks at; a missing value passes.
        above: Limit: a greater value is declined.
        en: Why, in English, for the applicant.
        es: The same in Spanish.
        norm: Norm that the rule follows.
        valid_from: First day on which it holds; null means always.
        valid_to: Last day on which it holds; null means until further notice.
    """

    code: str
    column: str
    above: float
    en: str
    es: str
    norm: str = ""
    valid_from: datetime.date | None = None
    valid_to: datetime.date | None = None


_OVER_INDEBTEDNESS = "Res. SBS 6941-2008, risk of over-indebtedness of retail debtors; the limit is the lender's own"


def _over_indebtedness() -> list[Rule]:
    return [
        Rule(
            "many_lenders",
            "bureau_lenders",
            4,
            "Debts with more lenders at once than our policy allows",
            "Deudas con más entidades a la vez de las que permite nuestra política",
            _OVER_INDEBTEDNESS,
        ),
        Rule(
            "instalments_to_income",
            "all_instalments_to_income",
            1.0,
            "All instalments of a month together take too much of the income shown",
            "Las cuotas mensuales en conjunto toman demasiado de los ingresos sustentados",
            _OVER_INDEBTEDNESS,
        ),
    ]


class RateCap(Struct, forbid_unknown_fields=True, frozen=True):
    """The greatest annual effective rate that the law allows, in a span of days.

    Args:
        annual_rate: Effective annual rate as a share: 1.1298 is 112.98 %.
        currency: Currency of the loans that it holds for.
        valid_from: First day.
        valid_to: Last day; null means until further notice.
        norm: Norm that sets it.
    """

    annual_rate: Annotated[float, Meta(gt=0)]
    currency: str
    valid_from: datetime.date
    valid_to: datetime.date | None = None
    norm: str = ""


def _caps() -> list[RateCap]:
    """Peru's caps in soles as far as known; the central bank sets them each half-year."""
    norm = "Ley 31143; tasa máxima del BCRP, créditos de consumo, de bajo monto y a la microempresa"
    return [
        RateCap(1.0983, "PEN", datetime.date(2024, 5, 1), datetime.date(2024, 10, 31), norm),
        RateCap(1.1298, "PEN", datetime.date(2024, 11, 1), datetime.date(2025, 4, 30), norm),
    ]


class Money(Struct, forbid_unknown_fields=True, frozen=True):
    """What a loan earns and costs, for the expected profit of each cut-off; set these to the lender's own books.

    Args:
        funding_rate: Effective annual rate that the lender pays for its money.
        running_cost_share: Cost of running a loan of a year, as a share of its amount.
        loss_given_default: Share of the exposure that a bad loan loses.
        exposure_share: Exposure at default as a share of the amount lent.
        visit_cost: Cost of the visit that precedes an approval, in the currency of the books.
        rate_caps: Greatest rates by law, dated.
    """

    funding_rate: Share = 0.07
    running_cost_share: Share = 0.05
    loss_given_default: Share = 0.65
    exposure_share: Share = 0.70
    visit_cost: Decimal = Decimal("25.00")
    rate_caps: list[RateCap] = msgspec.field(default_factory=_caps)


class Policy(Struct, forbid_unknown_fields=True, frozen=True):
    """How scores become decisions.

    Args:
        approval_share: Share of the applications that the cut-off approves.
        champion_margin: AUC by which a challenger must beat the scorecard to replace it.
        confidence: Confidence of every interval and test.
        person_decides: Whether a person must confirm each decision, as Peru's rules on automated decisions ask
            (Ley 29733 and DS 016-2024-JUS; DS 115-2025-PCM).
        rules: Hard rules apart from the score.
    """

    approval_share: Annotated[float, Meta(gt=0, lt=1)] = 0.70
    champion_margin: Share = 0.01
    confidence: Annotated[float, Meta(gt=0.5, lt=1)] = 0.95
    person_decides: bool = True
    rules: list[Rule] = msgspec.field(default_factory=_over_indebtedness)


class Release(Struct, forbid_unknown_fields=True, frozen=True):
    """How a champion comes to answer on a cluster.

    Args:
        approval: Whether somebody must approve it by name first ('quipu models approve').
        strategy: ``blue_green`` starts it beside the one that answers and then moves the Service, so that going back
            takes seconds; ``rolling`` replaces pod by pod, with half the memory.
    """

    approval: bool = False
    strategy: Literal["blue_green", "rolling"] = "blue_green"


class Monitoring(Struct, forbid_unknown_fields=True, frozen=True):
    """When a released model counts as drifted; each limit must also be beyond what chance gives with so many rows.

    Args:
        window_days: Days before the as-of day whose applications are compared with the training.
        score_limit: PSI of the points, over what the committee saw out of time when the model was released, from which
            the score has drifted.
        feature_limit: CSI from which a feature has shifted. It is told, and gives no alarm of its own: histories grow
            longer with every month, which a new training would not change.
    """

    window_days: Positive = 90
    score_limit: Annotated[float, Meta(gt=0)] = 0.10
    feature_limit: Annotated[float, Meta(gt=0)] = 0.25


class Config(Struct, forbid_unknown_fields=True, frozen=True):
    """The whole configuration; every part may be left out.

    Args:
        seed: Seed of all that is drawn: folds, candidates, resamples.
        partitions: Parts, by a hash of the borrower, into which ingest cuts the tables; the stages behind it work on
            one after the other. None given, their number follows from the size of the tables.
        target: What a bad loan is.
        split: Which applications train and which test.
        limits: What stops a run.
        search: How many models are tried.
        scorecard: The points of the scorecard, and its bins.
        rejects: Whether a second scorecard learns from declined applications too.
        policy: How scores become decisions.
        money: What a loan earns and costs.
        release: How a champion comes to answer.
        monitoring: When a released model counts as drifted.
    """

    seed: NotNegative = 20_240_731
    partitions: Positive | None = None
    target: Target = Target()
    split: Split = Split()
    limits: Limits = Limits()
    search: Search = Search()
    scorecard: Scorecard = Scorecard()
    rejects: Rejects = Rejects()
    policy: Policy = Policy()
    money: Money = Money()
    release: Release = Release()
    monitoring: Monitoring = Monitoring()


def parse_config(text: str, name: str) -> Config:
    """The configuration that a YAML text holds; an empty text means the defaults.

    Args:
        text: YAML.
        name: File name, for the message.

    Raises:
        InputError: Not YAML, an unknown key or a value out of range, with its place.
    """
    return parse_yaml(text, name, Config)
