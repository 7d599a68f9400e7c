"""Interface of the feature stage."""

from kfp.dsl import Artifact, Dataset, Input, Output

from components.container import container


@container("feature")
def feature(
    clean: Input[Dataset],
    mapping: str,
    config: str,
    code: str,
    features: Output[Dataset],
    dictionary: Output[Artifact],
):
    """Make one row per application: point-in-time features, target, split.

    Args:
        clean: Manifest of the clean tables.
        mapping: Mapping file: a path or s3:// address.
        config: Configuration file: a path or s3:// address.
        code: Revision of the code.

    Returns:
        features: Manifest of the feature table.
        dictionary: The feature dictionary (JSON).
    """
    from components.credit.book.documents import read_config, read_mapping
    from components.credit.book.store import Store, access_from_environment, read_manifest, write_manifest
    from components.credit.dictionary import write_dictionary
    from components.credit.progress import stage
    from components.feature.table import build

    with stage("feature") as progress:
        manifest, entries = build(
            read_manifest(clean.path),
            read_mapping(mapping),
            read_config(config),
            code,
            Store(access_from_environment()),
            progress,
        )
        write_manifest(features.path, manifest)
        write_dictionary(dictionary.path, entries)
        features.metadata.update(sha256=manifest.sha256)


@container("feature")
def feature_for_model(
    clean: Input[Dataset],
    model: Input[Artifact],
    config: str,
    code: str,
    partitions: str,
    features: Output[Dataset],
):
    """Make the inputs of a released model for the applications of some partitions.

    Args:
        clean: Manifest of the clean tables.
        model: What the model takes, as the plan says.
        config: Configuration file: a path or s3:// address.
        code: Revision of the code.
        partitions: First and last partition of borrowers, such as 0-3.

    Returns:
        features: Manifest of the inputs, with what became of each application.
    """
    from components.credit.book.documents import read_config, read_record
    from components.credit.book.store import Store, access_from_environment, read_manifest, write_manifest
    from components.credit.features.recipe import ModelInputs
    from components.credit.progress import stage
    from components.feature.inputs import build_inputs

    with stage("feature") as progress:
        first, last = partitions.split("-")
        manifest = build_inputs(
            read_manifest(clean.path),
            read_record(model.path, ModelInputs),
            read_config(config),
            code,
            range(int(first), int(last) + 1),
            Store(access_from_environment()),
            progress,
        )
        write_manifest(features.path, manifest)
