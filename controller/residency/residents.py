"""The one owner of what is in memory. Everything that loads or unloads a model comes through here, one swap at a time:
what the line decides, an operator's orders, preloads, idle models, short memory, and a runner whose slot got lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence

import psutil

from controller.clock import Clock
from controller.config.schema import Config
from controller.engines.ollama.client import OllamaClient, Runners, runs
from controller.engines.ollama.following import ENDED, Following
from controller.engines.ollama.loading import Loading, Pace
from controller.engines.runner import Runner
from controller.errors import Unreachable
from controller.events import Journal
from controller.plain import fault_words
from controller.residency.planner import Planner
from controller.residency.resident import Cause, Fits, Plan, Presence, Resident, Swap, Table
from controller.residency.rows import Rows
from controller.residency.seams import Demand, Names, Space, Store
from controller.residency.staying import Staying
from controller.residency.swap import SOURCE, Swaps, Work, as_seen
from controller.residency.wishes import preloads
from controller.residency.works import Works

SHORT = "a model is loaded only where more leaves for it than it takes"


class Residents:
    """What is done about `rows`, which nobody else changes.

    `on_change` is told after every change of the table and of what memory allows; `on_failed` when whoever waits for a
    runner waits in vain: its key, why, and the words for a person.
    """

    def __init__(
        self,
        rows: Rows,
        planner: Planner,
        ollama: OllamaClient,
        runners: Runners,
        demand: Demand,
        names: Names,
        space: Space,
        store: Store,
        clock: Clock,
        journal: Journal,
        settings: Callable[[], Config],
        pace: Pace | None = None,
    ) -> None:
        self._pace = pace = pace or Pace()
        self._demand, self._names, self._space, self._store = demand, names, space, store
        self._clock, self._journal, self._settings = clock, journal, settings
        self._rows, self._planner = rows, planner
        self._loading = Loading(ollama, runners, clock, self._load_timeout, pace)
        self._swaps = Swaps(rows, planner, self._loading, demand, space, store, clock, journal, pace)
        self._staying = Staying(self._swaps, names, settings)
        self._works = Works(self._swaps, self._staying.comes_back, self._settled)
        self._following = Following(rows, ollama, names, self._loading, self._swaps, clock, journal, pace)
        self.on_change = rows.on_change
        self.on_failed, self.on_swap = self._works.on_failed, self._works.on_swap
        self._later: list[tuple[str, Cause]] = []  # names to load when nobody waits, and why
        self._remembered: list[str] = []
        self._ready = False  # Ollama answers
        self._unlearnt = False  # an adopted Ollama has not told yet what it holds …
        self._learning: asyncio.Task[None] | None = None  # … and is being asked
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
        return self._planner.plan(target, candidates, ordered)

    def begin(self, swap: Swap) -> None:
        """Do what the line has decided: its rows are marked when this returns.

        Nothing happens while something else is under way: the line decides again once that is told to have ended.
        """
        if not self._works.busy:
            self._works.add(Work(swap))

    def freed(self, key: str) -> None:
        """Nobody uses this runner any more."""
        row = self.table.get(key)
        if row is not None:
            self._rows.used(key, self._clock.now())
            if row.presence is Presence.RESIDENT and self._staying.leaves_at_once(row.runner):
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

    @property
    def alone(self) -> asyncio.Lock:
        """Whoever holds it may ask Ollama for what is in memory: nothing is loaded or unloaded meanwhile."""
        return self._swaps.alone

    async def lives(self, key: str) -> bool:
        """Whether it is resident and, as far as can be seen, its process is there."""
        held = await self.processes(key)
        return self.is_here(key) and (not held or any(runs(each) for each in held))

    async def processes(self, key: str) -> Sequence[psutil.Process]:
        """Those that hold this runner; none where they cannot be seen."""
        row = self.table.get(key)
        if row is None:
            return []
        return self._rows.processes(key) or await self._loading.processes(row.runner)

    def _load_timeout(self, runner: Runner) -> float:
        return self._staying.wishes(runner).load or self._settings().models.load_timeout

    def _settled(self, loaded: Runner | None) -> None:
        self._names.weigh()
        self._staying.judge()
        if loaded is not None:
            self._staying.tell_surprise(loaded)

    # --- what an operator orders (`orders.py`) ---

    @property
    def ready(self) -> bool:
        """Whether Ollama answers."""
        return self._ready

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
        """A client hung up in the middle of an answer: Ollama may have lost the slot."""
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
        if not row.unproven or not await self._rests(key):
            return False
        if self.table.get(key) is row and row.presence is Presence.RESIDENT:
            self._journal.say(SOURCE, f"{row.runner.name} lost a slot, so it is loaded anew.", level="warning")
            swap = Swap(as_seen(row), (key,), "reload")
            self._works.add(Work(swap, held=True, patient=False, grace=self._pace.suspected), first=True)
        return True

    async def _rests(self, key: str) -> bool:
        try:
            return await self._loading.idle(await self.processes(key))
        except OSError:  # which nobody can see now
            return False

    async def kill(self, key: str, why: str) -> None:
        """End a runner that does not get on. The line has it loaded again when somebody wants it.

        Nothing more is given to it while it dies: Ollama would hand it over, and a request may fail only once.
        """
        row = self.table.get(key)
        if row is None:
            return
        self._journal.say(SOURCE, f"{row.runner.name} was ended: {why}.", level="warning")
        self._store.keep(key, self._store.get(key).ended(why), row.runner.name)
        processes = await self.processes(key)
        self._rows.let_go(key)
        self._rows.begin((key,), None, 0, self._clock.now())
        await self._loading.end(processes)
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

    # --- Ollama comes and goes ---

    def upstream(self, *, ready: bool, adopted: bool, same: bool) -> None:
        """Ollama answers, or does not. A new process has nothing loaded; one that was adopted tells what it has."""
        if not same:
            if self._learning is not None:
                self._learning.cancel()
                self._learning = None
            self._works.forget()
            self._following.forget()
            self._rows.drop(*self.table)
            self._unlearnt = ready and adopted
            self._later = []
        self._ready = ready
        self._open()

    def load_at_start(self) -> None:
        """Ollama has begun and has all its aliases: what was there before comes back, and what is preloaded comes."""
        self._later = [(name, "return") for name in self._remembered]
        self._later += [(name, "preload") for name in preloads(self._settings().models)]
        self._remembered = []

    def remember(self) -> None:
        """Ollama is about to be restarted: what is in memory now comes back as soon as it is there again."""
        rows = sorted(self.table.values(), key=lambda row: row.used, reverse=True)
        self._remembered = [row.runner.name for row in rows if row.presence is not Presence.LEAVING]

    def _open(self) -> None:
        """Let swaps begin, once Ollama answers and it is known what it holds."""
        tasks, learning = self._works.tasks, self._learning is not None and not self._learning.done()
        if self._ready and self._unlearnt and not learning and tasks is not None:
            learning, self._learning = True, tasks.create_task(self._adopt(), name="adopt")
        self._works.open = self._ready and not self._unlearnt and not learning
        self._works.next()
        self._rows.tell()

    async def _adopt(self) -> None:
        await self._seen(self._following.learn())
        self._unlearnt, self._learning = False, None
        self._staying.judge()
        self._open()

    # --- every second ---

    async def run(self) -> None:
        """Until it is cancelled: then what is loaded stays loaded."""
        async with asyncio.TaskGroup() as tasks:
            self._works.tasks = tasks
            try:
                tasks.create_task(self._poll(), name="poll")
                self._open()
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
                self._following.ended(row.runner)
                self._ended(row)
        critical = self._space.judge(self._clock.now())
        self._staying.judge()
        if critical:
            self._staying.make_way(self._works)
        self._staying.idle(self._works)
        await self._load_later()
        self._swaps.poke()  # whatever it waits for: nothing is ever waited for in vain
        self._tell_memory()
        if self._somebody_waits() and not self._works.busy:
            self._rows.tell()  # there may be room now, for other programs come and go

    async def _poll(self) -> None:
        while True:
            await self._clock.sleep(self._pace.poll)
            done = self._works.done
            if not self._works.busy:
                quiet = lambda: not self._works.busy and self._works.done == done  # noqa: E731, B023
                await self._seen(self._compare(quiet))

    async def _compare(self, quiet: Callable[[], bool]) -> None:
        for row in await self._following.compare(quiet):
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

    async def _load_later(self) -> None:
        """What was there before a restart, and what is to be loaded at start: never at the cost of anything else."""
        if not self._later or not self.may_load or self._works.busy or self._somebody_waits():
            return
        name, why = self._later[0]
        try:
            runner = self._names.known(name) or await self._names.look_up(name)
        except Unreachable:
            return
        if (name, why) not in self._later or self._works.busy:
            return
        self._later.remove((name, why))
        plan = None if runner is None else self.plan(runner, ())
        if runner is not None and isinstance(plan, Fits) and not plan.evict:
            if runner.key not in self.table:
                self._works.add(Work(Swap(runner, (), why), held=True))
            return
        words = "there is no such model" if runner is None else "there is no room for it now"
        self._journal.say(SOURCE, f"{name} was not loaded at the start of Ollama: {words}.", level="warning")

    def _somebody_waits(self) -> bool:
        return any(ticket.runner.key not in self.table for ticket in self._demand.waiting())
