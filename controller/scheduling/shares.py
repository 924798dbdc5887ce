"""How much each caller has had lately, and how far that is ahead of whoever waits and has had least. Seconds.

What was used counts half after `HALF_LIFE`. Instead of shrinking every figure as time passes, a newer second is written
down as a larger one: the order of callers then changes only when one is charged.
"""

from __future__ import annotations

from bisect import bisect_left, insort

HALF_LIFE = 600.0
_REWRITE = 64 * HALF_LIFE  # how long figures may grow, by 2**64 at most, before all are written anew
_FORGOTTEN = 1e-3  # seconds that nobody needs to remember


class Shares:
    """Charged seconds by caller, and which callers wait."""

    def __init__(self) -> None:
        self._origin = 0.0  # the moment whose seconds are written as they are
        self._served: dict[str, float] = {}  # in seconds of the origin
        self._waiting: list[tuple[float, str]] = []  # least served first

    def charge(self, caller: str, seconds: float, now: float) -> None:
        """`seconds` of generation or loading go on the account of `caller`."""
        if seconds <= 0:
            return
        if now - self._origin > _REWRITE:
            self._rewrite(now)
        before = self._served.get(caller, 0.0)
        after = self._served[caller] = before + seconds * 2.0 ** ((now - self._origin) / HALF_LIFE)
        if self._waiting and self._strike((before, caller)):
            insort(self._waiting, (after, caller))

    def wait(self, caller: str) -> None:
        """`caller`, who did not wait, does now."""
        insort(self._waiting, (self._served.get(caller, 0.0), caller))

    def leave(self, caller: str) -> None:
        """`caller` waits no more."""
        self._strike((self._served.get(caller, 0.0), caller))

    def served(self, caller: str, now: float) -> float:
        """Seconds, each weighed by its age."""
        return self._served.get(caller, 0.0) * self._weight(now)

    def lead(self, caller: str, now: float) -> float:
        """Seconds that `caller` has had more than the least-served caller now waiting; never negative."""
        if not self._waiting:
            return 0.0
        return max(0.0, self._served.get(caller, 0.0) - self._waiting[0][0]) * self._weight(now)

    def _weight(self, now: float) -> float:
        return float(0.5 ** ((now - self._origin) / HALF_LIFE))

    def _strike(self, entry: tuple[float, str]) -> bool:
        at = bisect_left(self._waiting, entry)
        if at == len(self._waiting) or self._waiting[at] != entry:
            return False
        del self._waiting[at]
        return True

    def _rewrite(self, now: float) -> None:
        """Take the present as the origin. Who has next to nothing left is forgotten."""
        weight = self._weight(now)
        waiting = [caller for _, caller in self._waiting]
        fresh = {caller: value * weight for caller, value in self._served.items()}
        self._served = {caller: value for caller, value in fresh.items() if value > _FORGOTTEN}
        self._origin = now
        self._waiting = sorted((self._served.get(caller, 0.0), caller) for caller in waiting)
