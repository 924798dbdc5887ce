"""Which runners are not loaded for a while, because loading them crashes. Pure: a circuit breaker for each runner.

After two crashes in a row the runner is set aside; when that is over, one load may try (half-open): it is forgiven when
that works, and set aside again at once when it does not.
"""

from __future__ import annotations

from dataclasses import dataclass

CRASHES = 2  # in a row
ASIDE = 600.0  # seconds


@dataclass(slots=True)
class _Record:
    crashes: int = 0
    until: float | None = None


class Quarantine:
    """Crashes in a row, by runner key. Times are monotonic seconds."""

    def __init__(self, aside: float = ASIDE) -> None:
        self._aside = aside
        self._records: dict[str, _Record] = {}

    def crashed(self, key: str, now: float) -> float | None:
        """A load crashed. Returns until when the runner is set aside; None: it may be tried again at once."""
        record = self._records.setdefault(key, _Record())
        record.crashes += 1
        if record.crashes >= CRASHES:
            record.until = now + self._aside
        return record.until

    def loaded(self, key: str) -> None:
        """It works: all is forgiven."""
        self._records.pop(key, None)

    def until(self, key: str, now: float) -> float | None:
        """Until when it is set aside; None: it may be loaded."""
        record = self._records.get(key)
        return None if record is None or record.until is None or record.until <= now else record.until
