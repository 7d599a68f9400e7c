"""Interface of the validate stage."""

from kfp.dsl import Artifact, Dataset, Input, Output

from components.container import container


@container("validate")
def validate(
    raw: Input[Dataset],
    mapping: str,
    config: str,
    code: str,
    clean: Output[Dataset],
    quarantine: Output[Dataset],
    report: Output[Artifact],
):
    """Check the tables against the contract, put bad rows in quarantine with their reasons, stop at the limits.

    Args:
        raw: Manifest of the tables that ingest wrote.
        mapping: Mapping file: a path or s3:// address.
        config: Configuration file: a path or s3:// address.
        code: Revision of the code.

    Returns:
        clean: Manifest of the rows that keep the contract.
        quarantine: Manifest of the rows that do not, with their reasons.
        report: Rows in, clean and quarantined by table, and counts by reason (JSON).
    """
    from components.credit.book.documents import read_config, read_mapping, write_json
    from components.credit.book.store import Store, access_from_environment, read_manifest, write_manifest
    from components.credit.progress import stage
    from components.validate.quarantine import validate as validate_tables

    with stage("validate") as progress:
        checked = validate_tables(
            read_manifest(raw.path),
            read_mapping(mapping),
            read_config(config),
            code,
            Store(access_from_environment()),
            progress,
        )
        write_manifest(clean.path, checked.clean)
        write_manifest(quarantine.path, checked.quarantine)
        write_json(report.path, checked.report)
        clean.metadata.update(sha256=checked.clean.sha256)
