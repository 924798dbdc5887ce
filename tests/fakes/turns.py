"""A line without rules: first come, first served, so many at a time. And names that mean what a test says.

`Line` is a `controller.answering.turns.Turns`, `Known` a `Names`, `Memory` an `InMemory`. Tests take slots away, end
tickets, and look at what the gateway has said of each.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count

from controller.engines.runner import ModelFacts, Runner
from controller.errors import OrderRefused, Unreachable
from controller.readiness import Readiness
from controller.scheduling.ticket import End, Problem, State, Ticket, Turned, Why, Wish
from controller.scheduling.tokens import Tokens

Suspect = Callable[[str], Awaitable[bool]]


async def no_suspicion(model: str) -> bool:
    return False


def runner(name: str, key: str | None = None, slots: int = 1, can: frozenset[str] = frozenset()) -> Runner:
    return Runner(
        key or name, f"sha256-{name}", name, ModelFacts(4_000_000, capabilities=can), engine="ollama", slots=slots
    )


@dataclass
class Line:
    """Everything it was told stands in its lists, in order."""

    readiness: Readiness
    hold: Callable[[], float]
    slots: int = 1000
    turned: Turned | None = None  # what the next to enter is told
    suspect_with: Suspect = no_suspicion
    refuses_to_unload: OrderRefused | None = None
    wait_estimate: float | None = None
    awaited: float | None = 0.0  # monotonic: since when somebody waits for whatever answers; None: nobody does
    load_began: float | None = None  # monotonic: of whatever is waited for
    wishes: list[Wish] = field(default_factory=list)
    tickets: list[Ticket] = field(default_factory=list)
    ended: list[tuple[Ticket, bool, Tokens | None]] = field(default_factory=list)
    backs: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    orders: list[tuple[str, str]] = field(default_factory=list)
    doubted: set[str] = field(default_factory=set)  # runner keys
    all_doubted: bool = False
    _numbers: count[int] = field(default_factory=lambda: count(1))
    _waking: dict[Ticket, asyncio.Future[None]] = field(default_factory=dict)

    # --- what the gateway asks ---

    def enter(self, wish: Wish) -> Ticket | Turned:
        self.wishes.append(wish)
        if self.turned is not None:
            return self.turned
        now = time.monotonic()
        ticket = Ticket(
            next(self._numbers),
            wish.caller,
            wish.lane,
            wish.model,
            wish.runner,
            now,
            now + wish.wait,
            wish.size,
            wish.width,
            wish.caps,
            wish.label,
        )
        self.tickets.append(ticket)
        self._grant()
        return ticket

    async def turn(self, ticket: Ticket) -> None:
        if ticket.state is not State.WAITING:
            return
        waking = self._waking[ticket] = asyncio.get_running_loop().create_future()
        came = asyncio.ensure_future(self._upstream())
        try:
            await asyncio.wait((waking, came), return_when=asyncio.FIRST_COMPLETED)
            if came.done() and not waking.done():
                self._settle(ticket, came.result())
        finally:
            came.cancel()
            await asyncio.gather(came, return_exceptions=True)
            del self._waking[ticket]

    def nudge(self, ticket: Ticket) -> None:
        if ticket in self._waking and not self._waking[ticket].done():
            self._waking[ticket].set_result(None)

    def back(self, ticket: Ticket, problem: Problem) -> None:
        assert ticket.state is State.GRANTED
        self.backs.append(problem)
        ticket.state, ticket.granted = State.WAITING, None
        self._grant()

    def failed(self, ticket: Ticket, problem: Problem) -> None:
        assert ticket in self.tickets
        self.failures.append(problem)

    def end(
        self, ticket: Ticket, *, left: bool = False, tokens: Tokens | None = None, began: float | None = None
    ) -> None:
        assert all(each is not ticket for each, _, _ in self.ended), "A ticket ends once."
        self.ended.append((ticket, left, tokens))
        if left:
            self.doubted.add(ticket.runner.key)
        elif ticket.moved:
            self.doubted.discard(ticket.runner.key)
        if ticket.state is not State.ENDED:
            ticket.state = State.ENDED
        self.tickets.remove(ticket)
        self._grant()

    def position(self, ticket: Ticket) -> int:
        return [each for each in self.tickets if each.state is State.WAITING].index(ticket) + 1

    def estimate(self, ticket: Ticket) -> float | None:
        return self.wait_estimate

    def loading_since(self, ticket: Ticket) -> float | None:
        return self.load_began

    def awaited_since(self, ticket: Ticket) -> float | None:
        return self.awaited

    def unproven(self, ticket: Ticket) -> bool:
        return self.all_doubted or ticket.runner.key in self.doubted

    async def suspect(self, ticket: Ticket) -> bool:
        idle = await self.suspect_with(ticket.model)
        if idle:
            self.doubted.discard(ticket.runner.key)
        return idle

    def unload_after(self, ticket: Ticket) -> None:
        self.orders.append(("unload after", ticket.runner.key))

    def stay_after(self, ticket: Ticket) -> None:
        self.orders.append(("stay after", ticket.runner.key))

    async def unload(self, runner: Runner) -> None:
        if self.refuses_to_unload is not None:
            raise self.refuses_to_unload
        self.orders.append(("unload", runner.key))

    # --- what a test does ---

    @property
    def waiting(self) -> list[Ticket]:
        return [each for each in self.tickets if each.state is State.WAITING]

    @property
    def running(self) -> list[Ticket]:
        return [each for each in self.tickets if each.state is State.GRANTED]

    def open(self, slots: int) -> None:
        self.slots = slots
        self._grant()

    def finish(self, ticket: Ticket, end: End, words: str = "") -> None:
        """End a waiting ticket, as the line does when its time is over or its model cannot be had."""
        ticket.state, ticket.ended, ticket.words = State.ENDED, end, words
        self.nudge(ticket)

    # --- itself ---

    def _grant(self) -> None:
        if self.readiness.verdict != "ready":
            return
        for ticket in self.waiting[: max(0, self.slots - len(self.running))]:
            ticket.state, ticket.granted, ticket.attempts = State.GRANTED, time.monotonic(), ticket.attempts + 1
            ticket.why = Why.TURN if ticket in self._waking else Why.FREE
            self.nudge(ticket)

    async def _upstream(self) -> str:
        verdict = await self.readiness.wait(self.hold())
        if verdict == "ready" and self.slots <= len(self.running):
            await asyncio.Event().wait()  # it is there, but not for this one: a grant wakes it
        return verdict

    def _settle(self, ticket: Ticket, verdict: str) -> None:
        if ticket.state is State.WAITING and verdict != "ready":
            ticket.state, ticket.ended = State.ENDED, End.DOWN if verdict == "down" else End.HELD_OUT
        self._grant()


@dataclass
class Known:
    """Every name means a runner of its own, unless told otherwise."""

    unknown: set[str] = field(default_factory=set)  # no such model
    cold: set[str] = field(default_factory=set)  # known only after a look-up
    unreachable: int = 0  # look-ups that fail
    asked: Counter[str] = field(default_factory=Counter)
    changes: int = 0
    slots: int = 1  # of each runner
    can: dict[str, frozenset[str]] = field(default_factory=dict)  # capabilities, by name; none: nobody knows

    def known(self, model: str) -> Runner | None:
        return None if model in self.unknown | self.cold else self._runner(model)

    def embedders(self) -> list[str]:
        return [name for name, can in self.can.items() if "embedding" in can]

    async def look_up(self, model: str) -> Runner | None:
        self.asked[model] += 1
        if self.unreachable:
            self.unreachable -= 1
            raise Unreachable("Ollama did not answer.")
        if model in self.unknown:
            return None
        self.cold.discard(model)
        return self._runner(model)

    def changed(self) -> None:
        self.changes += 1

    def _runner(self, model: str) -> Runner:
        return runner(model, slots=self.slots, can=self.can.get(model, frozenset()))


@dataclass
class Memory:
    """Nothing moves in it until a test says so: it takes `lock` for as long as a swap would."""

    moving: bool = False
    empty: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def alone(self, engine: str) -> asyncio.Lock:
        return self.lock
