"""One load and one unload, each confirmed: by the processes, by Ollama's own list, and by a token."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from controller.clock import Clock
from controller.engines.engine import LoadFailed, LoadFault
from controller.engines.ollama.client import OllamaClient, Runners, mapped, work_done
from controller.engines.ollama.failures import brief, fault_of
from controller.engines.ollama.standstill import LIMIT, Standstill
from controller.engines.runner import Runner
from controller.errors import Declined, Unreachable
from controller.spelling import full_name
from controller.supervision.tree import frozen

FOREVER = -1.0  # seconds, as Ollama takes it
PAUSE = 0.25  # seconds between two looks at the list of an Ollama elsewhere


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. Tests take shorter ones."""

    tick: float = 1.0  # between two looks at memory, idle models, processes
    poll: float = 5.0  # between two looks at Ollama's own list …
    poll_limit: float = 2.0  # … which may be late while it loads: busy, not dead
    look: float = 1.0  # between two looks at a load's processes
    back: float = 3.0  # for the memory of one that has ended to be free again
    standstill: float = LIMIT
    leave: float = 5.0  # for an unloaded runner to be gone, before it is killed
    leave_elsewhere: float = 30.0  # the same, where its process cannot be seen
    forgets: float = 0.1  # for Ollama to strike one off its list whose process has ended
    suspected: float = 1.0  # the same, for one whose slot got lost
    lost: float = 2.0  # for the word that Ollama itself went, after it went away in the middle of a load
    aside: float = 600.0  # a runner whose load keeps crashing


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load brought."""

    seconds: float
    size: int  # bytes as Ollama tells them, with what it does not count; 0: it told none
    mapped: int  # bytes of files used in place
    processes: Sequence[psutil.Process]


class Loading:
    """Loads and unloads one runner at a time, for whoever makes sure that it is one at a time. `limit` is how many
    seconds a load may take.
    """

    def __init__(
        self, ollama: OllamaClient, runners: Runners, clock: Clock, limit: Callable[[Runner], float], pace: Pace
    ) -> None:
        self._ollama = ollama
        self._runners = runners
        self._clock = clock
        self._limit = limit
        self._pace = pace

    async def processes(self, runner: Runner) -> list[psutil.Process]:
        """Those that hold it; none where they cannot be seen."""
        return await self._runners.holding(runner.blob, runner.name)

    async def all_processes(self) -> list[psutil.Process] | None:
        """Those that hold anything; None where they cannot be seen."""
        return await self._runners.all() if self._runners.ours else None

    async def load(self, runner: Runner) -> Loaded:
        """Load it and have it say one token. Raises LoadFailed, or Unreachable when Ollama went away meanwhile."""
        began = self._clock.now()
        limit = self._limit(runner)
        try:
            async with asyncio.timeout(limit):
                await self._watched(runner)
                processes = await self.processes(runner)
                if runner.facts.embeds or "completion" in runner.facts.capabilities:
                    await self._ollama.probe(runner.name, embeds=runner.facts.embeds)
        except TimeoutError:
            raise LoadFailed(f"it was not loaded within {limit:g} s", LoadFault.LATE) from None
        except Declined as problem:
            raise self._failed(problem) from problem
        seconds = self._clock.now() - began
        return Loaded(seconds, await self._size(runner), await asyncio.to_thread(mapped, processes), processes)

    def _failed(self, problem: Declined) -> LoadFailed:
        inside = self._ollama.inside
        told = brief(problem.words, inside) or str(problem)
        return LoadFailed(told, fault_of(problem.status, problem.words, inside))

    async def unload(self, runner: Runner, processes: Sequence[psutil.Process], *, grace: float | None = None) -> None:
        """Return when it is gone. A process that does not leave by itself is killed.

        Its end is the proof: Ollama forgets a runner before it takes the next load. It is not asked for its list then:
        /api/ps reads a map without a lock, and dies ("concurrent map iteration and map write") when that moment is hit.
        """
        grace = self._pace.leave if grace is None else grace
        processes = processes or await self.processes(runner)
        try:
            await self._ollama.unload(runner.name, limit=grace)
        except Declined:  # its name was deleted: Ollama would keep it, and list it, for ever
            grace = 0.0
        except Unreachable:
            pass
        if not self._runners.ours:
            await self._unlisted(runner)
        elif not await self._runners.gone(processes, grace):
            await self._runners.end(processes)

    async def end(self, processes: Sequence[psutil.Process]) -> None:
        """Kill them, and wait until they are gone."""
        await self._runners.end(processes)

    async def idle(self, processes: Sequence[psutil.Process]) -> bool:
        """Whether there are some, and none does anything."""
        return bool(processes) and await self._runners.idle(processes)

    async def _watched(self, runner: Runner) -> None:
        keep_alive = None if self._runners.ours else FOREVER  # ours was started with it
        load = asyncio.ensure_future(self._ollama.load(runner.name, embeds=runner.facts.embeds, keep_alive=keep_alive))
        still = asyncio.ensure_future(self._stands_still(runner))
        try:
            await asyncio.wait((load, still), return_when=asyncio.FIRST_COMPLETED)
            if not load.done():
                why = still.result()
                await self._runners.end(await self.processes(runner))
                raise LoadFailed(why, LoadFault.CRASH)
            load.result()
        finally:
            load.cancel()
            still.cancel()
            await asyncio.gather(load, still, return_exceptions=True)

    async def _stands_still(self, runner: Runner) -> str:
        """Return once the load does not move, and why. Elsewhere nobody can see whether it does."""
        watch = Standstill(self._clock.now(), self._pace.standstill)
        while True:
            await self._clock.sleep(self._pace.look)
            if not self._runners.ours:
                continue
            processes = await self.processes(runner)
            if any(frozen(each.pid) for each in processes):
                return "a signal had stopped it"
            work, held = await asyncio.to_thread(work_done, processes)
            if watch.see(work, held, self._clock.now()):
                return f"it stood still for {self._pace.standstill:g} s"

    async def _size(self, runner: Runner) -> int:
        try:
            listed = await self._ollama.ps(self._pace.poll_limit)
        except Unreachable:
            return 0
        return next((self.size(each) for each in listed if _is(each, runner)), 0)

    def size(self, listed: Mapping[str, Any]) -> int:
        """Bytes that one of Ollama's list takes; 0: it does not tell."""
        told = int(listed.get("size") or 0)
        return told + self._ollama.inside.untold if told else 0

    async def _unlisted(self, runner: Runner) -> None:
        """Return when an Ollama elsewhere does not list it, or when it has had its time."""
        with contextlib.suppress(TimeoutError, Unreachable):
            async with asyncio.timeout(self._pace.leave_elsewhere):
                await asyncio.sleep(PAUSE)
                while any(_is(each, runner) for each in await self._ollama.ps(self._pace.poll_limit)):  # noqa: ASYNC110
                    await asyncio.sleep(PAUSE)


def _is(listed: dict[str, object], runner: Runner) -> bool:
    return full_name(str(listed.get("name", ""))) == full_name(runner.name)
