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
    from components.credit.dictionary import write_dictionary
    from components.credit.documents import read_config, read_mapping
    from components.credit.progress import stage
    from components.credit.store import Store, access_from_environment, read_manifest, write_manifest
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
