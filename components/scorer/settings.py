"""The scorer's settings, from the environment."""

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from components.credit.errors import InputError
from components.credit.settings import read_settings
from components.scorer.access.addresses import Network
from components.scorer.access.tokens import Issuer, Tokens

NotNegative = Annotated[float, Meta(ge=0)]


class ScorerSettings(Struct, frozen=True):
    """What a scorer is told of where it listens, of its model and of who may ask.

    Without a file of keys and without an issuer everybody on this machine may ask, and nobody else.

    Args:
        host: Address to listen on.
        port: Port to listen on.
        certificate_file: Certificate chain (PEM) for TLS 1.2 or later; read at the start.
        key_file: Private key of that certificate (PEM, without a password).
        metrics_port: Port of ``/metrics`` for Prometheus, on the same address; 0 for none.
        poll: Seconds between two looks at the champion pointer.
        version: Version to serve whatever the pointer says; empty to follow the pointer.
        rate: Requests a second of one actor, 0 for no bound; by default 1000 where tokens are asked for, else 0.
        body: Seconds that a body may take to arrive.
        drain: Seconds that requests are still taken after SIGTERM, while readiness says no.
        proxies: Networks (CIDR, separated by commas) of proxies whose ``x-forwarded-for`` is believed: its last
            address, which the proxy adds. Behind a proxy it must be set, else all clients count as one, and the
            failures of one shut out the others; and only the proxy may reach the scorer from there.
        auth: ``off`` lets everybody do all, on whatever address: for a network that others guard.
        keys_file: File of API keys, as ``quipu keys new`` writes it.
        issuer: Identity provider (OIDC) whose tokens are believed, as their ``iss`` has it.
        audience: What the ``aud`` of those tokens must hold.
        roles_claim: Claim of their roles; ``realm_access.roles`` for Keycloak.
        jwks_file: The provider's public keys, if they are not to be fetched from it.
    """

    host: str = field(name="QUIPU_SCORER_HOST", default="127.0.0.1")
    port: Annotated[int, Meta(ge=1, le=65_535)] = field(name="QUIPU_SCORER_PORT", default=8080)
    certificate_file: str = field(name="QUIPU_TLS_CERTIFICATE_FILE", default="")
    key_file: str = field(name="QUIPU_TLS_KEY_FILE", default="")
    metrics_port: Annotated[int, Meta(ge=0, le=65_535)] = field(name="QUIPU_METRICS_PORT", default=0)
    poll: NotNegative = field(name="QUIPU_SCORER_POLL", default=5.0)
    version: str = field(name="QUIPU_MODEL_VERSION", default="")
    rate: NotNegative | None = field(name="QUIPU_SCORER_RATE", default=None)
    body: NotNegative = field(name="QUIPU_SCORER_BODY", default=10.0)
    drain: NotNegative = field(name="QUIPU_SCORER_DRAIN", default=0.0)
    proxies: str = field(name="QUIPU_SCORER_PROXIES", default="")
    auth: Literal["off"] | None = field(name="QUIPU_AUTH", default=None)
    keys_file: str = field(name="QUIPU_AUTH_KEYS_FILE", default="")
    issuer: str = field(name="QUIPU_AUTH_ISSUER", default="")
    audience: str = field(name="QUIPU_AUTH_AUDIENCE", default="")
    roles_claim: str = field(name="QUIPU_AUTH_ROLES_CLAIM", default="roles")
    jwks_file: str = field(name="QUIPU_AUTH_JWKS_FILE", default="")


@dataclass(frozen=True)
class Listening:
    """Where and for whom the scorer listens.

    Args:
        host: Address.
        port: Port.
        tokens: What tokens are believed; None where everybody may do all.
        rate: Requests a second of one actor; 0 where there is no bound. A second's worth may come at once.
        proxies: Networks of proxies whose ``x-forwarded-for`` is believed, as far as its last address.
        body_seconds: How long a body may take to arrive.
        certificate: Certificate chain (PEM) for TLS; None for plain HTTP.
        key: Private key of the certificate (PEM, without a password).
        metrics_port: Port of ``/metrics``; None where nobody reads them.
        drain_seconds: How long requests are still taken after SIGTERM, while readiness says no.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    tokens: Tokens | None = None
    rate: float = 0.0
    proxies: tuple[Network, ...] = ()
    body_seconds: float = 10.0
    certificate: Path | None = None
    key: Path | None = None
    metrics_port: int | None = None
    drain_seconds: float = 0.0


def listening_from_environment() -> Listening:
    """Where and for whom to listen, as the environment says.

    Raises:
        InputError: A setting makes no sense, a file cannot be read, the issuer cannot be asked, or anybody could ask.
    """
    return listening(read_settings(ScorerSettings))


def listening(settings: ScorerSettings) -> Listening:
    """Where and for whom to listen.

    Raises:
        InputError: As ``listening_from_environment``.
    """
    tokens = _tokens(settings)
    if tokens is None and settings.auth != "off" and not _is_loopback(settings.host):
        raise InputError(
            f"The scorer would answer anybody on {settings.host}; give QUIPU_AUTH_KEYS_FILE or QUIPU_AUTH_ISSUER, or "
            "say QUIPU_AUTH=off where the network guards it."
        )
    certificate, key = _certificate(settings)
    return Listening(
        host=settings.host,
        port=settings.port,
        tokens=tokens,
        rate=(1000.0 if tokens else 0.0) if settings.rate is None else settings.rate,
        proxies=_networks(settings.proxies),
        body_seconds=settings.body,
        certificate=certificate,
        key=key,
        metrics_port=settings.metrics_port or None,
        drain_seconds=settings.drain,
    )


def _tokens(settings: ScorerSettings) -> Tokens | None:
    asked = settings.keys_file or settings.issuer
    if asked and settings.auth == "off":
        raise InputError(
            "QUIPU_AUTH=off contradicts QUIPU_AUTH_KEYS_FILE and QUIPU_AUTH_ISSUER; give one or the other."
        )
    if bool(settings.issuer) != bool(settings.audience) or (settings.jwks_file and not settings.issuer):
        raise InputError("QUIPU_AUTH_ISSUER and QUIPU_AUTH_AUDIENCE go together; QUIPU_AUTH_JWKS_FILE needs both.")
    if not asked:
        return None
    key_set = Path(settings.jwks_file) if settings.jwks_file else None
    issuer = Issuer(settings.issuer, settings.audience, settings.roles_claim, key_set) if settings.issuer else None
    return Tokens(Path(settings.keys_file) if settings.keys_file else None, issuer)


def _certificate(settings: ScorerSettings) -> tuple[Path | None, Path | None]:
    """The files of the certificate and its key, once they fit together."""
    certificate, key = settings.certificate_file, settings.key_file
    if bool(certificate) != bool(key):
        raise InputError("QUIPU_TLS_CERTIFICATE_FILE and QUIPU_TLS_KEY_FILE go together; give both or none.")
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


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise InputError(f"QUIPU_SCORER_PROXIES holds no list of networks such as 10.0.0.0/8 ({error}).") from error
