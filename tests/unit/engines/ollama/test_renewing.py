"""The loop that carries out what is decided about a renewed Ollama: on a wound clock, with a disk that only says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from controller.engines.ollama.renewal import SETTLED, Disk, Found, Trial, Wish
from controller.engines.ollama.renewing import LOOK, Renewing
from controller.events import Journal
from tests.fakes.clock import WoundClock

NEW = Disk(Found("another", "/opt/ollama", "new"), "0.32.0", "take the old one.")


@dataclass
class House:
    """What the loop is given, and what it did."""

    clock: WoundClock = field(default_factory=WoundClock)
    disk: Disk | None = Disk()
    trial: Trial = Trial("0.33.0")
    busy: bool = False
    wish: Wish = "when_idle"
    short: bool = False
    tried: list[str] = field(default_factory=list)
    restarts: int = 0

    def __post_init__(self) -> None:
        self.journal = Journal(self.clock)

    async def look(self) -> Disk | None:
        await asyncio.sleep(0)
        if self.short:
            raise OSError(24, "Too many open files")
        return self.disk

    async def attempt(self, program: str) -> Trial:
        await asyncio.sleep(0)
        self.tried.append(program)
        return self.trial

    async def restart(self) -> None:
        await asyncio.sleep(0)
        self.restarts += 1
        self.disk = Disk()


@asynccontextmanager
async def living(house: House) -> AsyncIterator[None]:
    renewing = Renewing(
        lambda: house.wish,
        house.look,
        lambda: house.busy,
        house.attempt,
        house.restart,
        house.clock,
        house.journal,
    )
    loop = asyncio.create_task(renewing.run())
    await house.clock.wind(0)
    try:
        yield
        assert not loop.done(), "it goes on for ever"
    finally:
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop


async def test_a_renewed_ollama_is_tried_once_told_and_restarted_once() -> None:
    house = House()
    async with living(house):
        await house.clock.wind(600)
        assert (house.tried, house.journal.last(10)) == ([], [])
        house.disk = NEW
        await house.clock.wind(SETTLED + 6 * LOOK)
        assert (house.tried, house.restarts) == (["/opt/ollama"], 1)
        assert [event.source for event in house.journal.last(10)] == ["ollama", "ollama"]
        await house.clock.wind(3600)
        assert house.restarts == 1


async def test_while_it_does_not_run_nothing_is_looked_at_and_what_was_told_is_not_told_again() -> None:
    house = House(disk=NEW, wish="never")
    async with living(house):
        for disk in (NEW, None, NEW):
            house.disk = disk
            await house.clock.wind(600)
        assert (len(house.journal.last(10)), house.restarts) == (1, 0)


async def test_a_machine_that_is_short_of_something_ends_no_loop() -> None:
    house = House(disk=NEW, short=True)
    async with living(house):
        await house.clock.wind(600)
        assert house.tried == []
        house.short = False
        await house.clock.wind(SETTLED + 6 * LOOK)
        assert house.restarts == 1
