"""The inputs of a released model for all applications of some partitions, for batch scoring and monitoring.

They follow from the model's own recipe, as in the scorer; the decision and the outcome of each application stand beside
them. There is no split and no gate: nothing is trained on them.
"""
# ruff: noqa: S608 - the SQL is made of the contract's and the model's names, quoted, never of a value

import tempfile
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet

from components.credit.book.contract import CATEGORY, IDENTIFIER, TIME
from components.credit.book.manifest import Manifest
from components.credit.book.store import Store
from components.credit.config import Config
from components.credit.errors import InputError
from components.credit.features.engine import connect
from components.credit.features.query import dictionary, tables
from components.credit.features.recipe import ModelInputs
from components.credit.progress import Progress
from components.feature.table import MEMORY, ROW_GROUP, THREADS, WRITING, made, make_part, quoted, row_groups


def build_inputs(
    clean: Manifest,
    model: ModelInputs,
    config: Config,
    code: str,
    partitions: Sequence[int],
    store: Store,
    progress: Progress,
) -> Manifest:
    """Compute the model's inputs for all applications that were decided by the as-of day.

    Args:
        clean: Manifest of the clean tables.
        model: Names of its inputs, and its recipe.
        config: The target.
        code: Revision of the code.
        partitions: Partitions of borrowers to compute.
        store: Holds the clean tables and takes the inputs.
        progress: Takes row counts and warnings.

    Returns:
        Manifest of a dataset with the table ``features``, one file a partition.

    Raises:
        InputError: An amount is in a currency without a rate, or the clean tables lack one that the model needs.
        StoreError: The store does not answer, or the disk is full.
    """
    lacking = [table for table in tables(model.recipe) if table not in clean.tables]
    if lacking:
        raise InputError(
            f"Model {model.version} takes the table '{lacking[0]}', which the mapping calls absent; map it, or train a "
            "model without it."
        )
    schema = input_schema(model)
    rows = 0
    with store.scanning(), tempfile.TemporaryDirectory(prefix="quipu-feature-") as name:
        folder = Path(name)
        connection = connect(model.recipe, threads=THREADS, memory=MEMORY, spill=str(folder / "spill"))
        try:
            for done, part in enumerate(partitions, start=1):
                make_part(connection, clean, part, model.recipe, config, store, progress, folder)
                rows += _write(connection, part, schema, folder)
                progress.report("features", rows=rows, share=done / len(partitions))
        finally:
            connection.close()
        return store.publish(
            "features",
            clean.as_of,
            folder / "table",
            inputs={"clean": clean.sha256, "model": model.version},
            code=code,
            notes={"model": model.version},
        )


def input_schema(model: ModelInputs) -> pa.Schema:
    """Schema of the table: keys and time, decision and outcome, then the model's inputs in its own order."""
    types = {feature.name: feature.type for feature in dictionary(model.recipe)}
    return pa.schema(
        [
            ("application_id", IDENTIFIER),
            ("borrower_id", IDENTIFIER),
            ("decided_at", TIME),
            ("decision", CATEGORY),
            ("label", CATEGORY),
            *((name, pa.float64() if types[name] == "number" else CATEGORY) for name in model.features),
        ]
    )


def _write(connection: duckdb.DuckDBPyConnection, part: int, schema: pa.Schema, folder: Path) -> int:
    """Write a partition in order of ``application_id`` and give its number of rows."""
    columns = ", ".join(quoted(name) for name in schema.names)
    connection.read_parquet(str(folder / made(part))).create_view("made_part", replace=True)
    rows = connection.sql(
        f"SELECT {columns} FROM made_part JOIN labels USING (application_id, borrower_id, decided_at) "
        "ORDER BY application_id"
    ).to_arrow_reader(ROW_GROUP)
    target = folder / "table" / "features"
    target.mkdir(parents=True, exist_ok=True)
    path = target / f"part-{part:05d}.parquet"
    with pyarrow.parquet.ParquetWriter(path, schema, **WRITING) as file:
        for group in row_groups(rows):
            file.write_table(group.cast(schema))
    (folder / made(part)).unlink()
    return int(pyarrow.parquet.read_metadata(path).num_rows)
