"""The decision in each answer, as a line of the spool and as rows of the decision log.

The log holds no personal data: only hashes of the body and of the application's id. Its Parquet has a row for each row
that was scored, with the columns of ``shipping.SCHEMA``. ``id`` and ``row`` name it. ``kind`` is ``score`` or ``infer``
for an answer that was sent, and ``shadow`` for a challenger's, which has the id of the champion's answer.
"""

import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec
from msgspec import Struct, structs


class Decision(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An answer of a model to the rows of one request, or to one application.

    Args:
        id: Its id, a UUID of version 7: in order of time, and not to be guessed.
        at: When the request arrived, microseconds since 1970 in UTC.
        decided_at: Decision time of the application, microseconds since 1970 in UTC: the client may give it, and it
            says which history and which rules counted. 0 for ready features.
        kind: ``score`` for an application, ``infer`` for ready features, ``shadow`` for a challenger's.
        request: Id of the request.
        actor: Who asked.
        model: Version of the model.
        run: Training run that made the model; empty where it is not known.
        inputs: Hex SHA-256 of the body as it came, or of the application's part of it in a batch.
        application: Hex SHA-256 of the application's id; empty where it has none.
        probability: Calibrated probability of bad, by row.
        points: Points, by row.
        reasons: Codes of the reasons, by row; empty where none were asked for.
        band: Band; empty for ready features.
        proposal: ``approve`` or ``decline``; empty for ready features.
        rules: Codes of the hard rules that declined.
        person_decides: Whether a person must decide.
        latency_us: Microseconds from the request's arrival to the answer.
    """

    id: str
    at: int
    decided_at: int = 0
    kind: Literal["score", "infer", "shadow"]
    request: str
    actor: str
    model: str
    run: str = ""
    inputs: str
    application: str = ""
    probability: list[float]
    points: list[int]
    reasons: list[list[str]] = []
    band: str = ""
    proposal: str = ""
    rules: list[str] = []
    person_decides: bool
    latency_us: int = 0


def new_id(at: int) -> str:
    """A new id (UUID, version 7, RFC 9562) for a decision at this time, microseconds since 1970."""
    drawn = int.from_bytes(os.urandom(10))
    number = at // 1000 << 80 | 7 << 76 | (drawn >> 68) << 64 | 2 << 62 | drawn & (1 << 62) - 1
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def following_id(first: str, number: int) -> str:
    """Id of the decision on application ``number``, from 0, of a batch whose request has the id ``first``."""
    text = f"{int(first.replace('-', ''), 16) + number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def milliseconds_of(decision: str) -> int:
    """Time of a decision by its id, milliseconds since 1970."""
    return int(decision[:8] + decision[9:13], 16)


def now() -> int:
    """Microseconds since 1970 in UTC."""
    return time.time_ns() // 1000


def sha256(content: bytes | msgspec.Raw) -> str:
    """Hex SHA-256."""
    return hashlib.sha256(content).hexdigest()


def lines(decisions: Iterable[Decision], latency_us: int) -> bytes:
    """Decisions as lines of the spool (JSON), with the microseconds that they took."""
    return b"".join(_ENCODER.encode(structs.replace(decision, latency_us=latency_us)) + b"\n" for decision in decisions)


def read_lines(spooled: Iterable[bytes]) -> Iterator[Decision | None]:
    """The decision in each line, None where a line is damaged."""
    for line in spooled:
        try:
            yield _DECODER.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            yield None


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Decision)
