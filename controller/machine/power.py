"""Keeps this machine from falling asleep while somebody waits for it to answer.

The system's own tool does, for as long as it runs, and it runs until its input ends: whatever becomes of us, nothing is
kept awake for nobody. It holds off the sleep of a machine that nobody touches: a lid, or a person's order, is obeyed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from controller.clock import Clock
from controller.errors import SpawnFailed
from controller.events import Journal, Level
from controller.supervision.tools import held_tool

Wish = Literal["while_busy", "always", "never"]

TOOLS: Final[Mapping[str, Sequence[str]]] = {
    "darwin": ("caffeinate", "-i", "cat"),
    # What any user may hold off. (A desktop with a clock of its own for this does not ask logind.)
    "linux": ("systemd-inhibit", "--what=idle", "--who=Seadragon", "--why=It is answering", "cat"),
}


@dataclass(frozen=True, slots=True)
class PowerTimes:
    """Seconds; tests scale them down."""

    look: float = 1.0  # between two looks at whether there is something to do
    linger: float = 60.0  # it stays awake after the last answer: who talks to a model reads before the next question
    again: float = 600.0  # until what did not work is tried once more


class Tool(Protocol):
    """What `tools.held_tool` gives."""

    @property
    def runs(self) -> bool: ...
    def words(self) -> str: ...


Hold = Callable[[Sequence[str]], AbstractAsyncContextManager[Tool]]


class Power:
    """`wish` is the setting, `busy` whether anything is answered, loaded or waited for now."""

    def __init__(
        self,
        wish: Callable[[], Wish],
        busy: Callable[[], bool],
        clock: Clock,
        journal: Journal,
        *,
        platform: str = sys.platform,
        hold: Hold = held_tool,
        rhythm: PowerTimes | None = None,
    ) -> None:
        self._wish, self._busy = wish, busy
        self._clock, self._journal = clock, journal
        self._mac = platform == "darwin"
        self._tool = TOOLS.get(platform, ())
        self._hold = hold
        self._rhythm = rhythm or PowerTimes()
        self._worked: float | None = None  # when there was last something to do
        self._told = ""

    async def run(self) -> None:
        """Until cancelled; then it may sleep."""
        while True:
            if not self._wanted():
                await self._clock.sleep(self._rhythm.look)
            elif (fault := await self._keep_awake()) is not None:
                self._tell(fault)
                await self._clock.sleep(self._rhythm.again)

    def _wanted(self) -> bool:
        wish = self._wish()
        if wish != "while_busy":
            return wish == "always"
        now = self._clock.now()
        if self._busy():
            self._worked = now
        return self._worked is not None and now - self._worked < self._rhythm.linger

    async def _keep_awake(self) -> str | None:
        """For as long as that is wanted. The reason, where it cannot be."""
        if not self._tool:
            return "nothing is known that does it here"
        try:
            async with self._hold(self._tool) as tool:
                while tool.runs:
                    await self._clock.sleep(self._rhythm.look)
                    if not self._wanted():
                        return None
                return f"{self._tool[0]}: {tool.words()}"
        except (SpawnFailed, OSError) as problem:
            return str(problem)

    def _tell(self, fault: str) -> None:
        if fault == self._told:
            return
        self._told = fault
        words = f"This machine may fall asleep while it answers, for it cannot be kept awake ({fault})."
        level: Level = "warning" if self._mac or self._wish() == "always" else "info"  # a server seldom sleeps anyhow
        self._journal.say("controller", f"{words} power: {{awake: never}} says no more of it.", level=level)
