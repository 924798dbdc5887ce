"""Whether a load moves. Pure: it is handed what the runner's processes have done, and the time.

The log is no witness: Ollama writes a line there for each of our own probes.
"""

from __future__ import annotations

LIMIT = 60.0  # seconds
WORK = 0.5  # processor seconds: an idle process has less of them in a minute
BYTES = 2**20


class Standstill:
    """Watches one load. Processor seconds add up however slowly they come; memory counts either way."""

    def __init__(self, now: float, limit: float = LIMIT) -> None:
        self._limit = limit
        self._moved = now
        self._work = 0.0
        self._held = 0

    def see(self, work: float, held: int, now: float) -> bool:
        """The processes have had `work` processor seconds and hold `held` bytes. Whether that is a standstill."""
        if abs(work - self._work) >= WORK or abs(held - self._held) >= BYTES:
            self._work, self._held, self._moved = work, held, now
        return now - self._moved >= self._limit
