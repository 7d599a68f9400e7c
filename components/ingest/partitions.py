"""Writing a table as Parquet, one file for each partition of borrowers, with the same bytes for the same rows."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

# Bytes of text that a partition takes: some 25,000 borrowers with their history. The stages behind ingest work on one
# partition at a time, and need less than 2 GB for one of this size.
_PARTITION_BYTES = 256 << 20
# Rows held back over all partitions until they are written as row groups: bounds memory whatever their number.
_HELD_ROWS = 400_000


def partitions_for(size: int) -> int:
    """The number of partitions for sources of so many bytes as text."""
    return max(1, -(-size // _PARTITION_BYTES))


class PartitionFiles:
    """The open files of one table."""

    def __init__(self, writers: list[pyarrow.parquet.ParquetWriter]) -> None:
        self._writers = writers
        self._held: list[list[pa.Table]] = [[] for _ in writers]
        self._rows = 0

    def write(self, rows: pa.Table, partition: np.ndarray) -> None:
        """Write rows, each to the file of its partition (int64, one a row), in their order."""
        for index in np.unique(partition):
            part = rows if len(self._writers) == 1 else rows.filter(pa.array(partition == index))
            self._held[index].append(part)
        self._rows += rows.num_rows
        if self._rows >= _HELD_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write the rows that are held back."""
        for writer, held in zip(self._writers, self._held, strict=True):
            if held:
                writer.write_table(pa.concat_tables(held))
                held.clear()
        self._rows = 0


@contextmanager
def partition_files(folder: Path, schema: pa.Schema, partitions: int) -> Iterator[PartitionFiles]:
    """Files ``part-00000.parquet`` … in a new folder; one without rows is written all the same.

    Args:
        folder: Folder of the table; it is made.
        schema: Schema of its rows.
        partitions: Number of partitions.
    """
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        files = PartitionFiles(
            [
                stack.enter_context(
                    pyarrow.parquet.ParquetWriter(folder / f"part-{index:05d}.parquet", schema, compression="zstd")
                )
                for index in range(partitions)
            ]
        )
        yield files
        files.flush()
