"""What the processes of a runner are doing: processor time, whether one has been stopped, and what it says itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import psutil

from controller.engines.engine import SlotStates
from controller.engines.ollama.client import UNSEEN, Runners, runs
from controller.engines.runner import Runner


@dataclass(frozen=True, slots=True)
class Vitals:
    """Of one runner now."""

    processor: float | None = None  # seconds its processes have used so far; None: they cannot be seen
    stopped: bool = False  # by a signal
    pids: tuple[int, ...] = ()
    slots: SlotStates | None = None  # as it tells them itself; None: it does not


class Pulse:
    """Feels it. Processes are looked for once, and again when one of them has gone."""

    def __init__(self, runners: Runners) -> None:
        self._runners = runners
        self._found: dict[str, list[psutil.Process]] = {}  # by runner key

    async def of(self, runner: Runner) -> Vitals:
        """Takes some milliseconds, most of them in a thread."""
        found = self._found.get(runner.key)
        if not found or not all(runs(each) for each in found):
            found = self._found[runner.key] = await self._runners.holding(runner.blob, runner.name)
        vitals = await asyncio.to_thread(_read, found)
        return vitals if vitals.stopped else replace(vitals, slots=await self._runners.slots(found))

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
