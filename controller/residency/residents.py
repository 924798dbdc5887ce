"""The one owner of what is in memory. Everything that loads or unloads a model comes through here, one swap at a time:
what the line decides, an operator's orders, preloads, idle models, short memory, and a runner whose slot got lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import psutil

from controller.clock import Clock
from controller.config.schema import Config
from controller.engines.engine import Engine
from controller.engines.runner import Runner
from controller.events import Journal
from controller.plain import fault_words
from controller.residency.at_start import AtStart
from controller.residency.following import ENDED, Following
from controller.residency.pace import ResidentPace
from controller.residency.planner import Planner
from controller.residency.resident import Plan, Presence, Resident, Swap, Table
from controller.residency.rows import Rows
from controller.residency.seams import NameTable, Space, Store
from controller.residency.staying import Staying
from controller.residency.swap import SOURCE, Swapping, Work, as_seen
from controller.residency.vitals import idle
from controller.residency.works import Works
from controller.scheduling.effects import Demand
from controller.supervision.grandchildren import runs

SHORT = "a model is loaded only where more leaves for it than it takes"


@dataclass(slots=True)
class _Source:
    """One engine, as it is for the residents."""

    engine: Engine
    following: Following
    ready: bool = False  # it answers
    unlearnt: bool = False  # it was adopted, and has not told yet what it holds …
    learning: asyncio.Task[None] | None = None  # … and is being asked


class Residents:
    """What is done about `rows`, which nobody else changes.

    `on_change` is told after every change of the table and of what memory allows; `on_failed` when whoever waits for a
    runner waits in vain: its key, why, and the words for a person.
    """

    def __init__(
        self,
        rows: Rows,
        planner: Planner,
        engines: Mapping[str, Engine],
        demand: Demand,
        names: NameTable,
        space: Space,
        store: Store,
        clock: Clock,
        journal: Journal,
        settings: Callable[[], Config],
        pace: ResidentPace | None = None,
    ) -> None:
        self._pace = pace = pace or ResidentPace()
        self._demand, self._names, self._space, self._store = demand, names, space, store
        self._clock, self._journal, self._settings = clock, journal, settings
        self._rows, self._planner = rows, planner
        self._swaps = swaps = Swapping(
            rows, planner, engines, demand, space, store, clock, journal, pace, self._load_timeout
        )
        self._staying = Staying(swaps, names, settings)
        self._works = Works(swaps, self._staying.comes_back, self._settled)
        self._sources = {
            name: _Source(engine, Following(engine, rows, names, swaps, clock, journal, pace))
            for name, engine in engines.items()
        }
        self.on_change = rows.on_change
        self.on_failed, self.on_swap = self._works.on_failed, self._works.on_swap
        self._at_start = AtStart(self._works, names, settings)
        self._allowed = (True, True)
        self._blind = False  # which the journal was told

    # --- what the line asks ---

    @property
    def table(self) -> Table:
        """What is in memory, on its way there or away, by runner key."""
        return self._rows.table

    @property
    def may_load(self) -> bool:
        """Whether the memory lets anything more be loaded."""
        return self._space.may_load

    @property
    def may_swap(self) -> bool:
        """Whether the memory lets anything be loaded for which more leaves than it takes."""
        return self._space.may_swap

    @property
    def may_grant(self) -> bool:
        """Whether the memory lets anything be begun."""
        return self._space.may_grant

    def plan(self, target: Runner, candidates: Sequence[str], ordered: Collection[str] = ()) -> Plan:
        """Whether there is room for `target`, and who has to leave for it; those `ordered` to, even if pinned."""
        there = [key for key in candidates if key in self.table and self._works.there(self.table[key].runner)]
        return self._planner.plan(target, there, ordered)

    def begin(self, swap: Swap) -> None:
        """Do what the line has decided: its rows are marked when this returns.

        Nothing happens while something else is under way: the line decides again once that is told to have ended.
        """
        if not self._works.busy and self._swaps.concerned(work := Work(swap)) <= self._works.open:
            self._works.add(work)

    def freed(self, key: str) -> None:
        """Nobody uses this runner any more."""
        row = self._rows.used(key, self._clock.now())
        if row is not None and row.presence is Presence.RESIDENT and self._staying.leaves_at_once(row.runner):
            self._staying.idle(self._works)
        self._swaps.poke()

    def stay(self, key: str) -> None:
        """Until it leaves memory for something else, this runner does not leave for being idle."""
        self._rows.stay(key)

    def quarantined(self, key: str) -> float | None:
        """Until when a runner is set aside because loading it kept crashing; None: it is not."""
        return self._swaps.quarantine.until(key, self._clock.now())

    @property
    def moving(self) -> bool:
        """Whether something is being loaded or unloaded, or about to be."""
        return any(row.presence is not Presence.RESIDENT for row in self.table.values())

    @property
    def empty(self) -> bool:
        """Whether nothing is there that could answer."""
        return not any(self._rows.here())

    def alone(self, engine: str) -> asyncio.Lock:
        """Whoever holds it may ask this engine for what is in memory: it loads and unloads nothing meanwhile."""
        return self._swaps.alone(engine)

    async def lives(self, key: str) -> bool:
        """Whether it is resident and, as far as can be seen, its process is there."""
        held = await self.processes(key)
        return self.is_here(key) and (not held or any(runs(each) for each in held))

    async def processes(self, key: str) -> Sequence[psutil.Process]:
        """Those that hold this runner; none where they cannot be seen."""
        row = self.table.get(key)
        if row is None:
            return []
        return self._rows.processes(key) or await self._swaps.engine(row.runner).processes(row.runner)

    def _load_timeout(self, runner: Runner) -> float:
        return self._staying.wishes(runner).load or self._settings().models.load_timeout

    def _settled(self, loaded: Runner | None) -> None:
        self._names.weigh()
        self._staying.judge()
        if loaded is not None:
            self._staying.tell_surprise(loaded)

    # --- what an operator orders (`orders.py`) ---

    def away(self, runner: Runner) -> str:
        """The engine that does not answer, and so neither loads nor unloads this; empty when it does."""
        source = self._sources[runner.engine]
        return "" if source.ready else source.engine.readiness.title

    def is_here(self, key: str) -> bool:
        """Whether it is resident, and not about to leave."""
        return self._rows.is_here(key)

    def loading(self, key: str) -> bool:
        """Whether it is on its way into memory."""
        row = self.table.get(key)
        return row is not None and row.presence is Presence.LOADING

    def leavable(self) -> list[str]:
        """Who may be unloaded for another, best victim first."""
        return self._swaps.leavable()

    def order(self, work: Work, *, first: bool = False) -> None:
        """Done after what is under way, whether the line wants it or not; joined to a load that is the same.

        `first`: also before all that waits to be done, and nothing more goes to who leaves for it.
        """
        self._works.add(work, first=first)

    def pin(self, runner: Runner, on: bool) -> None:
        """It is never evicted, or may be again, whatever models.yaml says."""
        self._staying.pin(runner, on)
        self._staying.judge()
        self._rows.tell()

    # --- slots in doubt, runners in trouble ---

    def left(self, key: str) -> None:
        """A client hung up in the middle of an answer: its engine may have lost the slot."""
        self._rows.doubt(key, self._clock.now())

    def unproven(self, key: str) -> bool:
        """Whether the next answer of this runner has to be watched."""
        row = self.table.get(key)
        return row is not None and row.unproven

    def proven(self, key: str, granted: float) -> None:
        """An answer that was let through at `granted` has brought a byte: one from before the doubt proves nothing."""
        self._rows.proven(key, granted)

    async def suspect(self, key: str) -> bool:
        """A grant on an unproven slot has brought nothing: when its runner does nothing either, it is loaded anew.

        True: it is, or it is not there any more, and the request has to return to the line. A runner that works is left
        alone.
        """
        row = self.table.get(key)
        if row is None or row.presence is not Presence.RESIDENT:
            return True
        if not row.unproven or not await self._rests(row.runner):
            return False
        if self.table.get(key) is row and row.presence is Presence.RESIDENT:
            self._journal.say(SOURCE, f"{row.runner.name} lost a slot, so it is loaded anew.", level="warning")
            swap = Swap(as_seen(row), (key,), "reload")
            self._works.add(Work(swap, held=True, patient=False, grace=self._pace.suspected), first=True)
        return True

    async def _rests(self, runner: Runner) -> bool:
        try:
            held = await self.processes(runner.key)
            return bool(held) and await idle(self._swaps.engine(runner).slots, held)
        except OSError:  # which nobody can see now
            return False

    async def kill(self, key: str, why: str) -> None:
        """End a runner that does not get on. The line has it loaded again when somebody wants it.

        Nothing more is given to it while it dies: its engine would hand it over, and a request may fail only once.
        """
        row = self.table.get(key)
        if row is None:
            return
        self._journal.say(SOURCE, f"{row.runner.name} was ended: {why}.", level="warning")
        self._store.keep(key, self._store.get(key).ended(why), row.runner.name)
        processes = await self.processes(key)
        self._rows.let_go(key)
        self._rows.begin((key,), None, 0, self._clock.now())
        await self._swaps.engine(row.runner).end(row.runner, processes)
        self._gone(row)

    def died(self, key: str, request: str = "") -> None:
        """The runner failed under a request; `request` tells which, without its words."""
        row = self.table.get(key)
        if row is None or row.presence is not Presence.RESIDENT:
            return
        if any(runs(each) for each in self._rows.processes(key)):
            self._rows.doubt(
                key, self._clock.now()
            )  # one answer failed; the process is there, and has yet to prove itself
            return
        self._swaps.crashed(row.runner, ENDED)
        self._ended(row, request)

    def _ended(self, row: Resident, request: str = "") -> None:
        text = f"{row.runner.name} is not in memory any more: {ENDED}."
        self._journal.say(SOURCE, text, level="warning", **({"request": request} if request else {}))
        self._gone(row)

    def _gone(self, row: Resident) -> None:
        self._rows.let_go(row.runner.key)
        if self.table.get(row.runner.key) is row and row.presence is not Presence.LOADING:
            self._rows.drop(row.runner.key)
        self._swaps.poke()

    # --- engines come and go ---

    def upstream(self, engine: str, *, ready: bool, adopted: bool, same: bool) -> None:
        """It answers, or does not. A new process has nothing loaded; one that was adopted tells what it has."""
        source = self._sources[engine]
        if not same:
            if source.learning is not None:
                source.learning.cancel()
                source.learning = None
            self._works.forget(engine)
            source.following.forget()
            self._rows.drop(*(key for key, row in self.table.items() if row.runner.engine == engine))
            source.unlearnt = ready and adopted
            self._at_start.forget(engine)
        source.ready = ready
        self._open(source)

    def load_at_start(self, engine: str) -> None:
        """It has begun and has all its aliases: what was there before comes back, and what is preloaded comes."""
        self._at_start.begun(engine)

    def remember(self, engine: str) -> None:
        """It is about to be restarted: what is in memory now comes back as soon as it is there again."""
        self._at_start.remember(engine)

    def _open(self, source: _Source) -> None:
        """Let its swaps begin, once it answers and it is known what it holds."""
        tasks, name = self._works.tasks, source.engine.name
        learning = source.learning is not None and not source.learning.done()
        if source.ready and source.unlearnt and not learning and tasks is not None:
            learning, source.learning = True, tasks.create_task(self._adopt(source), name=f"adopt {name}")
        if source.ready and not source.unlearnt and not learning:
            self._works.open.add(name)
        else:
            self._works.open.discard(name)
        self._works.next()
        self._rows.tell()

    async def _adopt(self, source: _Source) -> None:
        await self._seen(source.following.learn())
        source.unlearnt, source.learning = False, None
        self._staying.judge()
        self._open(source)

    # --- every second ---

    async def run(self) -> None:
        """Until it is cancelled: then what is loaded stays loaded."""
        async with asyncio.TaskGroup() as tasks:
            self._works.tasks = tasks
            try:
                tasks.create_task(self._poll(), name="poll")
                for source in self._sources.values():
                    self._open(source)
                while True:
                    await self._seen(self._tick())
                    await self._clock.sleep(self._pace.tick)
            finally:
                self._works.tasks = None

    async def _tick(self) -> None:
        await self._swaps.look()
        for row in list(self._rows.here()):
            processes = self._rows.processes(row.runner.key)
            if processes and not any(runs(each) for each in processes):
                self._sources[row.runner.engine].following.ended(row.runner)
                self._ended(row)
        critical = self._space.judge(self._clock.now())
        self._staying.judge()
        if critical:
            self._staying.make_way(self._works)
        self._staying.idle(self._works)
        if self.may_load and not self._works.busy and not self._somebody_waits():
            await self._at_start.load()
        self._swaps.poke()  # whatever it waits for: nothing is ever waited for in vain
        self._tell_memory()
        if self._somebody_waits() and not self._works.busy:
            self._rows.tell()  # there may be room now, for other programs come and go

    async def _poll(self) -> None:
        while True:
            await self._clock.sleep(self._pace.poll)
            done = self._works.done
            quiet = lambda: not self._works.busy and self._works.done == done  # noqa: E731, B023
            for source in self._sources.values():
                if not self._works.busy and source.engine.name in self._works.open:
                    await self._seen(self._compare(source.following, quiet))

    async def _compare(self, following: Following, quiet: Callable[[], bool]) -> None:
        for row in await following.compare(quiet):
            self._staying.nameless(self._works, row.runner)

    async def _seen(self, look: Awaitable[None]) -> None:
        """Look at something, or go without where the machine has no descriptors left: the next look comes soon."""
        try:
            await look
        except OSError as problem:
            if not self._blind:
                self._blind = True
                self._journal.say(SOURCE, f"Nothing can be looked at now: {fault_words(problem)}.", level="warning")
        else:
            self._blind = False

    def _tell_memory(self) -> None:
        allowed = (self.may_load, self.may_grant)
        if allowed == self._allowed:
            return
        self._allowed = allowed
        words = "Memory is fine again." if self.may_load else f"Memory is short: {SHORT}."
        if not self.may_grant:
            words = "Memory is critical: nothing new is begun, and what is not needed is unloaded."
        self._journal.say(SOURCE, words, level="info" if self.may_load else "warning")
        self._rows.tell()

    def _somebody_waits(self) -> bool:
        return any(ticket.runner.key not in self.table for ticket in self._demand.waiting())
