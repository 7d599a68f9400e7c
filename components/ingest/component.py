"""Interface of the ingest stage."""

from kfp.dsl import Dataset, Output

from components.container import container


@container("ingest")
def ingest(source: str, mapping: str, config: str, as_of: str, code: str, raw: Output[Dataset]):
    """Read a lender's tables, pseudonymise people and write the six tables of the contract.

    Args:
        source: Folder or landing prefix (s3://bucket/prefix) of the lender's files.
        mapping: Mapping file: a path or s3:// address.
        config: Configuration file: a path or s3:// address.
        as_of: As-of day, YYYY-MM-DD.
        code: Revision of the code.

    Returns:
        raw: Manifest of the typed tables, each row with its place in the source and its problems.
    """
    from components.credit.book.documents import read_config, read_mapping
    from components.credit.book.store import Store, access_from_environment, write_manifest
    from components.credit.progress import stage
    from components.ingest.landing import ingest as ingest_tables

    with stage("ingest") as progress:
        manifest = ingest_tables(
            source, read_mapping(mapping), read_config(config), as_of, code, Store(access_from_environment()), progress
        )
        write_manifest(raw.path, manifest)
        raw.metadata.update(sha256=manifest.sha256, as_of=manifest.as_of)
