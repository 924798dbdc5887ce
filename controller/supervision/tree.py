"""A process and its descendants, as the kernel sees them now. Blocking: for a thread, but for `frozen`."""

from __future__ import annotations

import psutil


def frozen(pid: int) -> bool:
    """Whether a signal has stopped it (SIGSTOP). One small read: fit for the loop."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except (psutil.Error, OSError):  # gone: its end will be told; or we have no descriptor left to look with
        return False


def members(pid: int) -> set[int]:
    """`pid` and all below it."""
    try:
        return {pid, *(each.pid for each in psutil.Process(pid).children(recursive=True))}
    except psutil.Error:
        return {pid}


def memory(pid: int) -> int | None:
    """Resident bytes of the whole tree, None when it cannot be seen. On a Mac this misses what the GPU has wired."""
    try:
        sizes = [size for each in members(pid) if (size := _resident(each)) is not None]
    except OSError:
        return None
    return sum(sizes) if sizes else None


def _resident(pid: int) -> int | None:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None
