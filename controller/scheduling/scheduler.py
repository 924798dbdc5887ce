"""The line as one thing: tickets come, get their turn, end. Plain arithmetic: no await, no clock, no logging.

What must be done follows from `decide` alone: whom to let through, which runner to load, who waited in vain. Times are
monotonic seconds.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass

from controller.engines.runner import Runner
from controller.residency.resident import Presence, Resident, Swap, Table
from controller.scheduling.admission import admit
from controller.scheduling.awaited import Awaited
from controller.scheduling.line import Entry, Line, LineRules, Paused
from controller.scheduling.slots import Slots
from controller.scheduling.standing import hold, position
from controller.scheduling.swaps import Planning, Swaps
from controller.scheduling.ticket import End, Hold, State, Ticket, Turned, Why


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done. Grants are marked and counted already, and so is what ended."""

    grants: tuple[Ticket, ...] = ()
    swap: Swap | None = None  # to be begun now: it is under way as soon as the table says so
    ended: tuple[Ticket, ...] = ()
    wake: float | None = None  # decide again then at the latest


class Scheduler:
    """Owns every ticket from its arrival to its end. `table` and `room` are the residents', only read here."""

    def __init__(self, rules: LineRules, table: Table, room: Planning) -> None:
        self.open = True  # False: nothing is granted and nothing loaded, whatever the engine
        self.line = Line(rules, table)
        self.slots = Slots()
        self.swaps = Swaps(self.line, self.slots, table, room)
        self.table = table
        self._awaited = Awaited()
        self._deadlines: list[tuple[float, int, Ticket]] = []
        self._unsettled = False  # what is paused has changed since the last decision

    # --- settings ---

    @property
    def rules(self) -> LineRules:
        """May be replaced at any time. A due that is fixed stays."""
        return self.line.rules

    @rules.setter
    def rules(self, rules: LineRules) -> None:
        self.line.rules = rules

    @property
    def may_swap(self) -> bool:
        """False while memory is very short: what is resident goes on, nothing else is loaded."""
        return self.swaps.may_swap

    @may_swap.setter
    def may_swap(self, may: bool) -> None:
        self.swaps.may_swap = may

    @property
    def closed(self) -> set[str]:
        """Engines that are away: nothing of theirs is granted, loaded or unloaded."""
        return self.swaps.closed

    @closed.setter
    def closed(self, engines: set[str]) -> None:
        self.swaps.closed = engines

    @property
    def deserted(self) -> bool:
        """Whether nobody waits."""
        return not self.line.tickets

    @property
    def idle(self) -> bool:
        """Whether nothing runs."""
        return not self.slots.tickets

    # --- the life of a ticket ---

    def enter(self, ticket: Ticket, now: float) -> Turned | None:
        """`ticket` joins the line, unless a cap forbids it."""
        turned = admit(ticket, self.line, self.slots)
        if turned is None:
            self._wait(ticket, now)
        return turned

    def at_once(self, ticket: Ticket, now: float) -> bool:
        """Let `ticket` through as it comes, and say whether that was so: when nobody waits and nothing is in its way.

        The same as `enter` and `decide` would come to, at a fraction of their cost: most requests of a house are alone.
        """
        line, row = self.line, self.table.get(ticket.runner.key)
        if line.tickets or line.paused or not self.open or row is None or row.presence is not Presence.RESIDENT:
            return False
        if not self._here(ticket):
            return False
        caps = ticket.caps
        if ticket.size > caps.size or line.account(ticket.caller).full(ticket) or not self._fits(ticket, row):
            return False
        ticket.why = Why.FREE
        line.take_at_once(ticket, now)
        self._begin(ticket, row, now)
        return True

    def decide(self, now: float) -> Decision:
        """Everything that follows from what has happened and from the time."""
        decided = self._decide(now)
        self._awaited.see(self._waited_for(), now)
        return decided

    def awaited_since(self, key: str) -> float | None:
        """Since when somebody waits for a runner or its memory; None: nobody does."""
        return self._awaited.since(key)

    def _waited_for(self) -> set[str]:
        wanted = {key for key in self.table if self.line.wanted(key)}
        return wanted | self._leaving() | (self.swaps.needed & self.table.keys() if self.line.tickets else set())

    def _leaving(self) -> set[str]:
        return {key for key, row in self.table.items() if row.presence is Presence.LEAVING}

    def _decide(self, now: float) -> Decision:
        grants: list[Ticket] = []
        ended = self._expire(now)
        if self._unsettled:
            self.line.settle(now)
            self._unsettled = False
        if not self.open:
            return Decision(ended=tuple(ended), wake=self._deadline())
        self._grant_all(grants, now)
        if not self.line.tickets and not ended:
            return Decision(tuple(grants))
        found = self.swaps.look(now)
        while found.refused:
            for refusal in found.refused:
                ended += self.refuse(refusal.key, refusal.as_, refusal.words, now)
            self._grant_all(grants, now)
            found = self.swaps.look(now)
        found.until(self._deadline(), now)
        return Decision(tuple(grants), found.swap, tuple(ended), found.wake)

    def end(self, ticket: Ticket, now: float, *, as_: End = End.GONE, words: str = "") -> None:
        """It departs, waiting or running; what it ran is charged to its caller. A ticket ends once."""
        if ticket.state is State.GRANTED:
            self.slots.give(ticket, now)
            seconds = 0.0 if ticket.granted is None else max(0.0, now - ticket.granted)
            self.line.shares.charge(ticket.caller, seconds, now)
            self.slots.answered(seconds)
            self.line.give(ticket, now)
            ticket.ended = None if as_ is End.GONE else as_
        elif ticket.state is State.WAITING:
            self._leave(ticket)
            self.line.remove(ticket, now)
            ticket.ended = as_
        else:
            return
        ticket.state = State.ENDED
        ticket.words = words
        if self.deserted:
            self._awaited.see(self._leaving(), now)

    def back(self, ticket: Ticket, now: float) -> None:
        """A granted one failed before its first byte: it waits again, its due being what it was. Nothing is charged,
        and its turn does not count as waiting.
        """
        if ticket.state is not State.GRANTED:
            return
        self.slots.give(ticket, now)
        if ticket.granted is not None:
            ticket.deadline += max(0.0, now - ticket.granted)
        ticket.state = State.WAITING
        ticket.granted = ticket.why = None
        self.line.give(ticket, now)
        self._wait(ticket, now)

    def charge(self, caller: str, seconds: float, now: float) -> None:
        """The seconds of a load go on the account of whom it was for."""
        self.line.shares.charge(caller, seconds, now)

    def rename(self, ticket: Ticket, runner: Runner, now: float) -> None:
        """Its name means another runner now. Only a waiting ticket changes."""
        if ticket.state is State.WAITING:
            self.line.rename(ticket, runner, now)

    # --- orders ---

    @property
    def paused(self) -> Paused:
        """What is paused: to be read."""
        return self.line.paused

    def pause(self, lane: float | None = None, model_key: str | None = None) -> None:
        """No more turns for a lane, for a runner, or (neither given) for anybody. What runs goes on."""
        paused = self.line.paused
        if lane is None and model_key is None:
            paused.everything = True
        if lane is not None:
            paused.lanes.add(lane)
        if model_key is not None:
            paused.runners.add(model_key)
        self._unsettled = True

    def resume(self, lane: float | None = None, model_key: str | None = None) -> None:
        """Undo the pause of a lane, of a runner, or (neither given) of everything that is paused."""
        paused = self.line.paused
        if lane is None and model_key is None:
            self.line.paused = Paused()
        if lane is not None:
            paused.lanes.discard(lane)
        if model_key is not None:
            paused.runners.discard(model_key)
        self._unsettled = True

    def refuse(self, runner_key: str, as_: End, words: str, now: float) -> list[Ticket]:
        """All who wait for a runner wait in vain: they end, oldest first."""
        refused = self.line.waiting_for(runner_key)
        for ticket in reversed(refused):  # from behind, so that nobody becomes head only to be refused
            self.end(ticket, now, as_=as_, words=words)
        return refused

    def redirect(self, from_key: str, to: Runner, now: float) -> int:
        """All who wait for one runner wait for another, and ask for it by its name; returns how many."""
        moved = self.line.waiting_for(from_key)
        for ticket in moved:
            ticket.model = to.name
            self.line.rename(ticket, to, now)
        return len(moved)

    def keep_away(self, runner_key: str, until: float) -> None:
        """After an operator has switched it away, nobody's waiting brings it back before `until`."""
        self.swaps.kept_away[runner_key] = until

    # --- questions ---

    def busy(self, key: str) -> int:
        """Slots taken on a runner."""
        return self.slots.busy(key)

    def wanted(self, key: str) -> bool:
        """Whether somebody waits for a runner who may have a turn: not the paused."""
        return self.line.wanted(key)

    def waiting(self) -> Iterable[Ticket]:
        """In no order that means anything."""
        return self.line.tickets.values()

    def running(self) -> Iterable[Ticket]:
        """The granted ones, longest running first."""
        return self.slots.tickets.keys()

    def position(self, ticket: Ticket) -> int:
        """Of a waiting ticket: 1 is next; 0 when it does not wait."""
        return position(ticket, self.line) if ticket.state is State.WAITING else 0

    def hold_of(self, ticket: Ticket) -> Hold | None:
        """Why a ticket waits, as of the last decision: written on the ticket too. None when it does not wait."""
        if ticket.state is not State.WAITING:
            ticket.hold = None
        else:
            here = self.open and self._here(ticket)
            ticket.hold = hold(ticket, self.line, self.swaps) if here else Hold.AWAY
        return ticket.hold

    # --- turns ---

    def _grant_all(self, grants: list[Ticket], now: float) -> None:
        places = self.line.places
        while places:
            best: Entry | None = None
            front: Entry | None = None  # the head that is due first, of those whose runners are away
            for key, lists in places.items():
                row = self.table.get(key)
                if row is None or row.presence is not Presence.RESIDENT:
                    if key in lists and (front is None or lists[key][0] < front) and self._here(lists[key][0][2]):
                        front = lists[key][0]
                    continue
                if row.runner.engine in self.swaps.closed:
                    continue
                entry = self.line.next_for(key)
                if entry is not None and (best is None or entry < best) and self._fits(entry[2], row):
                    best = entry
            if best is None:
                return
            self._grant(best[2], front is not None and front < best, now)
            grants.append(best[2])

    def _here(self, ticket: Ticket) -> bool:
        return ticket.runner.engine not in self.swaps.closed

    def _fits(self, ticket: Ticket, row: Resident) -> bool:
        return self.slots.busy(row.runner.key) + min(ticket.width, row.slots) <= row.slots and row.slots > 0

    def _grant(self, ticket: Ticket, overtakes: bool, now: float) -> None:
        row = self.table[ticket.runner.key]
        if ticket.arrived < row.since and not ticket.attempts:
            ticket.why = Why.LOADED
        elif overtakes:
            ticket.why = Why.OVERTOOK
        else:
            ticket.why = Why.TURN if len(self.line.tickets) > 1 else Why.FREE
        self._leave(ticket)
        self.line.take(ticket, now)
        self._begin(ticket, row, now)

    def _begin(self, ticket: Ticket, row: Resident, now: float) -> None:
        self.slots.take(ticket, min(ticket.width, row.slots))
        ticket.state = State.GRANTED
        ticket.granted = now
        ticket.hold = None
        ticket.attempts += 1

    # --- deadlines ---

    def _wait(self, ticket: Ticket, now: float) -> None:
        insort(self._deadlines, (ticket.deadline, ticket.number, ticket))
        self.line.add(ticket, now)

    def _leave(self, ticket: Ticket) -> None:
        at = bisect_left(self._deadlines, (ticket.deadline, ticket.number, ticket))
        del self._deadlines[at]

    def _deadline(self) -> float | None:
        return self._deadlines[0][0] if self._deadlines else None

    def _expire(self, now: float) -> list[Ticket]:
        ended = []
        while self._deadlines and self._deadlines[0][0] <= now:
            ticket = self._deadlines[0][2]
            self.end(ticket, now, as_=End.WAITED_OUT, words=_waited_out(ticket))
            ended.append(ticket)
        return ended


def _waited_out(ticket: Ticket) -> str:
    if ticket.attempts:
        return f"{ticket.model} stopped before it answered, and had no second turn in time. Please try again."
    waited = ticket.deadline - ticket.arrived
    text = f"{waited / 60:.0f} minutes" if waited >= 120 else f"{waited:.0f} seconds"
    return f"{ticket.model} had no turn within {text}. Try again later, or ask for a model that is loaded."
