"""The spool: where decisions wait on the local disk until the audit bucket has them.

A segment is a file of lines, one a decision. A line is copied into the mapped file before its answer is sent: the
mapped memory belongs to the system and outlives the process, and unlike a ``write`` a copy lets no other thread run in
between. Room in the file is reserved before it is used, so that a full disk is an error and not a crash; zeros after
the last line are such room. The scorer locks the segment that it writes, and the system releases the lock when the
process ends, however it ends; whoever gets the lock may ship it (see ``components.scorer.decisions.shipping``). So
``kill -9`` loses no decision whose answer was sent, and a loss of power at most those of the last ``SYNC_SECONDS``,
after which they are on the disk itself.
"""

import fcntl
import mmap
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct, field

from components.credit.errors import InputError, QuipuError
from components.credit.settings import read_settings
from components.scorer.decisions.record import new_id, now

SYNC_SECONDS = 0.1
ENDING = ".jsonl"
_SEGMENT_BYTES = 16 * 1024 * 1024
_ROOM_BYTES = 256 * 1024  # that a segment grows by
SEGMENT_SECONDS = 60
MOST_BYTES = 256 * 1024 * 1024


class SpoolSettings(Struct, frozen=True):
    """Where decisions wait for the store, and how long.

    Args:
        folder: Folder of the spool; by default one of this store in the system's temporary folder.
        bytes: Bytes of all segments from which no decision is made any more.
        seconds: Seconds after which decisions go to the store.
    """

    folder: str = field(name="QUIPU_SPOOL", default="")
    bytes: Annotated[int, Meta(ge=0)] = field(name="QUIPU_SPOOL_BYTES", default=MOST_BYTES)
    seconds: Annotated[int, Meta(ge=0)] = field(name="QUIPU_SPOOL_SECONDS", default=SEGMENT_SECONDS)


class SpoolError(QuipuError):
    """The spool cannot keep a decision, so that its answer must not be sent; the text says why."""


class Spool:
    """A scorer's own segment in a folder of segments.

    Args:
        folder: Folder; others may spool to it too.
        most: Bytes of all segments in the folder from which nothing is appended.
        seconds: Age at which a segment is ended.
    """

    def __init__(self, folder: Path, most: int = MOST_BYTES, seconds: float = SEGMENT_SECONDS) -> None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"QUIPU_SPOOL names {folder}, which cannot be made: {error.strerror}.") from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise InputError(f"QUIPU_SPOOL names {folder}, which the scorer cannot write to.")
        self.folder, self.most, self._seconds = folder, most, seconds
        self._lock, self._syncing = threading.Lock(), threading.Lock()
        self._segment: _Segment | None = None
        self._begun, self._unsynced = 0.0, False
        self._broken = ""
        self.bytes = spooled_bytes(folder)

    def append(self, written: bytes) -> None:
        """Append lines: when this returns, they outlive the process.

        Raises:
            SpoolError: There is no room for them, or the disk refuses.
        """
        with self._lock:
            if problem := self._problem():
                raise SpoolError(problem)
            try:
                if self._segment is None:
                    self._segment, self._begun = _Segment(self.folder), time.monotonic()
                self._segment.append(written)
            except OSError as error:
                raise SpoolError(f"The spool {self.folder} cannot be written: {error.strerror}.") from error
            self.bytes += len(written)
            self._unsynced = True

    def problem(self) -> str:
        """Why nothing can be appended, in one sentence; empty where it can."""
        with self._lock:
            return self._problem()

    def sync(self) -> None:
        """Have the system write the appended lines to the disk, and end a segment that is old or large."""
        with self._syncing:  # whoever closes a segment holds this, so that none closes during its sync
            with self._lock:
                if self._segment is None:
                    self._broken = ""  # the next segment may fare better
                    return
                segment, unsynced, self._unsynced = self._segment, self._unsynced, False
                if ended := segment.size >= _SEGMENT_BYTES or time.monotonic() - self._begun >= self._seconds:
                    self._segment = None
            try:
                if unsynced:
                    os.fdatasync(segment.file)
                self._broken = ""
            except OSError as error:
                self._broken = f"The disk of the spool {self.folder} does not keep what is written: {error.strerror}."
                self._unsynced = not ended  # until the disk has it, nothing is appended
            finally:
                if ended:
                    segment.close()

    def measure(self) -> None:
        """Measure all segments again, since other processes ship them or write their own."""
        with self._syncing:  # so that the room of a segment is not given back meanwhile
            segment = self._segment
            self.bytes = spooled_bytes(self.folder) - (segment.room - segment.size if segment else 0)

    def close(self) -> None:
        """End the segment, so that it can be shipped; the next line begins another."""
        with self._syncing, self._lock:
            if self._segment is not None:
                self._segment.close()
                self._segment = None

    def _problem(self) -> str:
        if self.bytes >= self.most:
            return (
                f"The decision log has {self.bytes:,} bytes that the store does not take; no decision is made until "
                "it does."
            )
        return self._broken


class _Segment:
    """The segment that this scorer writes.

    Args:
        folder: Folder of the spool.

    Raises:
        OSError: The disk refuses.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / f"{new_id(now())}{ENDING}"
        hidden = path.with_suffix(".new")
        self.file = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.posix_fallocate(self.file, 0, _ROOM_BYTES)
            self._mapped = mmap.mmap(self.file, _ROOM_BYTES)
        except OSError:
            os.close(self.file)
            hidden.unlink()
            raise
        self.size, self.room = 0, _ROOM_BYTES
        fcntl.flock(self.file, fcntl.LOCK_EX)
        hidden.rename(path)  # only now that it is locked, so that nobody ships it while it is empty

    def append(self, written: bytes) -> None:
        """Copy lines behind the others; OSError where there is no room for them."""
        end = self.size + len(written)
        if end > self.room:
            room = -(-end // _ROOM_BYTES) * _ROOM_BYTES
            os.posix_fallocate(self.file, self.room, room - self.room)
            self._mapped.resize(room)
            self.room = room
        self._mapped[self.size : end] = written
        self.size = end

    def close(self) -> None:
        """Give back the room that is left, and the lock."""
        self._mapped.close()
        try:
            os.ftruncate(self.file, self.size)
        finally:
            os.close(self.file)


def segments(folder: Path) -> list[Path]:
    """The segments in a folder, the oldest first."""
    return sorted(folder.glob(f"*{ENDING}"))


def waiting(folder: Path) -> bool:
    """Whether a segment in a folder is free to be shipped."""
    for path in segments(folder):
        with claimed(path) as free:
            if free:
                return True
    return False


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Whether the segment is free to be shipped, and then locked: nobody writes it, ships it or has just shipped it."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    try:
        yield _locked(file) and path.exists()
    finally:
        os.close(file)


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def spooled_bytes(folder: Path) -> int:
    """Bytes of all segments in a folder."""
    total = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(ENDING):
                try:
                    total += entry.stat().st_size
                except FileNotFoundError:  # shipped meanwhile
                    continue
    return total


def spool_from_environment(endpoint: str) -> Spool:
    """The spool that the environment configures, for decisions that go to the store at this endpoint.

    Raises:
        InputError: The folder cannot be written to, or a number is none.
    """
    settings = read_settings(SpoolSettings)
    folder = Path(settings.folder) if settings.folder else _default(endpoint)
    return Spool(folder, settings.bytes, settings.seconds)


def _default(endpoint: str) -> Path:
    return Path(tempfile.gettempdir()) / f"quipu-spool-{os.getuid()}" / endpoint.replace(":", "_").replace("/", "_")
