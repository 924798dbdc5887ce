"""Models come and go while requests wait: what a name means is looked up again before anything more is granted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from controller.clock import Clock
from controller.engines.runner import Runner
from controller.errors import Unreachable
from controller.scheduling.effects import Names
from controller.scheduling.ticket import Ticket


@dataclass(frozen=True, slots=True)
class Looks:
    """Seconds; tests scale them down."""

    limit: float = 5.0  # for all names that wait
    again: float = 1.0  # after that failed


class Renaming:
    """`means` is told what each name that waits means now, None for nothing; `settled` is called when all have been."""

    def __init__(
        self,
        names: Names,
        clock: Clock,
        waiting: Callable[[], Iterable[Ticket]],
        means: Callable[[str, Runner | None], None],
        settled: Callable[[], None],
        looks: Looks,
    ) -> None:
        self.tasks: asyncio.TaskGroup | None = None
        self._names = names
        self._clock = clock
        self._waiting = waiting
        self._means = means
        self._settled = settled
        self._looks = looks
        self._epoch = names.epoch  # all that wait mean what they say, as of this epoch
        self._looking = False

    @property
    def done(self) -> bool:
        """Whether all that wait mean the runner they say. If not, that is being looked up."""
        if self._epoch == self._names.epoch:
            return True
        if next(iter(self._waiting()), None) is None:
            self._epoch = self._names.epoch
            return True
        if self.tasks is not None and not self._looking:
            self._looking = True
            self.tasks.create_task(self._look())
        return False

    async def _look(self) -> None:
        while self._epoch != self._names.epoch:
            await self._look_all_up(self._names.epoch)
        self._looking = False
        self._settled()

    async def _look_all_up(self, epoch: int) -> None:
        try:
            async with asyncio.timeout(self._looks.limit):
                for model in sorted({each.model for each in self._waiting()}):
                    self._means(model, await self._names.look_up(model))
        except (TimeoutError, Unreachable):  # Ollama is away, so nobody goes anywhere yet
            await self._clock.sleep(self._looks.again)
        else:
            self._epoch = epoch
