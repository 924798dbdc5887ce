"""Room for request bodies in memory: all pictures of all clients together get so much, since models need the rest.

Who declares a length waits for room before a byte is read, first come, first served. Small bodies need no room.
"""

from __future__ import annotations

import asyncio
from collections import deque

TOGETHER = 512 * 2**20  # bytes
SMALL = 64 * 1024  # bytes


class Room:
    """What is taken of it. A body larger than all of it gets in when it is empty."""

    def __init__(self, size: int = TOGETHER) -> None:
        self.size = size
        self.taken = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def take(self, count: int) -> bool:
        """Take `count` bytes if they are free and nobody waits for them."""
        if self._waiting or not self._fits(count):
            return False
        self.taken += count
        return True

    async def wait(self, count: int, seconds: float) -> bool:
        """Take `count` bytes as soon as they are free, within `seconds`; whether that came to pass."""
        if self.take(count):
            return True
        turn = asyncio.get_running_loop().create_future()
        place = (count, turn)
        self._waiting.append(place)
        try:
            async with asyncio.timeout(seconds):
                await asyncio.shield(turn)
        except BaseException as stopped:
            if turn.done():
                self.give(count)
            else:
                self._waiting.remove(place)
                self._let_in()
            if not isinstance(stopped, TimeoutError):
                raise
            return False
        return True

    def give(self, count: int) -> None:
        """Give `count` bytes back."""
        self.taken -= count
        self._let_in()

    def _fits(self, count: int) -> bool:
        return not self.taken or self.taken + count <= self.size

    def _let_in(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            count, turn = self._waiting.popleft()
            self.taken += count
            turn.set_result(None)
