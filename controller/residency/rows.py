"""The table of what is in memory, and who hears of its changes. A row is there from before a load begins until the
process is gone. Pure but for those who are told: it is handed the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from controller.engines.runner import Runner
from controller.residency.resident import Presence, Resident


class Rows:
    """Written by the residents alone. Each method is one change, told once."""

    def __init__(self, table: dict[str, Resident]) -> None:
        self.table = table
        self.on_change: list[Callable[[], None]] = []
        self._stood: dict[str, float] = {}  # since when a leaving one had been resident

    def tell(self) -> None:
        """Something that depends on the table, or beside it, has changed."""
        for told in list(self.on_change):
            told()

    def here(self, presence: Presence = Presence.RESIDENT) -> Iterator[Resident]:
        """The rows that are `presence`."""
        return (row for row in self.table.values() if row.presence is presence)

    def is_here(self, key: str) -> bool:
        """Whether this runner is resident, and not about to leave."""
        row = self.table.get(key)
        return row is not None and row.presence is Presence.RESIDENT

    def begin(self, evict: Iterable[str], target: Runner | None, need: int, now: float) -> None:
        """From this moment nothing more goes to `evict`, and the memory `target` needs is promised to it."""
        for key in evict:
            row = self.table.get(key)
            if row is not None and row.presence is Presence.RESIDENT:
                self._stood[key] = row.since
                row.presence, row.since = Presence.LEAVING, now
        if target is not None:
            fresh = Resident(target, Presence.LOADING, now, need, target.slots, target.cache, used=now)
            row = self.table.setdefault(target.key, fresh)
            row.waits = row.presence is Presence.LOADING
        self.tell()

    def loads(self, key: str, now: float) -> None:
        """Whoever had to leave for it has left, and its load begins."""
        row = self.table[key]
        row.since, row.waits = now, False
        self.tell()

    def stays(self, keys: Iterable[str]) -> None:
        """They need not leave after all."""
        for key in keys:
            row = self.table.get(key)
            if row is not None and row.presence is Presence.LEAVING:
                row.presence, row.since = Presence.RESIDENT, self._stood.pop(key, row.since)
        self.tell()

    def loaded(self, key: str, taken: int, mapped: int, seconds: float, slots: int, now: float) -> None:
        """A load has come to its end, and what it brought works."""
        row = self.table[key]
        row.presence, row.since, row.used = Presence.RESIDENT, now, now
        row.taken, row.mapped, row.load_seconds, row.slots, row.unproven = taken, mapped, seconds, slots, False
        self.tell()

    def found(self, runner: Runner, taken: int, mapped: int, slots: int, now: float) -> None:
        """It is in memory, and it was not we who loaded it: nobody knows what became of its slots."""
        row = Resident(runner, Presence.RESIDENT, now, taken, slots, runner.cache, mapped, unproven=True, used=now)
        self.table[runner.key] = row
        self.tell()

    def drop(self, *keys: str) -> None:
        """They are not in memory any more."""
        for key in keys:
            self.table.pop(key, None)
            self._stood.pop(key, None)
        self.tell()
