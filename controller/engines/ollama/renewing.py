"""The loop that has a renewed Ollama take over: it looks at the disk, and does what `renewal.py` decides."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

from controller.clock import Clock
from controller.engines.ollama.renewal import Disk, Notice, Renewal, Takeover, Trial, Try, Wish
from controller.events import Journal

LOOK = 2.0  # seconds between two looks: as often as it is probed


class Renewing:
    """`disk` looks at the program of what runs, None while nothing of ours does. `attempt` asks a program for its
    version; `restart` drains first.
    """

    def __init__(
        self,
        wish: Callable[[], Wish],
        disk: Callable[[], Awaitable[Disk | None]],
        busy: Callable[[], bool],
        attempt: Callable[[str], Awaitable[Trial]],
        restart: Callable[[], Awaitable[None]],
        clock: Clock,
        journal: Journal,
    ) -> None:
        self._wish, self._disk, self._busy = wish, disk, busy
        self._attempt, self._restart = attempt, restart
        self._clock, self._journal = clock, journal
        self._renewal = Renewal()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._clock.sleep(LOOK)
            with suppress(OSError):  # short of something just now: there will be another look
                await self._once()

    async def _once(self) -> None:
        disk = await self._disk()
        if disk is None:
            return
        match self._renewal.look(disk, busy=self._busy(), wish=self._wish(), now=self._clock.now()):
            case Notice(text, level):
                self._journal.say("ollama", text, level=level)
            case Try(program):
                self._renewal.tried(disk.found, await self._attempt(program))
            case Takeover(why):
                self._journal.say("ollama", why)
                await self._restart()
