"""The loop that keeps one child running: carries out what its lifecycle decides, and reports back what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

from controller.clock import Clock, Sleeps
from controller.errors import SpawnFailed, SpawnFault, Unreachable
from controller.events import Journal
from controller.supervision import child as hands
from controller.supervision import moves, tree
from controller.supervision.backoff import Pace
from controller.supervision.identity import ProcessIdentity
from controller.supervision.lifecycle import Lifecycle
from controller.supervision.programs import (
    Attach,
    EndedRun,
    Launch,
    Note,
    Plan,
    Program,
    Runs,
    carried,
    crash,
    way_back,
)
from controller.supervision.spec import ChildSpec, ChildState, ChildStatus


class KeptChild(Protocol):
    """What a supervisor needs of a started child; `child.Child` is the real one."""

    pid: int
    keeper_pid: int
    age: float
    adopted: bool
    identity: str
    note: dict[str, object]
    dropped: int

    async def wait(self) -> hands.Exit: ...

    async def stop(self, grace: float | None = None) -> hands.Exit: ...

    async def tail(self, size: int = 65536) -> bytes: ...

    def descendants(self) -> list[ProcessIdentity]: ...

    async def annotate(self, **note: object) -> None: ...

    async def lease(self, adopt_grace: float) -> None: ...

    async def release(self) -> None: ...


class Starts(Protocol):
    """`child.launch`."""

    def __call__(
        self, spec: ChildSpec, home: Path, /, *, note: Mapping[str, object], adopt_grace: float
    ) -> Awaitable[KeptChild]: ...


WHOLE_TAIL = 256 * 1024  # bytes: as much as a keeper keeps

Adopts = Callable[[str, Path], Awaitable[KeptChild | None]]

_FAILURES: Mapping[SpawnFault, Literal["fault", "exhausted", "held", "other"]] = {
    "missing": "exhausted",  # it was there a moment ago, when it was looked for: the next look will tell
    "not_executable": "fault",
    "wrong_kind": "fault",
    "exhausted": "exhausted",
    "away": "exhausted",
    "held": "held",
    "other": "other",
}


class Supervisor:
    """Keeps one child running. `run` is the loop; the orders may be given while it runs."""

    def __init__(
        self,
        program: Program,
        *,
        home: Path,
        clock: Clock,
        journal: Journal,
        adopt_grace: Callable[[], float],
        pace: Pace | None = None,
        launch: Starts = hands.launch,
        adopt: Adopts = hands.adopt,
    ) -> None:
        self.on_change: list[Callable[[ChildStatus], None]] = []
        self._program = program
        self._home = home
        self._clock = clock
        self._journal = journal
        self._adopt_grace = adopt_grace
        self._pace = pace or Pace()
        self._launch = launch
        self._adopt = adopt
        self._life = Lifecycle(program.limits, self._pace, luck=random.random, name=program.name)
        self._inbox: asyncio.Queue[tuple[moves.Event, asyncio.Future[None] | None]] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._jobs: dict[str, asyncio.Task[None]] = {}  # at most one of each kind is under way
        self._plan: Plan | None = None
        self._child: KeptChild | None = None
        self._note: Note = {}
        self._generation = 0
        self._restarts = -1  # the first start is none
        self._seen = clock.now()
        self._sleeps = Sleeps(clock)
        self._born = clock.now()
        self._since = clock.wall()
        self._memory: int | None = None
        self._leased: float | None = None  # the adopt_grace that the keeper knows of
        self._facts: dict[str, object] = {}
        self._told: tuple[object, ...] = ()
        self._post(moves.Begin())  # before any order

    # --- for the roof ---

    @property
    def status(self) -> ChildStatus:
        """How the child is doing now."""
        life, child, now = self._life, self._child, self._clock.now()
        retries = life.state not in (ChildState.MISCONFIGURED, ChildState.WAITING)  # these are looked at all the time
        return ChildStatus(
            name=self._program.name,
            state=life.state,
            reason=life.reason,
            since=self._since,
            pid=child.pid if child else None,
            keeper_pid=child.keeper_pid if child else None,
            url=self._program.url(self._note) if child or life.remote else None,
            restarts=max(0, self._restarts),
            retry_in=max(0.0, life.retry_at - now) if life.retry_at is not None and retries else None,
            memory=self._memory if child else None,
            adopted=child.adopted if child else False,
            facts={**self._facts, "log_bytes_dropped": child.dropped} if child else dict(self._facts),
        )

    @property
    def note(self) -> Note:
        """What is known of its run now, or of its last."""
        return self._note

    async def run(self) -> None:
        """For ever. Cancelled, it lets go of the child without stopping it."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self._tasks.create_task(self._metronome())
                self._tasks.create_task(self._weigh())
                while True:
                    event, done = await self._inbox.get()
                    self._take(event)
                    if done is not None and not done.done():
                        done.set_result(None)
        finally:
            if self._child is not None:
                await self._child.release()

    async def start(self) -> None:
        """Start it now, whatever its backoff says. Returns when it is ready or has failed."""
        await self._order(moves.Start())
        await self._until(lambda: self._life.settled)

    async def stop(self) -> None:
        """Stop it and keep it stopped. Returns when it is gone."""
        await self._order(moves.Stop())
        await self._until(lambda: self._life.state is ChildState.STOPPED)

    async def restart(self) -> None:
        """Stop it, start it. Returns when it is ready or has failed."""
        await self._order(moves.Restart("It was told to restart."))
        await self._until(lambda: self._life.settled)

    async def reconfigure(self, program: Program) -> None:
        """Take a new recipe over: live if it would start the very same process, else by a restart.

        Returns when it is ready or has failed; one that is stopped stays so.
        """
        self._program = program
        if await self._same(program):
            return await self._order(moves.Tuned(program.limits))
        await self._order(moves.Tuned(program.limits))
        await self._order(moves.Changed("Its configuration has changed."))
        await self._until(lambda: self._life.settled)

    async def _same(self, program: Program) -> bool:
        """Whether what runs, is being started or is being waited with is what `program` would start."""
        if self._child is not None:
            return _would_start(program, self._note, self._child.identity)
        match self._plan:
            case Launch(spec, note):
                return _would_start(program, note, spec.identity)
            case Attach(note):
                return await self._attaches(program, note)
            case None:
                return True  # nothing has been looked at yet: the first look will be `program`'s
            case _:
                return False

    async def _attaches(self, program: Program, note: Note) -> bool:
        try:
            plan = await program.plan()
        except OSError:
            return False  # the look that follows a change will tell
        return isinstance(plan, Attach) and plan.note == note

    async def _order(self, event: moves.Event) -> None:
        done = asyncio.get_running_loop().create_future()
        self._inbox.put_nowait((event, done))
        await done

    async def _until(self, settled: Callable[[], bool]) -> None:
        while not settled():
            await self._changed.wait()

    # --- events in, effects out ---

    def _post(self, event: moves.Event) -> None:
        self._inbox.put_nowait((event, None))

    def _take(self, event: moves.Event) -> None:
        now = self._clock.now()
        gap, self._seen = now - self._seen, now  # the metronome posts every second
        slept = self._sleeps.since()
        if max(gap, slept) > self._pace.gap:
            self._feed(moves.Resumed(gap, slept), now)
            if isinstance(event, moves.Silent | moves.Waiting):
                return self._publish()  # asked before the sleep: it has just been asked afresh
        if isinstance(event, moves.Exited):
            self._child = None
            self._cancel("probe", "network")
        self._feed(event, now)
        self._publish()
        self._changed.set()  # everyone who waits looks again …
        self._changed.clear()  # … and waits on if it was not for them

    def _feed(self, event: moves.Event, now: float) -> None:
        for effect in self._life.on(event, now):
            self._carry_out(effect)

    def _carry_out(self, effect: moves.Effect) -> None:
        match effect:
            case moves.Tell(level, text):
                self._journal.say(self._program.name, text, level=level)
            case moves.Wake(at):
                self._job("wake", self._wake(at))
            case moves.Adopt():
                self._job("start", self._or_failed(self._take_over()))
            case moves.Look():
                self._job("start", self._or_failed(self._look()))
            case moves.Spawn():
                self._job("start", self._or_failed(self._spawn()))
            case moves.Probe():
                self._job("probe", self._ask())
            case moves.Terminate(grace):
                self._cancel("probe", "network")
                self._job("end", self._end(grace))
            case moves.LetGo():
                self._cancel("probe", "network")
            case moves.AskNetwork():
                self._job("network", self._ask_network())

    def _job(self, kind: str, work: Coroutine[None, None, None]) -> None:
        self._cancel(kind)
        self._jobs[kind] = self._tasks.create_task(work)

    def _cancel(self, *kinds: str) -> None:
        for kind in kinds:
            if (job := self._jobs.pop(kind, None)) is not None and job is not asyncio.current_task():
                job.cancel()

    # --- what effects come to ---

    async def _wake(self, at: float) -> None:
        await self._clock.sleep(max(0.0, at - self._clock.now()))
        self._post(moves.Tick())

    async def _or_failed(self, work: Coroutine[None, None, None]) -> None:
        """Any step to a running child. What the system refuses meanwhile is told and tried again; it ends no loop."""
        try:
            await work
        except SpawnFailed as problem:
            self._post(moves.StartFailed(str(problem), _FAILURES[problem.kind]))
        except OSError as problem:
            self._post(moves.StartFailed(f"It cannot be started just now: {problem}. It is tried again.", "exhausted"))

    async def _take_over(self) -> None:
        child = await self._adopt(self._program.name, self._home)
        if child is None:
            return self._post(moves.NothingToAdopt())
        self._note = child.note
        self._generation, self._restarts = _count(child.note, "generation"), _count(child.note, "restarts")
        self._hold(child)
        stale = not _would_start(self._program, child.note, child.identity)
        self._post(moves.Spawned(adopted=True, stale=stale, age=child.age))

    async def _look(self) -> None:
        program = self._program
        plan = await program.plan()
        while program is not self._program:  # a new recipe came meanwhile: it counts
            program = self._program
            plan = await program.plan()
        self._plan = plan
        if isinstance(plan, moves.Obstacle):
            return self._post(moves.Looked(plan))
        if isinstance(plan, Attach):
            return self._post(moves.Looked(None, remote=True))
        self._post(moves.Looked(None, evidence=plan.evidence, back=way_back(carried(self._note, plan.note), plan.back)))

    async def _spawn(self) -> None:
        plan = self._plan
        if isinstance(plan, Attach):
            self._generation += 1
            self._note = {**plan.note, "generation": self._generation}
            return self._post(moves.Spawned(remote=True))
        assert isinstance(plan, Launch), "a start follows a look that found nothing in its way"
        counts = {"generation": self._generation + 1, "restarts": self._restarts + 1}
        note = {**plan.note, **carried(self._note, plan.note), **counts}
        child = await self._launch(plan.spec, self._home, note=note, adopt_grace=self._adopt_grace())
        self._note = note
        self._generation, self._restarts = self._generation + 1, self._restarts + 1
        self._hold(child)
        self._post(moves.Spawned())

    def _hold(self, child: KeptChild) -> None:
        self._child = child
        self._born = self._clock.now() - child.age
        self._facts = {name: fact for name, fact in self._facts.items() if name == "last_exit"}
        self._memory = None
        self._leased = None
        self._tasks.create_task(self._watch(child))

    async def _watch(self, child: KeptChild) -> None:
        try:
            exit = await child.wait()
        except Unreachable as problem:
            return self._post(moves.Exited(moves.Diagnosis(moves.ExitKind.CRASH, f"is out of reach: {problem}")))
        self._facts["last_exit"] = exit.words
        ended = EndedRun(exit, self._clock.now() - self._born, self._life.was_ready, await child.tail())
        self._post(moves.Exited(crash(ended) if exit.asked else await self._diagnose(ended)))

    async def _diagnose(self, ended: EndedRun) -> moves.Diagnosis:
        try:
            return await self._program.diagnose(ended)
        except OSError:  # nothing can be looked at to make sense of it
            return crash(ended)

    async def _end(self, grace: float) -> None:
        while (child := self._child) is not None:
            try:
                with contextlib.suppress(Unreachable):  # whoever watches the child hears of it too
                    await child.stop(grace)
                return
            except OSError:  # we are short of something; a child that must go still must
                await self._clock.sleep(self._pace.look_every)

    async def _ask(self) -> None:
        child = self._child
        try:
            answer = await self._program.probe(
                Runs(self._note, child.pid, partial(child.tail, WHOLE_TAIL)) if child else Runs(self._note, None)
            )
            if child is not None and answer.note:
                await child.annotate(**answer.note)
                self._note = {**self._note, **answer.note}
        except (OSError, Unreachable):
            return self._post(moves.NotAsked())
        self._facts |= answer.facts
        self._post(answer.verdict)

    async def _ask_network(self) -> None:
        try:
            up = await self._program.network()
        except OSError:
            up = False  # not demonstrably
        self._post(moves.NetworkIs(up))

    # --- beside the machine ---

    async def _metronome(self) -> None:
        while True:
            await self._clock.sleep(self._pace.glance_every)
            self._post(moves.Glanced(frozen=self._child is not None and tree.frozen(self._child.pid)))

    async def _weigh(self) -> None:
        while True:
            await self._clock.sleep(self._pace.memory_every)
            if (child := self._child) is not None:
                self._memory = tree.memory([child.pid, *(each.pid for each in child.descendants())])
                await self._renew(child)

    async def _renew(self, child: KeptChild) -> None:
        """Tell the keeper how long to hold the child when we are gone: the configuration may have changed that."""
        if (grace := self._adopt_grace()) != self._leased:
            with contextlib.suppress(Unreachable):
                await child.lease(grace)
                self._leased = grace

    def _publish(self) -> None:
        status = self.status
        told = (status.state, status.reason, self._life.verdict, status.pid, self._generation, status.facts)
        if told == self._told:
            return
        if self._told[:1] != told[:1]:
            self._since = self._clock.wall()
            status = self.status
        self._told = told
        self._program.tell(self._life.verdict, status.reason, self._note)
        for hook in self.on_change:
            hook(status)


def _would_start(program: Program, note: Note, identity: str) -> bool:
    spec = program.spec(note)
    return spec is not None and spec.identity == identity


def _count(note: Note, name: str) -> int:
    value = note.get(name)
    return value if isinstance(value, int) else 0
