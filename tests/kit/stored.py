"""A database of a test's own, and ways to look at it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from sqlalchemy import insert

from controller.events import Journal
from controller.paths import CLONE
from controller.storage.database import Database
from controller.storage.file import looking
from controller.storage.tables import LEARNED


class Keeps(Protocol):
    """A part that writes behind."""

    async def run(self, database: Database) -> None: ...


def told(journal: Journal) -> list[str]:
    """What a person could read, oldest first."""
    return [said.text for said in journal.last(100)]


def mode(file: Path) -> int:
    """Who may read and write it."""
    return file.stat().st_mode & 0o777


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    """What another program sees in the file at this moment."""
    with looking(path) as connection:
        return connection.execute(query).fetchall()


def command(program: str, *arguments: str) -> list[str]:
    """How to start this Python text as a process of its own, to which every warning is an error."""
    return [sys.executable, "-W", "error", "-c", textwrap.dedent(program), *arguments]


def run(program: str, *arguments: str) -> str:
    """What it prints. Fails the test when it fails, or warns."""
    done = subprocess.run(command(program, *arguments), capture_output=True, text=True, timeout=120, cwd=CLONE)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def a_row(runner: str) -> dict[str, object]:
    """Of the table `learned`."""
    return {"runner": runner, "name": "", "loads": 0, "crashes": 0, "last_error": "", "updated_at": 1.0}


async def put(database: Database, runner: str) -> None:
    """Write one such row."""
    async with database.writing() as connection:
        await connection.execute(insert(LEARNED), a_row(runner))


@asynccontextmanager
async def at_work(part: Keeps, database: Database) -> AsyncIterator[Database]:
    """The database open, and `part` writing behind into it."""
    async with database:
        task = asyncio.create_task(part.run(database))
        await asyncio.sleep(0)
        try:
            yield database
        finally:
            task.cancel()
            await asyncio.wait([task])


async def no_rotation() -> None:
    """For an office whose sessions' keys are not what a test is about."""
