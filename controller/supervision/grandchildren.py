"""Processes that a child of ours has started: whether they run, what they have done, and their end. They are nobody's
to wait for: one looks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import psutil

from controller.supervision.tree import memory

END_LIMIT = 2.0  # seconds for a killed process to be gone
LOOK = 0.01  # seconds between two looks at one that is to end
UNSEEN = (psutil.Error, OSError)  # it is gone or not ours; or we have no descriptor left to look with


def runs(process: psutil.Process) -> bool:
    """Whether this very process exists and is no zombie. In doubt it does."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
    except OSError:
        return True


def argv(process: psutil.Process) -> list[str]:
    """What it was started with; empty when it is gone, or not ours."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def processor_seconds(processes: Sequence[psutil.Process]) -> float:
    """What these have had so far."""
    total = 0.0
    for each in processes:
        try:
            times = each.cpu_times()
        except UNSEEN:
            continue
        total += times.user + times.system
    return total


def work_done(processes: Sequence[psutil.Process]) -> tuple[float, int]:
    """Processor seconds these have had, and the bytes they hold: neither moves in a load that stands still."""
    return processor_seconds(processes), memory([each.pid for each in processes]) or 0


async def gone(processes: Sequence[psutil.Process], limit: float) -> bool:
    """Wait until all have ended, for `limit` seconds at most; say whether they have."""
    deadline = time.monotonic() + limit
    while any(runs(each) for each in processes):
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(LOOK)
    return True


async def end(processes: Sequence[psutil.Process]) -> None:
    """Kill them, and wait until they are gone."""
    for each in processes:
        _kill(each)
    await gone(processes, END_LIMIT)


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()  # refuses when the pid belongs to somebody else by now
    except UNSEEN:
        pass
