"""The table of what is in memory, with the processes that hold it, and who hears of its changes. A row is there from
before a load begins until the process is gone. Pure but for those who are told: it is handed the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from controller.engines.runner import Runner
from controller.residency.resident import Presence, Resident, Table

if TYPE_CHECKING:
    from psutil import Process


class Rows:
    """The one writer of the table: who may change it is who was handed this, and everybody else reads. Keys are
    runners' keys. What others decide by is told to them, once for each change.
    """

    def __init__(self) -> None:
        self.on_change: list[Callable[[], None]] = []
        self._table: dict[str, Resident] = {}
        self._held: dict[str, Sequence[Process]] = {}
        self._stood: dict[str, float] = {}  # since when a leaving one had been resident

    @property
    def table(self) -> Table:
        """What is in memory, on its way there or away; always the same mapping."""
        return self._table

    def tell(self) -> None:
        """Something that depends on the table, or beside it, has changed."""
        for told in list(self.on_change):
            told()

    def here(self, presence: Presence = Presence.RESIDENT) -> Iterator[Resident]:
        """The rows that are `presence`."""
        return (row for row in self._table.values() if row.presence is presence)

    def is_here(self, key: str) -> bool:
        """Whether this runner is resident, and not about to leave."""
        row = self._table.get(key)
        return row is not None and row.presence is Presence.RESIDENT

    def begin(self, evict: Iterable[str], target: Runner | None, need: int, now: float) -> None:
        """From this moment nothing more goes to `evict`, and the memory `target` needs is promised to it."""
        for key in evict:
            row = self._table.get(key)
            if row is not None and row.presence is Presence.RESIDENT:
                self._stood[key] = row.since
                row.presence, row.since = Presence.LEAVING, now
        if target is not None:
            fresh = Resident(target, Presence.LOADING, now, need, target.slots, target.cache, used=now)
            row = self._table.setdefault(target.key, fresh)
            row.waits = row.presence is Presence.LOADING
        self.tell()

    def loads(self, key: str, now: float) -> None:
        """Whoever had to leave for it has left, and its load begins."""
        row = self._table[key]
        row.since, row.waits = now, False
        self.tell()

    def stays(self, keys: Iterable[str]) -> None:
        """They need not leave after all."""
        for key in keys:
            row = self._table.get(key)
            if row is not None and row.presence is Presence.LEAVING:
                row.presence, row.since = Presence.RESIDENT, self._stood.pop(key, row.since)
        self.tell()

    def loaded(
        self, key: str, processes: Sequence[Process], taken: int, mapped: int, seconds: float, slots: int, now: float
    ) -> None:
        """A load has come to its end, and what it brought works."""
        self._held[key] = processes
        row = self._table[key]
        row.presence, row.since, row.used = Presence.RESIDENT, now, now
        row.taken, row.mapped, row.load_seconds, row.slots, row.unproven = taken, mapped, seconds, slots, False
        self.tell()

    def found(
        self, runner: Runner, processes: Sequence[Process], taken: int, mapped: int, slots: int, now: float
    ) -> None:
        """It is in memory, and it was not we who loaded it: nobody knows what became of its slots."""
        self._held[runner.key] = processes
        row = Resident(runner, Presence.RESIDENT, now, taken, slots, runner.cache, mapped, unproven=True, used=now)
        self._table[runner.key] = row
        self.tell()

    def drop(self, *keys: str) -> None:
        """They are not in memory any more."""
        for key in keys:
            self._table.pop(key, None)
            self._held.pop(key, None)
            self._stood.pop(key, None)
        self.tell()

    # --- processes ---

    def processes(self, key: str) -> Sequence[Process]:
        """Those that hold it, as far as they can be seen."""
        return self._held.get(key, ())

    def everybodys(self) -> set[int]:
        """The ids of all of them."""
        return {each.pid for held in self._held.values() for each in held}

    def let_go(self, key: str) -> Sequence[Process]:
        """Those that held it: they are about to end, and that is no crash."""
        return self._held.pop(key, ())

    # --- what is noted on a row, and decides nothing at this moment: nobody is told ---

    def used(self, key: str, now: float) -> Resident | None:
        """Somebody has just used it, or is about to; its row, if it is there."""
        row = self._table.get(key)
        if row is not None:
            row.used = now
        return row

    def stay(self, key: str) -> None:
        """It does not leave for being idle."""
        if row := self._table.get(key):
            row.stays = True

    def doubt(self, key: str, now: float) -> None:
        """A slot of it may have been lost."""
        if row := self._table.get(key):
            row.unproven, row.doubted = True, now

    def proven(self, key: str, granted: float) -> None:
        """An answer that was let through at `granted` has brought a byte: one from before the doubt proves nothing."""
        row = self._table.get(key)
        if row is not None and granted > row.doubted:
            row.unproven = False

    def judged(self, key: str, *, pinned: bool, slots: int) -> None:
        """Whether it may be evicted, and how many slots of it may be used now."""
        row = self._table[key]
        row.pinned, row.slots = pinned, slots

    def grown(self, key: str, size: int) -> None:
        """It takes so many bytes more than it was promised."""
        self._table[key].taken += size
