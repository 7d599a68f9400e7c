"""Interface of the stage that trains the scorecard and the random forest."""

from kfp.dsl import Artifact, Dataset, Input, Model, Output

from components.container import container


@container("train-sklearn")
def train_sklearn(
    features: Input[Dataset],
    dictionary: Input[Artifact],
    config: str,
    scorecard: Output[Model],
    random_forest: Output[Model],
):
    """Train the logistic scorecard and the random forest, each calibrated by cross-validation.

    Args:
        features: Manifest of the feature table.
        dictionary: The feature dictionary.
        config: Configuration file: a path or s3:// address.

    Returns:
        scorecard: Folder of the scorecard with its training report; within it, if configured, the one with inference.
        random_forest: Folder of the random forest with its training report.
    """
    from components.credit.book.documents import read_config
    from components.credit.book.store import Store, access_from_environment, read_manifest
    from components.credit.dictionary import read_dictionary
    from components.credit.models.scorer import WITH_REJECTS, save
    from components.credit.progress import stage
    from components.train_sklearn.rejects import train_with_rejects
    from components.train_sklearn.training import train

    with stage("train-sklearn") as progress:
        table, settings, store = read_manifest(features.path), read_config(config), Store(access_from_environment())
        card, forest = train(table, read_dictionary(dictionary.path), settings, store, progress)
        save(card, scorecard.path)
        inferred = train_with_rejects(card, table, settings, store, progress)
        if inferred:
            save(inferred, f"{scorecard.path}/{WITH_REJECTS}")
        save(forest, random_forest.path)
