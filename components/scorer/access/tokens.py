"""The actor of a request, by a bearer token of an identity provider (OIDC) or by an API key.

A token is verified once; until it expires, or the keys change, its SHA-256 finds its actor again in about 1 µs. Keys
are read beside the requests, never for one.
"""

import asyncio
import hashlib
import hmac
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt

from components.credit.errors import InputError
from components.scorer.access.apikeys import ApiKey, read_keys
from components.scorer.access.keyset import ALGORITHMS, KeySet, fetch_key_set, read_key_file
from components.scorer.access.limits import Buckets
from components.scorer.requests import ROLES, STRANGER, Actor, Role
from components.scorer.watching.log import log_event

_LEEWAY = 30  # seconds that clocks may differ
_LONGEST = 8192  # characters of a header; no provider's token is longer
_LONGEST_NAME = 200  # characters of a subject; the decision log keeps it with each answer
_MOST_KNOWN = 10_000
_LOOK_SECONDS = 2.0  # between two looks at the files
_FETCH_SECONDS = 600.0  # between two looks at the issuer
_FETCH_SOONER = 30.0  # where a token names a key that is not known yet


@dataclass(frozen=True)
class Issuer:
    """An identity provider whose tokens are believed.

    Args:
        url: The issuer, as the tokens' ``iss`` has it.
        audience: What the tokens' ``aud`` must hold.
        roles_claim: Claim that holds the roles, a list or words; dots lead into it, as in ``realm_access.roles``.
        key_file: File of its public keys (JWKS); None where they are fetched from it.
    """

    url: str
    audience: str
    roles_claim: str = "roles"
    key_file: Path | None = None


class TokenRefused(Exception):
    """A token is not believed; or, after too many that were not, none is verified for ``retry`` seconds."""

    def __init__(self, sentence: str, retry: float = 0.0) -> None:
        super().__init__(sentence)
        self.retry = retry


class Tokens:
    """The tokens that are believed, and their actors.

    Args:
        key_file: File of API keys; None where there are none.
        issuer: Identity provider; None where there is none.

    Raises:
        InputError: A file cannot be read, or the issuer cannot be asked.
    """

    def __init__(self, key_file: Path | None, issuer: Issuer | None) -> None:
        self._key_file, self._issuer = key_file, issuer
        self._known: dict[bytes, tuple[Actor, float]] = {}
        self._failures = Buckets(rate=1, burst=20)
        self._fetched = time.monotonic()
        self._fetch_sooner = False
        self._stamps = self._file_stamps()
        self._api_keys: list[ApiKey] = read_keys(key_file) if key_file else []
        self._key_set: KeySet = self._read_key_set()

    def actor(self, header: str | None, address: str) -> Actor:
        """Who asks.

        Args:
            header: The ``authorization`` header.
            address: Where the request comes from; failures are counted by it.

        Raises:
            TokenRefused: The token is not believed.
        """
        if header is None:
            return STRANGER
        digest = hashlib.sha256(header.encode()).digest()
        known = self._known.get(digest)
        if known is not None and known[1] > time.time():
            return known[0]
        token = _token(header)
        actor, expires = self._by_api_key(token), math.inf
        if actor is None:  # a key costs one hash, but a signature much: nobody may guess many
            if wait := self._failures.wait(address):
                raise TokenRefused("Too many tokens from your address were not believed; wait a while.", wait)
            try:
                actor, expires = self._by_token(token)
            except TokenRefused:
                self._failures.take(address)
                raise
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[digest] = actor, expires
        return actor

    async def keep_fresh(self) -> None:
        """Read the keys of a file again once it changes, and the issuer's every ten minutes.

        Where that fails the keys stay as they are, and the log says so once.
        """
        problem = ""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                await self._refresh()
            except InputError as error:
                if str(error) != problem:
                    problem = str(error)
                    log_event("keys_not_refreshed", reason=problem)
            else:
                problem = ""

    async def _refresh(self) -> None:
        stamps = self._file_stamps()
        if stamps != self._stamps:
            api_keys = read_keys(self._key_file) if self._key_file else []
            key_set = read_key_file(self._issuer.key_file) if self._issuer and self._issuer.key_file else self._key_set
            self._stamps = stamps
            self._change(api_keys, key_set)
        if self._issuer is None or self._issuer.key_file is not None:
            return
        if time.monotonic() - self._fetched > (_FETCH_SOONER if self._fetch_sooner else _FETCH_SECONDS):
            self._fetched, self._fetch_sooner = time.monotonic(), False
            self._change(self._api_keys, await asyncio.to_thread(fetch_key_set, self._issuer.url))

    def _change(self, api_keys: list[ApiKey], key_set: KeySet) -> None:
        """Believe these keys from now on, and forget the tokens that were verified with others."""
        if api_keys != self._api_keys or key_set.keys() != self._key_set.keys():
            log_event("keys_changed", api_keys=len(api_keys), public_keys=len(key_set))
        self._api_keys, self._key_set = api_keys, key_set
        self._known.clear()

    def _read_key_set(self) -> KeySet:
        if self._issuer is None:
            return {}
        return read_key_file(self._issuer.key_file) if self._issuer.key_file else fetch_key_set(self._issuer.url)

    def _file_stamps(self) -> list[tuple[int, int, int]]:
        """Inode, time and size of each file, which change with it; Kubernetes replaces the file of a mounted secret."""
        paths = [self._key_file, self._issuer.key_file if self._issuer else None]
        stamps = []
        for path in paths:
            try:
                stat = path.stat() if path else None
            except OSError:
                stat = None
            stamps.append((stat.st_ino, stat.st_mtime_ns, stat.st_size) if stat else (0, 0, 0))
        return stamps

    def _by_api_key(self, token: str) -> Actor | None:
        digest = hashlib.sha256(token.encode()).hexdigest()
        actor = None
        for key in self._api_keys:  # all of them, each in constant time, so that the time says nothing about the keys
            if hmac.compare_digest(key.sha256, digest):
                actor = key.actor
        return actor

    def _by_token(self, token: str) -> tuple[Actor, float]:
        """The actor of an issuer's token, and the time at which the token ends (seconds since 1970)."""
        if self._issuer is None:
            raise TokenRefused("The key is not known here.")
        try:
            key_id = jwt.get_unverified_header(token).get("kid", "")
            key = self._key_set.get(key_id)
            if key is None and not key_id and len(self._key_set) == 1:
                (key,) = self._key_set.values()
            if key is None:
                self._fetch_sooner = True
                raise TokenRefused("The token is signed with a key that its issuer does not publish here (yet).")
            claims = jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                audience=self._issuer.audience,
                issuer=self._issuer.url,
                leeway=_LEEWAY,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
            name, ends = str(claims["sub"]), float(claims["exp"]) + _LEEWAY
        except jwt.ExpiredSignatureError as error:
            raise TokenRefused("The token has expired; get a new one.") from error
        except jwt.InvalidAudienceError as error:
            raise TokenRefused("The token is for another audience.") from error
        except (jwt.PyJWTError, ArithmeticError, ValueError, TypeError, RecursionError) as error:
            raise TokenRefused("The token does not verify.") from error
        if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
            raise TokenRefused(f"The token's sub is no plain name of at most {_LONGEST_NAME} characters.")
        return Actor(name, _roles(claims, self._issuer.roles_claim)), ends


def _token(header: str) -> str:
    """The token in an ``authorization`` header."""
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip() or len(header) > _LONGEST:
        raise TokenRefused("Give a token: 'Authorization: Bearer …'.")
    return token.strip()


def _roles(claims: dict[str, Any], claim: str) -> frozenset[Role]:
    """The roles that a token gives; other words in its claim are roles of other services."""
    value: Any = claims
    for part in claim.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    words = value.split() if isinstance(value, str) else value if isinstance(value, list) else []
    return frozenset(role for role in ROLES if role in words)
