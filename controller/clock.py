"""Time, handed in. Policy is given `now`; loops hold a `Clock`; tests wind one by hand (`tests/fakes/clock.py`).

While the machine sleeps, `now` stands still, and so do the timers of our loop (`eventloop.py`): nothing is late because
of a sleep, and nobody has waited through one. Whoever must know of it asks `Sleeps`.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

# What counts a sleep, and what does not; neither can be set by anybody, as the time of day can. (On a Mac,
# CLOCK_MONOTONIC counts it too, but follows the time of day a little.)
_CLOCKS = (("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"), ("CLOCK_MONOTONIC_RAW", "CLOCK_UPTIME_RAW"))


class Clock(Protocol):
    """What a loop may know of time."""

    def now(self) -> float:
        """Monotonic seconds. Never goes back, and stands still while the machine sleeps."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch, for people and logs only: it may jump."""
        ...

    def asleep(self) -> float:
        """Seconds that the machine has slept, counted from some moment; a step of `wall` does not touch it."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of `now()`."""
        ...


class SystemClock:
    """The machine's own time. Looked at a dozen times for each request, so without a step in between."""

    now = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    def asleep(self) -> float:
        counting, resting = _ASLEEP
        return time.clock_gettime(counting) - time.clock_gettime(resting)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Sleeps:
    """Notices that the machine slept: one for each who wants to know."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._before = clock.asleep()

    def since(self) -> float:
        """Seconds it has slept since this was last asked."""
        before, self._before = self._before, self._clock.asleep()
        return max(0.0, self._before - before)


def sleep_clocks(names: object = time) -> tuple[int, int]:
    """The two clocks of this platform; twice the same where it has none that counts a sleep."""
    for counting, resting in _CLOCKS:
        if hasattr(names, counting) and hasattr(names, resting):
            return getattr(names, counting), getattr(names, resting)
    return time.CLOCK_MONOTONIC, time.CLOCK_MONOTONIC


_ASLEEP = sleep_clocks()
