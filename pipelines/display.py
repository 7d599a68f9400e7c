"""What a user sees while a pipeline runs: a table that lives in a terminal, plain lines elsewhere."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

_SIGNS = {"waiting": "·", "running": "…", "done": "✓", "failed": "✗"}
_STYLES = {"waiting": "dim", "running": "cyan", "done": "green", "failed": "bold red"}


@dataclass
class StageState:
    """Where a stage is: state, seconds, rows handled, share done, last note, warnings, reason of a failure."""

    state: str = "waiting"
    seconds: float = 0.0
    started: float = 0.0
    rows: int | None = None
    share: float = 0.0
    note: str = ""
    warnings: list[str] = field(default_factory=list)
    reason: str = ""


class Display:
    """The states of all stages, fed from the events that the stages write (``components.credit.progress``)."""

    def __init__(self, stages: tuple[str, ...], events: Path, console: Console) -> None:
        self.stages = {stage: StageState() for stage in stages}
        self._events = events
        self._console = console
        self._read = 0

    @contextmanager
    def live(self) -> Iterator[None]:
        """Keep the table on the terminal as long as the context lasts; nothing to do where there is no terminal."""
        if not self._console.is_terminal:
            yield
            return
        with Live(get_renderable=self._table, console=self._console, refresh_per_second=8):
            yield

    def refresh(self) -> None:
        """Take in the events written since the last call."""
        if not self._events.exists():
            return
        with self._events.open("rb") as opened:
            opened.seek(self._read)
            lines = opened.read()
        whole = lines.rfind(b"\n") + 1
        self._read += whole
        for line in lines[:whole].splitlines():
            self._take(json.loads(line))

    @property
    def failed(self) -> tuple[str, str] | None:
        """Name and reason of the stage that failed, if one did."""
        return next(((name, stage.reason) for name, stage in self.stages.items() if stage.state == "failed"), None)

    def _take(self, event: dict[str, object]) -> None:
        name = str(event["stage"])
        stage = self.stages.setdefault(name, StageState())
        before = stage.state
        stage.state = str(event["state"])
        if before == "waiting":
            stage.started = time.monotonic()
        if "warning" in event:
            stage.warnings.append(str(event["warning"]))
            self._say(f"{name:<14} warning   {event['warning']}")
        stage.note = str(event.get("note", stage.note))
        stage.reason = str(event.get("reason", ""))
        rows, share, seconds = event.get("rows"), event.get("share"), event.get("seconds")
        stage.rows = rows if isinstance(rows, int) else stage.rows
        stage.share = float(share) if isinstance(share, int | float) else stage.share
        if isinstance(seconds, int | float):
            stage.seconds = float(seconds)
        if stage.state == "done":
            stage.share, stage.note = 1.0, ""
        if stage.state != before:
            parts = [f"{name:<14} {stage.state:<9}"]
            if stage.state in ("done", "failed"):
                parts.append(f"{stage.seconds:6.1f} s")
                if stage.rows is not None:
                    parts.append(f"{stage.rows:>12,} rows")
            self._say(" ".join(parts))

    def _say(self, line: str) -> None:
        if not self._console.is_terminal:
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, show_header=False)
        for _ in range(6):
            table.add_column(no_wrap=True)
        for name, stage in self.stages.items():
            seconds = time.monotonic() - stage.started if stage.state == "running" else stage.seconds
            table.add_row(
                f"[{_STYLES[stage.state]}]{_SIGNS[stage.state]} {name}[/]",
                f"[{_STYLES[stage.state]}]{stage.state}[/]",
                ProgressBar(total=1.0, completed=stage.share, width=14),
                f"{seconds:.1f} s" if stage.state != "waiting" else "",
                f"{stage.rows:,} rows" if stage.rows is not None else "",
                f"[dim]{stage.note[:22]}[/]" if stage.state == "running" else "",
            )
        return table
