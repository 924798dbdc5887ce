"""What an engine itself tells of its memory: learnt after an adoption, compared now and then. The table follows what
it evicts by itself, and what somebody else loads into it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import psutil

from controller.clock import Clock
from controller.engines.engine import Engine, HeldModel
from controller.engines.runner import ModelFacts, Runner
from controller.errors import Unreachable
from controller.events import Journal
from controller.plain import size_words
from controller.residency.pace import ResidentPace
from controller.residency.resident import Resident
from controller.residency.rows import Rows
from controller.residency.seams import NameTable
from controller.residency.swap import SOURCE, Swapping

NAMELESS = "nameless "  # how the key of one begins whose weights nobody knows
ENDED = "its process ended"
LEARN_LIMIT = 30.0  # seconds for the first list: nothing else is asked meanwhile


@dataclass(slots=True, eq=False)
class Following:
    """Of one engine. The only one who asks it for its list, and never while it loads or unloads."""

    engine: Engine
    rows: Rows
    names: NameTable
    swaps: Swapping
    clock: Clock
    journal: Journal
    pace: ResidentPace
    _epoch: int = field(default=-1)
    _ended: dict[str, Runner] = field(default_factory=dict)  # whose process has ended: by whom, its list will tell
    _told: dict[str, int] = field(default_factory=dict)  # by runner: the context that was said to be shorter

    async def learn(self) -> None:
        """Take over what an adopted engine holds; every slot of it is in doubt."""
        try:
            async with self.swaps.alone(self.engine.name):
                listed = await self.engine.held(LEARN_LIMIT)
            for each in listed:
                await self._found(await self._runner(each), each)
        except Unreachable:
            return  # the next comparison finds it
        if listed:
            named = ", ".join(row.runner.name for row in self._mine())
            self.journal.say(SOURCE, f"Found in memory: {named}.")

    async def compare(self, quiet: Callable[[], bool]) -> list[Resident]:
        """See what has changed without us, unless something of ours began meanwhile. Returns who has no name left."""
        try:
            async with self.swaps.alone(self.engine.name):
                listed = await self.engine.held(self.pace.poll_limit)
            found = {(runner := await self._runner(each)).key: (runner, each) for each in listed}
        except Unreachable:
            return []  # late means busy, not dead
        if not quiet():
            return []
        self._judge_ended(found)
        title = self.engine.readiness.title
        for key, row in self._rows():
            if key in found:
                continue
            self.journal.say(SOURCE, f"{title} unloaded {row.runner.name} by itself.", level="warning")
            self.rows.drop(key)
        for runner, each in found.values():
            await self._found(runner, each)
            self._tell_context(runner, each)
        return await self._nameless() if quiet() else []

    def ended(self, runner: Runner) -> None:
        """Its process is not there any more. An engine may go on listing one that died, not one that it unloaded."""
        self._ended[runner.key] = runner

    def forget(self) -> None:
        """It is another program."""
        self._ended.clear()
        self._told.clear()

    def _judge_ended(self, found: Collection[str]) -> None:
        for key, runner in self._ended.items():
            if key in found or key in self.rows.table:  # in doubt, for it may have been loaded anew
                self.swaps.crashed(runner, ENDED)
        self._ended.clear()

    def _rows(self) -> list[tuple[str, Resident]]:
        """The engine's, by runner key."""
        return [(key, row) for key, row in self.rows.table.items() if row.runner.engine == self.engine.name]

    def _mine(self) -> list[Resident]:
        """The engine's that are resident."""
        return [row for row in self.rows.here() if row.runner.engine == self.engine.name]

    def _tell_context(self, runner: Runner, listed: HeldModel) -> None:
        """An engine may give less than it was asked for where it thinks that memory is short."""
        tokens = listed.context
        if runner.facts.context and 0 < tokens < runner.context and self._told.get(runner.key) != tokens:
            self._told[runner.key] = tokens
            title = self.engine.readiness.title
            text = f"{runner.name} has {tokens} tokens of context, not {runner.context}: {title} gave it no more."
            self.journal.say(SOURCE, text, level="warning")

    async def _found(self, runner: Runner, listed: HeldModel) -> None:
        processes = None if runner.key in self.rows.table else await self._processes(runner)
        in_place = await asyncio.to_thread(self.engine.mapped, processes or ())
        if runner.key in self.rows.table:
            return  # we knew, or have begun to load it meanwhile
        if processes is not None and not processes:
            return  # one that was deleted may stay on the list, and we have ended its process
        taken, slots = listed.size or runner.need, self.swaps.space.slots(runner.slots)
        self.rows.found(runner, processes or (), taken, in_place, slots, self.clock.now())
        self.journal.say(SOURCE, f"{runner.name} is in memory, loaded by somebody else: {size_words(taken)}.")

    async def _processes(self, runner: Runner) -> list[psutil.Process] | None:
        """Those that hold it; of one whose weights nobody knows, those that nobody else has. None: none can be seen."""
        everybody = await self.engine.all_processes()
        if everybody is None:
            return None
        if not runner.key.startswith(NAMELESS):
            return await self.engine.processes(runner)
        taken = self.rows.everybodys()
        return [each for each in everybody if each.pid not in taken]

    async def _runner(self, listed: HeldModel) -> Runner:
        """Who that is. One whose name is gone has to be known as well: it takes memory. Raises Unreachable."""
        name = listed.name
        mine = next((row.runner for row in self._mine() if row.runner.name == name), None)
        runner = mine or self.names.known(name) or await self.names.look_up(name)
        if runner is not None and runner.engine == self.engine.name:
            return runner
        facts = ModelFacts(listed.size)
        return Runner(f"{NAMELESS}{name}", name, name, facts, engine=self.engine.name, need=listed.size)

    async def _nameless(self) -> list[Resident]:
        """Whose last name was deleted: nobody can ask for them again. Looked at when names have changed only."""
        if self._epoch == self.names.epoch:
            return []
        epoch, gone = self.names.epoch, list[Resident]()
        try:
            await self.names.survey()
            for row in self._mine():
                if not self.names.names_of(row.runner.key) and not await self.names.look_up(row.runner.name):
                    gone.append(row)
        except Unreachable:
            return gone
        self._epoch = epoch
        return gone
