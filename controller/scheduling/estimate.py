"""How long until a ticket's turn. An honest guess from what experience says, or nothing."""

from __future__ import annotations

import heapq
from collections.abc import Mapping

from controller.residency.learned import Learned
from controller.residency.resident import Presence
from controller.scheduling.line import Flow
from controller.scheduling.scheduler import Scheduler
from controller.scheduling.ticket import Hold, State, Ticket

_PASSING = {Hold.PATIENCE, Hold.MIN_STAY, Hold.LINGER}  # end by themselves, at a moment that is known


def seconds_until(scheduler: Scheduler, ticket: Ticket, learned: Mapping[str, Learned], now: float) -> float | None:
    """Seconds until the grant, as things stand; None when anything that it depends on is unknown."""
    if ticket.state is not State.WAITING:
        return None
    there = _until_there(scheduler, ticket, learned, now)
    known = learned.get(ticket.runner.key)
    if there is None:
        return None
    ahead = _ahead(scheduler, ticket)
    free = _free_slots(scheduler, ticket, learned, now, there)
    if free is None:
        return None
    if ahead >= len(free) and (known is None or known.answer_seconds is None):
        return None
    answer = 0.0 if known is None or known.answer_seconds is None else known.answer_seconds
    for _ in range(ahead):
        heapq.heapreplace(free, free[0] + answer)
    return free[0]


def _until_there(scheduler: Scheduler, ticket: Ticket, learned: Mapping[str, Learned], now: float) -> float | None:
    """Seconds until its runner is resident."""
    key = ticket.runner.key
    row = scheduler.table.get(key)
    hold = scheduler.hold_of(ticket)
    if hold in {Hold.PAUSED, Hold.AWAY, Hold.MEMORY}:
        return None
    if row is not None and row.presence is Presence.RESIDENT:
        return 0.0
    known = learned.get(key)
    if known is None or known.load_seconds is None:
        return None
    if row is not None and row.presence is Presence.LOADING:
        if leaving := _leaving(scheduler):
            rests = [_rest(each, learned, now) for each in scheduler.running() if each.runner.key in leaving]
            ends = [rest for rest in rests if rest is not None]
            return max(ends, default=0.0) + known.load_seconds if len(ends) == len(rests) else None
        left = row.since + known.load_seconds - now
        return left if left > 0 else None  # takes longer than ever before: who knows
    begins = _until_swap(scheduler, key, learned, now)
    return None if begins is None else begins + known.load_seconds


def _leaving(scheduler: Scheduler) -> set[str]:
    return {key for key, row in scheduler.table.items() if row.presence is Presence.LEAVING}


def _until_swap(scheduler: Scheduler, key: str, learned: Mapping[str, Learned], now: float) -> float | None:
    """Seconds until a runner that is away begins to load; None also for all but the first of those."""
    hold, until = scheduler.swaps.bars.get(key, (Hold.QUEUE, None))
    first = scheduler.swaps.away()[:1]
    if hold not in _PASSING or until is None or not first or first[0][2].runner.key != key:
        return None
    rests = [_rest(each, learned, now) for each in scheduler.running()]  # whoever leaves finishes first
    known = [rest for rest in rests if rest is not None]
    if len(known) < len(rests):
        return None
    batch_done = hold is Hold.PATIENCE and not any(scheduler.wanted(other) for other in scheduler.table)
    return max([0.0 if batch_done else until - now, *known])


def _free_slots(
    scheduler: Scheduler, ticket: Ticket, learned: Mapping[str, Learned], now: float, there: float
) -> list[float] | None:
    """Seconds until each slot of its runner is free, soonest first; None when an answer's length is unknown."""
    row = scheduler.table.get(ticket.runner.key)
    if row is None or row.presence is not Presence.RESIDENT:
        return [there] * ticket.runner.slots
    rests = []
    for running, slots in scheduler.slots.tickets.items():
        if running.runner == ticket.runner:
            rest = _rest(running, learned, now)
            if rest is None:
                return None
            rests += [rest] * slots
    free = [0.0] * max(0, row.slots - len(rests)) + rests
    heapq.heapify(free)
    return free or None


def _rest(running: Ticket, learned: Mapping[str, Learned], now: float) -> float | None:
    """Seconds that an answer still takes. One that took longer than most is halfway, for all anybody knows."""
    known = learned.get(running.runner.key)
    if known is None or known.answer_seconds is None or running.granted is None:
        return None
    elapsed = now - running.granted
    return max(known.answer_seconds - elapsed, elapsed / 2 if elapsed > known.answer_seconds else 0.0)


def _ahead(scheduler: Scheduler, ticket: Ticket) -> int:
    """Tickets for the same runner that come before it: its own flow's older ones, and of each other flow as many."""
    line = scheduler.line
    own = line.flow(ticket)
    older = sum(each.number < ticket.number for each in own.queues[ticket.runner.key])
    return older + sum(_of_flow(flow, own, ticket, older) for flow in line.flows() if flow is not own)


def _of_flow(flow: Flow, own: Flow, ticket: Ticket, older: int) -> int:
    key = ticket.runner.key
    theirs, ours = flow.entries.get(key), own.entries.get(key)
    if theirs is None:
        return 0
    return min(len(flow.queues[key]), older + (ours is None or theirs < ours))
