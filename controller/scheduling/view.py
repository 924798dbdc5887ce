"""The line as people and programs are shown it: labels and plain numbers, never a word of what was asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from controller.scheduling.ticket import State, Ticket

LISTED: Final = 200  # tickets shown one by one; all are counted

Estimate = Callable[[Ticket], tuple[int, float | None]]
"""Its position, 1 for the next, and the seconds until its turn; None when nobody can tell honestly."""


def queue_document(
    waiting: Iterable[Ticket], running: Iterable[Ticket], paused: Iterable[str], estimate: Estimate, now: float
) -> dict[str, object]:
    """Who runs, longest first, then who waits, next first."""
    queued, at_work = sorted(waiting, key=_turn), sorted(running, key=lambda each: each.granted or 0.0)
    listed = [_row(each, estimate(each), now) for each in queued[: max(0, LISTED - len(at_work))]]
    return {
        "waiting": len(queued),
        "running": len(at_work),
        "paused": list(paused),
        "lanes": _lanes(queued, now),
        "tickets": [_row(each, (0, None), now) for each in at_work[:LISTED]]
        + sorted(listed, key=lambda row: (row["position"], row["number"])),
    }


def _turn(ticket: Ticket) -> tuple[bool, float, int]:
    """Those that stand in the line come before those behind them."""
    return ticket.due is None, ticket.due or 0.0, ticket.number


def _lanes(queued: Iterable[Ticket], now: float) -> dict[str, dict[str, object]]:
    arrivals: dict[float, list[float]] = {}
    for ticket in queued:
        arrivals.setdefault(ticket.lane, []).append(ticket.arrived)
    return {
        f"{lane:g}": {"waiting": len(came), "oldest_seconds": round(now - min(came), 1)}
        for lane, came in sorted(arrivals.items())
    }


def _row(ticket: Ticket, estimate: tuple[int, float | None], now: float) -> dict[str, int | float | str | None]:
    position, seconds = estimate
    until = ticket.granted if ticket.state is State.GRANTED and ticket.granted is not None else now
    return {
        "number": ticket.number,
        "caller": ticket.label,
        "caller_id": ticket.caller,
        "lane": ticket.lane,
        "model": ticket.model,
        "state": ticket.state.value,
        "waited_seconds": round(until - ticket.arrived, 1),
        "position": position,
        "estimate_seconds": None if seconds is None else round(seconds, 1),
        "why": ticket.why.value if ticket.why is not None else None,
        "hold": ticket.hold.value if ticket.hold is not None and ticket.state is State.WAITING else None,
    }
