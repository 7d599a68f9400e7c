"""API keys, for a shop that has no identity provider: a file of names, hashes and roles.

A key is 32 random bytes. Nobody can try out so many, so that a fast hash protects it as well as a slow one would; a
slow hash is for passwords, which people choose.
"""

import hashlib
import os
import secrets
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from components.credit.errors import InputError
from components.scorer.decoding import decoded
from components.scorer.requests import Actor, Role


class ApiKey(Struct, frozen=True, forbid_unknown_fields=True):
    """An API key, as the file holds it.

    Args:
        name: Who asks with it; kept in the decision log.
        sha256: SHA-256 of the key, in hex.
        roles: What it may do.
    """

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    roles: Annotated[list[Role], Meta(min_length=1)]

    @property
    def actor(self) -> Actor:
        """Who asks with it."""
        return Actor(self.name, frozenset(self.roles))


_KEYS = msgspec.json.Decoder(list[ApiKey])


def new_key(name: str, roles: list[Role]) -> tuple[str, ApiKey]:
    """A new key, which is shown once, and its entry for the file."""
    key = f"quipu_{secrets.token_urlsafe(32)}"
    return key, ApiKey(name, hashlib.sha256(key.encode()).hexdigest(), roles)


def read_keys(path: Path) -> list[ApiKey]:
    """The keys of a file.

    Raises:
        InputError: It cannot be read, or is not a list of keys with different names.
    """
    try:
        keys = decoded(path.read_bytes(), _KEYS, str(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    if len({key.name for key in keys}) < len(keys):
        raise InputError(f"{path} has two keys of one name; give each its own, so that the log can tell them apart.")
    return keys


def add_key(path: Path, key: ApiKey) -> None:
    """Add a key to a file; a new file is readable by its owner only.

    Raises:
        InputError: As ``read_keys``, the name is taken, or the file cannot be written.
    """
    keys = read_keys(path) if path.exists() else []
    if key.name in {known.name for known in keys}:
        raise InputError(f"{path} has a key '{key.name}' already; take another name, or remove that entry first.")
    whole = path.with_name(f"{path.name}.new")
    try:
        with open(os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
            opened.write(msgspec.json.format(msgspec.json.encode([*keys, key]), indent=1) + b"\n")
        whole.replace(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}.") from error
