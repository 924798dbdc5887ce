"""Whether an engine is there for the line, and who has waited for it long enough. Pure; times are monotonic seconds."""

from __future__ import annotations

from collections.abc import Iterable

from controller.readiness import Verdict
from controller.scheduling.ticket import Ticket


class Away:
    """It is away from a moment on until it is ready again; and even then the line may rest for a moment.

    While it finishes what it has begun, before a restart, nothing is granted; but its absence has not begun.
    """

    def __init__(self, now: float) -> None:
        self._since: float | None = now
        self._draining = False
        self._rests = now

    def see(self, verdict: Verdict, now: float, *, draining: bool = False) -> None:
        """What readiness says now."""
        self._draining = draining
        if verdict == "ready" or draining:
            self._since = None
        elif self._since is None:
            self._since = now

    def rest(self, until: float) -> None:
        """Grant nothing before that, although it is there."""
        self._rests = max(self._rests, until)

    def here(self, now: float) -> bool:
        """Whether anything may be granted."""
        return self._since is None and not self._draining and now >= self._rests

    def held_out(self, waiting: Iterable[Ticket], hold: float, now: float) -> list[Ticket]:
        """Those that have waited for it, not for their turn, as long as `hold`."""
        since = self._since
        return [] if since is None else [each for each in waiting if max(since, each.arrived) + hold <= now]

    def wake(self, waiting: Iterable[Ticket], hold: float) -> float | None:
        """When the next of them will have."""
        since = self._since
        return None if since is None else min((max(since, each.arrived) + hold for each in waiting), default=None)
