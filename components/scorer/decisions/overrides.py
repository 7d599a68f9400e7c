"""Overrides: a person decides otherwise than the scorer proposed. The audit bucket keeps who, what and why for good.

```
quipu-audit/overrides/<decision id>/<number>.json    written once, by any scorer
```

The first record of a decision has the number 1; each later one names the one before it. Only the store holds them, so a
scorer may restart, and any scorer may take the next one.
"""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from components.credit.book.store import AUDIT_BUCKET, Store
from components.credit.errors import QuipuError
from components.scorer.decisions.record import milliseconds_of
from components.scorer.decisions.shipping import keys_that_may_hold
from components.scorer.decisions.spool import segments
from components.scorer.decoding import decoded

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_TRIES = 20
_AHEAD_MS = 86_400_000  # by which another scorer's clock may be ahead


class UnknownDecision(QuipuError):
    """Neither the spool nor the store has a decision of that id."""


class OverrideRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What a person decides, and why."""

    decision: Annotated[Literal["approve", "decline"], Meta(description="What the person decides.")]
    reason: Annotated[str, Meta(min_length=10, max_length=2_000, description="Why; name no person in it.")]


class Override(Struct, frozen=True):
    """A person's decision as it is kept.

    Args:
        decision_id: The decision that it is about.
        number: 1 for the first record of that decision, then 2, and so on.
        former: Number of the record that this one replaces; None for the first.
        decision: What the person decided.
        reason: Why.
        actor: Who.
        request: Id of the request.
        at: When, microseconds since 1970 in UTC.
    """

    decision_id: str
    number: int
    former: int | None
    decision: str
    reason: str
    actor: str
    request: str
    at: int


_REQUEST = msgspec.json.Decoder(OverrideRequest)


def read_override(body: bytes) -> OverrideRequest:
    """What a person decides.

    Raises:
        InputError: It does not fit.
    """
    return decoded(body, _REQUEST, "The override")


def record(asked: Override, store: Store, spool: Path) -> Override:
    """Keep a person's decision; where the last one on record is the same, that one stands.

    Args:
        asked: The decision, as the first on record.
        store: The store.
        spool: Folder of the spool.

    Returns:
        The record that stands.

    Raises:
        UnknownDecision: There is no such decision.
        StoreError: The store is away or refuses.
    """
    known = _ID.fullmatch(asked.decision_id) and milliseconds_of(asked.decision_id) <= asked.at // 1000 + _AHEAD_MS
    if not known:  # an id holds its time; the log has no days of the far future
        raise UnknownDecision("This is not the id of a decision; give the one that the answer had.")
    prefix = f"overrides/{asked.decision_id}/"
    for _ in range(_TRIES):
        standing = store.keys(AUDIT_BUCKET, prefix)
        if standing:
            last = msgspec.json.decode(store.read(AUDIT_BUCKET, standing[-1]), type=Override)
            if (last.decision, last.reason, last.actor) == (asked.decision, asked.reason, asked.actor):
                return last
            asked = msgspec.structs.replace(asked, number=last.number + 1, former=last.number)
        elif not _is_known(asked.decision_id, store, spool):
            raise UnknownDecision(
                "There is no decision of this id; one that another scorer has just made is known after a minute."
            )
        if store.write_once(AUDIT_BUCKET, f"{prefix}{asked.number:04d}.json", msgspec.json.encode(asked)):
            return asked
    raise UnknownDecision("Others keep deciding on this application; ask again.")


def _is_known(decision: str, store: Store, spool: Path) -> bool:
    """Whether a decision is in the spool or in the audit bucket; it moves to the bucket, so the spool comes first."""
    line = f'"id":"{decision}"'.encode()
    return any(line in content for content in _spooled(spool)) or any(
        decision in _ids(store.read(AUDIT_BUCKET, key)) for key in keys_that_may_hold(milliseconds_of(decision), store)
    )


def _ids(parquet: bytes) -> set[str]:
    """Ids of the decisions in a file of the log; none where its write was cut off, for the whole lies beside it."""
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import read_table

    try:
        return set(read_table(io.BytesIO(parquet), columns=["id"])["id"].to_pylist())
    except ArrowInvalid:
        return set()


def _spooled(folder: Path) -> Iterator[bytes]:
    for path in segments(folder):
        try:
            yield path.read_bytes()
        except FileNotFoundError:  # shipped meanwhile: it is in the store
            continue
