"""The public keys of an identity provider (JWKS): from a file, or from the issuer itself."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import urllib3
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from components.credit.errors import InputError

# Only signatures that need a private key: neither 'none' nor HMAC, which anybody could make with the public key.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_MOST_BYTES = 1024 * 1024
_LEAST_RSA_BITS = 2048
_LOOPBACK = ("127.0.0.1", "localhost", "::1")

KeySet = dict[str, PyJWK]


class _Discovery(msgspec.Struct, frozen=True):
    """The discovery document of OpenID Connect, as far as it is needed: the issuer, and the address of its keys."""

    issuer: str
    jwks_uri: str


def read_key_set(document: bytes, source: str) -> KeySet:
    """The keys of a JWKS that may sign tokens, by key id.

    Args:
        document: JSON.
        source: File or address that it comes from, for the message.

    Raises:
        InputError: It is not a JWKS, or holds no key that may sign.
    """
    try:
        entries = msgspec.json.decode(document, type=dict[str, Any])["keys"]
        candidates = [_key(entry) for entry in entries]
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{source} is not a set of keys (JWKS).") from error
    keys = {key.key_id or "": key for key in candidates if key is not None}
    if not keys:
        raise InputError(f"{source} holds no public key for {ALGORITHMS[0]} or another asymmetric signature.")
    return keys


def _key(entry: dict[str, Any]) -> PyJWK | None:
    """A key, or None for one that must not verify tokens: a secret, for encryption, too short, or of another kind."""
    if entry.get("use", "sig") != "sig" or entry.get("kty") not in ("RSA", "EC", "OKP"):
        return None
    try:
        key = PyJWK(entry)
    except (PyJWTError, ValueError):
        return None
    short = entry["kty"] == "RSA" and key.key.key_size < _LEAST_RSA_BITS
    return key if key.algorithm_name in ALGORITHMS and not short else None


def read_key_file(path: Path) -> KeySet:
    """The keys of a file; errors as in ``read_key_set``."""
    try:
        return read_key_set(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error


def fetch_key_set(issuer: str) -> KeySet:
    """The keys that an issuer publishes, by OpenID Connect discovery.

    Raises:
        InputError: Its address is not https, it does not answer, or answers something else.
    """
    url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    try:
        discovery = msgspec.json.decode(_fetched(url), type=_Discovery)
    except msgspec.DecodeError as error:
        raise InputError(f"{url} is not a discovery document of OpenID Connect.") from error
    if discovery.issuer != issuer:
        raise InputError(f"{url} speaks of another issuer than QUIPU_AUTH_ISSUER; give that one, to the letter.")
    return read_key_set(_fetched(discovery.jwks_uri), discovery.jwks_uri)


def _fetched(url: str) -> bytes:
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise InputError(f"{url} is not https; keys that others can change on their way protect nothing.")
    try:
        response = urllib3.request(
            "GET", url, preload_content=False, redirect=False, retries=urllib3.Retry(2, redirect=0), timeout=5
        )
        with response:
            body = response.read(_MOST_BYTES + 1)
    except urllib3.exceptions.HTTPError as error:
        raise InputError(f"{url} cannot be asked ({type(error).__name__}).") from error
    if response.status != 200 or len(body) > _MOST_BYTES:
        raise InputError(f"{url} answers {response.status} instead of keys.")
    return bytes(body)
