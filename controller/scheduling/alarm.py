"""One timer for a whole loop: it is set to the earliest moment anybody asked for, and goes off once for all of them.

Never before that moment: a loop's timer may end a little early, and whoever asked would find nothing to do, and would
not be woken again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from controller.clock import Clock

A_HAIR: Final = 0.001  # seconds: the shortest sleep


class Alarm:
    """`ring` is called with nothing set any more. Before `tasks` is given, and without it, nothing goes off."""

    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        self.tasks: asyncio.TaskGroup | None = None
        self._clock = clock
        self._ring = ring
        self._set: asyncio.Task[None] | None = None
        self._at = 0.0

    def wake_at(self, at: float) -> None:
        """Go off at that moment, or earlier if it is set to an earlier one."""
        if self._set is not None:
            if self._at <= at:
                return
            self._set.cancel()
        if self.tasks is not None:
            self._at, self._set = at, self.tasks.create_task(self._wait())

    async def _wait(self) -> None:
        while (left := self._at - self._clock.now()) > 0:
            await self._clock.sleep(max(A_HAIR, left))
        self._set = None
        self._ring()
