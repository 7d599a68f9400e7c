"""The object store: where stages leave tables and models, and find those of others.

Immutable data, one pointer: a dataset's files lie below a prefix that names their content, its manifest is written
last and only once (``If-None-Match: *``), and a pointer moves only from the value that its mover read (``If-Match``).
Arrow's modules for files are imported where tables are read: a scorer, which reads none, is spared their 30 MB.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import minio
import urllib3
from minio.error import MinioException, S3Error
from msgspec import Struct, field

from components.credit.book.manifest import Manifest, Part, TableParts, decode, encode, identity
from components.credit.errors import QuipuError, StoreError
from components.credit.settings import Secret, read_settings

if TYPE_CHECKING:
    import pyarrow.dataset
    import pyarrow.fs

LANDING_BUCKET = "quipu-landing"
DATA_BUCKET = "quipu-data"
MODEL_BUCKET = "quipu-models"
AUDIT_BUCKET = "quipu-audit"
BUCKETS = (LANDING_BUCKET, DATA_BUCKET, MODEL_BUCKET, AUDIT_BUCKET)

MANIFEST = "MANIFEST.json"
# A store that is away is given up after about 4 s, one that hangs after about 2 minutes.
_CONNECT_SECONDS, _ANSWER_SECONDS = 5, 30
_RETRIES = urllib3.Retry(total=4, backoff_factor=0.3, status_forcelist=(500, 502, 503, 504))
_BATCH_ROWS = 262_144
_T = TypeVar("_T")


class Access(Struct, frozen=True):
    """Where the store is and with which credential.

    Args:
        endpoint: Address of the store, as ``host:port``.
        access_key: Access key of the process's own credential.
        secret_key: Secret key of that credential.
        region: Region; always given, since the SDK would otherwise ask for it and be refused.
        secure: Whether to speak TLS.
    """

    endpoint: Secret = field(name="QUIPU_STORE_ENDPOINT")
    access_key: Secret = field(name="QUIPU_STORE_ACCESS_KEY")
    secret_key: Secret = field(name="QUIPU_STORE_SECRET_KEY")
    region: str = field(name="QUIPU_STORE_REGION", default="us-east-1")
    secure: bool = field(name="QUIPU_STORE_SECURE", default=False)


def access_from_environment() -> Access:
    """Access as the environment gives it.

    Raises:
        InputError: The endpoint or a key is not set, or a setting does not fit.
    """
    return read_settings(Access)


class Store:
    """The object store, for one credential."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._http = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=_ANSWER_SECONDS), retries=_RETRIES, maxsize=8
        )
        self._client = minio.Minio(
            endpoint=access.endpoint,
            access_key=access.access_key,
            secret_key=access.secret_key,
            region=access.region,
            secure=access.secure,
            http_client=self._http,
        )

    @cached_property
    def files(self) -> pyarrow.fs.S3FileSystem:
        """The store as pyarrow reads and writes files."""
        from pyarrow.fs import AwsDefaultS3RetryStrategy, S3FileSystem

        return S3FileSystem(
            access_key=self.access.access_key,
            secret_key=self.access.secret_key,
            endpoint_override=self.access.endpoint,
            scheme="https" if self.access.secure else "http",
            region=self.access.region,
            connect_timeout=_CONNECT_SECONDS,
            request_timeout=_ANSWER_SECONDS,
            # A scan reads ahead: with longer waits between tries, a process would outlive its dead store by minutes.
            retry_strategy=AwsDefaultS3RetryStrategy(max_attempts=4),
        )

    def make_buckets(self) -> None:
        """Make the buckets that are not there; for the embedded default (a platform makes them by manifests)."""
        for bucket in BUCKETS:
            if not self._ask(self._client.bucket_exists, bucket_name=bucket):
                self._ask(self._client.make_bucket, bucket_name=bucket)

    def read(self, bucket: str, key: str) -> bytes:
        """An object's bytes.

        Raises:
            StoreError: It is not there, or the store is away.
        """
        return self._ask(self._get, bucket=bucket, key=key)[0]

    def write_once(self, bucket: str, key: str, data: bytes) -> bool:
        """Write an object that must not exist yet; False where it was there already, and nothing was changed."""
        return self._put(bucket, key, data, {"If-None-Match": "*"})

    def read_pointer(self, bucket: str, key: str) -> tuple[bytes, str] | None:
        """A pointer's value and its entity tag; None where there is none yet."""
        try:
            return self._ask(self._get, bucket=bucket, key=key)
        except StoreError as error:
            if isinstance(error.__cause__, S3Error) and error.__cause__.code == "NoSuchKey":
                return None
            raise

    def move_pointer(self, bucket: str, key: str, data: bytes, tag: str | None) -> bool:
        """Move a pointer that still has the entity tag ``tag`` (None: does not exist yet); False where another was
        faster."""
        return self._put(bucket, key, data, {"If-Match": f'"{tag}"'} if tag else {"If-None-Match": "*"})

    def keys(self, bucket: str, prefix: str) -> list[str]:
        """Keys below a prefix, sorted."""
        listed = self._ask(
            lambda: [
                item.object_name
                for item in self._client.list_objects(bucket_name=bucket, prefix=prefix, recursive=True)
            ]
        )
        return sorted(key for key in listed if key)

    def upload(self, bucket: str, key: str, path: Path) -> None:
        """Send a file; an object of that key is replaced by it."""
        self._ask(self._client.fput_object, bucket_name=bucket, object_name=key, file_path=str(path))

    def publish(
        self,
        dataset: str,
        as_of: str,
        folder: Path,
        *,
        inputs: dict[str, str],
        code: str,
        notes: dict[str, object],
    ) -> Manifest:
        """Send a dataset that lies in a local folder, and write its manifest last.

        Args:
            dataset: Name of the dataset.
            as_of: As-of day, YYYY-MM-DD.
            folder: Folder with one sub-folder a table, each with its ``part-*.parquet``, one a partition.
            inputs: Identity of each thing it was made from.
            code: Revision of the code.
            notes: Figures to hand on.

        Returns:
            The manifest. A dataset with the same content is not sent twice.
        """
        tables = {table.name: _table_parts(table) for table in sorted(folder.iterdir()) if table.is_dir()}
        sha256 = identity(tables)
        prefix = f"{dataset}/as_of={as_of}/sha256={sha256[:12]}"
        manifest = Manifest(dataset, as_of, sha256, DATA_BUCKET, prefix, tables, inputs, code, notes)
        known = self.read_pointer(DATA_BUCKET, f"{prefix}/{MANIFEST}")
        if known is None:
            for name, table in tables.items():
                for part in table.parts:
                    self.upload(DATA_BUCKET, f"{prefix}/{part.path}", folder / name / Path(part.path).name)
            self.write_once(DATA_BUCKET, f"{prefix}/{MANIFEST}", encode(manifest))
        elif decode(known[0], f"{prefix}/{MANIFEST}").sha256 != sha256:
            raise StoreError(f"{DATA_BUCKET}/{prefix} holds other content than its name says; have it moved away.")
        return manifest

    def table(self, manifest: Manifest, name: str) -> pyarrow.dataset.Dataset:
        """A table of a dataset, to be scanned where it lies.

        Raises:
            StoreError: The dataset has no such table, or a file of it is gone.
        """
        return self.partitions(manifest, name, None)

    def partitions(self, manifest: Manifest, name: str, index: int | None) -> pyarrow.dataset.Dataset:
        """As ``table``, but only the ``index``-th partition of borrowers where one is given."""
        from pyarrow.dataset import FileSystemDataset

        parquet = _parquet()
        with self.scanning():
            fragments = [
                parquet.make_fragment(path, filesystem=self.files, file_size=part.bytes)
                for path, part in self._files(manifest, name, index)
            ]
            return FileSystemDataset(fragments, fragments[0].physical_schema, parquet, self.files)

    def batches(
        self, manifest: Manifest, name: str, index: int | None, columns: list[str], rows: int = _BATCH_ROWS
    ) -> Iterator[pyarrow.RecordBatch]:
        """Rows of a table, or of its ``index``-th partition, in order; one batch of at most ``rows`` is in memory.

        A dataset's own scan may run ahead of a slow reader by a gigabyte.
        """
        from pyarrow.parquet import ParquetFile

        with self.scanning():
            for path, _ in self._files(manifest, name, index):
                with ParquetFile(self.files.open_input_file(path), pre_buffer=False) as file:
                    for batch in file.iter_batches(rows, columns=columns):
                        yield batch.select(columns)

    def _files(self, manifest: Manifest, name: str, index: int | None) -> list[tuple[str, Part]]:
        """The files of a table or of one partition, which must be there as the manifest says."""
        if name not in manifest.tables:
            raise StoreError(f"The dataset {manifest.prefix} has no table '{name}'.")
        from pyarrow.fs import FileType

        parts = manifest.tables[name].parts
        chosen = parts if index is None else [parts[index]]
        paths = [f"{manifest.bucket}/{manifest.prefix}/{part.path}" for part in chosen]
        for part, found in zip(chosen, self.files.get_file_info(paths), strict=True):
            if found.type is not FileType.File or found.size != part.bytes:
                raise StoreError(
                    f"{found.path} is gone from the store or no longer as it was written; run its stage again."
                )
        return list(zip(paths, chosen, strict=True))

    @contextmanager
    def scanning(self) -> Iterator[None]:
        """While tables are scanned or spilled to disk, by pyarrow or DuckDB: their errors as one sentence.

        Raises:
            StoreError: The store failed within, or the local disk is full.
        """
        try:
            yield
        except QuipuError:
            raise
        except Exception as error:
            if "AWS Error" in str(error):
                raise _explained(error, self.access) from error
            if "No space left" in str(error):
                raise StoreError(
                    f"The local disk is full; free space in {tempfile.gettempdir()}, or let TMPDIR name another folder."
                ) from error
            raise

    def _get(self, bucket: str, key: str) -> tuple[bytes, str]:
        response = self._client.get_object(bucket_name=bucket, object_name=key)
        try:
            return bytes(response.data), response.headers["etag"].strip('"')
        finally:
            response.close()
            response.release_conn()

    def _put(self, bucket: str, key: str, data: bytes, headers: dict[str, str]) -> bool:
        # minio-py cannot send conditional headers, a presigned request can.
        url = self._ask(
            self._client.get_presigned_url,
            method="PUT",
            bucket_name=bucket,
            object_name=key,
            expires=timedelta(minutes=5),
        )
        response = self._ask(lambda: self._http.request("PUT", url, body=data, headers=headers))
        if response.status == 412:
            # A retry finds what its first try wrote, where only the answer was lost.
            return bool(response.retries and response.retries.history) and self.read(bucket, key) == data
        if response.status >= 300:
            found = re.search(rb"<Code>(\w+)</Code>", response.data)
            code = found[1].decode() if found else str(response.status)
            if code == "NoSuchKey":  # MinIO's answer to If-Match where there is no object
                return False
            raise _refusal(code, bucket, key)
        return True

    def _ask(self, call: Callable[..., _T], **arguments: object) -> _T:
        try:
            return call(**arguments)
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise _explained(error, self.access) from error


def read_manifest(path: str) -> Manifest:
    """The manifest that a stage handed on as its artifact."""
    return decode(Path(path).read_bytes(), path)


def write_manifest(path: str, manifest: Manifest) -> None:
    """Hand a manifest on as the artifact at ``path``."""
    Path(path).write_bytes(encode(manifest))


@cache
def _parquet() -> pyarrow.dataset.ParquetFileFormat:
    """Parquet, read as it is asked for: pyarrow would fetch a whole file ahead of its reader, however large."""
    from pyarrow.dataset import ParquetFileFormat, ParquetFragmentScanOptions

    return ParquetFileFormat(default_fragment_scan_options=ParquetFragmentScanOptions(pre_buffer=False))


def _table_parts(folder: Path) -> TableParts:
    from pyarrow.parquet import read_metadata, read_schema

    files = sorted(folder.glob("part-*.parquet"))
    parts = []
    for file in files:
        with file.open("rb") as opened:
            sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
        rows = read_metadata(file).num_rows
        parts.append(Part(f"{folder.name}/{file.name}", sha256, file.stat().st_size, rows))
    schema = read_schema(files[0])
    return TableParts(sum(part.rows for part in parts), {field.name: str(field.type) for field in schema}, parts)


def _explained(error: Exception, access: Access) -> StoreError:
    """What minio, urllib3 or pyarrow (perhaps through DuckDB) says of the store, as one sentence."""
    if isinstance(error, S3Error):
        return _refusal(error.code or "an error", error.bucket_name or access.endpoint, error.object_name or "")
    text = str(error)
    if "AWS Error ACCESS_DENIED" in text or "AWS Error INVALID_" in text or "AWS Error SIGNATURE_" in text:
        return _refusal("AccessDenied", access.endpoint, "")
    if "AWS Error RESOURCE_NOT_FOUND" in text or "AWS Error NO_SUCH_" in text:
        return StoreError(f"A file is gone from the store at {access.endpoint}; run the stage that wrote it again.")
    return StoreError(f"The store at {access.endpoint} does not answer; check that it runs and has disk space.")


def _refusal(code: str, bucket: str, key: str) -> StoreError:
    """An S3 error code as one sentence."""
    place = f"{bucket}/{key}" if key else bucket
    if code in ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"):
        return StoreError(f"The store refused access to {place} ({code}); check the stage's credential.")
    if code == "NoSuchBucket":
        return StoreError(f"The bucket {bucket} does not exist; make the buckets first.")
    if code == "NoSuchKey":
        return StoreError(f"{place} is not in the store.")
    if "Full" in code or "InsufficientStorage" in code:
        return StoreError(f"The store has no disk space left for {place} ({code}); give it more, or free some.")
    return StoreError(f"The store answered {code} for {place}; its log says why.")
