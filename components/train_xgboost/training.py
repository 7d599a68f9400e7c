"""Training of XGBoost."""

from components.credit.book.manifest import Manifest
from components.credit.book.store import Store
from components.credit.config import Config
from components.credit.dictionary import Feature
from components.credit.models.scorer import Scorer
from components.credit.progress import Progress
from components.credit.training.finish import finish
from components.credit.training.folds import make_folds
from components.credit.training.samples import read_training
from components.train_xgboost.boosting import fit_boosting


def train(features: Manifest, dictionary: list[Feature], config: Config, store: Store, progress: Progress) -> Scorer:
    """The XGBoost model of a feature table's training sample.

    Args:
        features: Manifest of the feature table.
        dictionary: Its features.
        config: The search, the policy and the seed.
        store: Where the table lies.
        progress: Receives each step.

    Raises:
        InputError: The table lacks a feature, or the search's space does not fit XGBoost.
        GateStopped: Too few bads or goods.
    """
    progress.report("reading the training sample", share=0.0)
    training = read_training(features, dictionary, config, store)
    folds = make_folds(training.borrowers, training.decided_at, training.bad, config.search.folds, config.seed)
    boosting = fit_boosting(training, dictionary, folds, config, progress)
    progress.report("XGBoost, reference", share=0.95)
    return finish(boosting, training, folds, config, features)
