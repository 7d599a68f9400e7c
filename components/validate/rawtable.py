"""A raw table as ingest left it in the store, read in order and in bounded memory."""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from components.credit.book.contract import ATTRIBUTE_PREFIX, PROVENANCE, Table
from components.credit.book.manifest import Manifest
from components.credit.book.store import Store
from components.credit.errors import StoreError

PLACE = pa.schema([("part", pa.int32()), ("position", pa.int64())])


class RawTable:
    """One table of the raw dataset.

    Args:
        store: Store that holds it.
        raw: Manifest of the raw dataset.
        table: The table as the contract has it.

    Attributes:
        table: The same.
        parts: Number of partitions.
        schema: Columns of the contract and of provenance, and ready attributes.
        attributes: The ready attributes alone.

    Raises:
        StoreError: It cannot be read, or lacks a column.
    """

    def __init__(self, store: Store, raw: Manifest, table: Table) -> None:
        self.table = table
        self._store, self._raw = store, raw
        self.parts = len(raw.tables[table.name].parts)
        self.schema: pa.Schema = store.table(raw, table.name).schema.remove_metadata()
        for field in [*table.schema, *PROVENANCE]:
            if field.name not in self.schema.names or self.schema.field(field.name).type != field.type:
                raise StoreError(f"{raw.prefix}/{table.name} lacks '{field.name}' ({field.type}); run ingest again.")
        self.attributes = pa.schema([field for field in self.schema if field.name.startswith(ATTRIBUTE_PREFIX)])

    def batches(self, part: int, columns: list[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Rows of a partition in order, each batch with the position of its first row."""
        position = 0
        for batch in self._store.batches(self._raw, self.table.name, part, columns):
            yield position, batch
            position += batch.num_rows

    @property
    def groups(self) -> list[list[int]]:
        """The partitions in which rows of one key can lie together: each by itself where the borrower is of the key."""
        every = list(range(self.parts))
        return [[part] for part in every] if "borrower_id" in self.table.key else [every]

    def placed(self, columns: list[str], parts: Iterable[int] | None = None) -> pa.RecordBatchReader:
        """Columns of all rows, or of those of some partitions, with the ``PLACE`` of each, for a query."""
        schema = pa.schema([*PLACE, *(self.schema.field(name) for name in columns)])
        return pa.RecordBatchReader.from_batches(
            schema,
            (
                pa.record_batch([*place(part, start, batch.num_rows), *batch.columns], schema=schema)
                for part in (range(self.parts) if parts is None else parts)
                for start, batch in self.batches(part, columns)
            ),
        )


def place(part: int, start: int, rows: int) -> list[pa.Array]:
    """The columns of ``PLACE`` for rows that follow each other."""
    return [pa.repeat(pa.scalar(part, pa.int32()), rows), pa.array(np.arange(start, start + rows))]
