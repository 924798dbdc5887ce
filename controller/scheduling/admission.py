"""Who may join the line, and when the others should come back."""

from __future__ import annotations

import math

from controller.scheduling.line import Line
from controller.scheduling.slots import Slots
from controller.scheduling.ticket import Cap, Ticket, Turned
from controller.settings.units import write_size

_GUESS = 5.0  # seconds until a place is free, before any answer has ended
_SOONEST, _LATEST = 1, 60  # seconds
_SPREAD = 0.2  # either way, so that those who were turned away together do not come back together
_GOLDEN = 0.6180339887498949  # multiples of it, modulo 1, fall evenly: neighbours in number get unlike seconds


def admit(ticket: Ticket, line: Line, slots: Slots) -> Turned | None:
    """None: it may join. The caps of its caller come first, since only these are the caller's own doing."""
    account = line.account(ticket.caller)
    caps = ticket.caps
    if account.waiting >= caps.waiting:
        text = f"You have {account.waiting} requests waiting, as many as allowed. Try again when one has had its turn."
        return Turned(Cap.CALLER, text, _retry_after(ticket, slots, account.running))
    if account.size + ticket.size > caps.size:
        text = f"Your waiting requests may take {write_size(caps.size)} together. Try again when one has had its turn."
        return Turned(Cap.BYTES, text, _retry_after(ticket, slots, account.running))
    if len(line.tickets) >= line.rules.whole:
        text = f"{len(line.tickets)} requests are waiting already, as many as this server takes. Try again in a moment."
        return Turned(Cap.LINE, text, _retry_after(ticket, slots, len(slots.tickets)))
    return None


def _retry_after(ticket: Ticket, slots: Slots, running: int) -> int:
    """With n running and no more known of them, the first ends after about answer ÷ (n + 1)."""
    answer = slots.answer_seconds
    seconds = _GUESS if answer is None else answer / (1 + running)
    spread = 1 - _SPREAD + 2 * _SPREAD * (ticket.number * _GOLDEN % 1)
    return min(_LATEST, max(_SOONEST, math.ceil(seconds * spread)))
