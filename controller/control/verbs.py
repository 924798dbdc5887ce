"""What the control socket understands: the verbs of the orders that have one, the views, and what is told in lines."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from controller.control import Request, Tell
from controller.control.awaiting import Verb, engine_there, needs_engine
from controller.desk import OPERATOR, Desk, JobView, job_document
from controller.errors import SeadragonError
from controller.logtail import Tail
from controller.orders.giving import give
from controller.orders.row import Order
from controller.orders.table import ORDERS
from controller.orders.works import child_called
from controller.usage import GROUPINGS
from controller.views.show import SHOWN
from controller.views.viewer import OPERATOR_LOOKS

LOOK: Final = 0.2  # seconds between two looks at a job, or at a log file that is followed
_JOBS: Final = {row.name.partition(".")[2]: row for row in ORDERS.values() if row.job}


# --- orders ---


def _ordering(row: Order) -> Verb:
    """The verb of one order: its fields are members of the request, of which those that are not known are ignored."""

    async def ordering(desk: Desk, request: Request, tell: Tell) -> object:
        given = {field.name: request[field.name] for field in row.fields if field.name in request}
        answer = await give(desk, row.name, OPERATOR, given)
        return await _followed(answer, request, tell) if row.job else answer

    return needs_engine(ordering) if row.patient else ordering


async def _order(desk: Desk, request: Request, tell: Tell) -> object:
    """One of those about a model, by its `kind`. Tell how far it is while it runs; the answer is the job, ended unless
    `wait` is false.
    """
    row = _JOBS.get(str(request.get("kind")))
    if row is None:
        raise SeadragonError(f"There is no such order. There is: {', '.join(_JOBS)}.")
    return await _ordering(row)(desk, request, tell)


async def _office(desk: Desk, request: Request, tell: Tell) -> object:
    """Any of the table by its name, `order`, with `arguments`."""
    name, arguments = request.get("order"), request.get("arguments", {})
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise SeadragonError("Say which order: `order` must be its name, and `arguments` an object.")
    answer = await give(desk, name, OPERATOR, arguments)
    return await _followed(answer, request, tell) if ORDERS[name].job else answer


async def _followed(job: JobView, request: Request, tell: Tell) -> object:
    said = ""
    while job.state == "running" and request.get("wait", True):
        if job.text != said:
            said = job.text
            await tell({"text": said})
        await job.wait(LOOK)
    return job_document(job)


async def _restart(desk: Desk, request: Request, tell: Tell) -> object:
    """One child if it is named; else the controller itself, which leaves its children to the next one."""
    if request.get("name") is None:
        return await _leave(desk, "controller.restart", tell)
    return await _ordering(ORDERS["children.restart"])(desk, request, tell)


async def _down(desk: Desk, request: Request, tell: Tell) -> object:
    return await _leave(desk, "controller.down", tell)


async def _leave(desk: Desk, order: str, tell: Tell) -> object:
    """Tell what happens until the process ends, and the connection with it.

    An answer comes only when it does not leave after all: a service manager would not let it.
    """
    with desk.journal.subscribe() as events:
        await give(desk, order, OPERATOR, {})
        while desk.phase in ("draining", "stopping"):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    event = await events.get()
                await tell(asdict(event))
    return {"stays": True}


# --- views ---


def _showing(name: str) -> Verb:
    """The verb of a view that has no questions."""

    async def showing(desk: Desk, request: Request, tell: Tell) -> object:
        return await SHOWN[name](desk, OPERATOR_LOOKS)

    return showing


async def _engine(desk: Desk, request: Request, tell: Tell) -> object:
    """As `status`, once an engine is there."""
    await engine_there(desk, tell)
    return await SHOWN["status"](desk, OPERATOR_LOOKS)


async def _usage(desk: Desk, request: Request, tell: Tell) -> object:
    """Sums `by` something, or the last `count` requests one by one, of those since `since`."""
    since, by = _moment(request), request.get("by")
    if by is not None and by not in GROUPINGS:
        raise SeadragonError(f"`by` cannot be {by!r}. It may be: {', '.join(GROUPINGS)}.")
    how = {"requests": _rows(request)} if by is None else {"by": by}
    return await SHOWN["usage"](desk, OPERATOR_LOOKS, since=since, **how)


async def _audit(desk: Desk, request: Request, tell: Tell) -> object:
    """The last rows that fit, newest first."""
    which = {name: value for name in ("actor", "what") if isinstance(value := request.get(name), str)}
    return await SHOWN["audit"](desk, OPERATOR_LOOKS, since=_moment(request), count=_rows(request), **which)


# --- what is told in lines ---


async def _logs(desk: Desk, request: Request, tell: Tell) -> object:
    name = request.get("name")
    path = desk.logs / ("controller.jsonl" if name in (None, "controller") else f"{child_called(desk, str(name))}.log")
    follow = request.get("follow") is True
    with Tail(path, _lines(request)) as tail:
        while (lines := await asyncio.to_thread(tail.read)) or follow:
            for line in lines:
                await tell(line)
            if not lines:
                await asyncio.sleep(LOOK)  # a file cannot be awaited
    return None


async def _events(desk: Desk, request: Request, tell: Tell) -> object:
    with desk.journal.subscribe() as events:
        for event in desk.journal.last(_lines(request)):
            await tell(asdict(event))
        while request.get("follow") is True:
            await tell(asdict(await events.get()))
    return None


_PLAIN: Final = ("status", "facts", "models", "queue", "memory", "verify", "keys", "users", "invites", "allow")
VERBS: Final[Mapping[str, Verb]] = {
    **{name: _showing(name) for name in _PLAIN},
    "models": needs_engine(_showing("models")),
    "engine": _engine,
    "usage": _usage,
    "audit": _audit,
    **{row.verb: _ordering(row) for row in ORDERS.values() if row.verb},
    "restart": _restart,
    "down": _down,
    "order": _order,
    "office": _office,
    "logs": _logs,
    "events": _events,
}


def _moment(request: Request) -> float:
    since: Any = request.get("since", 0.0)
    return float(since) if isinstance(since, int | float) else 0.0


def _rows(request: Request) -> int:
    count = request.get("count")
    return max(1, count) if isinstance(count, int) and not isinstance(count, bool) else 100


def _lines(request: Request) -> int:
    count = request.get("count", 20)
    return max(0, min(count, 100_000)) if isinstance(count, int) else 20
