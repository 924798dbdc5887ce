"""What was used, in a real database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from controller.clock import SystemClock
from controller.config.machine import UsageSettings
from controller.errors import SeadragonError
from controller.events import Journal
from controller.storage import write_behind
from controller.storage.database import Database
from controller.storage.usage import SWEEP, UsageStore, day_of, forget
from controller.storage.write_behind import GATHER, RETRY
from tests.fakes.clock import WoundClock
from tests.kit.stored import at_work, rows, told
from tests.kit.until import until
from tests.kit.uses import a_use

DAY = 86400.0


@pytest.fixture
def usage(clock: WoundClock, journal: Journal) -> UsageStore:
    return UsageStore(clock, journal, UsageSettings)


async def test_every_request_becomes_a_row_and_a_part_of_its_day(
    usage: UsageStore, clock: WoundClock, open_database: Callable[[], Database], path: Path
) -> None:
    async with at_work(usage, open_database()):
        usage.note(a_use(caller="anna", answer_tokens=10))
        usage.note(a_use(caller="anna", answer_tokens=20, outcome="gap_too_long", waited=None, first_byte=None))
        usage.note(a_use(caller="ben", key_id="k1", kind="key", answer_tokens=40, estimated=True))
        found = await usage.requests()
        assert [(each["caller"], each["answer_tokens"]) for each in found] == [("ben", 40), ("anna", 20), ("anna", 10)]
        assert (found[1]["waited"], found[1]["outcome"], found[0]["estimated"]) == (None, "gap_too_long", True)
        anna, ben = await usage.sums("caller")
        assert (anna["caller"], anna["requests"], anna["failed"], anna["answer_tokens"]) == ("anna", 2, 1, 30)
        assert (ben["caller"], ben["requests"], ben["estimated"]) == ("ben", 1, 1)
        usage.note(a_use(caller="anna", answer_tokens=5))
        assert (await usage.sums("caller"))[0]["answer_tokens"] == 35
    assert rows(path, "SELECT count(*) FROM usage") == [(4,)]
    assert rows(path, "SELECT sum(requests) FROM usage_daily") == [(4,)]


async def test_rows_are_written_behind_within_two_seconds(
    usage: UsageStore, clock: WoundClock, open_database: Callable[[], Database], path: Path
) -> None:
    async with at_work(usage, open_database()):
        await clock.wind(0)
        usage.note(a_use())
        await clock.wind(GATHER / 2)
        assert rows(path, "SELECT count(*) FROM usage") == [(0,)]
        await clock.wind(GATHER / 2)
        await until(lambda: rows(path, "SELECT count(*) FROM usage") == [(1,)])


async def test_what_waits_at_the_end_is_written(
    usage: UsageStore, open_database: Callable[[], Database], path: Path
) -> None:
    async with at_work(usage, open_database()):
        await asyncio.sleep(0)
        for _ in range(write_behind.BATCH * 2 + 7):
            usage.note(a_use())
    assert rows(path, "SELECT count(*) FROM usage") == [(write_behind.BATCH * 2 + 7,)]


async def test_sums_are_told_by_day_week_model_and_key_of_whoever_is_meant(
    usage: UsageStore, open_database: Callable[[], Database]
) -> None:
    sunday = time.mktime((2026, 11, 22, 12, 0, 0, 0, 0, -1))
    async with at_work(usage, open_database()):
        for days, caller, key, model in ((0, "anna", "", "red"), (0, "app", "k1", "blue"), (1, "app", "k1", "red")):
            usage.note(a_use(at=sunday + days * DAY, caller=caller, key_id=key, model=model))
        assert [(each["day"], each["requests"]) for each in await usage.sums("day")] == [
            ("2026-11-22", 2),
            ("2026-11-23", 1),
        ]
        weeks = await usage.sums("week")
        assert [(each["week"], each["requests"]) for each in weeks] == [("2026-11-16", 2), ("2026-11-23", 1)]
        assert [(each["model"], each["requests"]) for each in await usage.sums("model")] == [("red", 2), ("blue", 1)]
        assert [each["key_id"] for each in await usage.sums("key")] == ["k1", ""]
        assert [each["day"] for each in await usage.sums("day", since=sunday + DAY)] == ["2026-11-23"]
        assert [each["model"] for each in await usage.sums("model", only={"key_id": "", "caller": "anna"})] == ["red"]
        assert len(await usage.requests(only={"key_id": "k1"})) == 2
        assert len(await usage.requests(since=sunday + DAY)) == 1
        assert len(await usage.requests(count=1)) == 1


async def test_old_rows_go_and_the_sums_of_their_days_stay_longer(
    usage: UsageStore, clock: WoundClock, open_database: Callable[[], Database]
) -> None:
    now = clock.wall()
    async with at_work(usage, open_database()) as database:
        for age in (0, 80, 100, 700, 800):
            usage.note(a_use(at=now - age * DAY))
        assert len(await usage.requests()) == 5
        await forget(database, rows=now - 90 * DAY, days=day_of(now - 730 * DAY))
        assert len(await usage.requests()) == 2
        assert len(await usage.sums("day")) == 4


async def test_the_sweep_keeps_what_the_configuration_says(
    clock: WoundClock, journal: Journal, open_database: Callable[[], Database], path: Path
) -> None:
    settings = [UsageSettings()]
    usage = UsageStore(clock, journal, lambda: settings[0])
    async with at_work(usage, open_database()):
        usage.note(a_use(at=clock.wall() - 10 * DAY))
        usage.note(a_use(at=clock.wall()))
        assert len(await usage.requests()) == 2
        settings[0] = UsageSettings(keep=5 * DAY)

        async def swept() -> bool:
            await clock.wind(SWEEP)
            return rows(path, "SELECT count(*) FROM usage") == [(1,)]

        await until(swept)


async def test_a_question_waits_for_a_database_that_is_being_opened(
    usage: UsageStore, open_database: Callable[[], Database]
) -> None:
    usage.note(a_use(caller="anna"))
    asked = asyncio.create_task(usage.sums("caller"))
    await asyncio.sleep(0)
    async with at_work(usage, open_database()):
        assert [each["caller"] for each in await asked] == ["anna"]


async def test_without_a_database_a_question_is_answered_in_words(clock: WoundClock, journal: Journal) -> None:
    usage = UsageStore(clock, journal, UsageSettings, opening=0.01)
    usage.note(a_use())
    with pytest.raises(SeadragonError, match="seadragon logs"):
        await usage.sums("caller")


async def test_a_disk_that_takes_nothing_costs_no_more_than_a_bounded_room(
    clock: WoundClock, journal: Journal, open_database: Callable[[], Database], path: Path
) -> None:
    usage = UsageStore(clock, journal, UsageSettings, capacity=10)
    full = "CREATE TRIGGER full BEFORE INSERT ON usage BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    async with at_work(usage, open_database()) as database:
        await clock.wind(0)
        async with database.writing() as connection:
            await connection.exec_driver_sql(full)
        for number in range(25):
            usage.note(a_use(caller=str(number)))
        assert usage.dropped == 15
        await clock.wind(GATHER)
        await until(lambda: any("disk full" in line for line in told(journal)))
        await clock.wind(RETRY)
        await clock.wind(RETRY)
        assert sum("disk full" in line for line in told(journal)) == 1
        async with database.writing() as connection:
            await connection.exec_driver_sql("DROP TRIGGER full")
        found = await usage.requests()
        assert [each["caller"] for each in found] == [str(number) for number in range(24, 14, -1)]
        assert any("written again" in line and "15" in line for line in told(journal))


@pytest.mark.proof
def test_noting_a_request_costs_less_than_a_microsecond() -> None:
    clock = SystemClock()

    async def cost() -> float:
        usage, use, times = UsageStore(clock, Journal(clock), UsageSettings), a_use(), 20_000
        began = time.perf_counter()
        for _ in range(times):
            usage.note(use)
        return (time.perf_counter() - began) / times

    assert min(asyncio.run(cost()) for _ in range(5)) < 1e-6
