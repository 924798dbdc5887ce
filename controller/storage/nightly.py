"""A copy of the database every night, also of a machine that sleeps at night."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from controller.clock import Clock
from controller.config.machine import Backup
from controller.errors import SeadragonError
from controller.events import Journal
from controller.storage.backup import FOLDER, nightly, nights

FIRST: Final = 600.0  # seconds after a start in which everything else comes first
LOOK: Final = 60.0  # seconds between two looks at the time of day: it may jump, and the machine may sleep
AGAIN: Final = 3600.0  # seconds after which a copy that failed is tried again


class Nightly:
    """`run` makes the copies. The last one that is there says whether the next is due: nothing else is remembered."""

    def __init__(self, path: Path, settings: Callable[[], Backup], clock: Clock, journal: Journal) -> None:
        self._path, self._settings, self._clock, self._journal = path, settings, clock, journal
        self._folder = path.parent / FOLDER

    async def run(self) -> None:
        """Until cancelled."""
        await self._clock.sleep(FIRST)
        while True:
            done = not self._due() or await self._copy()
            await self._clock.sleep(LOOK if done else AGAIN)

    def _due(self) -> bool:
        at, now = self._settings().at, self._clock.wall()
        return at != "off" and max(nights(self._folder, now), default=0.0) < last_at(at, now)

    async def _copy(self) -> bool:
        keep, now = self._settings(), self._clock.wall()
        making = asyncio.to_thread(nightly, self._path, self._folder, now, daily=keep.daily, weekly=keep.weekly)
        try:
            made = await making
        except SeadragonError as error:
            self._journal.say("storage", f"Tonight's copy failed. {error} It is tried again.", level="error")
            return False
        self._journal.say("storage", f"The database was copied to {made}.")
        return True


def last_at(at: str, now: float) -> float:
    """When this machine's clock last showed `at` (`03:30`). Both moments are seconds since the epoch."""
    hour, minute = map(int, at.split(":"))
    today = time.localtime(now)
    days = (time.mktime((*today[:2], today.tm_mday - ago, hour, minute, 0, 0, 0, -1)) for ago in (0, 1))
    return next(moment for moment in days if moment <= now)
