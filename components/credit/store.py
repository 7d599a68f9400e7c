"""The object store: where stages leave tables and models, and find those of others.

Immutable data, one pointer: a dataset's files lie below a prefix that names their content, its manifest is written
last and only once (``If-None-Match: *``), and a pointer moves only from the value that its mover read (``If-Match``).
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import minio
import pyarrow.dataset
import pyarrow.fs
import pyarrow.parquet
import urllib3
from minio.error import MinioException, S3Error

from components.credit.errors import InputError, StoreError
from components.credit.manifest import Manifest, Part, TableParts, decode, encode, identity

LANDING_BUCKET = "quipu-landing"
DATA_BUCKET = "quipu-data"
MODEL_BUCKET = "quipu-models"
AUDIT_BUCKET = "quipu-audit"
BUCKETS = (LANDING_BUCKET, DATA_BUCKET, MODEL_BUCKET, AUDIT_BUCKET)

MANIFEST = "MANIFEST.json"
_TIMEOUT = urllib3.Timeout(connect=5, read=60)
_RETRIES = urllib3.Retry(total=4, backoff_factor=0.3, status_forcelist=(500, 502, 503, 504))
_T = TypeVar("_T")


@dataclass(frozen=True)
class Access:
    """Where the store is and with which credential.

    Args:
        endpoint: ``host:port``.
        access_key: Access key.
        secret_key: Secret key.
        region: Region; always given, since the SDK would otherwise ask for it and be refused.
        secure: Whether to speak TLS.
    """

    endpoint: str
    access_key: str
    secret_key: str
    region: str = "us-east-1"
    secure: bool = False


def access_from_environment() -> Access:
    """Access as the environment gives it: ``QUIPU_STORE_ENDPOINT``, ``_ACCESS_KEY``, ``_SECRET_KEY`` (or their
    ``_FILE``), ``_REGION`` and ``_SECURE``.

    Raises:
        InputError: One of the first three is missing.
    """
    return Access(
        endpoint=secret("QUIPU_STORE_ENDPOINT"),
        access_key=secret("QUIPU_STORE_ACCESS_KEY"),
        secret_key=secret("QUIPU_STORE_SECRET_KEY"),
        region=os.environ.get("QUIPU_STORE_REGION", "us-east-1"),
        secure=os.environ.get("QUIPU_STORE_SECURE", "false").lower() == "true",
    )


def secret(name: str) -> str:
    """A secret from the environment variable ``name``, or from the file that ``<name>_FILE`` names.

    Raises:
        InputError: Neither is there, or the file cannot be read.
    """
    path = os.environ.get(f"{name}_FILE")
    if path:
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise InputError(f"{name}_FILE names {path}, which cannot be read: {error.strerror}.") from error
    value = os.environ.get(name)
    if not value:
        raise InputError(f"{name} is not set; give it in the environment, or a file that holds it in {name}_FILE.")
    return value


class Store:
    """The object store, for one credential."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._http = urllib3.PoolManager(timeout=_TIMEOUT, retries=_RETRIES, maxsize=8)
        self._client = minio.Minio(
            endpoint=access.endpoint,
            access_key=access.access_key,
            secret_key=access.secret_key,
            region=access.region,
            secure=access.secure,
            http_client=self._http,
        )
        self.files = pyarrow.fs.S3FileSystem(
            access_key=access.access_key,
            secret_key=access.secret_key,
            endpoint_override=access.endpoint,
            scheme="https" if access.secure else "http",
            region=access.region,
            connect_timeout=5,
            request_timeout=60,
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
        response = self._ask(self._client.get_object, bucket_name=bucket, object_name=key)
        try:
            return bytes(response.data)
        finally:
            response.close()
            response.release_conn()

    def write_once(self, bucket: str, key: str, data: bytes) -> bool:
        """Write an object that must not exist yet; False where it was there already, and nothing was changed."""
        return self._put(bucket, key, data, {"If-None-Match": "*"})

    def read_pointer(self, bucket: str, key: str) -> tuple[bytes, str] | None:
        """A pointer's value and its entity tag; None where there is none yet."""
        try:
            response = self._client.get_object(bucket_name=bucket, object_name=key)
        except S3Error as error:
            if error.code == "NoSuchKey":
                return None
            raise _explained(error, self.access) from error
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise _explained(error, self.access) from error
        try:
            return bytes(response.data), response.headers["etag"].strip('"')
        finally:
            response.close()
            response.release_conn()

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
        for name, table in tables.items():
            for part in table.parts:
                self.upload(DATA_BUCKET, f"{prefix}/{part.path}", folder / name / Path(part.path).name)
        self.write_once(DATA_BUCKET, f"{prefix}/{MANIFEST}", encode(manifest))
        return manifest

    def table(self, manifest: Manifest, name: str) -> pyarrow.dataset.Dataset:
        """A table of a dataset, to be scanned where it lies.

        Raises:
            StoreError: The dataset has no such table, or a file of it is gone.
        """
        return self.partitions(manifest, name, None)

    def partitions(self, manifest: Manifest, name: str, index: int | None) -> pyarrow.dataset.Dataset:
        """As ``table``, but only the ``index``-th partition of borrowers where one is given."""
        if name not in manifest.tables:
            raise StoreError(f"The dataset {manifest.prefix} has no table '{name}'.")
        parts = manifest.tables[name].parts
        chosen = parts if index is None else parts[index : index + 1]
        try:
            return pyarrow.dataset.dataset(
                [f"{manifest.bucket}/{manifest.prefix}/{part.path}" for part in chosen],
                filesystem=self.files,
                format="parquet",
            )
        except FileNotFoundError as error:
            raise StoreError(f"A file of {manifest.prefix} is gone from the store; run its stage again.") from error
        except OSError as error:
            raise _explained(error, self.access) from error

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
            return False
        if response.status >= 300:
            raise StoreError(f"The store refused to write {bucket}/{key} (status {response.status}); check the policy.")
        return True

    def _ask(self, call: Callable[..., _T], **arguments: object) -> _T:
        try:
            return call(**arguments)
        except (MinioException, urllib3.exceptions.HTTPError, OSError) as error:
            raise _explained(error, self.access) from error


def read_manifest(path: str) -> Manifest:
    """The manifest that a stage handed on as its artifact."""
    return decode(Path(path).read_bytes(), path)


def write_manifest(path: str, manifest: Manifest) -> None:
    """Hand a manifest on as the artifact at ``path``."""
    Path(path).write_bytes(encode(manifest))


def _table_parts(folder: Path) -> TableParts:
    files = sorted(folder.glob("part-*.parquet"))
    parts = []
    for file in files:
        with file.open("rb") as opened:
            sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
        rows = pyarrow.parquet.read_metadata(file).num_rows
        parts.append(Part(f"{folder.name}/{file.name}", sha256, file.stat().st_size, rows))
    schema = pyarrow.parquet.read_schema(files[0])
    return TableParts(sum(part.rows for part in parts), {field.name: str(field.type) for field in schema}, parts)


def _explained(error: Exception, access: Access) -> StoreError:
    """The store's error as one sentence."""
    if isinstance(error, S3Error):
        place = "/".join(part for part in (error.bucket_name, error.object_name) if part) or access.endpoint
        if error.code in ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"):
            return StoreError(f"The store refused access to {place} ({error.code}); check the stage's credential.")
        if error.code == "NoSuchBucket":
            return StoreError(f"The bucket {error.bucket_name} does not exist; make the buckets first.")
        if error.code == "NoSuchKey":
            return StoreError(f"{place} is not in the store.")
        return StoreError(f"The store answered {error.code} for {place}.")
    return StoreError(f"The store at {access.endpoint} does not answer; check that it runs and has disk space.")
