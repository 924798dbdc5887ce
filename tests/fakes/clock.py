"""A clock that moves only when it is wound."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from itertools import count


class WoundClock:
    """Implements `controller.clock.Clock`. `wind` lets everything that is due run, in order, then returns."""

    def __init__(self, now: float = 1000.0, wall: float = 1_700_000_000.0) -> None:
        self._now = now
        self._wall = wall
        self._asleep = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()

    def now(self) -> float:
        return self._now

    def wall(self) -> float:
        return self._wall

    def asleep(self) -> float:
        return self._asleep

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + max(0.0, seconds), next(self._order), woken))
        await woken

    def step_wall(self, seconds: float) -> None:
        """Somebody set the machine's clock: monotonic time does not notice."""
        self._wall += seconds

    def doze(self, seconds: float) -> None:
        """The machine slept: only the time of day has moved on, and nobody is late."""
        self._wall += seconds
        self._asleep += seconds

    def leap(self, seconds: float) -> None:
        """Nothing of ours ran: both clocks moved on and nobody was woken. The next `wind` finds them late."""
        self._now += seconds
        self._wall += seconds

    async def wind(self, seconds: float) -> None:
        """Move both clocks on by `seconds`, waking sleepers at their own moment."""
        end = self._now + seconds
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            moment, _, woken = heapq.heappop(self._sleepers)
            late = max(self._now, moment)
            self._wall += late - self._now
            self._now = late
            if not woken.done():
                woken.set_result(None)
            await self._settle()
        self._wall += end - self._now
        self._now = end

    async def wind_until(self, what: Callable[[], object], *, by: float) -> None:
        """Wind `by` seconds, again and again until `what` is so: for whoever is busy with a disk between two sleeps,
        and goes to sleep when a single `wind` is over. Raises TimeoutError after 30 real seconds.
        """
        async with asyncio.timeout(30):
            while not what():
                await self.wind(by)
                await asyncio.sleep(0.01)

    @staticmethod
    async def _settle() -> None:
        for _ in range(20):  # tasks that a wake-up makes ready get their turns before time moves again
            await asyncio.sleep(0)
