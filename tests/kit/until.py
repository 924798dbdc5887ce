"""Waiting for what cannot be awaited: a condition, with a generous deadline."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable


async def until(condition: Callable[[], object | Awaitable[object]], *, limit: float = 30.0) -> None:
    """Return once `condition()` is true; fail the test after `limit` seconds."""
    async with asyncio.timeout(limit):
        while True:
            found = condition()
            if inspect.isawaitable(found):
                found = await found
            if found:
                return
            await asyncio.sleep(0.01)
