"""The machine's memory as the residents see it: the last reading, what may be done, and what fits."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence

from controller.config.schema import Config
from controller.engines.engine import Engine
from controller.engines.runner import Runner
from controller.events import Journal
from controller.plain import fault_words
from controller.residency.gauge import Gauge
from controller.residency.memory import Budget, Reading, budget, ceiling
from controller.residency.plan import plan
from controller.residency.pressure import Action, Pressures
from controller.residency.resident import NoRoom, Plan, Table, Taken

SOURCE = "memory"  # in the journal
FINE = Action(level=1, may_load=True, may_swap=True, may_grant=True, share=1.0, unload=False)
UNKNOWN = Budget(sys.maxsize)  # an engine elsewhere makes room by itself where it has to


class MachineSpace:
    """Implements `seams.Space` with a gauge. `reading` is None until it has looked once: then nothing is loaded yet.

    The memory of an engine on another machine nobody can see from here: the operator's own figure counts, else there is
    no limit but that of how many models, and that it makes room by itself where it has to.
    """

    def __init__(
        self, gauge: Gauge, engines: Mapping[str, Engine], journal: Journal, settings: Callable[[], Config]
    ) -> None:
        self.reading: Reading | None = None
        self.action = FINE
        self._gauge = gauge
        self._engines = engines
        self._journal = journal
        self._settings = settings
        self._pressures = Pressures()
        self._told: set[str] = set()

    @property
    def may_load(self) -> bool:
        return self.action.may_load

    @property
    def may_swap(self) -> bool:
        return self.action.may_swap

    @property
    def may_grant(self) -> bool:
        return self.action.may_grant

    @property
    def budget(self) -> Budget | None:
        """What all models together may take now; None: not measured yet, or nobody knows."""
        memory = self._settings().server.memory
        if self._elsewhere:
            return self._stated
        return None if self.reading is None else budget(self.reading, memory)

    @property
    def _elsewhere(self) -> bool:
        """Whether all engines are."""
        return all(each.elsewhere for each in self._engines.values())

    @property
    def _stated(self) -> Budget | None:
        """What the operator gives models, where nobody can see what there is."""
        budget = self._settings().server.memory.budget
        return None if budget == "auto" else Budget(budget)

    def slots(self, of: int) -> int:
        return self.action.slots(of)

    def judge(self, now: float) -> bool:
        if self.reading is None:
            return False
        self.action = self._pressures.see(1 if self._elsewhere else self.reading.pressure, now)
        return self.action.unload

    async def look(self, ours: Mapping[int, Taken]) -> None:
        """What was read last stays when nothing can be read: a machine may run out of descriptors for a moment."""
        try:
            await self._gauge.refresh()
            self.reading = await asyncio.to_thread(self._gauge.read, ours)
        except OSError as problem:
            return self._tell(f"The memory cannot be read: {fault_words(problem)}.")
        for note in self.reading.notes:
            self._tell(note)

    def _tell(self, note: str) -> None:
        if note not in self._told:
            self._told.add(note)
            self._journal.say(SOURCE, note, level="warning")

    def footprint(self, pids: Sequence[int]) -> int:
        return sum(self.reading.footprints.get(pid, 0) for pid in pids) if self.reading is not None else 0

    def plan(self, target: Runner, table: Table, candidates: Sequence[str], freed: int = 0) -> Plan:
        models = self._settings().models
        if self._engines[target.engine].elsewhere:
            there = {key: row for key, row in table.items() if row.runner.engine == target.engine}
            return plan(target, there, candidates, self._stated or UNKNOWN, models.max_loaded)
        here = {key: row for key, row in table.items() if not self._engines[row.runner.engine].elsewhere}
        room = self.budget
        if self.reading is None or room is None:
            return NoRoom("The memory has not been measured yet.")
        short = None if self.may_load else freed
        most = ceiling(self.reading, self._settings().server.memory)
        return plan(target, here, candidates, room, models.max_loaded, most=most, freed=short)
