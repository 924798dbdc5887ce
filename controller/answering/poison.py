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


def mark_of(body: bytes) -> bytes:
    """By what a body is known again, as it goes upstream: under another configuration it is another one."""
    return blake2b(body, digest_size=16).digest()


def guilty(level: int, slots: int) -> bool:
    """Whether a request that caused `level` crashes in a row of a runner with `slots` is not tried at all."""
    return level >= (KNOWN if slots == 1 else REFUSED)


class Poison:
    """Crashes in a row, by the mark of a request (`mark_of`)."""

    def __init__(self) -> None:
        self._crashes: dict[bytes, tuple[int, float]] = {}

    @property
    def remembered(self) -> int:
        """How many requests it knows that had to do with a crash."""
        return len(self._crashes)

    def any(self) -> bool:
        """Whether any are known: to mark a body costs."""
        return bool(self._crashes)

    def level(self, mark: bytes, now: float) -> int:
        """How many crashes in a row it has caused."""
        count, at = self._crashes.get(mark, (0, now))
        return count if now - at <= FORGOTTEN else 0

    def crashed(self, mark: bytes, level: int, now: float) -> None:
        """It has caused `level` crashes in a row. Of equal requests that one crash ended, none counts for another."""
        level = max(level, self.level(mark, now))
        self._crashes.pop(mark, None)
        self._crashes[mark] = level, now
        if len(self._crashes) > _MOST:
            del self._crashes[next(iter(self._crashes))]

    def answered(self, mark: bytes) -> None:
        """It got an answer."""
        self._crashes.pop(mark, None)
