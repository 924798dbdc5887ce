"""Carrying out one swap: who leaves has finished, is unloaded and gone; memory is read again; who comes is loaded,
tried and measured. A load that fails is tried once more where that can help.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from controller.clock import Clock
from controller.engines.engine import Engine, Loaded, LoadFailed, LoadFault
from controller.engines.runner import Runner
from controller.errors import Unreachable
from controller.events import Journal
from controller.plain import count_words, size_words, span_words
from controller.residency.pace import ResidentPace
from controller.residency.planner import Planner
from controller.residency.quarantine import Quarantine
from controller.residency.resident import NoRoom, Presence, Resident, Swap, Taken, TooBig
from controller.residency.rows import Rows
from controller.residency.seams import Space, Store
from controller.scheduling.effects import Demand
from controller.scheduling.ticket import End

SOURCE = "models"  # in the journal


@dataclass(slots=True, eq=False)
class Work:
    """A swap on its way, and for whom."""

    swap: Swap
    held: bool = False  # done even when nobody in the line wants it: somebody else does
    patient: bool = True  # answers in flight on who leaves may end first
    grace: float | None = None  # seconds for the process of who leaves; None: the usual
    freed: int = 0  # bytes of who has left before for what it loads
    hearers: list[Hearer] = field(default_factory=list)
    text: str = "Waiting for its turn."  # how far it is, for people
    _claims: list[asyncio.Lock] = field(default_factory=list)

    async def claim(self, lock: asyncio.Lock) -> None:
        """Hold this, too, until it is over."""
        if lock not in self._claims:
            await lock.acquire()
            self._claims.append(lock)

    def release(self) -> None:
        """It is over: others may have what it held."""
        while self._claims:
            self._claims.pop().release()

    def tell(self, text: str) -> None:
        """It is so far."""
        self.text = text
        for hearer in self.hearers:
            hearer.heard(text)

    def end(self, ending: Ending) -> None:
        """It is over. Whoever hears of it hears once."""
        hearers, self.hearers = self.hearers, []
        for hearer in hearers:
            hearer.ended(ending)

    def join(self, other: Work) -> None:
        """Whoever wanted `other` is content with this one."""
        self.held = self.held or other.held
        self.hearers += other.hearers
        self.tell(self.text)


class Hearer(Protocol):
    """Somebody who wants to know how a swap gets on."""

    def heard(self, text: str) -> None: ...

    def ended(self, ending: Ending) -> None: ...


@dataclass(frozen=True, slots=True)
class Ending:
    """How it ended. Neither loaded nor failed: it was given up, since nobody wanted it any more."""

    loaded: bool = False
    failed: End | None = None
    words: str = ""
    left: tuple[Resident, ...] = ()  # who was unloaded for it


@dataclass(slots=True, eq=False)
class Swapping:
    """Carries out swaps, one at a time: whoever calls sees to that."""

    rows: Rows
    planner: Planner
    engines: Mapping[str, Engine]
    demand: Demand
    space: Space
    store: Store
    clock: Clock
    journal: Journal
    pace: ResidentPace
    limit: Callable[[Runner], float]  # seconds that its load may take
    quarantine: Quarantine = field(init=False)
    _alone: dict[str, asyncio.Lock] = field(default_factory=dict)  # by engine
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.quarantine = Quarantine(self.pace.aside)

    def alone(self, engine: str) -> asyncio.Lock:
        """Held by a swap that concerns this engine, and by who asks it for its list."""
        return self._alone.setdefault(engine, asyncio.Lock())

    def engine(self, runner: Runner) -> Engine:
        """Whose it is."""
        return self.engines[runner.engine]

    def crashed(self, runner: Runner, words: str) -> None:
        """It died while it was in memory."""
        self.store.keep(runner.key, self.store.get(runner.key).crashed(words), runner.name)

    def poke(self) -> None:
        """Something it may be waiting for has changed."""
        self._news.set()

    def leavable(self) -> list[str]:
        """Who may be unloaded for another, best victim first: not at work, not wanted, longest unused."""
        rows = [row for row in self.rows.here() if not row.pinned]
        busy, wanted = self.demand.busy, self.demand.wanted
        rows.sort(key=lambda row: (busy(row.runner.key) > 0, wanted(row.runner.key), row.used))
        return [row.runner.key for row in rows]

    async def carry(self, work: Work) -> Ending:
        """Do it. Its rows are marked already (`Rows.begin`)."""
        try:
            for engine in self.concerned(work):
                await work.claim(self.alone(engine))
            return await self._carry(work)
        finally:
            work.release()

    def concerned(self, work: Work) -> set[str]:
        """The engines that load or unload something for it."""
        rows = [row for key in work.swap.evict if (row := self.rows.table.get(key))]
        return {each.engine for each in (work.swap.runner, *(row.runner for row in rows)) if each is not None}

    async def _carry(self, work: Work) -> Ending:
        runner, left = work.swap.runner, list[Resident]()
        if not await self._leave(work, work.swap.evict, left):
            return self._given_up(work, left)
        if runner is None:
            return Ending(left=tuple(left))
        self.rows.begin((), runner, self.planner.need(runner), self.clock.now())  # a reload: it has just been dropped
        ending = await self._make_room(work, runner, left) or await self._load(work, runner, left)
        if not ending.loaded and runner.key in self.rows.table:
            await self.clock.sleep(self.pace.forgets)
            self.rows.drop(runner.key)
        return ending

    # --- who leaves ---

    async def _leave(self, work: Work, keys: Sequence[str], left: list[Resident]) -> bool:
        """Unload these once they have finished. False when nobody wants the swap any more before that is so."""
        for key in keys:
            while work.patient and (busy := self.demand.busy(key)):
                if not self._still_wanted(work):
                    return False
                work.tell(f"Waiting for {count_words(busy, 'answer')} of {self._name(key)} to end.")
                self._news.clear()
                await self._news.wait()
        for key in keys:
            row = self.rows.table.get(key)
            if row is not None:
                await work.claim(self.alone(row.runner.engine))
                work.tell(f"Unloading {row.runner.name}.")
                await self.engine(row.runner).unload(row.runner, self.rows.let_go(key), work.grace)
                left.append(row)
                if not self._loads_next(work, row.runner.engine):  # else that is the proof that it is forgotten
                    await self.clock.sleep(self.pace.forgets)
                self.rows.drop(key)
        return True

    def _loads_next(self, work: Work, engine: str) -> bool:
        return work.swap.runner is not None and work.swap.runner.engine == engine

    def _still_wanted(self, work: Work) -> bool:
        runner = work.swap.runner
        return work.held or runner is None or self.demand.wanted(runner.key)

    def _given_up(self, work: Work, left: Sequence[Resident]) -> Ending:
        runner = work.swap.runner
        self.rows.stays(work.swap.evict)
        if runner is not None and runner.key not in work.swap.evict:
            self.rows.drop(runner.key)
        return Ending(words="Nobody wants it any more.", left=tuple(left))

    # --- who comes ---

    async def _make_room(self, work: Work, runner: Runner, left: list[Resident]) -> Ending | None:
        """Memory is read again, and who else is in the way leaves. None: there is room."""
        patient = self.clock.now() + (self.pace.back if left else 0.0)
        while True:
            await self.look()
            if not self._still_wanted(work):
                return self._given_up(work, left)
            if not self.space.may_swap:  # it was when this swap was decided
                words = "Memory is critical: nothing is loaded until that is over."
                return Ending(failed=End.NO_ROOM if work.held else None, words=words, left=tuple(left))
            plan = self.planner.plan(runner, self.leavable(), freed=work.freed + freed_by(left, runner))
            if isinstance(plan, TooBig):
                return Ending(failed=End.TOO_BIG, words=plan.text, left=tuple(left))
            if isinstance(plan, NoRoom) and self.clock.now() < patient:
                await self.clock.sleep(self.pace.look)  # the memory of what has just ended may not be back yet
                continue
            if isinstance(plan, NoRoom):
                return Ending(failed=End.NO_ROOM if work.held else None, words=plan.text, left=tuple(left))
            if not plan.evict:
                return None
            self.rows.begin(plan.evict, None, 0, self.clock.now())
            if not await self._leave(work, plan.evict, left):
                self.rows.stays(plan.evict)
                return self._given_up(work, left)
            patient = self.clock.now() + self.pace.back

    async def _load(self, work: Work, runner: Runner, left: list[Resident]) -> Ending:
        engine = self.engine(runner)
        alone = False  # everybody who may leave has left for it
        while True:
            try:
                work.tell(f"Loading {runner.name}.")
                self.rows.loads(runner.key, self.clock.now())
                loaded = await engine.load(runner, self.limit(runner))
            except Unreachable:
                await self.clock.sleep(
                    self.pace.lost
                )  # when the engine went, that ends this swap; else it was the load
                failed = LoadFailed(f"{engine.readiness.title} broke off the load", LoadFault.CRASH)
            except LoadFailed as problem:
                failed = problem
            else:
                await self._settle(work, runner, loaded)
                return Ending(loaded=True, left=tuple(left))
            await engine.end(runner, await engine.processes(runner))
            ending = await self._again(work, runner, failed, left, alone=alone)
            if ending is not None:
                return ending
            alone = alone or failed.fault is LoadFault.MEMORY

    async def _again(
        self, work: Work, runner: Runner, failed: LoadFailed, left: list[Resident], *, alone: bool
    ) -> Ending | None:
        """What a failed load means. None: it is worth another try, and what stood in its way has been removed."""
        learned = self.store.get(runner.key).crashed(str(failed))
        if failed.fault is LoadFault.MEMORY and not alone:
            learned = learned.takes(self.planner.did_not_fit(runner))
        self.store.keep(runner.key, learned, runner.name)
        words = f"{runner.name} could not be loaded: {failed}."
        self.journal.say(SOURCE, words, level="warning", fault=failed.fault.value)
        if failed.fault is LoadFault.MEMORY and not alone:
            evict = self.leavable()
            self.rows.begin(evict, runner, self.planner.need(runner), self.clock.now())
            return None if await self._leave(work, evict, left) else self._given_up(work, left)
        if failed.fault in (LoadFault.CRASH, LoadFault.LATE):
            until = self.quarantine.crashed(runner.key, self.clock.now())
            if until is None and failed.fault is LoadFault.CRASH:
                return None if self._still_wanted(work) else self._given_up(work, left)
            if until is None:
                return Ending(failed=End.LOAD_FAILED, words=words, left=tuple(left))
            return Ending(failed=End.QUARANTINED, words=self.aside_words(runner, until), left=tuple(left))
        as_ = {LoadFault.MEMORY: End.NO_ROOM, LoadFault.MISSING: End.UNKNOWN}.get(failed.fault, End.LOAD_FAILED)
        return Ending(failed=as_, words=words, left=tuple(left))

    def aside_words(self, runner: Runner, until: float) -> str:
        """Why a runner that keeps crashing is not loaded, and until when."""
        last = self.store.get(runner.key).last_error
        wait = span_words(max(60.0, until - self.clock.now()))
        return f"{runner.name} crashed twice while it was loaded, so it is left alone for {wait}. It said: {last}."

    async def _settle(self, work: Work, runner: Runner, loaded: Loaded) -> None:
        key = runner.key
        await self.look()
        now = self.clock.now()
        self.quarantine.loaded(key)
        self.planner.fitted(key)
        seen = max(loaded.size, self.space.footprint([each.pid for each in loaded.processes]))
        self.store.keep(key, self.store.get(key).loaded(loaded.seconds, seen or None), runner.name)
        if work.swap.caller:
            self.demand.charge(work.swap.caller, loaded.seconds, now)
        size = f", {size_words(seen)}" if seen else ""
        self.journal.say(
            SOURCE, f"Loaded {runner.name} in {loaded.seconds:.1f} s{size}.", why=work.swap.why, bytes=seen
        )
        slots = self.space.slots(runner.slots)
        taken = seen or self.planner.need(runner)
        self.rows.loaded(key, loaded.processes, taken, loaded.mapped, loaded.seconds, slots, now)

    async def look(self) -> None:
        """Read the memory anew. What a load has taken so far is no other program's either."""
        ours = dict[int, Taken]()
        for row in list(self.rows.table.values()):
            loading = row.presence is Presence.LOADING
            if loading and row.waits:
                continue
            seen = self.rows.processes(row.runner.key)
            held = await self.engine(row.runner).processes(row.runner) if loading else seen
            known = Taken(most=row.there) if loading else Taken(row.taken, row.mapped, row.there)
            ours |= {each.pid: known if each is held[0] else Taken() for each in held}
        await self.space.look(ours)
        self._grown()

    def _grown(self) -> None:
        """One that holds more than it was promised counts for what it holds, now and when it is loaded again."""
        for row in self.rows.here():
            held = self.space.footprint([each.pid for each in self.rows.processes(row.runner.key)])
            if held > row.promised:
                self.rows.grown(row.runner.key, held - row.promised)
                self.store.keep(row.runner.key, self.store.get(row.runner.key).takes(row.taken), row.runner.name)

    def _name(self, key: str) -> str:
        row = self.rows.table.get(key)
        return key if row is None else row.runner.name


def freed_by(left: Iterable[Resident], target: Runner) -> int:
    """Bytes that these held; all that it was promised for one that comes back itself, so that it may."""
    return sum(row.promised + 1 if row.runner == target else row.taken for row in left)


def as_seen(row: Resident) -> Runner:
    """Its runner, for which as much is needed as it took: it may have been loaded by an estimate."""
    return replace(row.runner, need=row.taken)
