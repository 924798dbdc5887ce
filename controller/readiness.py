"""Whether an engine answers, and where: written by its supervisor, read by everybody.

A plain object with no locks: in asyncio nothing interleaves between two awaits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ready", "coming", "down"]
"""ready: it answers its probe. coming: being started or restarted, worth waiting for. down: do not wait."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where an engine listens; it may do so at several places, in the same generation. That grows with every start:
    pooled connections of a dead one are not reused.
    """

    host: str
    port: int
    generation: int


class Readiness:
    """The one place that knows whether a request may go to this engine now."""

    def __init__(self, title: str) -> None:
        """`title`: what people call the engine."""
        self.title = title
        self.verdict: Verdict = "coming"
        self.address: Address | None = None
        self.reason = f"{title} has not been started yet."
        self.changed: list[Callable[[], None]] = []  # called after each change of the verdict or its reason
        self._told: tuple[Verdict, str] = (self.verdict, self.reason)  # what the supervisor said last
        self._pauses: list[str] = []
        self._waiters: set[asyncio.Future[None]] = set()

    def set(self, verdict: Verdict, reason: str, address: Address | None = None) -> None:
        """Tell everyone who waits. `reason` is a plain sentence for people; `address` is needed with "ready"."""
        self._told = (verdict, reason)
        if address is not None:
            self.address = address
        self._settle()

    @contextmanager
    def paused(self, reason: str) -> Iterator[None]:
        """Hold new requests for as long as the block lasts, although upstream answers (a drain before a restart)."""
        self._pauses.append(reason)
        self._settle()
        try:
            yield
        finally:
            self._pauses.remove(reason)
            self._settle()

    @property
    def draining(self) -> bool:
        """Whether upstream is there and only finishes what it has begun: it has not gone yet."""
        return bool(self._pauses) and self._told[0] == "ready"

    @property
    def waiting(self) -> int:
        """How many requests are held now."""
        return len(self._waiters)

    @property
    def down_words(self) -> str:
        """For whoever asks while it is not worth waiting for."""
        return f"{self.title} is not running. {self.reason}"

    def held_out_words(self, hold: float) -> str:
        """For whoever has waited for it in vain, `hold` seconds."""
        return f"{self.title} did not come back within {hold:g} seconds. {self.reason} Please try again in a moment."

    async def wait(self, seconds: float) -> Verdict:
        """Return at once unless "coming"; then wait at most `seconds` for it to change, and return what it is."""
        if self.verdict != "coming":
            return self.verdict
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            async with asyncio.timeout(seconds):
                await waiter
        except TimeoutError:
            pass
        finally:
            self._waiters.discard(waiter)
        return self.verdict

    def _settle(self) -> None:
        before = (self.verdict, self.reason)
        self.verdict, self.reason = self._told
        if self._pauses and self.verdict == "ready":
            self.verdict, self.reason = "coming", self._pauses[-1]
        if self.verdict != "coming":
            self._wake()
        if (self.verdict, self.reason) != before:
            for tell in self.changed:
                tell()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()
