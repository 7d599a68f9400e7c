import base64

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner

from components.credit.errors import InputError, ModelRefused
from components.credit.release.signing import new_key_pair, public_key_of, sign, verified


def test_a_signed_payload_comes_back(keys: tuple[str, str]) -> None:
    envelope = sign(b'{"version": "a"}', keys[0])
    assert verified(envelope, keys[1], "here") == b'{"version": "a"}'
    assert envelope == sign(b'{"version": "a"}', keys[0])


def test_the_public_key_follows_from_the_private_one(keys: tuple[str, str]) -> None:
    assert public_key_of(keys[0]) == keys[1]


def test_an_envelope_of_another_key_is_refused(keys: tuple[str, str]) -> None:
    stranger, _ = new_key_pair()
    with pytest.raises(ModelRefused, match="does not verify with QUIPU_VERIFY_KEY"):
        verified(sign(b"{}", stranger), keys[1], "here")


def test_an_altered_payload_is_refused(keys: tuple[str, str]) -> None:
    envelope = msgspec.json.decode(sign(b'{"version": "a"}', keys[0]))
    envelope["payload"] = base64.b64encode(b'{"version": "b"}').decode()
    with pytest.raises(ModelRefused, match="does not verify"):
        verified(msgspec.json.encode(envelope), keys[1], "here")


def test_a_payload_of_another_type_is_refused(keys: tuple[str, str]) -> None:
    envelope = Envelope(b"{}", "text/plain", {})
    envelope.sign(CryptoSigner(load_pem_private_key(keys[0].encode(), None)))
    with pytest.raises(ModelRefused, match="holds a payload of another type"):
        verified(msgspec.json.encode(envelope.to_dict()), keys[1], "here")


@pytest.mark.parametrize(
    "envelope",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        b'{"payload": 3, "payloadType": "x", "signatures": []}',
        b'{"payload": "!", "payloadType": "x", "signatures": [{"keyid": "a", "sig": "?"}]}',
        b'{"payload": "e30=", "payloadType": "application/vnd.in-toto+json", "signatures": []}',
        b'{"payload": "e30=", "payloadType": "application/vnd.in-toto+json", "signatures": [{}]}',
        b'{"payload": "e30=", "payloadType": "application/vnd.in-toto+json", "signatures": [3]}',
        b'{"payload": "e30=", "payloadType": null, "signatures": [{"keyid": "a", "sig": "AAAA"}]}',
    ],
)
def test_what_is_no_signed_envelope_is_refused(envelope: bytes, keys: tuple[str, str]) -> None:
    with pytest.raises(ModelRefused):
        verified(envelope, keys[1], "here")


def test_a_key_that_is_none_is_told_by_the_name_of_its_secret() -> None:
    with pytest.raises(InputError, match="QUIPU_SIGNING_KEY is not a private key"):
        sign(b"{}", "not a key")
    with pytest.raises(InputError, match="QUIPU_VERIFY_KEY is not a public key"):
        verified(b"{}", "not a key", "here")
