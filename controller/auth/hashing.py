"""bcrypt, off the loop: it takes a quarter of a second by design, so few may run at a time and few may wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

import bcrypt

from controller.auth.passwords import encoded, too_long
from controller.clock import Clock

T = TypeVar("T")
COST: Final = 12  # OWASP's Password Storage sheet asks for ten; twelve is 0.25 s on a machine of today
THREADS: Final = 2
FLOOR: Final = 0.25  # seconds that an answer takes at least (Authelia's figure)
WAITING: Final = 8  # that may wait for a thread
RESERVED: Final = 8  # further places, for those who have been here before
_NOBODYS: Final = "." * 31  # the end of a hash that no password has


class Busy(Exception):
    """Too many passwords are being checked at once: one moment."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of a password. `fresh` is a better hash to keep instead, "" when the one there is good."""

    right: bool
    fresh: str = ""


class Hashing:
    """The pool of threads; `close` it. A hash of an older cost is right too, and a fresh one comes with the answer."""

    def __init__(self, clock: Clock, *, cost: int = COST, floor: float = FLOOR) -> None:
        self._clock, self._cost, self._floor = clock, cost, floor
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="bcrypt")
        self._inside = 0
        self._nobodys = bcrypt.gensalt(cost).decode() + _NOBODYS

    def close(self) -> None:
        """Wait for what is being computed, and take nothing more."""
        self._pool.shutdown(cancel_futures=True)

    async def hash(self, password: str) -> str:
        """What to keep of it. `auth/passwords.py: fault` has been asked before. Raises Busy."""
        return await self._run(True, self._hash, password)

    async def check(self, password: str, kept: str, *, known: bool = False) -> Checked:
        """Whether it is the one that `kept` was made of. For nobody (`kept` is "") it takes as long, and is wrong.

        `known`: they have been here before, and need not wait behind strangers. Raises Busy.
        """
        until = self._clock.now() + self._floor
        right = not too_long(password) and await self._run(known, _same, password, kept or self._nobodys)
        right = right and bool(kept)
        fresh = await self._run(True, self._hash, password) if right and _cost(kept) < self._cost else ""
        if (early := until - self._clock.now()) > 0:
            await self._clock.sleep(early)
        return Checked(right, fresh)

    def _hash(self, password: str) -> str:
        return bcrypt.hashpw(encoded(password), bcrypt.gensalt(self._cost)).decode()

    async def _run(self, known: bool, what: Callable[..., T], *arguments: str) -> T:
        if self._inside >= THREADS + WAITING + (RESERVED if known else 0):
            raise Busy
        self._inside += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, what, *arguments)
        finally:
            self._inside -= 1


def _same(password: str, kept: str) -> bool:
    try:
        return bcrypt.checkpw(encoded(password), kept.encode())
    except ValueError:  # what is kept is no hash: nothing fits it
        return False


def _cost(kept: str) -> int:
    return int(kept.split("$")[2])
