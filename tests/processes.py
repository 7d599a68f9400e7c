"""The processes of a folder, so that a test can see that none stays behind."""

import subprocess
from pathlib import Path


def processes_of(folder: Path) -> list[str]:
    """Number and command line of each process whose command line names the folder."""
    listed = subprocess.run(["ps", "-ewwo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [line.strip() for line in listed.splitlines() if str(folder) in line]
