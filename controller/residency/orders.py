"""What an operator may order about models: load, unload, switch, pin. Each order is a job that can be watched."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

from controller.clock import Clock
from controller.config.schema import Config
from controller.engines.runner import Runner
from controller.errors import OrderRefused, Unreachable
from controller.residency.resident import Fits, NoRoom, Swap, TooBig
from controller.residency.residents import Residents
from controller.residency.seams import NameTable
from controller.residency.swap import Ending, Work
from controller.scheduling.effects import Demand
from controller.scheduling.ticket import End

KEPT = 100  # jobs that are remembered
STAYS = 3.0  # load times a model stays at least (DESIGN: the longer of this and min_stay)

Kind = Literal["load", "unload", "switch", "pin"]
Waiting = Literal["keep", "redirect", "refuse"]
"""What becomes of those who wait for the model that leaves: they wait on, get the new one, or are told no."""
When = Literal["free", "now"]
"""free: answers that are being written may end first. now: they are cut."""


@dataclass(slots=True, eq=False)
class Job:
    """One order on its way. Times are seconds since the epoch."""

    id: str
    kind: Kind
    model: str
    started: float
    state: Literal["running", "done", "failed"] = "running"
    text: str = "Waiting for its turn."
    ended: float | None = None
    touched: int = 0  # requests that were waiting for, or running on, what leaves
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self, seconds: float) -> None:
        """Return when it has ended, after `seconds` at the latest."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()

    def end(self, state: Literal["done", "failed"], text: str, at: float) -> None:
        """It is over."""
        self.state, self.text, self.ended = state, text, at
        self._over.set()


@dataclass(slots=True, eq=False)
class _Watcher:
    """Writes into a job what its swap tells."""

    job: Job
    clock: Clock
    done: str  # what is said when it has worked
    after: Callable[[bool], None]  # whether it worked

    def heard(self, text: str) -> None:
        self.job.text = text

    def ended(self, ending: Ending) -> None:
        worked = ending.loaded or (ending.failed is None and not ending.words)  # there was nothing to load
        self.after(worked)
        self.job.end("done" if worked else "failed", self.done if worked else ending.words, self.clock.wall())


class Orders:
    """Every order raises OrderRefused when it cannot even be begun, and otherwise returns its job at once.

    `on_cut` is told the key of a runner whose answers are to be cut.
    """

    def __init__(
        self, residents: Residents, demand: Demand, names: NameTable, clock: Clock, settings: Callable[[], Config]
    ) -> None:
        self.on_cut: list[Callable[[str], None]] = []
        self._residents = residents
        self._demand = demand
        self._names = names
        self._clock = clock
        self._settings = settings
        self._jobs: dict[str, Job] = {}
        self._numbers = count(1)

    @property
    def jobs(self) -> Mapping[str, Job]:
        """The last orders, by id."""
        return self._jobs

    async def load(self, model: str) -> Job:
        """Load it, unloading others where that makes room. A load that is under way is joined."""
        runner = await self._runner(model)
        if self._residents.is_here(runner.key):
            return self._done("load", model, f"{runner.name} is loaded already.")
        self._room_for(runner)
        job = self._job("load", model)
        watcher = _Watcher(job, self._clock, f"{runner.name} is loaded.", lambda _: None)
        self._residents.order(Work(Swap(runner, (), "order"), held=True, hearers=[watcher]))
        return job

    async def unload(self, model: str, *, when: When = "free") -> Job:
        """Unload it, even if it is pinned. Whoever waits for it has it loaded again, but not at once; who comes when
        nobody waits has not to wait.
        """
        runner = await self._here(model)
        job = self._job("unload", model)
        job.touched = self._touched([runner.key])
        after = self._held_back([runner.key], only_from_waiting=True)
        watcher = _Watcher(job, self._clock, f"{runner.name} is unloaded.", after)
        self._leave(Work(Swap(None, (runner.key,), "order"), held=True, hearers=[watcher]), when)
        return job

    async def switch(
        self, model: str, *, from_: str | None = None, waiting: Waiting = "keep", when: When = "free"
    ) -> Job:
        """Have `model` instead of `from_`, or instead of whatever stands in its way."""
        to = await self._runner(model)
        leaving = [(await self._here(from_)).key] if from_ is not None else []
        if to.key in leaving:
            raise OrderRefused(f"{from_} and {model} are the same model.", "conflict")
        if self._residents.is_here(to.key):
            if not leaving:
                return self._done("switch", model, f"{to.name} is loaded already.")
        else:
            leaving += [key for key in self._room_for(to, leaving) if key not in leaving]
        job = self._job("switch", model)
        job.touched = self._touched(leaving)
        self._settle_waiting(leaving, to, waiting)
        watcher = _Watcher(job, self._clock, f"{to.name} is loaded.", self._held_back(leaving))
        self._leave(Work(Swap(to, tuple(leaving), "order"), held=True, hearers=[watcher]), when)
        return job

    async def pin(self, model: str, *, on: bool = True) -> Job:
        """Never evict it, or let it be evicted again, whatever models.yaml says; until the controller ends."""
        runner = await self._runner(model)
        self._residents.pin(runner, on)
        stays = "is loaded and stays" if self._residents.is_here(runner.key) else "stays once it is loaded"
        return self._done("pin", model, f"{runner.name} {stays if on else 'may be unloaded for others again'}.")

    # --- what they have in common ---

    async def _runner(self, model: str) -> Runner:
        try:
            runner = self._names.known(model) or await self._names.look_up(model)
        except Unreachable as problem:
            raise OrderRefused(str(problem), "busy") from problem
        if runner is None:
            raise OrderRefused(f"There is no model {model}.", "unknown")
        if away := self._residents.away(runner):
            raise OrderRefused(f"{away} is not there. Try again when it is.", "busy")
        return runner

    async def _here(self, model: str) -> Runner:
        runner = await self._runner(model)
        if not self._residents.is_here(runner.key):
            raise OrderRefused(f"{model} is not loaded.", "conflict")
        return runner

    def _room_for(self, runner: Runner, leaving: Iterable[str] = ()) -> tuple[str, ...]:
        """Who has to leave for it, `leaving` first. Raises OrderRefused when nobody's leaving would do."""
        if not self._residents.may_swap:
            raise OrderRefused("Memory is critical: nothing is loaded until that is over.", "no_room")
        first = list(leaving)
        if not first and self._residents.loading(runner.key):
            return ()  # whoever wanted that sees to the room, and the order joins
        rest = [key for key in self._residents.leavable() if key not in first]
        plan = self._residents.plan(runner, first + rest, first)
        short = not self._residents.may_load  # which may last for hours: nobody waits for its end
        if isinstance(plan, TooBig) or (isinstance(plan, NoRoom) and (plan.pinned or short)):
            raise OrderRefused(plan.text, "no_room")
        return plan.evict if isinstance(plan, Fits) else ()

    def _touched(self, keys: list[str]) -> int:
        """How many requests are affected."""
        waiting = sum(ticket.runner.key in keys for ticket in self._demand.waiting())
        running = sum(ticket.runner.key in keys for ticket in self._demand.running())
        return waiting + running

    def _leave(self, work: Work, when: When) -> None:
        """Order it. Now: before all that waits to be done, and nobody gets the slots of those that are cut for it."""
        self._residents.order(work, first=when == "now")
        if when == "now":
            for key in work.swap.evict:
                for cut in list(self.on_cut):
                    cut(key)

    def _settle_waiting(self, keys: list[str], to: Runner, waiting: Waiting) -> None:
        for key in keys:
            if waiting == "redirect":
                self._demand.redirect(key, to, self._clock.now())
            elif waiting == "refuse":
                words = f"The operator has switched to {to.name}. Ask that one, or try again later."
                for told in list(self._residents.on_failed):
                    told(key, End.SWITCHED, words)

    def _held_back(self, keys: list[str], *, only_from_waiting: bool = False) -> Callable[[bool], None]:
        """Until it is over nobody has these loaded again; nor for a while afterwards, if it worked (and somebody would
        have them back at once).
        """
        for key in keys:
            self._demand.keep_away(key, math.inf)

        def release(worked: bool) -> None:
            now = self._clock.now()
            for key in keys:
                stays = worked and not (only_from_waiting and not self._demand.wanted(key))
                self._demand.keep_away(key, now + self._stay() if stays else now)

        return release

    def _stay(self) -> float:
        slowest = max((row.load_seconds for row in self._residents.table.values()), default=0.0)
        return max(self._settings().server.line.min_stay, STAYS * slowest)

    def _job(self, kind: Kind, model: str) -> Job:
        job = Job(str(next(self._numbers)), kind, model, self._clock.wall())
        self._jobs[job.id] = job
        while len(self._jobs) > KEPT:
            del self._jobs[next(iter(self._jobs))]
        return job

    def _done(self, kind: Kind, model: str, text: str) -> Job:
        job = self._job(kind, model)
        job.end("done", text, self._clock.wall())
        return job
