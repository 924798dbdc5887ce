"""Verbs about people, keys, invites and addresses, and about what was used and done. Every order is in the audit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

from controller.auth import rows
from controller.control import Request, Tell
from controller.desk import By, Desk
from controller.errors import SeadragonError
from controller.usage import GROUPINGS

OPERATOR: Final = By(rows.OPERATOR, rows.OPERATOR)
_NOTED: Final[Mapping[str, Callable[[Request], str]]] = {
    "start": lambda request: str(request.get("name", "")),
    "stop": lambda request: str(request.get("name", "")),
    "restart": lambda request: str(request.get("name") or "the controller"),
    "down": lambda request: "the controller",
    "reload": lambda request: "the configuration",
    "backup": lambda request: str(request.get("file") or "the data folder"),
    "order": lambda request: f"{request.get('kind')} {request.get('model')}",
    "pause": lambda request: "the line",
    "resume": lambda request: "the line",
    "cancel": lambda request: f"request {request.get('number')}",
}
"""Verbs that change something and are not the office's, which notes its own: what each is done to."""


async def office(desk: Desk, request: Request, tell: Tell) -> object:
    """`order` by its name in `auth/office.py`, with `arguments`."""
    name, arguments = request.get("order"), request.get("arguments", {})
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise SeadragonError("Say which order: `order` must be its name, and `arguments` an object.")
    return await desk.office.order(name, OPERATOR, **arguments)


async def usage(desk: Desk, request: Request, tell: Tell) -> object:
    """Sums `by` something, or the last requests one by one, of those since `since`."""
    since, by = _moment(request), request.get("by")
    if by is None:
        return await desk.usage.requests(since, count=_count(request))
    if by not in GROUPINGS:
        raise SeadragonError(f"`by` cannot be {by!r}. It may be: {', '.join(GROUPINGS)}.")
    return await desk.usage.sums(by, since)


async def audit(desk: Desk, request: Request, tell: Tell) -> object:
    """The last rows that fit, newest first."""
    actor, what = request.get("actor"), request.get("what")
    return await desk.audit.rows(
        _moment(request),
        actor=actor if isinstance(actor, str) else "",
        what=what if isinstance(what, str) else "",
        count=_count(request),
    )


async def verify(desk: Desk, request: Request, tell: Tell) -> object:
    """Whether the audit is as it was written."""
    return asdict(await desk.audit.verify())


def note(desk: Desk, request: Request, outcome: str) -> None:
    """Note what the operator ordered, if it changes something."""
    verb = str(request.get("verb"))
    if (target := _NOTED.get(verb)) is not None:
        desk.audit.note(f"control.{verb}", actor=OPERATOR.actor, target=target(request), outcome=outcome)


def _moment(request: Request) -> float:
    since: Any = request.get("since", 0.0)
    return float(since) if isinstance(since, int | float) else 0.0


def _count(request: Request) -> int:
    count = request.get("count")
    return max(1, count) if isinstance(count, int) and not isinstance(count, bool) else 100
