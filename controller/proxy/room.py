"""Room for request bodies in memory: all pictures of all callers together get so much, since models need the rest.

Who declares a length waits for room before a byte is read, first come, first served. Each caller has a share of it, so
that nobody waits for what somebody else sends slowly on purpose: who waits for their own share is in nobody's way.
Small bodies need no room.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import NamedTuple

TOGETHER = 512 * 2**20  # bytes
SHARES = 4  # as many callers have all of it
SMALL = 64 * 1024  # bytes


class _Place(NamedTuple):
    """Somebody who waits."""

    caller: str
    size: int
    turn: asyncio.Future[None]


class Room:
    """What is taken of it, and by whom. A body larger than all of it gets in when it is empty, and one larger than a
    share when its caller has nothing in it.
    """

    def __init__(self, size: int = TOGETHER) -> None:
        self.size = size
        self.taken = 0
        self._shares: Counter[str] = Counter()
        self._waiting: list[_Place] = []

    def take(self, caller: str, count: int) -> bool:
        """Take `count` bytes if they are free and nobody waits for them."""
        ahead = (place for place in self._waiting if place.caller == caller or self._due(place.caller, place.size))
        if any(ahead) or not (self._due(caller, count) and self._fits(count)):
            return False
        self._enter(caller, count)
        return True

    async def wait(self, caller: str, count: int, seconds: float) -> bool:
        """Take `count` bytes as soon as they are free, within `seconds`; whether that came to pass."""
        if self.take(caller, count):
            return True
        turn = asyncio.get_running_loop().create_future()
        place = _Place(caller, count, turn)
        self._waiting.append(place)
        try:
            async with asyncio.timeout(seconds):
                await asyncio.shield(turn)
        except BaseException as stopped:
            if turn.done():
                self.give(caller, count)
            else:
                self._waiting.remove(place)
                self._let_in()
            if not isinstance(stopped, TimeoutError):
                raise
            return False
        return True

    def give(self, caller: str, count: int) -> None:
        """Give `count` bytes back."""
        self.taken -= count
        self._shares[caller] -= count
        if not self._shares[caller]:
            del self._shares[caller]
        self._let_in()

    def _due(self, caller: str, count: int) -> bool:
        """Whether it is within the caller's share."""
        had = self._shares[caller]  # of a Counter: to ask adds nobody
        return not had or had + count <= self.size // SHARES

    def _fits(self, count: int) -> bool:
        return not self.taken or self.taken + count <= self.size

    def _enter(self, caller: str, count: int) -> None:
        self.taken += count
        self._shares[caller] += count

    def _let_in(self) -> None:
        """In turn, but for those who wait for their own share."""
        for place in list(self._waiting):
            if not self._due(place.caller, place.size):
                continue
            if not self._fits(place.size):
                return
            self._waiting.remove(place)
            self._enter(place.caller, place.size)
            place.turn.set_result(None)
