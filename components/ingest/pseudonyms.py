"""Pseudonyms: a keyed token for each identifier, the same wherever the identifier stands.

A token is the first 128 bits of HMAC-SHA256 over the entity and the normalised identifier, in base32 (26 characters).
The entity keeps apart a person and a loan that happen to have the same number. Identifiers leave this module only as
tokens: what comes behind it (DuckDB, disk, logs) never sees one.
"""

import hashlib
import re
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from stdnum.pe import cui, ruc

from components.credit.book.mapping import Column
from components.credit.errors import InputError
from components.credit.settings import secret

KEY = "QUIPU_PSEUDONYM_KEY"
ENTITIES = {
    "borrower_id": "borrower",
    "loan_id": "loan",
    "replaces_loan_id": "loan",
    "application_id": "application",
    "repayment_id": "repayment",
    "transaction_id": "transaction",
}

_ALPHABET = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz234567", dtype=np.uint8)
_SHORTENED = re.compile(r"\d\.\d+[eE]\+\d+")
_WRONG_SHORTENED = "is a number in scientific notation, as a spreadsheet shortens it; export the column as text"
_TOKEN = 26
_HASHED = 16
_BLOCK = 64


def pseudonym_key() -> bytes:
    """The key of the tokens, from its secret.

    Raises:
        InputError: It is not there, or shorter than 16 characters.
    """
    key = secret(KEY).encode()
    if len(key) < 16:
        raise InputError(f"{KEY} is shorter than 16 characters; give 32 random bytes in hex.")
    return key


def pseudonyms(
    identifiers: pa.Array, entity: str, rule: Column, place: str, missing: list[str], key: bytes
) -> tuple[pa.Array, pa.Array]:
    """Tokens for a column of identifiers, and what is wrong with those that are not valid.

    Args:
        identifiers: Identifiers as text; null where missing (string).
        entity: What they identify, one of the values of ``ENTITIES``.
        rule: Their rule.
        place: How the sentence of a problem begins.
        missing: Texts that mean missing.
        key: The key.

    Returns:
        Tokens (string, null where missing or not valid) and problems (string, null where there is none).
    """
    encoded = identifiers.dictionary_encode()
    texts = [text.strip() for text in encoded.dictionary.to_pylist()]
    absent = {"", *missing}
    read = _READ[rule.identifier]
    # A spreadsheet that wrote 10117410 as 1.01E+07 made one person of many.
    shortened = [bool(_SHORTENED.fullmatch(text)) for text in texts]
    valid = [None if text in absent or short else read(text) for text, short in zip(texts, shortened, strict=True)]
    unique = tokens([text + rule.suffix if text else None for text in valid], entity, key)
    wrong = [_WRONG_SHORTENED if short else _WRONG[rule.identifier] for short in shortened]
    problems = [
        f"{place} {wrong[index]}" if not text and texts[index] not in absent else None
        for index, text in enumerate(valid)
    ]
    return unique.take(encoded.indices), pa.array(problems, pa.string()).take(encoded.indices)


def tokens(identifiers: list[str | None], entity: str, key: bytes) -> pa.Array:
    """A token for each identifier, null for null (string)."""
    # HMAC (RFC 2104) with both keyed states made once: less than half the cost of hmac.digest, which makes them anew.
    block = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + entity.encode() + b"\x1f")
    outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def digest(identifier: str | None) -> bytes:
        within, around = inner.copy(), outer.copy()
        within.update((identifier or "").encode())
        around.update(within.digest())
        return around.digest()[:_HASHED]

    digests = np.frombuffer(b"".join(map(digest, identifiers)), dtype=np.uint8).reshape(-1, _HASHED)
    return pc.if_else(pa.array([text is not None for text in identifiers], pa.bool_()), _base32(digests), None)


def partition_of(borrowers: pa.Array, partitions: int) -> np.ndarray:
    """Partition of each borrower's token, 0 for null: its first 30 bits modulo the number of partitions (n,)."""
    if partitions == 1 or not len(borrowers):
        return np.zeros(len(borrowers), dtype=np.int64)
    filled = pc.fill_null(borrowers, "a" * _TOKEN)
    letters = np.frombuffer(b"".join(filled.cast(pa.binary()).to_pylist()), dtype=np.uint8).reshape(-1, _TOKEN)
    digits = np.zeros(256, dtype=np.int64)
    digits[_ALPHABET] = np.arange(32)
    return np.asarray((digits[letters[:, :6]] @ (32 ** np.arange(5, -1, -1))) % partitions)


def _dni(text: str) -> str | None:
    """Eight digits, with leading zeros that a spreadsheet took away, without the check character; None if not valid."""
    digits, _, check = text.partition("-")
    number = digits.strip().zfill(8)
    if not (len(number) == 8 and not check and number.isdecimal() and number.isascii()):
        if not cui.is_valid(number + check):
            return None
        number = cui.compact(number)[:8]
    # Numbers like 00000000 stand for an unknown one: as an identifier they would make one person of many.
    return None if number == number[0] * 8 else number


def _ruc(text: str) -> str | None:
    """Eleven digits, or the DNI within a natural person's: the same person, so the same token; None if not valid."""
    if not ruc.is_valid(text):
        return None
    number = str(ruc.compact(text))
    return number[2:10] if number.startswith("10") else number


_READ: dict[str, Callable[[str], str | None]] = {"text": str, "dni": _dni, "ruc": _ruc}
_WRONG = {
    "text": "",
    "dni": "is not a DNI: eight digits and, where given, the right check character",
    "ruc": "is not a RUC: eleven digits, the last of which checks the others",
}


def _base32(digests: np.ndarray) -> pa.Array:
    """Base32 in lower case without padding of digests (n, 16)."""
    padded = np.zeros((len(digests), 4, 8), dtype=np.uint8)
    for group in range(4):  # five bytes, read as one number, are eight letters
        within = digests[:, 5 * group : 5 * group + 5]
        padded[:, group, 3 : 3 + within.shape[1]] = within
    numbers = padded.view(">u8")[:, :, 0].astype(np.uint64)
    letters = np.empty((len(digests), 4, 8), dtype=np.uint8)
    for place in range(8):
        letters[:, :, place] = _ALPHABET[(numbers >> np.uint64(35 - 5 * place)) & np.uint64(31)]
    text = letters.reshape(-1, 32)[:, :_TOKEN]
    offsets = np.arange(0, text.size + 1, _TOKEN, dtype=np.int32)
    return pa.StringArray.from_buffers(len(digests), pa.py_buffer(offsets), pa.py_buffer(text.tobytes()))
