"""A copy every night, on a wound clock and a real disk."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from controller.config.machine import Backup
from controller.events import Journal
from controller.storage.backup import FOLDER, ahead, newest, nights
from controller.storage.database import Database
from controller.storage.nightly import AGAIN, FIRST, LOOK, Nightly, last_at
from tests.fakes.clock import WoundClock
from tests.kit.stored import mode, put, rows, told
from tests.kit.until import until

# what a test does to the disk may well block
HOUR, DAY = 3600.0, 86400.0
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture(autouse=True)
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.delenv("TZ")
    time.tzset()


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


@pytest.fixture
def clock() -> WoundClock:
    return WoundClock(wall=at("2026-11-21 20:00"))


@pytest.fixture
async def database(open_database: Callable[[], Database]) -> AsyncIterator[Database]:
    async with open_database() as database:
        await put(database, "a")
        yield database


@contextlib.asynccontextmanager
async def at_work(
    path: Path, clock: WoundClock, journal: Journal, settings: Backup | None = None
) -> AsyncIterator[None]:
    chosen = settings or Backup()
    task = asyncio.create_task(Nightly(path, lambda: chosen, clock, journal).run())
    yield
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


def copies(path: Path) -> list[str]:
    return sorted(file.name for file in (path.parent / FOLDER).glob("*"))


@pytest.mark.parametrize(
    ("now", "last"),
    [
        ("2026-11-21 03:30", "2026-11-21 03:30"),
        ("2026-11-21 03:29", "2026-11-20 03:30"),
        ("2026-11-21 23:59", "2026-11-21 03:30"),
        ("2026-12-01 00:10", "2026-11-30 03:30"),
        ("2026-03-29 12:00", "2026-03-29 03:30"),  # the day that lacks an hour
        ("2026-10-25 03:31", "2026-10-25 03:30"),  # the day that has one twice
        ("2026-01-01 01:00", "2025-12-31 03:30"),
    ],
)
def test_the_last_time_the_clock_said_so(now: str, last: str) -> None:
    assert last_at("03:30", at(now)) == at(last)


async def test_the_first_copy_comes_soon_after_the_first_start_and_then_one_a_night(
    path: Path, database: Database, clock: WoundClock, journal: Journal
) -> None:
    async with at_work(path, clock, journal):
        await clock.wind(FIRST - 1)
        assert copies(path) == []
        await clock.wind(1)
        await until(lambda: len(told(journal)) == 1)
        await clock.wind(at("2026-11-22 03:29") - clock.wall())
        assert len(copies(path)) == 1
        await put(database, "b")
        await clock.wind(120)
        await until(lambda: len(told(journal)) == 2)
        await clock.wind(HOUR)
    first, second = copies(path)
    assert (first, second[:20]) == ("nightly-20261121-191000.db", "nightly-20261122-023")
    folder = path.parent / FOLDER
    assert rows(folder / first, "SELECT runner FROM learned") == [("a",)]
    assert rows(folder / second, "SELECT runner FROM learned ORDER BY runner") == [("a",), ("b",)]
    assert {mode(folder / name) for name in (first, second)} == {0o600}
    assert mode(folder) == 0o700
    assert told(journal)[0] == f"The database was copied to {folder / first}."


async def test_a_machine_that_slept_through_the_night_makes_its_copy_in_the_morning(
    path: Path, database: Database, clock: WoundClock, journal: Journal
) -> None:
    async with at_work(path, clock, journal):
        await clock.wind(FIRST)
        await until(lambda: len(copies(path)) == 1 and len(told(journal)) == 1)
        clock.leap(at("2026-11-22 09:00") - clock.wall())
        await clock.wind(LOOK)
        await until(lambda: len(told(journal)) == 2)
    assert len(copies(path)) == 2


async def test_a_restart_makes_no_second_copy_of_the_same_night(
    path: Path, database: Database, clock: WoundClock, journal: Journal
) -> None:
    for _ in range(3):
        async with at_work(path, clock, journal):
            await clock.wind(FIRST)
            await until(lambda: told(journal))
            await clock.wind(3 * LOOK)
    assert len(copies(path)) == 1


async def test_switched_off_it_copies_nothing(
    path: Path, database: Database, clock: WoundClock, journal: Journal
) -> None:
    async with at_work(path, clock, journal, Backup(at="off")):
        await clock.wind(2 * DAY)
    assert copies(path) == []


async def test_of_many_nights_as_many_are_kept_as_was_said_and_other_copies_stay(
    path: Path, database: Database, clock: WoundClock, journal: Journal
) -> None:
    folder = path.parent / FOLDER
    folder.mkdir()
    for day in range(1, 21):
        (folder / f"nightly-202611{day:02}-023000.db").touch()
    others = {"before-migration-20200101-000000-from-r0001.db", "by-hand-20200101-000000.db", "nightly-of-mine.db"}
    for name in others:
        (folder / name).touch()
    async with at_work(path, clock, journal, Backup(daily=2, weekly=3)):
        await clock.wind(FIRST)
        await until(lambda: told(journal))
    found = set(copies(path))
    assert others < found
    made = [f"nightly-202611{day}" for day in ("08", "15", "20", "21")]  # Sundays, and the last two days
    assert sorted(name[:16] for name in found - others) == made
    assert len(nights(folder, clock.wall())) == 4


async def test_copies_that_a_clock_made_that_was_ahead_stand_for_no_night_and_push_none_out(
    path: Path, database: Database, clock: WoundClock, journal: Journal
) -> None:
    folder = path.parent / FOLDER
    folder.mkdir()
    later = [f"nightly-2027110{day}-023000.db" for day in range(1, 9)]
    for name in (*later, "nightly-20261120-023000.db"):
        (folder / name).touch()
        os.utime(folder / name, (0, at("2027-11-10 03:30") if name in later else clock.wall() - DAY))
    assert newest(folder, clock.wall()) == folder / "nightly-20261120-023000.db"
    assert ahead(folder, clock.wall()) == len(later)
    async with at_work(path, clock, journal, Backup(daily=2, weekly=0)):
        await clock.wind(FIRST)
        await until(lambda: len(told(journal)) == 1)
    assert sorted(set(copies(path)) - set(later)) == ["nightly-20261120-023000.db", "nightly-20261121-191000.db"]
    assert set(later) < set(copies(path))


async def test_a_copy_that_fails_is_told_and_tried_again_an_hour_later(
    path: Path, database: Database, clock: WoundClock, journal: Journal
) -> None:
    folder = path.parent / FOLDER
    folder.write_text("in the way")
    async with at_work(path, clock, journal):
        await clock.wind(FIRST)
        await until(lambda: len(told(journal)) == 1)
        assert told(journal)[0].startswith("Tonight's copy failed. The database cannot be copied: ")
        folder.unlink()
        await clock.wind(AGAIN - 1)
        assert len(told(journal)) == 1
        await clock.wind(1)
        await until(lambda: len(told(journal)) == 2)
    assert len(copies(path)) == 1
    assert os.listdir(folder) == copies(path)
