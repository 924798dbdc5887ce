"""Holders at work on a real database."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from controller.auth.deeds import Means
from controller.auth.holders import Holders
from controller.auth.holdings import Holdings
from controller.auth.office import Office
from controller.clock import Clock
from controller.config.entry import Access
from controller.config.schema import Config
from controller.desk import AuditView
from controller.events import Journal
from controller.storage.database import Database
from tests.fakes.clock import WoundClock
from tests.kit.stored import no_rotation


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
    task = asyncio.create_task(holders.ledger.run(database or Database(path, clock, journal)))
    try:
        await holders.ledger.known.wait()
        yield holders
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or task.result() is None


def an_office(
    holders: Holders,
    audit: AuditView,
    clock: Clock,
    settings: Callable[[], Config] = Config,
    rotate: Callable[[], Awaitable[None]] = no_rotation,
) -> Office:
    """Where rights are ordered, as the roof builds it."""
    return Office(Means(holders, Holdings(holders, clock, settings), clock, settings, rotate), audit)
