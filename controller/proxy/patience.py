"""How long a client may let us wait. A slow one is served for hours; one that has stopped is let go."""

from __future__ import annotations

SENDING = 30.0  # seconds without a byte of a body that we want
TAKING = 300.0  # seconds without taking a byte of an answer: a laptop may sleep for a moment
RATE = 4096  # bytes that earn back a second …
LARGE = 32 * 1024  # … of a body that takes room which others wait for: 32 MiB come within 17 minutes


class Patience:
    """What is left of it. Waiting uses it up, and bytes earn it back: a byte now and then does not keep us for ever."""

    __slots__ = ("_left", "_most", "_seen")

    def __init__(self, most: float) -> None:
        self._most = self._left = most
        self._seen = 0

    def lost(self, waited: float, moved: int, rate: int = RATE) -> bool:
        """Whether it is used up, after `waited` more seconds; `moved` bytes have come through in all, and `rate` of
        them earn back a second.
        """
        self._left = min(self._most, self._left - waited + (moved - self._seen) / rate)
        self._seen = moved
        return self._left <= 0
