"""The registry of models: signed packages in a bucket, and one pointer to the champion.

```
quipu-models/models/<version>/<files>              written first
quipu-models/models/<version>/MANIFEST.dsse.json   written last and once: a package without it does not exist
quipu-models/runs/<run>                            version that a training run registered, written once
quipu-models/champion                              moved by compare-and-swap
quipu-models/shadow                                the challenger that scores beside it, moved alike
```

The manifest is an in-toto statement in a DSSE envelope: the files with their SHA-256 are its subject, what the model
is and why it was chosen its predicate. A version names the bytes of its files, so whoever writes it twice writes the
same; of two manifests the first one stands.
"""

import hashlib
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct, field

from components.credit.book.store import MODEL_BUCKET, Store
from components.credit.errors import InputError, ModelRefused, StoreError
from components.credit.release.decision import Decision
from components.credit.release.signing import public_key_of, sign, verified

if TYPE_CHECKING:
    from components.credit.models.scorer import Scorer

MANIFEST = "MANIFEST.dsse.json"
CHAMPION = "champion"
SHADOW = "shadow"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "urn:quipu:model:v1"
_TRIES = 20


class Package(Struct, frozen=True, forbid_unknown_fields=True):
    """What a model is and what it was made from.

    Args:
        version: First 12 hex of the SHA-256 over the saved model.
        family: ``scorecard``, ``random_forest`` or ``xgboost``.
        as_of: As-of day of the run that made it, YYYY-MM-DD.
        code: Revision of the code that released it.
        data: Identity (hex SHA-256) of the feature table that it learnt from.
        metrics: Its figures out of time, by name.
        decision: The comparison that chose it, as the evaluate stage wrote it.
        run: Id of the training run that made it; empty where it is not known.
    """

    version: str
    family: str
    as_of: str
    code: str
    data: str
    metrics: dict[str, float]
    decision: Decision
    run: str = ""


class Champion(Struct, frozen=True, forbid_unknown_fields=True):
    """The pointer: which version answers, which one did before, and the hex SHA-256 of its manifest."""

    version: str
    previous: str | None
    manifest: str


class _Shadow(Struct, frozen=True, forbid_unknown_fields=True):
    """The pointer to the challenger; None where there is none."""

    version: str | None


class _Subject(Struct, frozen=True, forbid_unknown_fields=True):
    """A file of the package, as in-toto describes a resource; ``annotations`` holds its size in bytes."""

    name: str
    digest: dict[str, str]
    annotations: dict[str, int]


class _Statement(Struct, frozen=True, forbid_unknown_fields=True):
    subject: list[_Subject]
    predicate: Package
    type: str = field(name="_type", default=_STATEMENT)
    kind: str = field(name="predicateType", default=_PREDICATE)


def register(store: Store, folder: Path, package: Package, signing_key: str) -> str:
    """Put a model into the registry; a version that is there already is left as it is.

    Args:
        store: The store.
        folder: Folder with the model's files, without sub-folders.
        package: What the model is.
        signing_key: Private key as PEM.

    Returns:
        Hex SHA-256 of the manifest that stands.

    Raises:
        InputError: The key is not an Ed25519 key.
        ModelRefused: The version is there already, signed by another key or with other files.
    """
    from components.credit.models.scorer import unpack  # a reader of manifests alone does without NumPy and models
    from components.credit.models.smoke import SMOKE, smoke

    files = {file.name: file.read_bytes() for file in sorted(folder.iterdir())}
    files[SMOKE] = smoke(unpack(files, str(folder)))
    subject = [_subject(name, data) for name, data in files.items()]
    envelope = sign(msgspec.json.encode(_Statement(subject, package), order="sorted"), signing_key)
    prefix = _prefix(package.version)
    if f"{prefix}{MANIFEST}" not in store.keys(MODEL_BUCKET, prefix):
        with tempfile.TemporaryDirectory() as written:
            for name, data in files.items():
                (Path(written) / name).write_bytes(data)
                store.upload(MODEL_BUCKET, f"{prefix}{name}", Path(written) / name)
        store.write_once(MODEL_BUCKET, f"{prefix}{MANIFEST}", envelope)
    standing = store.read(MODEL_BUCKET, f"{prefix}{MANIFEST}")
    signed = _statement(standing, package.version, public_key_of(signing_key)).subject
    if _without_smoke(signed) != _without_smoke(subject):
        raise ModelRefused(f"{_address(package.version)} is in the registry with other files; train the model again.")
    return hashlib.sha256(standing).hexdigest()


def name_run(store: Store, run: str, version: str) -> None:
    """Keep which version a training run registered, so that it can be promoted by the run's id later.

    Raises:
        InputError: The id is not one.
        ModelRefused: The run registered another version before.
    """
    if not store.write_once(MODEL_BUCKET, _run_key(run), version.encode()) and version_of_run(store, run) != version:
        raise ModelRefused(f"Run {run} has registered another model before; start a new training run.")


def version_of_run(store: Store, run: str) -> str:
    """The version that a training run registered.

    Raises:
        InputError: The id is not one.
        ModelRefused: The run registered none.
    """
    found = store.read_pointer(MODEL_BUCKET, _run_key(run))
    if found is None:
        raise ModelRefused(f"Run {run} has registered no model; name a training run that ended well.")
    return found[0].decode("utf-8", "replace")


def promote(store: Store, version: str, manifest: str) -> Champion:
    """Move the champion pointer to a version; where it points there already, nothing happens.

    Args:
        store: The store.
        version: A registered version.
        manifest: Hex SHA-256 of its manifest.

    Returns:
        The pointer as it stands afterwards.

    Raises:
        StoreError: Others kept moving the pointer.
    """
    for _ in range(_TRIES):
        found = store.read_pointer(MODEL_BUCKET, CHAMPION)
        current = _champion(found[0]) if found else None
        if current and current.version == version:
            return current
        moved = Champion(version, current.version if current else None, manifest)
        if store.move_pointer(MODEL_BUCKET, CHAMPION, msgspec.json.encode(moved), found[1] if found else None):
            return moved
    raise StoreError("Others keep moving the champion pointer; run the deploy stage again.")


def shadow(store: Store) -> str | None:
    """Version that scores beside the champion, or None.

    Raises:
        ModelRefused: The pointer is not one.
    """
    found = store.read_pointer(MODEL_BUCKET, SHADOW)
    if found is None:
        return None
    try:
        return msgspec.json.decode(found[0], type=_Shadow).version
    except msgspec.DecodeError as error:
        raise ModelRefused(f"The pointer s3://{MODEL_BUCKET}/{SHADOW} names no model; set it again.") from error


def set_shadow(store: Store, version: str | None) -> None:
    """Let a registered version, or none, score beside the champion.

    Raises:
        StoreError: Others kept moving the pointer.
    """
    for _ in range(_TRIES):
        found = store.read_pointer(MODEL_BUCKET, SHADOW)
        moved = msgspec.json.encode(_Shadow(version))
        if store.move_pointer(MODEL_BUCKET, SHADOW, moved, found[1] if found else None):
            return
    raise StoreError("Others keep moving the shadow pointer; try again.")


def champion(store: Store) -> Champion | None:
    """The champion pointer, or None where no model was released yet.

    Raises:
        ModelRefused: The pointer is not one.
    """
    found = store.read_pointer(MODEL_BUCKET, CHAMPION)
    return _champion(found[0]) if found else None


def fetch(store: Store, version: str, verify_key: str) -> tuple[Package, "Scorer"]:
    """A model from the registry, loaded only after its signature and then its hashes have been checked.

    Args:
        store: The store.
        version: Version asked for.
        verify_key: Public key as PEM.

    Returns:
        What the model is, and the model.

    Raises:
        StoreError: The store is away.
        ModelRefused: The version is not in the registry, its manifest is not signed with the key or belongs to
            another version, a file is missing, altered or not of the package, the files are not a model, or it answers
            its smoke set otherwise than when it was released.
    """
    from components.credit.models.scorer import unpack
    from components.credit.models.smoke import SMOKE, check_smoke

    prefix, address = _prefix(version), _address(version)
    keys = store.keys(MODEL_BUCKET, prefix)
    statement = _signed(store, version, keys, verify_key)
    names = [file.name for file in statement.subject]
    extra = sorted(set(keys) - {f"{prefix}{name}" for name in (MANIFEST, *names)})
    if extra:
        raise ModelRefused(
            f"{extra[0].removeprefix(prefix)} lies in {address} without being signed; remove it, and find out who put "
            "it there."
        )
    files = {}
    for file in statement.subject:
        if f"{prefix}{file.name}" not in keys:
            raise ModelRefused(f"{file.name} is missing from {address}; deploy the model again.")
        data = store.read(MODEL_BUCKET, f"{prefix}{file.name}")
        if _subject(file.name, data) != file:
            raise ModelRefused(
                f"{file.name} of {address} is not the file that was signed; deploy the model again, and find out who "
                "changed it."
            )
        files[file.name] = data
    scorer = unpack(files, address)
    if scorer.version() != version:
        raise ModelRefused(f"The files of {address} are those of version {scorer.version()}; deploy the model again.")
    if SMOKE in files:
        check_smoke(scorer, files[SMOKE], address)
    return statement.predicate, scorer


def manifest_of(store: Store, version: str) -> str:
    """Hex SHA-256 of a registered version's manifest, as ``register`` gave it."""
    return hashlib.sha256(store.read(MODEL_BUCKET, f"{_prefix(version)}{MANIFEST}")).hexdigest()


def show(store: Store, version: str, verify_key: str) -> Package:
    """What a registered model is, by its signed manifest; errors as in ``fetch``, but its files are not read."""
    return _signed(store, version, store.keys(MODEL_BUCKET, _prefix(version)), verify_key).predicate


def list_models(store: Store, verify_key: str) -> tuple[list[Package], list[str]]:
    """All registered models, in order of as-of day and version, and a sentence for each that does not verify."""
    endings = [key.removeprefix("models/") for key in store.keys(MODEL_BUCKET, "models/")]
    models, refused = [], []
    for ending in endings:
        version, _, name = ending.partition("/")
        if name == MANIFEST:
            try:
                models.append(show(store, version, verify_key))
            except ModelRefused as error:
                refused.append(str(error))
    return sorted(models, key=lambda package: (package.as_of, package.version)), refused


def _without_smoke(subject: list[_Subject]) -> list[_Subject]:
    """The files of the model itself: the last bits of a smoke set depend on who made it."""
    from components.credit.models.smoke import SMOKE

    return [file for file in subject if file.name != SMOKE]


def _signed(store: Store, version: str, keys: list[str], verify_key: str) -> _Statement:
    key = f"{_prefix(version)}{MANIFEST}"
    if key not in keys:
        raise ModelRefused(
            f"{_address(version)} is not in the registry; name a version that 'quipu models list' shows."
        )
    return _statement(store.read(MODEL_BUCKET, key), version, verify_key)


def _statement(envelope: bytes, version: str, verify_key: str) -> _Statement:
    """The statement in a manifest that verifies and belongs to the version."""
    place = f"{_address(version)}/{MANIFEST}"
    payload = verified(envelope, verify_key, place)
    try:
        statement = msgspec.json.decode(payload, type=_Statement)
    except msgspec.DecodeError as error:
        raise ModelRefused(
            f"{place} is signed but does not describe a model as this code reads it ({error}); train the model again."
        ) from error
    if statement.predicate.version != version:
        raise ModelRefused(
            f"{place} is the signed manifest of another version, {statement.predicate.version}; deploy the model "
            "again, and find out who put it there."
        )
    return statement


def _champion(data: bytes) -> Champion:
    try:
        return msgspec.json.decode(data, type=Champion)
    except msgspec.DecodeError as error:
        raise ModelRefused(
            f"The pointer s3://{MODEL_BUCKET}/{CHAMPION} does not name a model; run the deploy stage again."
        ) from error


def _subject(name: str, data: bytes) -> _Subject:
    return _Subject(name, {"sha256": hashlib.sha256(data).hexdigest()}, {"bytes": len(data)})


def _run_key(run: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", run):
        raise InputError("The id of the training run is not one; give it as the pipeline's page shows it.")
    return f"runs/{run}"


def _prefix(version: str) -> str:
    return f"models/{version}/"


def _address(version: str) -> str:
    return f"s3://{MODEL_BUCKET}/models/{version}"
