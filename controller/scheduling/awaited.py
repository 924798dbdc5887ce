"""Since when somebody waits for what a runner holds: a slot of it, or its memory. Pure; times are monotonic seconds.

An answer is bounded only for the sake of others: with nobody waiting it goes on for as long as its client likes.
"""

from __future__ import annotations

from collections.abc import Iterable


class Awaited:
    """By runner key. Whoever comes while somebody waits already waits no longer than from then on."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def see(self, keys: Iterable[str], now: float) -> None:
        """These are waited for, and no others."""
        self._since = {key: self._since.get(key, now) for key in keys}

    def since(self, key: str) -> float | None:
        """Since when, without a break; None: nobody waits for it."""
        return self._since.get(key)
