"""The manifest of a dataset: the small file that stages hand on, and the only thing that a reader believes."""

import hashlib

import msgspec
from msgspec import Struct, field

from components.credit.errors import StoreError


class Part(Struct, frozen=True, forbid_unknown_fields=True):
    """One Parquet file: key below the dataset's prefix, hex SHA-256, size in bytes and rows."""

    path: str
    sha256: str
    bytes: int
    rows: int


class TableParts(Struct, frozen=True, forbid_unknown_fields=True):
    """The files of one table, one a partition of borrowers, and its columns by name and Arrow type."""

    rows: int
    columns: dict[str, str]
    parts: list[Part]


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """What a dataset holds and what it was made from.

    Args:
        dataset: ``raw``, ``clean``, ``quarantine`` or ``features``.
        as_of: As-of day of the run, YYYY-MM-DD.
        sha256: Hex SHA-256 over the files' hashes: the dataset's identity.
        bucket: Bucket that holds it.
        prefix: Key prefix of its files, without a slash at the end.
        tables: Its tables by name.
        inputs: Identity of each thing it was made from, by name.
        code: Revision of the code that made it.
        notes: Figures that the stage wants to hand on, such as rows read.
    """

    dataset: str
    as_of: str
    sha256: str
    bucket: str
    prefix: str
    tables: dict[str, TableParts]
    inputs: dict[str, str] = field(default_factory=dict)
    code: str = ""
    notes: dict[str, object] = field(default_factory=dict)


def identity(tables: dict[str, TableParts]) -> str:
    """Hex SHA-256 over the tables' names and their files' hashes, in order of name."""
    digest = hashlib.sha256()
    for name in sorted(tables):
        for part in tables[name].parts:
            digest.update(f"{name}/{part.path} {part.sha256}\n".encode())
    return digest.hexdigest()


def encode(manifest: Manifest) -> bytes:
    """The manifest as JSON, the same bytes for the same content."""
    return msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=1)


def decode(data: bytes, place: str) -> Manifest:
    """A manifest from JSON.

    Raises:
        StoreError: It is not a manifest.
    """
    try:
        return msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError as error:
        raise StoreError(f"{place} is not a dataset manifest; run the stage that writes it again.") from error
