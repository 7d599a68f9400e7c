"""A pipeline of two components: what is wrong with a lender's tables, without training anything.

It stands for the pipelines of others: it knows the components by their compiled specs alone.
"""

from pathlib import Path

from kfp import components, dsl

from pipelines.pods import on_cluster

_COMPONENTS = Path(__file__).parent.parent / "components"
ingest = components.load_component_from_file(str(_COMPONENTS / "ingest" / "component.yaml"))
validate = components.load_component_from_file(str(_COMPONENTS / "validate" / "component.yaml"))


@dsl.pipeline(name="quipu-quality", description="What is wrong with a lender's tables")
def quality(source: str, mapping: str, config: str, as_of: str, code: str) -> None:
    """Read a lender's tables and put what breaks the contract into quarantine.

    Args:
        source: Folder or landing prefix of the lender's files.
        mapping: Mapping file: a path or s3:// address.
        config: Configuration file: a path or s3:// address.
        as_of: As-of day, YYYY-MM-DD.
        code: Revision of the code.
    """
    ingested = on_cluster(ingest(source=source, mapping=mapping, config=config, as_of=as_of, code=code), "ingest")
    validated = validate(raw=ingested.outputs["raw"], mapping=mapping, config=config, code=code)
    on_cluster(validated, "validate")
