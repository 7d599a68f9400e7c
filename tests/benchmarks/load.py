"""Bounded load on one server of this machine by wrk, and what the server spent on it."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
# The delay holds a connection back, so that the server is asked at a given rate; 0 means at once.
_SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local file = io.open(os.getenv("LOAD_BODY"), "rb")
wrk.body = file:read("*a")
file:close()
local wait = tonumber(os.getenv("LOAD_WAIT_MS"))
if wait > 0 then
  math.randomseed(7)
  function delay() return math.floor(math.random() * 2 * wait + 0.5) end
end
function done(summary, latency)
  local errors = summary.errors.status + summary.errors.connect + summary.errors.read
    + summary.errors.write + summary.errors.timeout
  io.write(string.format('RESULT {"requests": %d, "microseconds": %d, "errors": %d, "p50": %d, "p99": %d}\\n',
    summary.requests, summary.duration, errors, latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True)
class Load:
    """What a server did under load.

    Args:
        rate: Requests a second.
        p50: Median latency in microseconds.
        p99: Its 99th percentile.
        cpu: CPU time of the server and its children a request, in microseconds.
        errors: Answers that were none, or no 200.
    """

    rate: float
    p50: int
    p99: int
    cpu: float
    errors: int


def load(url: str, body: Path, process: int, connections: int, seconds: int, wait_ms: float = 0.0) -> Load:
    """Ask a server for some seconds, the same thing again and again.

    Args:
        url: Where to.
        body: File with the body of each request.
        process: Process of the server; its children are counted with it.
        connections: Connections, each with one request at a time.
        seconds: How long.
        wait_ms: Mean pause of a connection before each request.
    """
    wrk = shutil.which("wrk")
    if wrk is None:
        sys.exit("The benchmark needs wrk: apt-get install wrk")
    script = body.with_name("load.lua")
    script.write_text(_SCRIPT)
    spent = cpu_seconds(process)
    done = subprocess.run(
        [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), "--timeout", "10s", url],
        env=os.environ | {"LOAD_BODY": str(body), "LOAD_WAIT_MS": str(wait_ms)},
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 60,
    )
    spent = cpu_seconds(process) - spent
    found = json.loads(
        next(line for line in done.stdout.splitlines() if line.startswith("RESULT ")).removeprefix("RESULT ")
    )
    requests = max(found["requests"], 1)
    return Load(
        requests / found["microseconds"] * 1e6, found["p50"], found["p99"], spent / requests * 1e6, found["errors"]
    )


def family(process: int) -> list[int]:
    """A process and all that it started."""
    found = [process]
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(path.read_text().rsplit(")", 1)[1].split()[1]) == process:
                found += family(int(path.parent.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def cpu_seconds(process: int) -> float:
    """CPU time of a process and all that it started."""
    spent = 0
    for each in family(process):
        fields = Path(f"/proc/{each}/stat").read_text().rsplit(")", 1)[1].split()
        spent += int(fields[11]) + int(fields[12])
    return spent / _TICKS


def resident_mb(process: int) -> float:
    """Resident memory of a process and all that it started."""
    pages = sum(int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in family(process))
    return pages * _PAGE / 1e6
