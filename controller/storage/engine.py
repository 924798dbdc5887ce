"""SQLAlchemy's way to our file. Imported late: it takes half a second and 20 MB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from controller.storage.file import BUSY, PRAGMAS

POOL = 2  # connections that stay; each is a thread
OVERFLOW = 4  # more of them for a moment


def engine_for(path: Path) -> AsyncEngine:
    """An engine whose transactions are told to begin, and how: pass `writes=True` as an execution option to write."""
    # `rw`: one that was deleted under us must not come back as an empty one.
    there = {"mode": "rw", "uri": "true"}
    url = URL.create("sqlite+aiosqlite", database=path.absolute().as_uri(), query=there)
    # Left to itself, Python's driver begins a transaction at the first write only, and leaves tables out of it.
    how = {"timeout": BUSY, "isolation_level": None}
    engine = create_async_engine(url, pool_size=POOL, max_overflow=OVERFLOW, connect_args=how)
    event.listen(engine.sync_engine, "connect", _prepare)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _prepare(connection: Any, record: object) -> None:
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    """A writer waits for the one before it here, at once: who reads first and then wants to write can only fail."""
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
