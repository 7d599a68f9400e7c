"""What a run on this machine is asked to do, and where runs lie; it imports nothing that takes time."""

import datetime
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

RUNS = Path("runs")
LATEST = RUNS / "latest"


class Runner(StrEnum):
    """Where each stage of a run on this machine runs."""

    PROCESS = "process"
    CONTAINER = "container"


@dataclass(frozen=True)
class Order:
    """What a run is asked to do.

    Args:
        mapping: Name of a mapping that comes with Quipu, or path of a mapping file.
        data: Folder of the lender's files; None makes the synthetic portfolio.
        as_of: As-of day; None follows the mapping, then today.
        config: Configuration file, or None.
        out: Folder of the run; None makes ``runs/<time>``.
        runner: Whether each stage is a process here, or a container of its own image.
    """

    mapping: str
    data: Path | None
    as_of: datetime.date | None
    config: Path | None
    out: Path | None
    runner: Runner = Runner.PROCESS
