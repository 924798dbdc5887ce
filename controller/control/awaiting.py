"""Verbs that need an engine wait for it while it is coming, and say so meanwhile: nobody asks again by hand."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from controller.control import Request, Tell
from controller.desk import Desk
from controller.errors import OrderRefused, SeadragonError, Unreachable
from controller.plain import span_words

Verb: TypeAlias = Callable[[Desk, Request, Tell], Awaitable[object]]

TELL: Final = 5.0  # seconds between two words about the wait


def needs_engine(verb: Verb) -> Verb:
    """`verb`, carried out once it is there when it cannot be before."""

    @functools.wraps(verb)
    async def patient(desk: Desk, request: Request, tell: Tell) -> object:
        try:
            return await verb(desk, request, tell)
        except (Unreachable, OrderRefused) as error:
            busy = isinstance(error, Unreachable) or error.kind == "busy"
            if not busy or desk.readiness.verdict == "ready":
                raise
        await engine_there(desk, tell)
        return await verb(desk, request, tell)

    return patient


async def engine_there(desk: Desk, tell: Tell) -> None:
    """Return when an engine answers; tell from time to time why it does not yet. Waits as long as its start may take,
    and no moment where waiting would not help. Raises SeadragonError.
    """
    loop, limit = asyncio.get_running_loop(), max(each.startup for each in desk.config.server.engines.values())
    title, began = desk.readiness.title, loop.time()
    while desk.readiness.verdict == "coming":
        waited = loop.time() - began
        if waited >= limit:
            raise SeadragonError(
                f"{title} did not get ready within {span_words(limit)}: {desk.readiness.reason} "
                f"What it says itself: seadragon logs {' or '.join(desk.config.server.engines)}"
            )
        await tell(
            {"text": f"Waiting for {title} ({span_words(waited)} of {span_words(limit)}): {desk.readiness.reason}"}
        )
        await desk.readiness.wait(min(TELL, limit - waited))
    if desk.readiness.verdict == "down":
        raise SeadragonError(f"{title} is not ready: {desk.readiness.reason}")
