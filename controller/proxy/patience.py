"""How long a client may let us wait. A slow one is served for hours; one that has stopped is let go."""

from __future__ import annotations

SENDING = 30.0  # seconds without a byte of a body that we want
TAKING = 300.0  # seconds without taking a byte of an answer: a laptop may sleep for a moment
RATE = 4096  # bytes that earn back a second


class Patience:
    """What is left of it. Waiting uses it up, and bytes earn it back: a byte now and then does not keep us for ever."""

    __slots__ = ("_left", "_most", "_seen")

    def __init__(self, most: float) -> None:
        self._most = self._left = most
        self._seen = 0

    def lost(self, waited: float, moved: int) -> bool:
        """Whether it is used up, after `waited` more seconds; `moved` bytes have come through in all."""
        self._left = min(self._most, self._left - waited + (moved - self._seen) / RATE)
        self._seen = moved
        return self._left <= 0
