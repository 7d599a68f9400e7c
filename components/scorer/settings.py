"""The scorer's settings, from the environment.

QUIPU_SCORER_HOST    address to listen on, 127.0.0.1 if not set
QUIPU_SCORER_PORT    port to listen on, 8080 if not set
QUIPU_TLS_CERTIFICATE_FILE, QUIPU_TLS_KEY_FILE   chain and key (PEM) for TLS 1.2 or later; read at the start
QUIPU_METRICS_PORT   port of ``/metrics`` for Prometheus, on the same address; without it there is none
QUIPU_SCORER_POLL    seconds between two looks at the champion pointer, 5 if not set
QUIPU_MODEL_VERSION  version to serve whatever the pointer says; empty or not set: follow the pointer
QUIPU_SCORER_RATE    requests a second of one actor, 1000 if not set; 0 for no bound
QUIPU_SCORER_BODY    seconds that a body may take to arrive, 10 if not set
QUIPU_SCORER_DRAIN   seconds that requests are still taken after SIGTERM while readiness says no, 0 if not set
QUIPU_SCORER_PROXIES networks (CIDR, by comma) of proxies whose x-forwarded-for is believed: its last address, which the
                     proxy adds. Behind a proxy it must be set, else all clients count as one, and the failures of one
                     shut out the others; and only the proxy may reach the scorer from there

Who may ask; without any of it everybody on this machine, and nobody else:

QUIPU_AUTH_KEYS_FILE     API keys, as ``quipu keys new`` writes them
QUIPU_AUTH_ISSUER        identity provider (OIDC) whose tokens are believed, as their ``iss`` has it
QUIPU_AUTH_AUDIENCE      what their ``aud`` must hold
QUIPU_AUTH_ROLES_CLAIM   claim of their roles, ``roles`` if not set; ``realm_access.roles`` for Keycloak
QUIPU_AUTH_JWKS_FILE     the provider's public keys, if they are not to be fetched from it
QUIPU_AUTH=off           everybody may do all, on whatever address: for a network that others guard
"""

import ipaddress
import os
import ssl
from pathlib import Path

from components.credit.errors import InputError
from components.scorer.access.addresses import Network
from components.scorer.access.tokens import Issuer, Tokens
from components.scorer.http.server import Listening


def listening_from_environment() -> Listening:
    """Where and for whom to listen.

    Raises:
        InputError: A setting makes no sense, a file cannot be read, the issuer cannot be asked, or anybody could ask.
    """
    host, tokens = os.environ.get("QUIPU_SCORER_HOST", "127.0.0.1"), _tokens()
    if tokens is None and os.environ.get("QUIPU_AUTH") != "off" and not _is_loopback(host):
        raise InputError(
            f"The scorer would answer anybody on {host}; give QUIPU_AUTH_KEYS_FILE or QUIPU_AUTH_ISSUER, or say "
            "QUIPU_AUTH=off where the network guards it."
        )
    certificate, key = _certificate()
    return Listening(
        host=host,
        port=int(_number("QUIPU_SCORER_PORT", "8080")),
        tokens=tokens,
        rate=_number("QUIPU_SCORER_RATE", "1000" if tokens else "0"),
        proxies=_networks("QUIPU_SCORER_PROXIES"),
        body_seconds=_number("QUIPU_SCORER_BODY", "10"),
        certificate=certificate,
        key=key,
        metrics_port=int(_number("QUIPU_METRICS_PORT", "0")) or None,
        drain_seconds=_number("QUIPU_SCORER_DRAIN", "0"),
    )


def _tokens() -> Tokens | None:
    names = ("QUIPU_AUTH_KEYS_FILE", "QUIPU_AUTH_ISSUER", "QUIPU_AUTH_AUDIENCE", "QUIPU_AUTH_JWKS_FILE")
    key_file, url, audience, key_set = (os.environ.get(name, "") for name in names)
    if (key_file or url) and os.environ.get("QUIPU_AUTH") == "off":
        raise InputError(
            "QUIPU_AUTH=off contradicts QUIPU_AUTH_KEYS_FILE and QUIPU_AUTH_ISSUER; give one or the other."
        )
    if bool(url) != bool(audience) or (key_set and not url):
        raise InputError("QUIPU_AUTH_ISSUER and QUIPU_AUTH_AUDIENCE go together; QUIPU_AUTH_JWKS_FILE needs both.")
    if not key_file and not url:
        return None
    claim = os.environ.get("QUIPU_AUTH_ROLES_CLAIM", "roles")
    issuer = Issuer(url, audience, claim, Path(key_set) if key_set else None) if url else None
    return Tokens(Path(key_file) if key_file else None, issuer)


def _certificate() -> tuple[Path | None, Path | None]:
    """The files of the certificate and its key, once they fit together."""
    names = ("QUIPU_TLS_CERTIFICATE_FILE", "QUIPU_TLS_KEY_FILE")
    certificate, key = (os.environ.get(name, "") for name in names)
    if bool(certificate) != bool(key):
        raise InputError(f"{names[0]} and {names[1]} go together; give both or none.")
    if not certificate:
        return None, None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except OSError as error:  # ssl.SSLError is one
        raise InputError(f"{certificate} and {key} are no certificate with its key ({error.strerror}).") from error
    return Path(certificate), Path(key)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _networks(name: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in os.environ.get(name, "").split(",") if part.strip())
    except ValueError as error:
        raise InputError(f"{name} holds no list of networks such as 10.0.0.0/8 ({error}).") from error


def poll_seconds() -> float:
    """Seconds between two looks at the champion pointer."""
    return _number("QUIPU_SCORER_POLL", "5")


def pinned_version() -> str:
    """Version to serve whatever the champion pointer says; empty to follow the pointer."""
    return os.environ.get("QUIPU_MODEL_VERSION", "").strip()


def _number(name: str, default: str) -> float:
    value = os.environ.get(name, default)
    try:
        return float(value)
    except ValueError as error:
        raise InputError(f"{name} is '{value}'; give a number.") from error
