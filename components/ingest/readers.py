"""Finding a source's rows: files below a folder or a landing prefix, or a query."""

import fnmatch
import hashlib
import io
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import IO

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet

from components.credit.book.mapping import Layout, Source
from components.credit.book.store import Store
from components.credit.errors import InputError, StoreError, nearest
from components.credit.progress import Progress
from components.ingest.database import query_rows
from components.ingest.delimited import Opener, check_delimited, read_delimited
from components.ingest.rows import Batch, Rows, check_columns, plain, size_of_values

_BATCH_ROWS = 100_000


@dataclass(frozen=True)
class Landing:
    """A place where a lender's files lie.

    Args:
        place: Folder or ``s3://bucket/prefix``, as the user gave it.
        files: The filesystem.
        root: Folder or ``bucket/prefix`` on it.
    """

    place: str
    files: pyarrow.fs.FileSystem
    root: str


def landing(place: str, store: Store) -> Landing:
    """The landing at a folder's path or an ``s3://`` address."""
    if place.startswith("s3://"):
        return Landing(place, store.files, place.removeprefix("s3://").strip("/"))
    return Landing(place, pyarrow.fs.LocalFileSystem(), place.rstrip("/") or "/")


def open_source(
    name: str, source: Source, layout: Layout, needed: Sequence[str], landing: Landing, progress: Progress
) -> list[Rows]:
    """The rows of a source, file by file in the order of their names; each file's beginning has been looked at.

    Args:
        name: Name of the source in the mapping.
        source: The source.
        layout: Layout of its files.
        needed: Columns to read.
        landing: Where the files lie.
        progress: Takes warnings.

    Raises:
        InputError: A file or column is missing, a file is empty, or its layout is another; the database does not
            answer, or refuses the query.
        StoreError: The landing bucket does not answer.
    """
    if source.connection:
        return [query_rows(name, source, layout, needed)]
    return [
        rows
        for path in _matching(name, source.files, landing)
        for rows in _open_file(path, layout, needed, landing, progress)
    ]


def _matching(name: str, pattern: str, landing: Landing) -> list[str]:
    """Paths below the landing that match a source's glob, sorted."""
    # One name may be written with composed accents in the mapping, and with decomposed ones by a Mac.
    wanted = unicodedata.normalize("NFC", pattern).split("/")
    selector = pyarrow.fs.FileSelector(landing.root, recursive=len(wanted) > 1)
    with _readable(landing, landing.place):
        infos = landing.files.get_file_info(selector)
    paths = sorted(
        info.path.removeprefix(landing.root).lstrip("/") for info in infos if info.type == pyarrow.fs.FileType.File
    )
    found = [
        path
        for path in paths
        if path.count("/") == pattern.count("/")
        and all(
            fnmatch.fnmatchcase(part, glob)
            for part, glob in zip(unicodedata.normalize("NFC", path).split("/"), wanted, strict=True)
        )
    ]
    if not found:
        raise InputError(
            f"{landing.place} has no file '{pattern}', which the source '{name}' of the mapping names"
            f"{nearest(pattern, paths) or '.'}"
        )
    return found


def _open_file(
    path: str, layout: Layout, needed: Sequence[str], landing: Landing, progress: Progress
) -> Iterator[Rows]:
    full = f"{landing.root}/{path}"
    with _readable(landing, path):
        with landing.files.open_input_stream(full, compression=None) as opened:
            identity = _sha256(opened)
        if path.lower().endswith(".parquet"):
            size = size_of_values(_check_parquet(path, full, landing, needed), len(needed))
            read = partial(_read_parquet, path, full, landing, needed)
            yield Rows(path, identity, size, partial(_guarded, landing, path, read))
            return
        members: dict[str, Opener] = {path: partial(landing.files.open_input_stream, full)}
        sizes = {path: landing.files.get_file_info(full).size}
        if path.lower().endswith(".zip"):
            members, sizes = _members(path, full, landing)
        for member, opener in members.items():
            check_delimited(member, opener, layout, needed, progress)
            yield Rows(
                member,
                identity,
                sizes[member],
                partial(_guarded, landing, path, partial(read_delimited, member, opener, layout, needed)),
            )


def _guarded(landing: Landing, path: str, read: "partial[Iterator[Batch]]") -> Iterator[Batch]:
    with _readable(landing, path):
        yield from read()


def _members(path: str, full: str, landing: Landing) -> tuple[dict[str, Opener], dict[str, int]]:
    """Files in a zip archive and their bytes, by ``<archive>/<member>``."""
    try:
        with landing.files.open_input_file(full) as opened, zipfile.ZipFile(opened) as archive:
            sizes = {info.filename: info.file_size for info in archive.infolist() if not info.is_dir()}
            locked = any(info.flag_bits & 1 for info in archive.infolist())
    except zipfile.BadZipFile as error:
        raise InputError(f"{path} is not a zip archive; deliver it again.") from error
    if locked:
        raise InputError(f"{path} is locked with a password; deliver it without.")
    if not sizes:
        raise InputError(f"{path} holds no file; deliver it again.")
    openers: dict[str, Opener] = {
        f"{path}/{name}": partial(_open_member, full, landing, name) for name in sorted(sizes)
    }
    return openers, {f"{path}/{name}": size for name, size in sizes.items()}


def _open_member(full: str, landing: Landing, name: str) -> IO[bytes]:
    archive = zipfile.ZipFile(io.BufferedReader(landing.files.open_input_file(full), 1 << 20))
    return archive.open(name)


def _check_parquet(path: str, full: str, landing: Landing, needed: Sequence[str]) -> int:
    """See that a Parquet file has the columns that are needed; gives its rows."""
    try:
        with landing.files.open_input_file(full) as opened, pyarrow.parquet.ParquetFile(opened) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
    except pa.ArrowInvalid as error:
        raise InputError(f"{path} is not a Parquet file, or is cut off; deliver it again.") from error
    check_columns(path, schema.names, needed)
    for column in needed:
        plain(pa.nulls(0, schema.field(column).type), path, column)
    return int(rows)


def _read_parquet(path: str, full: str, landing: Landing, needed: Sequence[str]) -> Iterator[Batch]:
    with landing.files.open_input_file(full) as opened, pyarrow.parquet.ParquetFile(opened) as file:
        row = 1
        for batch in file.iter_batches(_BATCH_ROWS, columns=list(needed)):
            columns = {column: plain(batch.column(column), path, column) for column in needed}
            numbers = pa.array(range(row, row + batch.num_rows), pa.int64())
            yield Batch(columns, numbers, pa.nulls(batch.num_rows, pa.string()))
            row += batch.num_rows


def _sha256(opened: pa.NativeFile) -> str:
    digest = hashlib.sha256()
    while chunk := opened.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def _readable(landing: Landing, place: str) -> Iterator[None]:
    """Turn what can go wrong while a landing is read into one sentence."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(
            f"{place} does not exist; see the folder or prefix that the data are said to lie in."
        ) from error
    except NotADirectoryError as error:
        raise InputError(f"{place} is not a folder; give the folder that the files lie in.") from error
    except PermissionError as error:
        raise InputError(f"{place} may not be read by this user; change its permissions.") from error
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, pa.ArrowInvalid) as error:
        if landing.place.startswith("s3://"):
            raise StoreError(
                f"The store stopped answering while {place} was read; see that it runs, then try again."
            ) from error
        raise InputError(f"{place} cannot be read to its end; it may be damaged, so deliver it again.") from error
