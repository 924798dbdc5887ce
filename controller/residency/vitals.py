"""What the processes of a runner are doing: processor time, whether one has been stopped, and what it says itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import psutil

from controller.engines.engine import Engine, SlotStates
from controller.engines.runner import Runner
from controller.residency.gpu import gpu_now
from controller.supervision.grandchildren import UNSEEN, processor_seconds, runs

WATCH = 0.3  # seconds that processes are watched …
SHARE = 0.05  # … and the share of one processor below which they do nothing
GPU_RESTS = 3  # percent

AskSlots = Callable[[Sequence[psutil.Process]], Awaitable[SlotStates | None]]


@dataclass(frozen=True, slots=True)
class Vitals:
    """Of one runner now."""

    processor: float | None = None  # seconds its processes have used so far; None: they cannot be seen
    stopped: bool = False  # by a signal
    pids: tuple[int, ...] = ()
    slots: SlotStates | None = None  # as it tells them itself; None: it does not


class Pulse:
    """Feels it. Processes are looked for once, and again when one of them has gone."""

    def __init__(self, engines: Mapping[str, Engine]) -> None:
        self._engines = engines
        self._found: dict[str, list[psutil.Process]] = {}  # by runner key

    async def of(self, runner: Runner) -> Vitals:
        """Takes some milliseconds, most of them in a thread."""
        engine, found = self._engines[runner.engine], self._found.get(runner.key)
        if not found or not all(runs(each) for each in found):
            found = self._found[runner.key] = await engine.processes(runner)
        vitals = await asyncio.to_thread(_read, found)
        return vitals if vitals.stopped else replace(vitals, slots=await engine.slots(found))

    def forget(self, key: str) -> None:
        """Nothing is asked of that runner any more."""
        self._found.pop(key, None)


def _read(found: Sequence[psutil.Process]) -> Vitals:
    used, stopped = 0.0, False
    for process in found:
        try:
            with process.oneshot():
                times = process.cpu_times()
                stopped |= process.status() == psutil.STATUS_STOPPED
        except UNSEEN:  # it has just gone: what it did not finish fails by itself
            return Vitals()
        used += times.user + times.system
    return Vitals(used, stopped, tuple(each.pid for each in found)) if found else Vitals()


async def idle(slots: AskSlots, processes: Sequence[psutil.Process]) -> bool:
    """Whether none of these does anything; `slots` asks their engine. In doubt they work. Takes a third of a second."""
    before = processor_seconds(processes)
    await asyncio.sleep(WATCH)
    if processor_seconds(processes) - before >= SHARE * WATCH:
        return False
    if (told := await slots(processes)) is not None:
        return not told.working  # the GPU may work for another
    gpu = await gpu_now()
    return gpu is None or gpu.share is None or gpu.share < GPU_RESTS
