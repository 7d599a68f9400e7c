"""What a stage tells of its progress while it works: one JSON line an event.

The lines go to the file that ``QUIPU_PROGRESS_FILE`` names (the local runner draws its table from it), or to
standard error, where a pod's log keeps them. They hold counts and names, never a value of a row.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from components.credit.errors import QuipuError, on_one_line


@dataclass(frozen=True)
class Progress:
    """Reports the progress of one stage."""

    stage: str

    def report(self, note: str, *, rows: int | None = None, share: float | None = None) -> None:
        """Say what the stage is doing.

        Args:
            note: A few words, such as ``loans`` or ``candidate 7 of 24``.
            rows: Rows handled so far.
            share: Share of the stage's work that is done, 0 to 1.
        """
        _emit({"stage": self.stage, "state": "running", "note": note, "rows": rows, "share": share})

    def warn(self, sentence: str) -> None:
        """Say what a user should look at, in one sentence, without stopping."""
        _emit({"stage": self.stage, "state": "running", "warning": on_one_line(sentence)})


@contextmanager
def stage(name: str) -> Iterator[Progress]:
    """Announce a stage's start and end, and the reason in one sentence where it fails.

    A ``QuipuError`` gives its own sentence; any other error gives its type and its first line.
    """
    started = time.monotonic()
    _emit({"stage": name, "state": "running", "note": "starting"})
    try:
        yield Progress(name)
    except QuipuError as error:
        _emit({"stage": name, "state": "failed", "reason": str(error), "seconds": time.monotonic() - started})
        raise
    except BaseException as error:
        first = (str(error).splitlines() or [""])[0]
        reason = on_one_line(f"{type(error).__name__}: {first}")
        _emit({"stage": name, "state": "failed", "reason": reason, "seconds": time.monotonic() - started})
        raise
    _emit({"stage": name, "state": "done", "seconds": time.monotonic() - started})


def _emit(event: dict[str, object]) -> None:
    line = json.dumps({key: value for key, value in event.items() if value is not None}, ensure_ascii=False)
    path = os.environ.get("QUIPU_PROGRESS_FILE")
    if path:
        with open(path, "a", encoding="utf-8") as events:
            events.write(line + "\n")
    else:
        print(line, file=sys.stderr, flush=True)
