"""What all runs share. Built once, at the roof."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from controller.answering.asking import KNOCK, Asking
from controller.answering.counts import RunCounts
from controller.answering.forwards import Forwards
from controller.answering.open_runs import OpenRuns
from controller.answering.poison import Poison
from controller.answering.rhythm import Rhythm
from controller.answering.turns import KnownModels, Turns
from controller.answering.upstream import Pool
from controller.clock import Clock
from controller.engines.engine import Engine
from controller.engines.runner import Runner
from controller.errors import Unreachable
from controller.refusal import Refused
from controller.usage import Use


def _unkept(use: Use) -> None:
    """Where nobody keeps it."""


class Shared:
    """The line, the names, the way to upstream, and what is remembered from one run to the next."""

    def __init__(
        self,
        engines: Sequence[Engine],
        turns: Turns,
        names: KnownModels,
        clock: Clock,
        counts: RunCounts | None = None,
        *,
        rhythm: Rhythm | None = None,
        used: Callable[[Use], None] = _unkept,
    ) -> None:
        """What no model answers goes to the first of `engines`. `used` hears of each run that stood in the line, once
        it is over. It may not block.
        """
        self.turns, self.names, self.clock = turns, names, clock
        self.counts = counts or RunCounts()
        self.rhythm = rhythm or Rhythm()
        self.used = used
        self._askings = {each.name: Asking(each, Pool(), clock, self.counts) for each in engines}
        self.asking = self._askings[engines[0].name]
        self.open = OpenRuns(clock, self.rhythm.sweep)
        self.poison = Poison()
        self.forwards = Forwards()
        self.on_moved: list[Callable[[], None]] = []
        """Told when a run comes into the line, and when it leaves it: what is loaded may be different."""

    def moved(self) -> None:
        """A run has come into the line, or left it."""
        for tell in self.on_moved:
            tell()

    @property
    def busy(self) -> bool:
        """Whether somebody waits for an answer of upstream's, or is being given one."""
        return self.counts.held > 0 or self.open.busy

    @property
    def ready(self) -> bool:
        """Whether an engine answers."""
        return any(each.ready for each in self._askings.values())

    def asks(self, runner: Runner) -> Asking:
        """The way to who answers for it."""
        return self._askings[runner.engine]

    async def runner_of(self, model: str, hold: float) -> Runner | Refused | None:
        """Which runner a name means; None: there is no such model. Only upstream can say so of a new name, so it is
        waited for, at most `hold` seconds.
        """
        deadline = self.clock.now() + hold
        unsure = not self.ready  # else one that is there may know it
        while True:
            for asking in self._askings.values() if unsure else ():
                refused = await asking.wait(hold, max(0.0, deadline - self.clock.now()))
                if refused is not None:
                    return refused
            try:
                return await self.names.look_up(model)
            except Unreachable:
                if self.clock.now() >= deadline:
                    return self.asking.held_out(hold)
                if unsure:
                    await self.clock.sleep(KNOCK)
                unsure = True

    async def close(self) -> None:
        """Look after nothing more, and close all connections to upstream."""
        self.open.close()
        for asking in self._askings.values():
            await asking.pool.close()
