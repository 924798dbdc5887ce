"""The machine's memory as the residents see it: the last reading, what may be done, and what fits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from controller.config.schema import Config
from controller.events import Journal
from controller.plain import fault_words
from controller.residency.gauge import Gauge
from controller.residency.memory import Action, Pressures, Reading, budget, ceiling
from controller.residency.plan import plan
from controller.residency.runner import NoRoom, Plan, Runner, Table

SOURCE = "memory"  # in the journal
FINE = Action(level=1, may_load=True, may_grant=True, share=1.0, unload=False)


class MachineSpace:
    """Implements `seams.Space` with a gauge. `reading` is None until it has looked once: then nothing is loaded yet."""

    def __init__(self, gauge: Gauge, journal: Journal, settings: Callable[[], Config]) -> None:
        self.reading: Reading | None = None
        self.action = FINE
        self._gauge = gauge
        self._journal = journal
        self._settings = settings
        self._pressures = Pressures()
        self._told: set[str] = set()

    @property
    def may_load(self) -> bool:
        return self.action.may_load

    @property
    def may_grant(self) -> bool:
        return self.action.may_grant

    @property
    def budget(self) -> int | None:
        """Bytes that all models together may take now; None: not measured yet."""
        if self.reading is None:
            return None
        return budget(self.reading, sum(self.reading.footprints.values()), self._settings().server.memory)

    def slots(self, of: int) -> int:
        return self.action.slots(of)

    def judge(self, now: float) -> bool:
        if self.reading is None:
            return False
        self.action = self._pressures.see(self.reading.pressure, now)
        return self.action.unload

    async def look(self, pids: Sequence[int]) -> None:
        await self._gauge.refresh()
        try:
            self.reading = await asyncio.to_thread(self._gauge.read, pids)
        except OSError as problem:  # no file can be opened just now, most likely: what was seen last still counts
            self._note(f"The memory cannot be read: {fault_words(problem)}.")
        else:
            for note in self.reading.notes:
                self._note(note)

    def _note(self, note: str) -> None:
        if note not in self._told:
            self._told.add(note)
            self._journal.say(SOURCE, note, level="warning")

    def footprint(self, pids: Sequence[int]) -> int:
        return sum(self.reading.footprints.get(pid, 0) for pid in pids) if self.reading is not None else 0

    def plan(self, target: Runner, table: Table, candidates: Sequence[str]) -> Plan:
        room = self.budget
        if self.reading is None or room is None:
            return NoRoom("The memory has not been measured yet.")
        settings = self._settings()
        most = ceiling(self.reading, settings.server.memory)
        return plan(target, table, candidates, room, settings.models.max_loaded, most=most)
