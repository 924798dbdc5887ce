"""Requests that crash their model: asked again they would crash it again, under everybody else's answers.

One whose both attempts ended with a dead runner is known from then on. Where its runner works on one answer at a time
that was its own doing, and it is not tried again for a while; where others ran beside it, it may have been theirs: it
gets one attempt more. An answer clears it.
"""

from __future__ import annotations

from hashlib import blake2b

KNOWN = 2  # crashes in a row after which it is not tried twice
REFUSED = 3  # … and not tried at all, if others may have done it
FORGOTTEN = 600.0  # seconds
_MOST = 256  # requests that are remembered


def guilty(level: int, slots: int) -> bool:
    """Whether a request that caused `level` crashes in a row of a runner with `slots` is not tried at all."""
    return level >= (KNOWN if slots == 1 else REFUSED)


class Poison:
    """Crashes in a row, by the bytes of a request."""

    def __init__(self) -> None:
        self._crashes: dict[bytes, tuple[int, float]] = {}

    def level(self, body: bytes, now: float) -> int:
        """How many crashes in a row it has caused."""
        if not self._crashes:
            return 0
        count, at = self._crashes.get(_digest(body), (0, now))
        return count if now - at <= FORGOTTEN else 0

    def crashed(self, body: bytes, level: int, now: float) -> None:
        """It has caused `level` crashes in a row. Of equal requests that one crash ended, none counts for another."""
        key = _digest(body)
        level = max(level, self.level(body, now))
        self._crashes.pop(key, None)
        self._crashes[key] = level, now
        if len(self._crashes) > _MOST:
            del self._crashes[next(iter(self._crashes))]

    def answered(self, body: bytes) -> None:
        """It got an answer."""
        if self._crashes:
            self._crashes.pop(_digest(body), None)


def _digest(body: bytes) -> bytes:
    return blake2b(body, digest_size=16).digest()
