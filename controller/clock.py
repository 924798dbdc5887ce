"""Time, handed in. Policy is given `now`; loops hold a `Clock`; tests wind one by hand (`tests/fakes/clock.py`)."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """What a loop may know of time."""

    def now(self) -> float:
        """Monotonic seconds. Never goes back; on Linux and macOS it stands still while the machine sleeps."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch, for people and logs only: it may jump."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of `now()`."""
        ...


class SystemClock:
    """The machine's own time. Looked at a dozen times for each request, so without a step in between."""

    now = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
