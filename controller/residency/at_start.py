"""What is loaded when an engine starts: what was there before its restart, and what is preloaded. Never at the cost of
anything else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from controller.config.schema import Config
from controller.engines.runner import Runner
from controller.errors import Unreachable
from controller.residency.resident import Cause, Fits, Presence, Swap
from controller.residency.seams import NameTable
from controller.residency.swap import SOURCE, Work
from controller.residency.wishes import preloads
from controller.residency.works import Works


@dataclass(frozen=True, slots=True)
class _Later:
    engine: str
    name: str
    why: Cause


@dataclass(slots=True, eq=False)
class AtStart:
    """One is loaded at a time, when nobody waits for anything."""

    works: Works
    names: NameTable
    settings: Callable[[], Config]
    _later: list[_Later] = field(default_factory=list)
    _remembered: dict[str, list[str]] = field(default_factory=dict)  # names, by engine

    def remember(self, engine: str) -> None:
        """It is about to be restarted: what it holds now comes back as soon as it is there again."""
        rows = [row for row in self.works.swaps.rows.table.values() if row.runner.engine == engine]
        rows.sort(key=lambda row: row.used, reverse=True)
        self._remembered[engine] = [row.runner.name for row in rows if row.presence is not Presence.LEAVING]

    def forget(self, engine: str) -> None:
        """It is another process, or none."""
        self._later = [each for each in self._later if each.engine != engine]

    def begun(self, engine: str) -> None:
        """It is there, with all its aliases."""
        self.forget(engine)
        self._later += [_Later(engine, name, "return") for name in self._remembered.pop(engine, ())]
        self._later += [_Later(engine, name, "preload") for name in preloads(self.settings().models)]

    async def load(self) -> None:
        """The next one that its engine can load. Nobody waits, and memory is not short."""
        for wanted in list(self._later):
            try:
                runner = self.names.known(wanted.name) or await self.names.look_up(wanted.name)
            except Unreachable:
                continue
            if self.works.busy or wanted not in self._later:
                return
            if runner is None or self.works.there(runner):
                self._later.remove(wanted)
                return self._load(wanted, runner)

    def _load(self, wanted: _Later, runner: Runner | None) -> None:
        if runner is not None and runner.engine != wanted.engine:
            return  # it comes with its own
        swaps = self.works.swaps
        plan = None if runner is None else swaps.planner.plan(runner, ())
        if runner is not None and isinstance(plan, Fits) and not plan.evict:
            if runner.key not in swaps.rows.table:
                self.works.add(Work(Swap(runner, (), wanted.why), held=True))
            return
        words = "there is no such model" if runner is None else "there is no room for it now"
        title = swaps.engines[wanted.engine].readiness.title
        swaps.journal.say(SOURCE, f"{wanted.name} was not loaded at the start of {title}: {words}.", level="warning")
