"""Which runner is loaded next, and which leave for it. One swap at a time; nothing is cut short. Monotonic seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from controller.engines.runner import Runner
from controller.residency.resident import Fits, NoRoom, Plan, Presence, Resident, Swap, Table, TooBig
from controller.scheduling.line import Entry, Line
from controller.scheduling.slots import Slots
from controller.scheduling.ticket import End, Hold, Ticket

_LOADS = 3  # a loaded runner is worth staying this many times what its load took

Bar = tuple[Hold, float | None]
"""What stands in the way, and when it ends by itself; None: time alone does not end it."""


class Planning(Protocol):
    """Whether there is room for a runner."""

    def plan(self, target: Runner, candidates: Sequence[str]) -> Plan:
        """`candidates`: keys of runners that may leave, best victim first. A `Fits` names no more than it needs."""


@dataclass(slots=True)
class Refusal:
    """It is no use waiting for a runner."""

    key: str
    as_: End
    words: str


@dataclass(slots=True)
class Outlook:
    """What came of looking at all heads whose runners are away."""

    swap: Swap | None = None
    refused: list[Refusal] = field(default_factory=list)
    wake: float | None = None  # look again then, if nothing happens before

    def until(self, moment: float | None, now: float) -> None:
        """Look again at `moment`, if not earlier."""
        if moment is not None and moment > now and (self.wake is None or moment < self.wake):
            self.wake = moment


class Swaps:
    """Looks at heads whose runners are away, in due order. A later one never takes what an earlier one needs."""

    def __init__(self, line: Line, slots: Slots, table: Table, room: Planning) -> None:
        self.may_swap = True
        self.closed: set[str] = set()  # engines that are away: nothing of theirs comes or leaves
        self.bars: dict[str, Bar] = {}  # by runner that is away: why, when last looked at
        self.kept_away: dict[str, float] = {}  # by runner: until when
        self.needed: set[str] = set()  # runners that would have to leave for a head, as last looked at
        self._line = line
        self._slots = slots
        self._table = table
        self._room = room

    def look(self, now: float) -> Outlook:
        """What is to be done now."""
        found = Outlook()
        heads = self.away()
        if not heads:
            self.needed = set()
        if not heads and not self.bars:
            return found
        before, self.bars = self.bars, {}
        for key in [key for key, until in self.kept_away.items() if until <= now]:
            del self.kept_away[key]
        if under_way := self.under_way():
            self._keep_bars(heads, before, under_way, now)
        elif self.may_swap:
            self._choose(heads, found, now)
        else:
            self.needed = set()
            self.bars = {entry[2].runner.key: (Hold.MEMORY, None) for entry in heads}
        return found

    def away(self) -> list[Entry]:
        """The first head for each runner that is not there and not coming, in due order."""
        line, table = self._line, self._table
        found = []
        for key, lists in line.places.items():
            row = table.get(key)
            if key in lists and (row is None or row.presence is Presence.LEAVING):
                if lists[key][0][2].runner.engine not in self.closed:
                    found.append(lists[key][0])
        found.sort()
        return found

    def under_way(self) -> Hold | None:
        """What a swap under way is at: who leaves goes first."""
        found = None
        for row in self._table.values():
            if row.presence is Presence.LEAVING:
                return Hold.LEAVING
            if row.presence is Presence.LOADING:
                found = Hold.SWAPPING
        return found

    def _keep_bars(self, heads: list[Entry], before: dict[str, Bar], under_way: Hold, now: float) -> None:
        """Nothing can begin, but who comes to the front meanwhile begins to be patient."""
        front = True
        for entry in heads:
            key = entry[2].runner.key
            self.bars[key] = (under_way, None)
            if front and key not in self.kept_away and before.get(key, (None,))[0] is not Hold.MEMORY:
                self._stand_at_front(entry, now)
                front = False

    def _choose(self, heads: list[Entry], found: Outlook, now: float) -> None:
        claimed: set[str] = set()
        self.needed = set()
        ranked = self._ranked()
        least = float("inf")  # memory that somebody before needs, and that is not free
        front = True
        for entry in heads:
            ticket = entry[2]
            key = ticket.runner.key
            if (until := self.kept_away.get(key)) is not None:
                self.bars[key] = (Hold.MIN_STAY, until)
                found.until(until, now)
                continue
            if ticket.runner.need >= least and len(claimed) == len(ranked):
                self.bars[key] = (Hold.QUEUE, None)  # nothing is left to it: no need to ask
                continue
            needs = self._needs(ticket, ranked, found)
            if needs is None:
                continue
            self.needed.update(needs)
            if front and needs:
                self._stand_at_front(entry, now)
                front = False
            if self._begin(entry, ranked, needs, claimed, found, now):
                return
            claimed.update(needs)
            least = min(least, ticket.runner.need)

    def _needs(self, ticket: Ticket, ranked: list[Resident], found: Outlook) -> tuple[str, ...] | None:
        """Which runners would have to leave, if all might; None: even that would not do, or it has been refused."""
        plan = self._room.plan(ticket.runner, [row.runner.key for row in ranked])
        match plan:
            case Fits(evict):
                return evict
            case TooBig(text):
                found.refused.append(Refusal(ticket.runner.key, End.TOO_BIG, text))
            case NoRoom(text, pinned=True):
                found.refused.append(Refusal(ticket.runner.key, End.NO_ROOM, text))
            case NoRoom():
                self.bars[ticket.runner.key] = (Hold.MEMORY, None)
        return None

    def _begin(
        self,
        entry: Entry,
        ranked: list[Resident],
        needs: tuple[str, ...],
        claimed: set[str],
        found: Outlook,
        now: float,
    ) -> bool:
        """Begin the swap for this head, if it may be now."""
        ticket = entry[2]
        key = ticket.runner.key
        bars = {row.runner.key: self._staying(row, entry, claimed, now) for row in ranked}
        free = [victim for victim, bar in bars.items() if bar is None]
        plan: Plan | None = Fits(needs)
        if any(bars[victim] for victim in needs):
            plan = self._room.plan(ticket.runner, free) if free else None
        if isinstance(plan, Fits):
            found.swap = Swap(ticket.runner, plan.evict, "line", ticket.caller)
            return True
        self.bars[key] = max((bar for victim in needs if (bar := bars[victim])), key=_latest)
        for bar in bars.values():
            if bar is not None:
                found.until(bar[1], now)
        return False

    def _stand_at_front(self, entry: Entry, now: float) -> None:
        """It does, unless whatever might make room for it has heads before it. Once set this is never set again."""
        ticket = entry[2]
        if ticket.front_since is not None:
            return
        rows = [row for row in self._table.values() if not row.pinned]
        if not rows or not all(self._comes_first(row, entry) for row in rows):
            ticket.front_since = now

    def _comes_first(self, row: Resident, entry: Entry) -> bool:
        head = self._line.head(row.runner.key)
        return head is not None and head < entry

    def _ranked(self) -> list[Resident]:
        """All that might leave: idle and unwanted ones first, the longest unused before others; then unwanted ones at
        work; then wanted ones, the one whose first head is due last before others."""
        rows = (row for row in self._table.values() if row.presence is Presence.RESIDENT and not row.pinned)
        return sorted((row for row in rows if row.runner.engine not in self.closed), key=self._rank)

    def _rank(self, row: Resident) -> tuple[int, float]:
        key = row.runner.key
        if self._line.wanted(key):
            head = self._line.head(key)
            return 2, -head[0] if head else float("-inf")
        return (1 if self._slots.busy(key) else 0), max(row.used, self._slots.last_used(key) or 0.0)

    def _staying(self, row: Resident, entry: Entry, claimed: set[str], now: float) -> Bar | None:
        """Why this runner does not leave for that head yet; None: it may."""
        key, ticket, rules = row.runner.key, entry[2], self._line.rules
        wanted = self._line.wanted(key)
        if key in claimed or (wanted and self._comes_first(row, entry)):
            return Hold.QUEUE, None
        stay = row.since + max(rules.min_stay, _LOADS * row.load_seconds)
        if wanted and now < stay:
            return Hold.MIN_STAY, stay
        patient = None if ticket.front_since is None else ticket.front_since + rules.patience
        if patient is not None and now >= patient:
            return None
        if wanted or self._slots.busy(key):
            return Hold.PATIENCE, patient
        used = self._slots.used_by_better(key, ticket.lane)
        if used is not None and now < used + rules.linger:
            return Hold.LINGER, used + rules.linger if patient is None else min(patient, used + rules.linger)
        return None


def _latest(bar: Bar) -> float:
    """What ends last; what time alone does not end, ends last of all."""
    return float("inf") if bar[1] is None else bar[1]
