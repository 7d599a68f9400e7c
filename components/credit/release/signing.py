"""Signatures of models: DSSE envelopes with Ed25519 keys, as in-toto and TUF use them.

The deploy stage holds the private key (secret ``QUIPU_SIGNING_KEY``), the scorer only the public one
(secret ``QUIPU_VERIFY_KEY``); both are PEM texts.
"""

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from msgspec import Struct, field
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import FormatError, VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey

from components.credit.errors import InputError, ModelRefused

PAYLOAD_TYPE = "application/vnd.in-toto+json"


class _Signature(Struct, frozen=True):
    keyid: str
    sig: str


class _Envelope(Struct, frozen=True):
    """The form of an envelope, checked before securesystemslib reads it, since that takes any JSON for one."""

    payload: str
    payload_type: str = field(name="payloadType")
    signatures: list[_Signature] = field(default_factory=list)


def new_key_pair() -> tuple[str, str]:
    """A new Ed25519 key pair as PEM texts: the private key (PKCS #8) and the public key."""
    private = Ed25519PrivateKey.generate()
    private_pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return private_pem, public_key_of(private_pem)


def public_key_of(private_pem: str) -> str:
    """The public key, as PEM, that belongs to a private one.

    Raises:
        InputError: Not an Ed25519 private key.
    """
    public = _private_key(private_pem).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def sign(payload: bytes, private_pem: str) -> bytes:
    """A DSSE envelope (JSON) around a payload; the same bytes for the same payload and key.

    Raises:
        InputError: Not an Ed25519 private key.
    """
    envelope = Envelope(payload, PAYLOAD_TYPE, {})
    envelope.sign(CryptoSigner(_private_key(private_pem)))
    return msgspec.json.format(msgspec.json.encode(envelope.to_dict(), order="sorted"), indent=1)


def verified(envelope: bytes, public_pem: str, place: str) -> bytes:
    """The payload of an envelope, once its signature has been checked.

    Args:
        envelope: DSSE envelope (JSON).
        public_pem: Public key as PEM.
        place: Where the envelope lies, for the message.

    Raises:
        InputError: Not an Ed25519 public key.
        ModelRefused: Not an envelope, or not signed by the key's owner.
    """
    key = SSlibKey.from_crypto(_public_key(public_pem))
    try:
        opened = Envelope.from_dict(msgspec.to_builtins(msgspec.json.decode(envelope, type=_Envelope)))
    except (FormatError, ValueError) as error:
        raise ModelRefused(f"{place} is not a signed envelope; deploy the model again.") from error
    try:
        opened.verify([key], threshold=1)
    except VerificationError as error:
        raise ModelRefused(
            f"The signature of {place} does not verify with QUIPU_VERIFY_KEY; deploy the model again with the signing "
            "key that belongs to it, and find out who wrote this one."
        ) from error
    if opened.payload_type != PAYLOAD_TYPE:
        raise ModelRefused(f"{place} holds a payload of another type than {PAYLOAD_TYPE}; deploy the model again.")
    return bytes(opened.payload)


def _private_key(pem: str) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError("QUIPU_SIGNING_KEY is not a private key in PEM; make an Ed25519 key pair.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError("QUIPU_SIGNING_KEY is not an Ed25519 key; make an Ed25519 key pair.")
    return key


def _public_key(pem: str) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError("QUIPU_VERIFY_KEY is not a public key in PEM; give the one of the signing key.") from error
    if not isinstance(key, Ed25519PublicKey):
        raise InputError("QUIPU_VERIFY_KEY is not an Ed25519 key; give the public key of the signing key.")
    return key
