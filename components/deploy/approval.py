"""Approvals: somebody, by name, lets a registered model become the champion.

An approval that is given ahead lies beside the models, written once; each that is used goes to the audit log.
"""

import datetime

import msgspec
from msgspec import Struct

from components.credit.book.store import AUDIT_BUCKET, MODEL_BUCKET, Store
from components.credit.errors import GateStopped, InputError, ModelRefused
from components.credit.release.registry import show


class Approval(Struct, frozen=True):
    """Who let which model become the champion, as the audit log keeps it.

    Args:
        version: The model.
        previous: The champion before it; None where there was none.
        training_run: Run that registered the model; empty where the version itself was named.
        approved_by: Who approved.
        as_of: As-of day of the run that promotes, YYYY-MM-DD.
        code: Revision of the code that promotes.
        at: When, in UTC.
    """

    version: str
    previous: str | None
    training_run: str
    approved_by: str
    as_of: str
    code: str
    at: datetime.datetime


class Given(Struct, frozen=True, forbid_unknown_fields=True):
    """Who approved a version, and when (UTC)."""

    version: str
    approved_by: str
    at: datetime.datetime


def approve(store: Store, version: str, approved_by: str, verify_key: str) -> Given:
    """Approve a registered version; where it was approved before, that approval stands.

    Raises:
        InputError: Nobody is named.
        ModelRefused: The version is not in the registry, or does not verify.
    """
    if not approved_by.strip():
        raise InputError("Nobody is named as having approved the model; say who did.")
    show(store, version, verify_key)
    given = Given(version, approved_by.strip(), datetime.datetime.now(datetime.UTC))
    store.write_once(MODEL_BUCKET, _key(version), msgspec.json.encode(given))
    return _read(store, version) or given


def approver(store: Store, version: str) -> str:
    """Who approved a version.

    Raises:
        GateStopped: Nobody has.
    """
    given = _read(store, version)
    if given is None:
        raise GateStopped(
            f"Model {version} is registered and waits for approval; have it approved with 'quipu models approve "
            f"{version} --by NAME', and run the deploy stage again."
        )
    return given.approved_by


def record(store: Store, approval: Approval) -> None:
    """Write an approval to the audit log, before the pointer moves: no champion stands without one."""
    key = f"promotions/{approval.at:%Y%m%dT%H%M%S.%fZ}-{approval.version}.json"
    store.write_once(AUDIT_BUCKET, key, msgspec.json.encode(approval))


def _read(store: Store, version: str) -> Given | None:
    found = store.read_pointer(MODEL_BUCKET, _key(version))
    if found is None:
        return None
    try:
        return msgspec.json.decode(found[0], type=Given)
    except msgspec.DecodeError as error:
        raise ModelRefused(
            f"s3://{MODEL_BUCKET}/{_key(version)} is not an approval ({error}); find out who wrote it, and approve the "
            "model under another version."
        ) from error


def _key(version: str) -> str:
    return f"approvals/{version}.json"
