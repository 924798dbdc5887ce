"""Holders at work on a real database."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from controller.auth.holders import Holders
from controller.clock import Clock
from controller.config.entry import Access
from controller.events import Journal
from controller.storage.database import Database
from tests.fakes.clock import WoundClock


@contextlib.asynccontextmanager
async def holding(
    path: Path,
    clock: Clock | None = None,
    journal: Journal | None = None,
    database: Database | None = None,
    access: Callable[[], Access] = Access,
) -> AsyncIterator[Holders]:
    """Holders that know everything, for as long as the block lasts."""
    clock = clock or WoundClock()
    journal = journal or Journal(clock)
    holders = Holders(clock, journal, access=access)
    task = asyncio.create_task(holders.run(database or Database(path, clock, journal)))
    try:
        await holders.known.wait()
        yield holders
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or task.result() is None
