"""A supervisor with real keepers and a program under it, for tests; everything is stopped when the block ends."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from controller.clock import SystemClock
from controller.config.schema import Config
from controller.events import Journal
from controller.supervision.backoff import Pace
from controller.supervision.programs import Program, Workspace
from controller.supervision.spec import ChildState, ChildStatus
from controller.supervision.supervisor import Supervisor
from tests.kit.until import until

QUICK = Pace(first=0.02, longest=0.5, look_every=0.1, conflict_every=0.2, outside_first=1.0, glance_every=0.2)
"""Rules as shipped but for the waits, which would only make a test long."""


def place(folder: Path) -> Workspace:
    """Data and logs below `folder`, and an environment of its own."""
    (folder / "data").mkdir(exist_ok=True)
    home = {"HOME": str(folder), "PATH": os.defpath, "LANG": "C.UTF-8"}
    return Workspace(folder / "data", folder / "logs", home)


def config(**server: Any) -> Config:
    """A configuration whose `server` branch says this."""
    return Config.model_validate({"server": server})


def turn(file: Path, **knobs: Any) -> None:
    """Set a fake's knobs, all at once."""
    draft = file.with_suffix(".new")
    draft.write_text(json.dumps(knobs))
    draft.replace(file)


class Counted:
    """A program of which it is counted how often it was asked: to see that nothing comes of any number of looks."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self.asked: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        if name in ("plan", "probe", "network"):
            self.asked[name] += 1
        return getattr(self._program, name)

    async def again(self, name: str, times: int = 10) -> None:
        """Return once it was asked that many more times."""
        enough = self.asked[name] + times
        await until(lambda: self.asked[name] >= enough)


def counted(program: Program) -> tuple[Program, Counted]:
    """The program to supervise, and its counters."""
    both = Counted(program)
    return cast(Program, both), both


@dataclass
class Supervised:
    """What a test sees of it."""

    supervisor: Supervisor
    journal: Journal
    loop: asyncio.Task[None]

    @property
    def status(self) -> ChildStatus:
        return self.supervisor.status

    def said(self) -> str:
        return "\n".join(event.text for event in self.journal.last(500))

    async def reaches(self, *states: ChildState, limit: float = 60.0) -> ChildStatus:
        """The status once it is in one of `states`; fails after `limit` seconds, or when the loop itself fails."""

        def there() -> bool:
            if self.loop.done():
                self.loop.result()
            return self.status.state in states

        try:
            await until(there, limit=limit)
        except TimeoutError:
            raise AssertionError(f"still {self.status}\n{self.said()}") from None
        return self.status


@asynccontextmanager
async def supervised(program: Program, home: Path, pace: Pace = QUICK) -> AsyncIterator[Supervised]:
    """Run a supervisor until the block ends; then its child is stopped."""
    clock = SystemClock()
    journal = Journal(clock)
    supervisor = Supervisor(program, home=home, clock=clock, journal=journal, adopt_grace=lambda: 20.0, pace=pace)
    loop = asyncio.create_task(supervisor.run())
    try:
        yield Supervised(supervisor, journal, loop)
        if not loop.done():
            async with asyncio.timeout(60):
                await supervisor.stop()
    finally:
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop


async def crash_the_controller(one: Supervised) -> None:
    """End the loop as a crash does: the keeper keeps the child."""
    one.loop.cancel()
    with suppress(asyncio.CancelledError):
        await one.loop
