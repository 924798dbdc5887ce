"""How long this machine makes everybody wait, measured in the minute of the test that has to allow for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.kit import web
from tests.kit.house import House

EVERY = 0.1  # seconds


class Stalls:
    """What asking for nothing took meanwhile."""

    def __init__(self) -> None:
        self.worst = 0.0  # seconds, of one answer of `/healthz`, which no model and nobody else has to do with


@asynccontextmanager
async def stalls(house: House) -> AsyncIterator[Stalls]:
    """Ask the house for nothing again and again while the block lasts."""
    seen = Stalls()

    async def ask() -> None:
        async with web.async_client(base_url=house.url, timeout=60) as client:
            while True:
                began = time.monotonic()
                await client.get("/healthz")
                seen.worst = max(seen.worst, time.monotonic() - began)
                await asyncio.sleep(EVERY)

    asking = asyncio.create_task(ask())
    try:
        yield seen
    finally:
        asking.cancel()
        await asyncio.wait([asking])
