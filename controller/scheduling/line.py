"""Who stands where: flows, their heads, and when each is due. Times are monotonic seconds.

A flow is one caller in one lane; only its oldest ticket, its head, stands in the line. Linear aging shifts every ticket
alike as time passes, so that lane and aging are one number, `due`, which is fixed when a ticket becomes head: nothing
is ever sorted again.

While a head's runner is not resident, the oldest ticket of its flow for each other runner may stand in for it. So each
runner has lists of entries by the runner of the flow's head: its own name for heads, another's for those who stand in.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter

from controller.config.schema import Config
from controller.engines.runner import Runner
from controller.residency.resident import Presence, Table
from controller.scheduling.shares import Shares
from controller.scheduling.ticket import Ticket

Entry = tuple[float, int, Ticket]
"""Due, number, ticket: the lowest goes first."""

_KEPT = 1000  # accounts with nothing in the line that are kept, so as not to be made anew for each request
_BY_NUMBER = attrgetter("number")


@dataclass(frozen=True, slots=True)
class LineRules:
    """Of the line, as `server.line` says. Seconds; `whole` is how many may wait in all."""

    aging: float = 600.0
    patience: float = 30.0
    min_stay: float = 60.0
    linger: float = 10.0
    max_charge: float = 60.0
    whole: int = 1024


def rules_of(config: Config) -> LineRules:
    """The rules that a configuration asks for."""
    line = config.server.line
    return LineRules(line.aging, line.patience, line.min_stay, line.linger, line.max_charge, line.whole)


def due(ticket: Ticket, since: float, lead: float, rules: LineRules) -> float:
    """When a ticket that is head `since` then counts as arrived, its caller being `lead` seconds ahead of others.

    A lane below 1 goes before lane 1 by as much as its number says, counted from when it became head.
    """
    lane = (ticket.lane - 1) * rules.aging
    return max(ticket.arrived + lane, since + min(0.0, lane)) + min(rules.max_charge, lead)


@dataclass(slots=True)
class Paused:
    """What gets no turn for now."""

    everything: bool = False
    lanes: set[float] = field(default_factory=set)
    runners: set[str] = field(default_factory=set)  # keys

    def __bool__(self) -> bool:
        return self.everything or bool(self.lanes) or bool(self.runners)

    def holds(self, ticket: Ticket) -> bool:
        """Whether `ticket` is among it."""
        return self.everything or ticket.lane in self.lanes or ticket.runner.key in self.runners


@dataclass(slots=True, eq=False)
class Account:
    """One caller's tickets in numbers."""

    running: int = 0
    waiting: int = 0
    size: int = 0  # bytes of waiting bodies
    slots: dict[str, int] = field(default_factory=dict)  # that its answers take, by runner
    flows: dict[float, Flow] = field(default_factory=dict)  # by lane

    def begin(self, ticket: Ticket) -> None:
        """One of its tickets is granted."""
        self.running += 1
        self._count(ticket.runner, _slots(ticket))

    def end(self, ticket: Ticket) -> None:
        """A granted one runs no more."""
        self.running -= 1
        self._count(ticket.runner, -_slots(ticket))

    def full(self, ticket: Ticket) -> bool:
        """Whether it runs as much as it may beside `ticket`, or has all the slots that `ticket` could get: then nobody
        else waits in vain for one that ends, and its next request is dated when one of its own has ended.
        """
        most = ticket.caps.running
        capped = most is not None and self.running >= most
        return capped or self.slots.get(ticket.runner.key, 0) >= ticket.runner.slots

    def _count(self, runner: Runner, slots: int) -> None:
        left = self.slots.get(runner.key, 0) + slots
        if left:
            self.slots[runner.key] = left
        else:
            del self.slots[runner.key]


def _slots(ticket: Ticket) -> int:
    return min(ticket.width, ticket.runner.slots)


@dataclass(slots=True, eq=False)
class Flow:
    """One caller in one lane."""

    account: Account
    lane: float
    queues: dict[str, list[Ticket]] = field(default_factory=dict)  # waiting, oldest first, by runner
    entries: dict[str, Entry] = field(default_factory=dict)  # what of it stands in the line, by runner
    under: str = ""  # the runner of its head, under which the entries are filed

    def tickets(self) -> Iterator[Ticket]:
        """All of it that waits, in no order."""
        return (ticket for queue in self.queues.values() for ticket in queue)


class Line:
    """The waiting tickets. The table is read only, to see which runners are resident."""

    def __init__(self, rules: LineRules, table: Table) -> None:
        self.rules = rules
        self.shares = Shares()
        self.paused = Paused()
        self.tickets: dict[int, Ticket] = {}  # waiting, by number
        self.places: dict[str, dict[str, list[Entry]]] = {}  # by runner, then by the runner of the flow's head
        self._table = table
        self._accounts: dict[str, Account] = {}
        self._wants: dict[str, dict[float, int]] = {}  # how many wait for a runner, by lane

    # --- in and out ---

    def add(self, ticket: Ticket, now: float) -> None:
        """`ticket` waits from now on; one that has its due already keeps it."""
        account = self._accounts.get(ticket.caller)
        if account is None:
            account = self._accounts[ticket.caller] = Account()
        account.waiting += 1
        account.size += ticket.size
        if account.waiting == 1:
            self.shares.wait(ticket.caller)
        self.tickets[ticket.number] = ticket
        flow = account.flows.get(ticket.lane)
        if flow is None:
            flow = account.flows[ticket.lane] = Flow(account, ticket.lane)
        if self._queue(flow, ticket):
            self._settle(flow, now, ticket.runner.key)

    def remove(self, ticket: Ticket, now: float) -> None:
        """`ticket` waits no more."""
        account = self._accounts[ticket.caller]
        account.waiting -= 1
        account.size -= ticket.size
        if not account.waiting:
            self.shares.leave(ticket.caller)
            self._forget(ticket.caller, account)
        del self.tickets[ticket.number]
        flow = account.flows[ticket.lane]
        if self._dequeue(flow, ticket):
            self._settle(flow, now, ticket.runner.key)

    def take(self, ticket: Ticket, now: float) -> None:
        """`ticket` is granted: it waits no more and counts as its caller's running. Its due is fixed by now."""
        account = self._accounts[ticket.caller]
        account.begin(ticket)
        ticket.head_since = now if ticket.head_since is None else ticket.head_since
        self.remove(ticket, now)
        if len(account.flows) > 1 and account.full(ticket):
            self._settle_all([flow for flow in account.flows.values() if flow.entries], now)

    def take_at_once(self, ticket: Ticket, now: float) -> None:
        """`ticket` is granted as it comes: it counts as its caller's running without having stood anywhere. Nobody else
        waits, so nobody is behind its caller, and its due (a replay may need it) is as early as it can be.
        """
        account = self._accounts.get(ticket.caller)
        if account is None:
            account = self._accounts[ticket.caller] = Account()
        account.begin(ticket)
        ticket.head_since, ticket.due = now, due(ticket, now, 0.0, self.rules)

    def give(self, ticket: Ticket, now: float) -> None:
        """A granted ticket runs no more: where its caller's cap took headship away, it comes back."""
        account = self._accounts[ticket.caller]
        account.end(ticket)
        if account.waiting:
            self._settle_all([flow for flow in account.flows.values() if flow.queues and not flow.entries], now)
        else:
            self._forget(ticket.caller, account)

    def rename(self, ticket: Ticket, runner: Runner, now: float) -> None:
        """A waiting ticket wants `runner` instead, and keeps its due."""
        flow = self.flow(ticket)
        self._dequeue(flow, ticket)
        ticket.runner = runner
        self._queue(flow, ticket)
        self._settle(flow, now)

    def settle(self, now: float) -> None:
        """What is paused has changed."""
        self._settle_all([flow for account in self._accounts.values() for flow in account.flows.values()], now)

    # --- questions ---

    def account(self, caller: str) -> Account:
        """What `caller` has in the line."""
        return self._accounts.get(caller) or Account()

    def flow(self, ticket: Ticket) -> Flow:
        """The flow a waiting ticket belongs to."""
        return self._accounts[ticket.caller].flows[ticket.lane]

    def flows(self) -> Iterator[Flow]:
        """Those in which somebody waits."""
        return (flow for account in self._accounts.values() for flow in account.flows.values() if flow.queues)

    def waiting_for(self, key: str) -> list[Ticket]:
        """All who wait for a runner, oldest first."""
        return [ticket for _, ticket in sorted(self.tickets.items()) if ticket.runner.key == key]

    def wanted(self, key: str) -> bool:
        """Whether somebody who is not paused waits for a runner."""
        lanes = self._wants.get(key)
        if lanes is None or self.paused.everything or key in self.paused.runners:
            return False
        return not self.paused.lanes or any(lane not in self.paused.lanes for lane in lanes)

    def head(self, key: str) -> Entry | None:
        """The head that is due first, of those that want this runner."""
        heads = self.places.get(key, {}).get(key)
        return heads[0] if heads else None

    def next_for(self, key: str) -> Entry | None:
        """Who gets this resident runner next: a head, or one who stands in for a head whose runner is not."""
        lowest: Entry | None = None
        for under, entries in self.places[key].items():
            if (under == key or not self.resident(under)) and (lowest is None or entries[0] < lowest):
                lowest = entries[0]
        return lowest

    def resident(self, key: str) -> bool:
        """Whether a runner can be given tickets."""
        row = self._table.get(key)
        return row is not None and row.presence is Presence.RESIDENT

    def presence(self, key: str) -> Presence | None:
        """Where a runner is; None: away."""
        row = self._table.get(key)
        return None if row is None else row.presence

    def heads(self) -> int:
        """How many heads there are."""
        return sum(len(lists[key]) for key, lists in self.places.items() if key in lists)

    def before(self, entry: Entry) -> int:
        """How many heads are due before this one."""
        return sum(bisect_left(lists[key], entry) for key, lists in self.places.items() if key in lists)

    # --- queues ---

    def _queue(self, flow: Flow, ticket: Ticket) -> bool:
        """Whether it is now the oldest of its flow for its runner: otherwise nobody's place has changed."""
        key = ticket.runner.key
        lanes = self._wants.setdefault(key, {})
        lanes[ticket.lane] = lanes.get(ticket.lane, 0) + 1
        queue = flow.queues.setdefault(key, [])
        insort(queue, ticket, key=_BY_NUMBER)
        return queue[0] is ticket

    def _dequeue(self, flow: Flow, ticket: Ticket) -> bool:
        """Whether it was the oldest of its flow for its runner."""
        key = ticket.runner.key
        lanes = self._wants[key]
        lanes[ticket.lane] -= 1
        if not lanes[ticket.lane]:
            del lanes[ticket.lane]
            if not lanes:
                del self._wants[key]
        queue = flow.queues[key]
        at = bisect_left(queue, ticket.number, key=_BY_NUMBER)
        del queue[at]
        if not queue:
            del flow.queues[key]
        return at == 0

    # --- headship ---

    def _settle_all(self, flows: Iterable[Flow], now: float) -> None:
        for flow in flows:
            self._settle(flow, now)

    def _settle(self, flow: Flow, now: float, changed: str | None = None) -> None:
        """Bring what stands in the line up to date with who waits; `changed`: the one runner for which that changed."""
        head = self._head_of(flow)
        if head is not None and head.head_since is None:
            head.head_since = now
            head.due = self._due(head, now)
        if changed is None or head is None or not flow.entries or flow.under != head.runner.key:
            self._withdraw(flow, list(flow.entries))
            self._stand(flow, head, flow.queues, now)
        else:
            self._withdraw(flow, (changed,))
            self._stand(flow, head, (changed,), now)

    def _stand(self, flow: Flow, head: Ticket | None, keys: Iterable[str], now: float) -> None:
        if head is None:
            return
        under = flow.under = head.runner.key
        for key in keys:
            queue = flow.queues.get(key)
            if queue is None or key in self.paused.runners:
                continue
            ticket = queue[0]
            if ticket.due is None:
                ticket.due = self._due(ticket, now)  # as one who stands in; as head it is dated anew
            entry = flow.entries[key] = (ticket.due, ticket.number, ticket)
            insort(self.places.setdefault(key, {}).setdefault(under, []), entry)

    def _withdraw(self, flow: Flow, keys: Iterable[str]) -> None:
        for key in keys:
            entry = flow.entries.pop(key, None)
            if entry is None:
                continue
            lists = self.places[key]
            entries = lists[flow.under]
            del entries[bisect_left(entries, entry)]
            if not entries:
                del lists[flow.under]
                if not lists:
                    del self.places[key]

    def _head_of(self, flow: Flow) -> Ticket | None:
        """The oldest ticket that is not paused; None when there is none, or its caller has enough already."""
        paused = self.paused
        if not flow.queues or paused.everything or flow.lane in paused.lanes:
            return None
        oldest: Ticket | None = None
        for key, queue in flow.queues.items():
            if key not in paused.runners and (oldest is None or queue[0].number < oldest.number):
                oldest = queue[0]
        return None if oldest is None or flow.account.full(oldest) else oldest

    def _due(self, ticket: Ticket, now: float) -> float:
        return due(ticket, now, self.shares.lead(ticket.caller, now), self.rules)

    def _forget(self, caller: str, account: Account) -> None:
        if not account.waiting and not account.running and len(self._accounts) > _KEPT:
            del self._accounts[caller]
