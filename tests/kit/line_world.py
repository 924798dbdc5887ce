"""A world for the line: callers, a small memory, generations, loads and unloads on a clock that is wound. No I/O.

It carries out what a `Scheduler` decides, as the residents and the gateway do, and checks at every step what must
always hold.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count

from controller.engines.runner import ModelFacts, Runner
from controller.residency.resident import Fits, NoRoom, Plan, Presence, Resident, Swap, Table, TooBig
from controller.scheduling.line import LineRules
from controller.scheduling.scheduler import Decision, Scheduler
from controller.scheduling.ticket import Caps, State, Ticket, Turned

BIG = Caps(running=1000, waiting=100_000, size=2**60)


def runner(key: str, need: int = 1, slots: int = 1, blob: str = "", engine: str = "ollama") -> Runner:
    """One that needs `need` units of memory."""
    return Runner(key, blob or key, key, ModelFacts(need), engine=engine, slots=slots, need=need)


class SmallRoom:
    """A budget in units of memory."""

    def __init__(self, budget: int, table: Table) -> None:
        self.budget = budget
        self.short_for: set[str] = set()  # keys of runners for whom others have taken the memory
        self._table = table

    def plan(self, target: Runner, candidates: Sequence[str]) -> Plan:
        """As few as need be, in the order they are offered."""
        if target.key in self.short_for:
            return NoRoom(f"There is no room for {target.name} now.")
        if target.need > self.budget:
            return TooBig(f"{target.name} needs {target.need}, and there are {self.budget}.")
        siblings = [key for key, row in self._table.items() if row.runner.blob == target.blob]
        chosen = [key for key in candidates if key in siblings]
        missing = target.need - (self.budget - self._taken(chosen))
        for key in candidates:
            if missing > 0 and key not in chosen:
                chosen.append(key)
                missing -= self._table[key].taken
        if missing > 0 or not set(siblings) <= set(chosen):
            return NoRoom(f"There is no room for {target.name}.", self._only_pinned(target, siblings))
        for key in [key for key in chosen if key not in siblings]:  # what the first offered gives may be too much
            if self._taken([each for each in chosen if each != key]) + target.need <= self.budget:
                chosen.remove(key)
        return Fits(tuple(chosen))

    def _taken(self, without: Sequence[str]) -> int:
        return sum(row.taken for key, row in self._table.items() if key not in without)

    def _only_pinned(self, target: Runner, siblings: Sequence[str]) -> bool:
        pinned = [row for row in self._table.values() if row.pinned]
        return sum(row.taken for row in pinned) + target.need > self.budget or any(
            row.runner.key in siblings for row in pinned
        )


@dataclass(slots=True)
class Began:
    """A swap, when it was begun and when it was through."""

    swap: Swap
    at: float
    through: float | None = None


@dataclass
class World:
    """`wind` it, and let callers `ask`."""

    rules: LineRules = field(default_factory=LineRules)
    budget: int = 1
    load: float = 10.0  # seconds
    unload: float = 0.5
    now: float = 1000.0
    on_end: Callable[[Ticket], None] | None = None  # what its caller does next
    most: float = math.inf  # seconds that an answer may take while somebody waits for its runner or its memory
    short_cut: bool = True  # who is alone is let through at once, as the dispatcher does

    def __post_init__(self) -> None:
        self.table: dict[str, Resident] = {}
        self.room = SmallRoom(self.budget, self.table)
        self.scheduler = Scheduler(self.rules, self.table, self.room)
        self.swaps: list[Began] = []
        self.granted: list[Ticket] = []
        self.ended: list[Ticket] = []
        self.cut: list[Ticket] = []  # for having taken too long while somebody waited
        self.lengths: dict[int, float] = {}
        self._over: set[Ticket] = set()
        self._numbers = count(1)
        self._order = count()
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._woken: float | None = None

    # --- what may happen ---

    def resident(self, which: Runner, *, pinned: bool = False) -> Resident:
        """Put a runner in memory, as if it had been there for long."""
        row = Resident(which, Presence.RESIDENT, self.now - 10_000, which.need, which.slots, pinned=pinned)
        self.table[which.key] = row
        return row

    def ask(
        self,
        caller: str,
        which: Runner,
        seconds: float = 4.0,
        *,
        lane: float = 1.0,
        caps: Caps = BIG,
        wait: float = 1e9,
        size: int = 0,
        width: int = 1,
    ) -> Ticket:
        """A request that will take `seconds`. Raises Refused when it is not let in."""
        number = next(self._numbers)
        ticket = Ticket(number, caller, lane, which.name, which, self.now, self.now + wait, size, width, caps)
        self.lengths[number] = seconds
        if self.short_cut and self.scheduler.at_once(ticket, self.now):
            self._grant(ticket)
            self._check()
            return ticket
        turned = self.scheduler.enter(ticket, self.now)
        if turned is not None:
            raise Refused(turned)
        self.decide()
        return ticket

    def hang_up(self, ticket: Ticket) -> None:
        """Its client leaves."""
        if ticket.state is not State.ENDED:
            self._end(ticket)
            self.decide()

    def fail(self, ticket: Ticket) -> None:
        """It fails before its first byte."""
        self.scheduler.back(ticket, self.now)
        self._freed()
        self.decide()

    def at(self, moment: float, then: Callable[[], object]) -> None:
        """`then` happens at `moment`."""
        heapq.heappush(self._events, (max(moment, self.now), next(self._order), then))

    def wind(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            moment, _, then = heapq.heappop(self._events)
            self.now = max(self.now, moment)
            then()
        self.now = end
        self.decide()

    # --- what follows ---

    def decide(self) -> Decision:
        """Ask the scheduler, and carry out what it says."""
        made = self.scheduler.decide(self.now)
        for ticket in made.grants:
            self._grant(ticket)
        for ticket in made.ended:
            assert ticket.state is State.ENDED
            assert ticket.words
            self.told_ended(ticket)
        if made.swap is not None:
            self._begin(made.swap)
        if made.wake is not None and made.wake != self._woken:
            assert made.wake > self.now
            self._woken = made.wake
            self.at(made.wake, self._wake)
        self._bound_answers()
        self._check()
        return made

    def _bound_answers(self) -> None:
        """As the gateway does, which looks twice a second."""
        for ticket in self.scheduler.running():
            if self.most < math.inf and (over := self._over_at(ticket)) is not None:
                self.at(over, partial(self._cut, ticket, ticket.attempts))

    def _over_at(self, ticket: Ticket) -> float | None:
        since = self.scheduler.awaited_since(ticket.runner.key)
        return None if since is None or ticket.granted is None else max(since, ticket.granted) + self.most

    def _cut(self, ticket: Ticket, attempt: int) -> None:
        over = self._over_at(ticket)
        if ticket.state is State.GRANTED and over is not None and self.now >= over:
            self.cut.append(ticket)
            self._finish(ticket, attempt)

    def _wake(self) -> None:
        self._woken = None
        self.decide()

    def _grant(self, ticket: Ticket) -> None:
        assert ticket.state is State.GRANTED
        assert ticket not in self._over
        row = self.table[ticket.runner.key]
        assert row.presence is Presence.RESIDENT
        row.used = self.now
        self.granted.append(ticket)
        attempt = ticket.attempts
        self.at(self.now + self.lengths[ticket.number], lambda: self._finish(ticket, attempt))

    def _finish(self, ticket: Ticket, attempt: int) -> None:
        if ticket.state is State.GRANTED and ticket.attempts == attempt:
            self.table[ticket.runner.key].used = self.now
            self._end(ticket)
            if self.on_end is not None:
                self.on_end(ticket)
            self.decide()

    def _end(self, ticket: Ticket) -> None:
        self.scheduler.end(ticket, self.now)
        self.told_ended(ticket)
        self._freed()

    def told_ended(self, ticket: Ticket) -> None:
        """It ended without its turn."""
        assert ticket not in self._over, "a ticket ends once"
        self._over.add(ticket)
        self.ended.append(ticket)

    def _begin(self, swap: Swap) -> None:
        assert swap.runner is not None
        assert not [row for row in self.table.values() if row.presence is not Presence.RESIDENT], "one swap at a time"
        assert swap.runner.key not in self.table, "a double load"
        assert self.scheduler.wanted(swap.runner.key), "a load nobody waits for"
        for key in swap.evict:
            assert not self.table[key].pinned
            self.table[key].presence = Presence.LEAVING
            self.table[key].since = self.now
        self.swaps.append(Began(swap, self.now))
        self._freed()

    def _freed(self) -> None:
        """Who leaves and works no more may unload; when all have, the load begins."""
        if not self.swaps or self.swaps[-1].through is not None or self._loading():
            return
        began = self.swaps[-1]
        leaving = [key for key in began.swap.evict if key in self.table]
        if any(self.scheduler.busy(key) for key in leaving):
            return
        for key in leaving:
            assert not self.scheduler.busy(key), "nothing busy is evicted"
            del self.table[key]
        target = began.swap.runner
        assert target is not None
        row = Resident(target, Presence.LOADING, self.now, target.need, target.slots)
        self.table[target.key] = row
        seconds = self.load + (self.unload if leaving else 0.0)
        self.at(self.now + seconds, lambda: self._loaded(began, row))

    def _loading(self) -> bool:
        return any(row.presence is Presence.LOADING for row in self.table.values())

    def _loaded(self, began: Began, row: Resident) -> None:
        row.presence, row.since, row.load_seconds = Presence.RESIDENT, self.now, self.load
        began.through = self.now
        self.scheduler.charge(began.swap.caller, self.load, self.now)
        self.decide()

    # --- what must hold ---

    def _check(self) -> None:
        assert sum(row.taken for row in self.table.values()) <= self.budget, "memory was promised twice"
        running: dict[str, int] = {}
        for ticket in self.scheduler.running():
            assert ticket.state is State.GRANTED
            assert ticket.runner.key in self.table, "something busy was evicted"
            running[ticket.caller] = running.get(ticket.caller, 0) + 1
            assert ticket.caps.running is None or running[ticket.caller] <= ticket.caps.running
        for key, row in self.table.items():
            assert self.scheduler.busy(key) <= row.runner.slots


class Refused(Exception):
    """Not let into the line."""

    def __init__(self, turned: Turned) -> None:
        super().__init__(turned.text)
        self.turned = turned


def waited(ticket: Ticket) -> float:
    """Seconds from its arrival to its grant."""
    assert ticket.granted is not None
    return ticket.granted - ticket.arrived
