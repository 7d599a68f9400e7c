"""Interface of the stage that trains XGBoost."""

from kfp.dsl import Artifact, Dataset, Input, Model, Output

from components.container import container


@container("train-xgboost")
def train_xgboost(
    features: Input[Dataset],
    dictionary: Input[Artifact],
    config: str,
    xgboost: Output[Model],
):
    """Train XGBoost with monotone constraints where the sign is known, calibrated by cross-validation.

    Args:
        features: Manifest of the feature table.
        dictionary: The feature dictionary.
        config: Configuration file: a path or s3:// address.

    Returns:
        xgboost: Folder of the model with its training report.
    """
    from components.credit.book.documents import read_config
    from components.credit.book.store import Store, access_from_environment, read_manifest
    from components.credit.dictionary import read_dictionary
    from components.credit.models.scorer import save
    from components.credit.progress import stage
    from components.train_xgboost.training import train

    with stage("train-xgboost") as progress:
        scorer = train(
            read_manifest(features.path),
            read_dictionary(dictionary.path),
            read_config(config),
            Store(access_from_environment()),
            progress,
        )
        save(scorer, xgboost.path)
