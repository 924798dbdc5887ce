"""A process and its descendants, as the kernel sees them now."""

from __future__ import annotations

from collections.abc import Iterable

import psutil

from controller.supervision.identity import descendants, table


def frozen(pid: int) -> bool:
    """Whether a signal has stopped it (SIGSTOP). One small read: fit for the loop."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except (psutil.Error, OSError):  # gone: its end will be told; or we have no descriptor left to look with
        return False


def members(pid: int) -> set[int]:
    """`pid` and all below it. Reads the whole table of processes: for a thread. Raises OSError when it cannot be read,
    since whoever is left out here would be taken for a stranger.
    """
    return {pid, *(each.pid for each in descendants([pid], table()))}


def memory(pids: Iterable[int]) -> int | None:
    """Resident bytes of these, None when none can be seen. On a Mac this misses what the GPU has wired. One small read
    for each.
    """
    sizes = [size for pid in pids if (size := _resident(pid)) is not None]
    return sum(sizes) if sizes else None


def _resident(pid: int) -> int | None:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except (psutil.Error, OSError):
        return None
