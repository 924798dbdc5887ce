"""One load and one unload, each confirmed: by the processes, by Ollama's own list, and by a token."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from controller.clock import Clock
from controller.engines.engine import Loaded, LoadFailed, LoadFault
from controller.engines.ollama.client import OllamaClient, Runners, mapped
from controller.engines.ollama.failures import brief, fault_of
from controller.engines.ollama.inside import Inside
from controller.engines.ollama.standstill import LIMIT, Standstill
from controller.engines.runner import Runner
from controller.errors import Declined, Unreachable
from controller.spelling import full_name
from controller.supervision.grandchildren import end, gone, work_done
from controller.supervision.tree import frozen

FOREVER = -1.0  # seconds, as Ollama takes it
PAUSE = 0.25  # seconds between two looks at the list of an Ollama elsewhere


@dataclass(frozen=True, slots=True)
class LoadPace:
    """Seconds. Tests take shorter ones."""

    look: float = 1.0  # between two looks at a load's processes
    list_limit: float = 2.0  # for Ollama's own list, which may be late while it loads: busy, not dead
    standstill: float = LIMIT
    leave: float = 5.0  # for an unloaded runner to be gone, before it is killed
    leave_elsewhere: float = 30.0  # the same, where its process cannot be seen


class Loading:
    """Loads and unloads one runner at a time, for whoever makes sure that it is one at a time."""

    def __init__(self, ollama: OllamaClient, runners: Runners, clock: Clock, pace: LoadPace) -> None:
        self._ollama = ollama
        self._runners = runners
        self._clock = clock
        self._pace = pace

    async def processes(self, runner: Runner) -> list[psutil.Process]:
        """Those that hold it; none where they cannot be seen."""
        return await self._runners.holding(runner.blob, runner.name)

    async def load(self, runner: Runner, limit: float) -> Loaded:
        """Load it and have it say one token. Raises LoadFailed, or Unreachable when Ollama went away meanwhile."""
        began = self._clock.now()
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
        elif not await gone(processes, grace):
            await end(processes)

    async def _watched(self, runner: Runner) -> None:
        keep_alive = None if self._runners.ours else FOREVER  # ours was started with it
        load = asyncio.ensure_future(self._ollama.load(runner.name, embeds=runner.facts.embeds, keep_alive=keep_alive))
        still = asyncio.ensure_future(self._stands_still(runner))
        try:
            await asyncio.wait((load, still), return_when=asyncio.FIRST_COMPLETED)
            if not load.done():
                why = still.result()
                await end(await self.processes(runner))
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
            listed = await self._ollama.ps(self._pace.list_limit)
        except Unreachable:
            return 0
        return next((size_of(each, self._ollama.inside) for each in listed if _is(each, runner)), 0)

    async def _unlisted(self, runner: Runner) -> None:
        """Return when an Ollama elsewhere does not list it, or when it has had its time."""
        with contextlib.suppress(TimeoutError, Unreachable):
            async with asyncio.timeout(self._pace.leave_elsewhere):
                await asyncio.sleep(PAUSE)
                while any(_is(each, runner) for each in await self._ollama.ps(self._pace.list_limit)):  # noqa: ASYNC110
                    await asyncio.sleep(PAUSE)


def size_of(listed: Mapping[str, Any], inside: Inside) -> int:
    """Bytes that one of Ollama's list takes; 0: it does not tell."""
    told = int(listed.get("size") or 0)
    return told + inside.untold if told else 0


def _is(listed: dict[str, object], runner: Runner) -> bool:
    return full_name(str(listed.get("name", ""))) == full_name(runner.name)
