"""A line that tests write by hand, and a store in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count

from controller.engines.runner import Runner
from controller.residency.learned import Learned
from controller.scheduling.ticket import State, Ticket


@dataclass
class FakeDemand:
    """Implements `effects.Demand`: `tickets` is everybody, in the state that the test gave them."""

    tickets: list[Ticket] = field(default_factory=list)
    charged: dict[str, float] = field(default_factory=dict)  # seconds by caller
    away: dict[str, float] = field(default_factory=dict)  # by key, until when
    _numbers: count[int] = field(default_factory=count)

    def waits(self, runner: Runner, caller: str = "somebody") -> Ticket:
        """Somebody waits for this runner."""
        ticket = Ticket(next(self._numbers), caller, 1, runner.name, runner, 0.0, 1e9)
        self.tickets.append(ticket)
        return ticket

    def runs(self, runner: Runner) -> Ticket:
        """Somebody uses this runner."""
        ticket = self.waits(runner)
        ticket.state = State.GRANTED
        return ticket

    def busy(self, key: str) -> int:
        return sum(ticket.runner.key == key for ticket in self.running())

    def wanted(self, key: str) -> bool:
        return any(ticket.runner.key == key for ticket in self.waiting())

    def waiting(self) -> Iterable[Ticket]:
        return [ticket for ticket in self.tickets if ticket.state is State.WAITING]

    def running(self) -> Iterable[Ticket]:
        return [ticket for ticket in self.tickets if ticket.state is State.GRANTED]

    def charge(self, caller: str, seconds: float, now: float) -> None:
        self.charged[caller] = self.charged.get(caller, 0.0) + seconds

    def redirect(self, from_key: str, to: Runner, now: float) -> int:
        moved = [ticket for ticket in self.waiting() if ticket.runner.key == from_key]
        for ticket in moved:
            ticket.runner, ticket.model = to, to.name
        return len(moved)

    def keep_away(self, key: str, until: float) -> None:
        self.away[key] = until


@dataclass
class KeptInMemory:
    """Implements `seams.Store`."""

    kept: dict[str, Learned] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def get(self, key: str) -> Learned:
        return self.kept.get(key, Learned())

    def keep(self, key: str, learned: Learned, name: str = "") -> None:
        self.kept[key] = learned
        self.names[key] = name or self.names.get(key, "")
