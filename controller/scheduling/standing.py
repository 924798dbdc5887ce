"""How a waiting ticket stands, for those who ask: why it waits, and how many are before it."""

from __future__ import annotations

from controller.residency.resident import Presence
from controller.scheduling.line import Flow, Line
from controller.scheduling.swaps import Swaps
from controller.scheduling.ticket import Hold, Ticket


def position(ticket: Ticket, line: Line) -> int:
    """1 is next: the heads that are due before its flow's, then those before it in its flow. Who has no head for now
    comes after all who have one.
    """
    flow = line.flow(ticket)
    older = sum(each.number < ticket.number for each in flow.tickets())
    heads = line.heads() if not flow.entries else line.before(flow.entries[flow.under])
    return heads + older + 1


def hold(ticket: Ticket, line: Line, swaps: Swaps) -> Hold:
    """Why it waits, as of the last decision."""
    flow = line.flow(ticket)
    key = ticket.runner.key
    if line.paused.holds(ticket):
        return Hold.PAUSED
    if not flow.entries:
        return _hold_of_a_full_caller(ticket, flow)
    if flow.entries[key][2] is not ticket:
        return Hold.BEHIND
    if line.resident(key):
        return _hold_there(ticket, line)
    if line.presence(key) is Presence.LOADING:
        return Hold.LEAVING if swaps.under_way() is Hold.LEAVING else Hold.LOADING
    if flow.under != key:
        return Hold.BEHIND
    head = line.head(key)
    if head is None or head[2] is not ticket:
        return Hold.QUEUE
    return swaps.bars.get(key, (Hold.QUEUE, None))[0]


def _hold_of_a_full_caller(ticket: Ticket, flow: Flow) -> Hold:
    most = ticket.caps.running
    if most is not None and flow.account.running >= most:
        return Hold.CAP
    return Hold.BEHIND if any(each.number < ticket.number for each in flow.tickets()) else Hold.SLOT


def _hold_there(ticket: Ticket, line: Line) -> Hold:
    key = ticket.runner.key
    under = line.flow(ticket).under
    if under != key and line.resident(under):
        return Hold.BEHIND
    following = line.next_for(key)
    return Hold.SLOT if following is not None and following[2] is ticket else Hold.QUEUE
