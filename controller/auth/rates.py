"""How often somebody may ask: token buckets. Pure; times are monotonic seconds."""

from __future__ import annotations

from math import ceil

_ROUNDING = 1e-6  # of a request, or of a second
_REMEMBERED = 8192  # buckets that are not full


class Rates:
    """One bucket for each name: it holds as many requests as a minute allows, and fills evenly."""

    def __init__(self) -> None:
        self._buckets: dict[str, tuple[float, float]] = {}  # name → what was in it, and when

    @property
    def remembered(self) -> int:
        """How many names it keeps an account of."""
        return len(self._buckets)

    def take(self, name: str, per_minute: int, now: float) -> int:
        """Take a request out of the bucket of `name`. 0 when there was one; else the seconds until there is, 1..60."""
        left = self._level(name, per_minute, now)
        if left < 1.0 - _ROUNDING:
            return min(60, max(1, ceil((1.0 - left) * 60.0 / per_minute - _ROUNDING)))
        if name not in self._buckets and len(self._buckets) >= _REMEMBERED:
            self._forget(now)
        self._buckets[name] = max(0.0, left - 1.0), now
        return 0

    def _level(self, name: str, per_minute: int, now: float) -> float:
        bucket = self._buckets.get(name)
        if bucket is None:
            return float(per_minute)
        left, at = bucket
        return min(float(per_minute), left + max(0.0, now - at) * per_minute / 60.0)

    def _forget(self, now: float) -> None:
        """Every bucket is full again a minute after it was last used. If all are in use, the oldest half goes: who
        comes with that many addresses is not stopped by counting them.
        """
        self._buckets = {name: bucket for name, bucket in self._buckets.items() if now - bucket[1] < 60.0}
        if len(self._buckets) >= _REMEMBERED:
            newest = sorted(self._buckets.items(), key=lambda item: item[1][1])[_REMEMBERED // 2 :]
            self._buckets = dict(newest)
