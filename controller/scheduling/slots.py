"""What runs: slots taken on each runner, and when and by whom it was last used. Times are monotonic seconds."""

from __future__ import annotations

from controller.scheduling.ticket import Ticket

_WEIGHT = 0.1  # of one answer's seconds against all earlier ones


class Slots:
    """The granted tickets."""

    def __init__(self) -> None:
        self.tickets: dict[Ticket, int] = {}  # and how many slots each takes
        self.answer_seconds: float | None = None  # how long answers took, on average; None until one has ended
        self._busy: dict[str, int] = {}
        self._used: dict[str, dict[float, float]] = {}  # by runner: when each lane's last answer ended

    def busy(self, key: str) -> int:
        """Slots taken on a runner."""
        return self._busy.get(key, 0)

    def take(self, ticket: Ticket, slots: int) -> None:
        """`ticket` has been granted."""
        self.tickets[ticket] = slots
        key = ticket.runner.key
        self._busy[key] = self._busy.get(key, 0) + slots

    def give(self, ticket: Ticket, now: float) -> None:
        """It has ended, or failed."""
        key = ticket.runner.key
        left = self._busy[key] - self.tickets.pop(ticket)
        if left:
            self._busy[key] = left
        else:
            del self._busy[key]
        self._used.setdefault(key, {})[ticket.lane] = now

    def answered(self, seconds: float) -> None:
        """An answer took so long."""
        mean = self.answer_seconds
        self.answer_seconds = seconds if mean is None else mean + _WEIGHT * (seconds - mean)

    def last_used(self, key: str) -> float | None:
        """When an answer last ended on a runner; None: never."""
        lanes = self._used.get(key)
        return max(lanes.values()) if lanes else None

    def used_by_better(self, key: str, lane: float) -> float | None:
        """When an answer for a lane below `lane` last ended on a runner; None: never."""
        return max((at for other, at in self._used.get(key, {}).items() if other < lane), default=None)
