"""When this machine is kept awake, and when it is let go: on a wound clock, with a tool that only says that it runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest

from controller.errors import SpawnFailed
from controller.events import Journal
from controller.machine.power import Power, PowerTimes, Wish
from tests.fakes.clock import WoundClock

PACE = PowerTimes()


@dataclass
class Tool:
    """Runs until it is let go of, or ends by itself."""

    runs: bool = True
    said: str = ""

    def words(self) -> str:
        return self.said


@dataclass
class House:
    """Somebody may want something, and somebody may have set something else."""

    clock: WoundClock = field(default_factory=WoundClock)
    platform: str = "darwin"
    wish: Wish = "while_busy"
    busy: bool = False
    asked: list[tuple[str, ...]] = field(default_factory=list)
    held: list[Tool] = field(default_factory=list)
    fails: Exception | None = None
    next: Tool | None = None

    def __post_init__(self) -> None:
        self.journal = Journal(self.clock)

    @asynccontextmanager
    async def hold(self, argv: Sequence[str]) -> AsyncIterator[Tool]:
        self.asked.append(tuple(argv))
        if self.fails is not None:
            raise self.fails
        tool = self.next or Tool()
        self.held.append(tool)
        try:
            yield tool
        finally:
            self.held.remove(tool)

    @property
    def awake(self) -> bool:
        return any(tool.runs for tool in self.held)

    def said(self) -> list[str]:
        return [event.text for event in self.journal.last(10)]


@asynccontextmanager
async def living(house: House) -> AsyncIterator[None]:
    power = Power(
        lambda: house.wish,
        lambda: house.busy,
        house.clock,
        house.journal,
        platform=house.platform,
        hold=house.hold,
    )
    loop = asyncio.create_task(power.run())
    await house.clock.wind(0)
    try:
        yield
    finally:
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop
        assert not house.held, "whoever leaves lets go"


@pytest.fixture
def house() -> House:
    return House()


async def test_it_is_kept_awake_while_something_is_answered_and_a_minute_more(house: House) -> None:
    async with living(house):
        await house.clock.wind(3600)
        assert (house.asked, house.awake) == ([], False)
        house.busy = True
        await house.clock.wind(PACE.look)
        assert (house.asked, house.awake) == ([("caffeinate", "-i", "cat")], True)
        await house.clock.wind(7200)
        house.busy = False
        await house.clock.wind(PACE.linger - 2)
        assert house.awake
        await house.clock.wind(4)
        assert (len(house.asked), house.awake) == (1, False)


async def test_what_asks_again_and_again_starts_one_tool_not_many(house: House) -> None:
    async with living(house):
        for _ in range(100):
            house.busy = not house.busy
            await house.clock.wind(20)
        assert len(house.asked) == 1


async def test_always_is_always_and_a_change_is_taken_over_at_once(house: House) -> None:
    house.wish = "always"
    async with living(house):
        await house.clock.wind(3600)
        assert house.awake
        house.wish = "never"
        await house.clock.wind(2)
        assert not house.awake
        house.busy = True
        await house.clock.wind(60)
        assert not house.awake
        house.wish = "while_busy"
        await house.clock.wind(2)
        assert house.awake


async def test_on_linux_it_is_logind_that_is_asked(house: House) -> None:
    house.platform, house.busy = "linux", True
    async with living(house):
        assert house.awake
        assert house.asked[0][:2] == ("systemd-inhibit", "--what=idle")


@pytest.mark.parametrize(
    "fault", [SpawnFailed("caffeinate could not be started: no such file.", "missing"), OSError(24, "Too many files")]
)
async def test_what_cannot_be_done_is_told_once_and_tried_again_now_and_then(house: House, fault: Exception) -> None:
    house.fails, house.busy = fault, True
    async with living(house):
        await house.clock.wind(3 * PACE.again)
        [words] = house.said()
        assert words.startswith(
            f"This machine may fall asleep while it answers, for it cannot be kept awake ({fault})."
        )
        assert len(house.asked) == 4
        house.fails = None
        await house.clock.wind(PACE.again)
        assert house.awake


async def test_a_tool_that_is_refused_says_so_itself(house: House) -> None:
    house.platform, house.busy = "linux", True
    house.next = Tool(runs=False, said="Failed to inhibit: Access denied")
    async with living(house):
        await house.clock.wind(60)
        assert not house.awake
        assert "(systemd-inhibit: Failed to inhibit: Access denied)" in house.said()[0]


async def test_a_tool_that_somebody_ends_is_told_and_another_comes(house: House) -> None:
    house.busy = True
    async with living(house):
        await house.clock.wind(60)
        house.held[0].runs, house.held[0].said = False, "Terminated: 15"
        await house.clock.wind(PACE.again + 2)
        assert (house.awake, len(house.asked), len(house.said())) == (True, 2, 1)


async def test_where_nothing_is_known_that_does_it_that_is_told(house: House) -> None:
    house.platform, house.wish = "freebsd14", "always"
    async with living(house):
        await house.clock.wind(60)
        assert "nothing is known that does it here" in house.said()[0]


async def test_who_wants_nothing_hears_nothing(house: House) -> None:
    house.platform, house.wish, house.busy = "freebsd14", "never", True
    async with living(house):
        await house.clock.wind(3600)
        assert house.said() == []
