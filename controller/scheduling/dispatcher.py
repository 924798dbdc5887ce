"""The loop around the scheduler: what happens goes in, what it decides is carried out, and who waits is woken.

Everything here is a plain `def`, so nothing interleaves; only the alarm and a fresh look at names are tasks. A request
that is granted at once costs neither a future nor a task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import count

from controller.clock import Clock
from controller.config.schema import Config
from controller.engines.runner import Runner
from controller.errors import OrderRefused, Unreachable
from controller.events import Journal
from controller.readiness import Readiness
from controller.residency.learned import Learned
from controller.residency.resident import Presence
from controller.residency.seams import DatedNames
from controller.scheduling.absence import Absence
from controller.scheduling.alarm import Alarm
from controller.scheduling.effects import Effects, Residency
from controller.scheduling.estimate import seconds_until
from controller.scheduling.line import rules_of
from controller.scheduling.renaming import Renaming
from controller.scheduling.scheduler import Decision, Scheduler
from controller.scheduling.tally import LineTally
from controller.scheduling.ticket import End, Problem, State, Ticket, Turned, Wish
from controller.scheduling.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Rests:
    """Pauses in granting. Seconds; tests scale them down."""

    lost: float = 0.25
    """A killed process loses its connections before its listening socket (Linux closes the newest file first): who
    comes back at once is let in, only to be lost a second time."""
    busy: float = 1.0


class Dispatcher:
    """The line, as whoever answers requests sees it."""

    def __init__(
        self,
        scheduler: Scheduler,
        memory: Residency,
        effects: Effects,
        names: DatedNames,
        engines: Mapping[str, Readiness],
        clock: Clock,
        journal: Journal,
        settings: Callable[[], Config],
        learned: Mapping[str, Learned],
        keep: Callable[[str, Learned], None],
        *,
        rests: Rests | None = None,
    ) -> None:
        self.tally = LineTally()
        self.flying = asyncio.Event()  # set while anything is granted
        self._scheduler = scheduler
        self._memory = memory
        self._effects = effects
        self._clock = clock
        self._journal = journal
        self._settings = settings
        self._learned = learned
        self._keep = keep
        self._rests = rests or Rests()
        self._config = settings()
        self._numbers = count(1)
        self._waiters: dict[Ticket, asyncio.Future[None]] = {}
        self._unload: set[Ticket] = set()
        self._stay: set[Ticket] = set()
        self._loaded: set[str] = set()  # runners whose load has been counted
        self._deciding = self._again = False
        self._tasks: asyncio.TaskGroup | None = None  # while `run` runs
        self._alarm = Alarm(clock, self._rang)
        hold, may_grant = lambda: settings().server.hold, lambda: memory.may_grant
        self._absence = Absence(scheduler, engines, self._alarm, clock, hold, may_grant, self.refuse)
        self._renaming = Renaming(names, clock, scheduler, self._means, self.decide)
        for each in engines.values():
            each.changed.append(self._readiness_changed)
        memory.on_change.append(self._memory_changed)
        memory.on_failed.append(self._failed)
        memory.on_swap.append(self.tally.swapped)

    async def run(self) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = self._alarm.tasks = self._renaming.tasks = tasks
            try:
                self._readiness_changed()
                await asyncio.get_running_loop().create_future()
            finally:
                self._tasks = self._alarm.tasks = self._renaming.tasks = None

    # --- the gateway's side ---

    def enter(self, wish: Wish) -> Ticket | Turned:
        """A place in the line. The ticket is granted already when nothing stands in its way, and may have ended."""
        now = self._clock.now()
        if self._settings() is not self._config:
            self.reconfigure()
        ticket = _ticket(next(self._numbers), wish, now)
        if self._renaming.done and self._scheduler.at_once(ticket, now):
            self.tally.granted(ticket, now)
            self.flying.set()
            return ticket
        turned = self._scheduler.enter(ticket, now)
        if turned is not None:
            self.tally.turned[turned.cap] += 1
            return turned
        self._absence.meet(ticket)
        self.decide()
        return ticket

    async def turn(self, ticket: Ticket) -> None:
        """Return when it is granted or has ended; or for no reason of its own, after `nudge`."""
        if ticket.state is not State.WAITING:
            return
        waiter = self._waiters[ticket] = asyncio.get_running_loop().create_future()
        try:
            await waiter
        finally:
            if self._waiters.get(ticket) is waiter:
                del self._waiters[ticket]

    def nudge(self, ticket: Ticket) -> None:
        """Let `turn` return, if it waits."""
        waiter = self._waiters.pop(ticket, None)
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def back(self, ticket: Ticket, problem: Problem) -> None:
        """Its grant came to nothing before the first byte: it waits again, with the due it had."""
        if ticket.state is not State.GRANTED:
            return
        self.failed(ticket, problem)
        now = self._clock.now()
        self.tally.replays += 1
        self._scheduler.back(ticket, now)
        self._freed(ticket.runner.key)
        self._absence.rest(ticket.runner.engine, {"lost": self._rests.lost, "busy": self._rests.busy}.get(problem, 0.0))
        self._absence.meet(ticket)
        self.decide()

    def failed(self, ticket: Ticket, problem: Problem) -> None:
        """Something went wrong with an answer, before its first byte or after: what is known of its runner changes."""
        if problem == "died":
            self._effects.seen(ticket, "death")
        elif problem == "lost":
            self._effects.seen(ticket, "doubt")

    def end(
        self, ticket: Ticket, *, left: bool = False, tokens: Tokens | None = None, began: float | None = None
    ) -> None:
        """The request is over, whatever became of it: to be called once for each ticket. `left`: its client hung up in
        mid-answer. `tokens`: what a whole answer took. `began`: when the first byte of a stream came.
        """
        now, key, granted = self._clock.now(), ticket.runner.key, ticket.state is State.GRANTED
        self._scheduler.end(ticket, now)
        if granted:
            if left:
                self._effects.seen(ticket, "doubt")
            elif ticket.moved and self.unproven(ticket):
                self._effects.seen(ticket, "works")
            if ticket in self._stay:
                self._effects.stay(key)
            if tokens is not None:
                self._answered(ticket, tokens if began is None else tokens.timed(now - began), now)
            self._freed(key)
        self._stay.discard(ticket)
        if ticket in self._unload:
            self._unload.discard(ticket)
            if not (self._scheduler.busy(key) or self._scheduler.wanted(key)):  # whoever comes after says otherwise
                self._unload_aside(ticket.runner)
        if not self._scheduler.deserted:
            self.decide()

    def loading_since(self, ticket: Ticket) -> float | None:
        """When the load of its runner began; None when none is under way."""
        row = self._memory.table.get(ticket.runner.key)
        return row.since if row is not None and row.presence is Presence.LOADING and not row.waits else None

    def awaited_since(self, ticket: Ticket) -> float | None:
        """Since when somebody waits for its runner, or for the memory that takes; None: nobody does."""
        return self._scheduler.awaited_since(ticket.runner.key)

    def unproven(self, ticket: Ticket) -> bool:
        """Whether its slot may have been lost: its first byte has to be watched for."""
        row = self._memory.table.get(ticket.runner.key)
        return row is not None and row.unproven

    async def suspect(self, ticket: Ticket) -> bool:
        """Its unproven slot brings nothing. Whether its runner did nothing and has been ended: it may come back."""
        return await self._effects.suspect(ticket.runner.key)

    def position(self, ticket: Ticket) -> int:
        """1 is next; 0 when it does not wait."""
        return self._scheduler.position(ticket)

    def estimate(self, ticket: Ticket) -> float | None:
        """Seconds until its turn; None when nobody can tell honestly."""
        return seconds_until(self._scheduler, ticket, self._learned, self._clock.now())

    def unload_after(self, ticket: Ticket) -> None:
        """Its runner is to leave memory once it has been answered."""
        self._unload.add(ticket)

    def stay_after(self, ticket: Ticket) -> None:
        """Once it has been answered, its runner is not to leave for being idle."""
        self._stay.add(ticket)

    async def unload(self, runner: Runner) -> None:
        """Have a runner leave memory, and return when it is gone: at once when it is not there. Raises
        OrderRefused when it is not to be, Unreachable.
        """
        await self._effects.unload(runner)

    # --- from outside ---

    def running(self) -> Iterable[Ticket]:
        """Those whose answers are being written."""
        return self._scheduler.running()

    def refuse(self, ticket: Ticket, as_: End, words: str) -> None:
        """One that waits does so in vain: it ends. `words`: what a person is told."""
        self._scheduler.end(ticket, self._clock.now(), as_=as_, words=words)
        self._told(ticket)

    def refuse_waiting(self, as_: End, words: str) -> int:
        """End all that wait, and say how many there were."""
        waiting = list(self._scheduler.waiting())
        for ticket in waiting:
            self.refuse(ticket, as_, words)
        return len(waiting)

    def reconfigure(self) -> None:
        """The configuration is another one."""
        self._config = self._settings()
        self._scheduler.rules = rules_of(self._config)

    # --- deciding ---

    def decide(self) -> None:
        """Let the scheduler decide, and carry it out. What that causes in turn is decided before it returns."""
        self._again = True
        if self._deciding:
            return
        self._deciding = True
        try:
            while self._again and self._renaming.done:
                self._again = False
                now = self._clock.now()
                self._carry_out(self._scheduler.decide(now), now)
        finally:
            self._deciding = False

    def _carry_out(self, decision: Decision, now: float) -> None:
        for ticket in decision.grants:
            self.tally.granted(ticket, now)
            ticket.loading = self._loading(ticket)
            self.nudge(ticket)
        if decision.grants:
            self.flying.set()
        for ticket in decision.ended:
            self._told(ticket)
        if decision.swap is not None:
            self._effects.begin(decision.swap)
        if decision.wake is not None:
            self._alarm.wake_at(decision.wake)

    def _loading(self, ticket: Ticket) -> float:
        """How much of its wait its runner's last load took: all of that load, or what was left when it came."""
        row = self._memory.table.get(ticket.runner.key)
        if row is None:
            return 0.0
        return max(0.0, row.since - max(ticket.arrived, row.since - row.load_seconds))

    def _told(self, ticket: Ticket) -> None:
        if ticket.ended is not None:
            self.tally.ended[ticket.ended] += 1
        self.nudge(ticket)

    def _freed(self, key: str) -> None:
        if not self._scheduler.busy(key):
            self._effects.freed(key)
        if self._scheduler.idle:
            self.flying.clear()

    def _answered(self, ticket: Ticket, tokens: Tokens, now: float) -> None:
        key = ticket.runner.key
        self.tally.answered(ticket.runner.name, tokens)
        if ticket.granted is not None:
            learned = self._learned.get(key, Learned())
            self._keep(key, learned.answered(now - ticket.granted, tokens.written_rate, tokens.read_rate))

    def _unload_aside(self, runner: Runner) -> None:
        """What somebody who may asked for beside an answer, and does not wait for."""
        if self._tasks is not None:
            self._tasks.create_task(self._unload_unasked(runner))

    async def _unload_unasked(self, runner: Runner) -> None:
        try:
            await self._effects.unload(runner)
        except (OrderRefused, Unreachable) as refused:
            self._journal.say("gateway", str(refused), level="warning")

    # --- engines come and go ---

    def _rang(self) -> None:
        self._absence.look()
        self.decide()

    def _readiness_changed(self) -> None:
        self._absence.changed()
        self.decide()

    # --- memory changes ---

    def _memory_changed(self) -> None:
        self._count_loads()
        self._scheduler.may_swap = self._memory.may_swap
        self._absence.open()
        self.decide()

    def _count_loads(self) -> None:
        table = self._memory.table
        here = {key for key, row in table.items() if row.presence is not Presence.LOADING}
        for key in here - self._loaded:
            if (row := table[key]).load_seconds > 0:  # an adopted one was loaded by somebody else
                self.tally.loaded(row.runner.name, row.load_seconds)
        self._loaded = here

    def _failed(self, key: str, as_: End, words: str) -> None:
        for ticket in self._scheduler.refuse(key, as_, words, self._clock.now()):
            self._told(ticket)
        self.decide()

    def _means(self, model: str, runner: Runner | None) -> None:
        """What a name that waits means now."""
        now = self._clock.now()
        for ticket in [each for each in self._scheduler.waiting() if each.model == model]:
            if runner is None:
                self.refuse(ticket, End.UNKNOWN, f"There is no model {model} any more.")
            elif runner.key != ticket.runner.key:
                self._scheduler.rename(ticket, runner, now)


def _ticket(number: int, wish: Wish, now: float) -> Ticket:
    caller, lane, model, runner, size, width, wait, caps, label = wish
    return Ticket(number, caller, lane, model, runner, now, now + wait, size, width, caps, label)
