"""A database whose file is taken away while it is open: found out, and put back with all that was in it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from controller.config.machine import AuditSettings
from controller.events import Journal
from controller.storage.audit import Audit
from controller.storage.backup import back_up
from controller.storage.database import Database
from controller.storage.file import NAME, damage, make_ours
from controller.storage.tables import LEARNED
from tests.fakes.clock import WoundClock
from tests.kit.stored import at_work, mode, put, rows, told
from tests.kit.until import until

# ruff: noqa: ASYNC240  # what a test does to the disk may well block


@pytest.fixture
async def database(path: Path, open_database: Callable[[], Database]) -> AsyncIterator[Database]:
    async with open_database() as found:
        await put(found, "before")
        yield found


def _the_file(path: Path) -> None:
    path.unlink()


def _its_log(path: Path) -> None:
    Path(f"{path}-wal").unlink()


def _all_of_it(path: Path) -> None:
    for each in path.parent.glob(f"{NAME}*"):
        each.unlink()


def _the_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


async def known(database: Database) -> set[str]:
    async with database.reading() as connection:
        return {row.runner for row in await connection.execute(select(LEARNED))}


@pytest.mark.parametrize("taken", [_the_file, _its_log, _all_of_it, _the_folder])
async def test_what_is_deleted_while_it_is_open_is_put_back_with_all_that_was_in_it(
    path: Path, database: Database, journal: Journal, taken: Callable[[Path], None]
) -> None:
    await database.look()
    assert told(journal) == []
    taken(path)
    await database.look()
    (line,) = told(journal)
    assert f"it was saved, and is back as {path}" in line
    assert mode(path) == 0o600
    assert damage(path) is None
    await put(database, "after")
    assert await known(database) == {"before", "after"}
    assert rows(path, "SELECT runner FROM learned ORDER BY runner") == [("after",), ("before",)]
    await database.look()
    assert len(told(journal)) == 1, "once"


async def test_another_file_in_its_place_is_kept_and_what_was_open_stays_in_force(
    path: Path, tmp_path: Path, database: Database, journal: Journal
) -> None:
    await put(database, "since")
    other = tmp_path / "other.db"
    make_ours(other)
    back_up(path, other)
    await put(database, "newest")
    other.replace(path)
    await database.look()
    (aside,) = path.parent.glob(f"{NAME}.found-*")
    assert f"kept as {aside}" in told(journal)[0]
    assert await known(database) == {"before", "since", "newest"}
    assert rows(aside, "SELECT count(*) FROM learned") == [(2,)]


async def test_between_the_deed_and_the_next_look_no_empty_file_takes_its_place(path: Path, database: Database) -> None:
    """It would take what is written, and be lost. Connections that are open write on; new ones make no file."""
    _all_of_it(path)
    await put(database, "meanwhile")
    with pytest.raises(SQLAlchemyError, match="unable to open"):
        async with database.reading(), database.reading(), database.reading():
            pass
    assert not path.exists()
    await database.look()
    assert await known(database) == {"before", "meanwhile"}


async def test_who_reads_meanwhile_reads_on_and_leaves_nothing_open(path: Path, database: Database) -> None:
    async with database.reading() as reader:
        _the_file(path)
        looking = asyncio.create_task(database.look())
        await until(path.exists)
        assert {row.runner for row in await reader.execute(select(LEARNED))} == {"before"}
    await looking
    assert await known(database) == {"before"}


async def test_what_cannot_be_saved_is_told_once_and_saved_when_it_can(
    path: Path, database: Database, journal: Journal
) -> None:
    _the_folder(path)
    path.parent.write_text("in the way")
    for _ in range(3):
        await database.look()
    (line,) = told(journal)
    assert "cannot be saved" in line
    assert database.lost == line
    path.parent.unlink()
    await database.look()
    assert database.lost == ""
    assert await known(database) == {"before"}


async def test_the_audit_goes_on_in_one_chain(
    path: Path, database: Database, journal: Journal, clock: WoundClock
) -> None:
    audit = Audit(clock, journal, AuditSettings)
    async with at_work(audit, database):
        audit.note("one", actor="tests")
        assert len(await audit.rows()) == 1
        _the_file(path)
        audit.note("two", actor="tests")
        await clock.wind(2)
        await database.look()
        await clock.wind(60)
        assert [row["what"] for row in await audit.rows()] == ["two", "one"]
        verdict = await audit.verify()
    assert (verdict.rows, verdict.broken) == (2, None)
    assert not any("changed from outside" in line for line in told(journal))
