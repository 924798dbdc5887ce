"""What Ollama itself tells of its memory: learnt after an adoption, compared now and then. The table follows what it
evicts by itself, and what somebody else loads into it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import psutil

from controller.clock import Clock
from controller.engines.ollama.client import OllamaClient, mapped
from controller.engines.ollama.loading import Loading, Pace
from controller.engines.runner import ModelFacts, Runner
from controller.errors import Unreachable
from controller.events import Journal
from controller.plain import size_words
from controller.residency.resident import Resident
from controller.residency.rows import Rows
from controller.residency.seams import Names
from controller.residency.swap import SOURCE, Swaps

NAMELESS = "nameless "  # how the key of one begins whose weights nobody knows
ENDED = "its process ended"
LEARN_LIMIT = 30.0  # seconds for the first list: nothing else is asked meanwhile


@dataclass(slots=True, eq=False)
class Following:
    """The only one who asks /api/ps beside a swap, and never during one: see `Loading.unload`."""

    rows: Rows
    ollama: OllamaClient
    names: Names
    loading: Loading
    swaps: Swaps
    clock: Clock
    journal: Journal
    pace: Pace
    _epoch: int = field(default=-1)
    _ended: dict[str, Runner] = field(default_factory=dict)  # whose process has ended: by whom, its list will tell
    _told: dict[str, int] = field(default_factory=dict)  # by runner: the context that was said to be shorter

    async def learn(self) -> None:
        """Take over what an adopted Ollama holds; every slot of it is in doubt."""
        try:
            async with self.swaps.alone:
                listed = await self.ollama.ps(LEARN_LIMIT)
            for each in listed:
                await self._found(await self._runner(each), each)
        except Unreachable:
            return  # the next comparison finds it
        if listed:
            named = ", ".join(row.runner.name for row in self.rows.here())
            self.journal.say(SOURCE, f"Found in memory: {named}.")

    async def compare(self, quiet: Callable[[], bool]) -> list[Resident]:
        """See what has changed without us, unless something of ours began meanwhile. Returns who has no name left."""
        try:
            async with self.swaps.alone:
                listed = await self.ollama.ps(self.pace.poll_limit)
            found = {(runner := await self._runner(each)).key: (runner, each) for each in listed}
        except Unreachable:
            return []  # late means busy, not dead
        if not quiet():
            return []
        self._judge_ended(found)
        for key in [key for key in self.rows.table if key not in found]:
            row = self.rows.table[key]
            self.journal.say(SOURCE, f"Ollama unloaded {row.runner.name} by itself.", level="warning")
            self.rows.drop(key)
        for runner, each in found.values():
            await self._found(runner, each)
            self._tell_context(runner, each)
        return await self._nameless() if quiet() else []

    def ended(self, runner: Runner) -> None:
        """Its process is not there any more. Ollama goes on listing one that died, and not one that it unloaded."""
        self._ended[runner.key] = runner

    def forget(self) -> None:
        """It is another Ollama."""
        self._ended.clear()
        self._told.clear()

    def _judge_ended(self, found: Collection[str]) -> None:
        for key, runner in self._ended.items():
            if key in found or key in self.rows.table:  # in doubt, for it may have been loaded anew
                self.swaps.crashed(runner, ENDED)
        self._ended.clear()

    def _tell_context(self, runner: Runner, listed: dict[str, Any]) -> None:
        """Ollama gives less than it was asked for where it thinks that memory is short."""
        tokens = int(listed.get("context_length") or 0)
        if runner.facts.context and 0 < tokens < runner.context and self._told.get(runner.key) != tokens:
            self._told[runner.key] = tokens
            text = f"{runner.name} has {tokens} tokens of context, not {runner.context}: Ollama gave it no more."
            self.journal.say(SOURCE, text, level="warning")

    async def _found(self, runner: Runner, listed: dict[str, Any]) -> None:
        processes = None if runner.key in self.rows.table else await self._processes(runner)
        in_place = await asyncio.to_thread(mapped, processes or ())
        if runner.key in self.rows.table:
            return  # we knew, or have begun to load it meanwhile
        if processes is not None and not processes:
            return  # Ollama goes on listing one that was deleted, whose process we have ended
        taken = self.loading.size(listed) or runner.need
        slots = self.swaps.space.slots(runner.slots)
        self.rows.found(runner, processes or (), taken, in_place, slots, self.clock.now())
        self.journal.say(SOURCE, f"{runner.name} is in memory, loaded by somebody else: {size_words(taken)}.")

    async def _processes(self, runner: Runner) -> list[psutil.Process] | None:
        """Those that hold it; of one whose weights nobody knows, those that nobody else has. None: none can be seen."""
        everybody = await self.loading.all_processes()
        if everybody is None:
            return None
        if not runner.key.startswith(NAMELESS):
            return await self.loading.processes(runner)
        taken = self.rows.everybodys()
        return [each for each in everybody if each.pid not in taken]

    async def _runner(self, listed: dict[str, Any]) -> Runner:
        """Who that is. One whose name is gone has to be known as well: it takes memory. Raises Unreachable."""
        name = str(listed["name"])
        mine = next((row.runner for row in self.rows.here() if row.runner.name == name), None)
        runner = mine or self.names.known(name) or await self.names.look_up(name)
        size = int(listed.get("size") or 0)
        return runner or Runner(
            f"{NAMELESS}{name}", blob=name, name=name, facts=ModelFacts(size), engine="ollama", need=size
        )

    async def _nameless(self) -> list[Resident]:
        """Whose last name was deleted: nobody can ask for them again. Looked at when names have changed only."""
        if self._epoch == self.names.epoch:
            return []
        epoch, gone = self.names.epoch, list[Resident]()
        try:
            await self.names.survey()
            for row in list(self.rows.here()):
                if not self.names.names_of(row.runner.key) and not await self.names.look_up(row.runner.name):
                    gone.append(row)
        except Unreachable:
            return gone
        self._epoch = epoch
        return gone
