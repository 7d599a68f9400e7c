"""The tasks beside the requests that keep the decision log: sync the spool, watch its size, ship it."""

import asyncio
import sys

from components.scorer.decisions.spool import SYNC_SECONDS, Spool, waiting
from components.scorer.watching.log import log_event
from components.scorer.watching.metrics import SPOOL_BYTES

_SHIP_SECONDS = 5.0
_MEASURE_SECONDS = 1.0
_LAST_SECONDS = 20.0  # for the last shipping before the process ends; what remains is shipped at the next start
_ALERT_SHARE = 0.5


async def keep_synced(spool: Spool) -> None:
    """Have the system write the spool's lines to the disk several times a second, and show its size as a metric."""
    alerted, measured = False, 0.0
    while True:
        await asyncio.sleep(SYNC_SECONDS)
        await asyncio.to_thread(spool.sync)
        now = asyncio.get_running_loop().time()
        if now - measured < _MEASURE_SECONDS:
            continue
        measured = now
        try:
            await asyncio.to_thread(spool.measure)
        except OSError as error:
            log_event("error", type=type(error).__name__, place="spool")
            continue
        SPOOL_BYTES.set(spool.bytes)
        grown = spool.bytes >= _ALERT_SHARE * spool.most
        if grown != alerted:
            alerted = grown
            log_event("spool_grown" if grown else "spool_shrunk", bytes=spool.bytes, most=spool.most)


async def keep_shipping(spool: Spool) -> None:
    """Ship the segments that have ended every few seconds, those of dead processes among them.

    Where the store is away the log says so once, and the next turn tries again.
    """
    logged = ""
    while True:
        try:
            problem = await _ship(spool)
        except OSError as error:  # no process can be started now, or the folder is gone
            problem = f"The spool {spool.folder} cannot be shipped: {error.strerror}."
        if problem and problem != logged:
            log_event("spool_waits", reason=problem, bytes=spool.bytes)
        logged = problem
        await asyncio.sleep(_SHIP_SECONDS)


async def end_spool(spool: Spool) -> None:
    """End the segment and ship it, before the process ends."""
    spool.close()
    try:
        async with asyncio.timeout(_LAST_SECONDS):
            problem = await _ship(spool)
    except TimeoutError:
        problem = f"The store did not take the spool within {_LAST_SECONDS:.0f} s; the next start ships it."
    if problem:
        log_event("spool_waits", reason=problem, bytes=spool.bytes)


async def _ship(spool: Spool) -> str:
    """Ship the segments that are free, in a process of its own with this one's environment.

    Returns:
        Why it failed, in one sentence; empty where it did not.
    """
    if not await asyncio.to_thread(waiting, spool.folder):
        return ""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "components.scorer.decisions.shipping",
        str(spool.folder),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, complaint = await process.communicate()
    except asyncio.CancelledError:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        raise
    if process.returncode == 0:
        return ""
    return complaint.decode(errors="replace").strip().rpartition("\n")[2] or "The shipping of the spool ended at once."
