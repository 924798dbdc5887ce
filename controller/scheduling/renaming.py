"""Models come and go while requests wait: what a name means is looked up again before anything more is granted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from controller.clock import Clock
from controller.engines.runner import Runner
from controller.errors import Unreachable
from controller.residency.seams import DatedNames
from controller.scheduling.scheduler import Scheduler
from controller.scheduling.ticket import Ticket

_LIMIT: Final = 5.0  # seconds for all names that wait …
_AGAIN: Final = 1.0  # … and after that failed


class Renaming:
    """`means` is told what each name that waits means now, None for nothing; `settled` is called when all have been
    looked up that can be. Names of an engine that is away are looked up again and again, and hold nobody else.
    """

    def __init__(
        self,
        names: DatedNames,
        clock: Clock,
        scheduler: Scheduler,
        means: Callable[[str, Runner | None], None],
        settled: Callable[[], None],
    ) -> None:
        self.tasks: asyncio.TaskGroup | None = None
        self._names = names
        self._clock = clock
        self._scheduler = scheduler
        self._means = means
        self._settled = settled
        self._epoch = names.epoch  # all that wait mean what they say, as of this epoch …
        self._unsure: set[str] = set()  # … but for these
        self._looking = False

    @property
    def done(self) -> bool:
        """Whether all that may have a turn mean the runner they say. If not, that is being looked up."""
        if self._epoch == self._names.epoch:
            return True
        if next(iter(self._scheduler.waiting()), None) is None:
            self._epoch, self._unsure = self._names.epoch, set()
            return True
        if self.tasks is not None and not self._looking:
            self._looking = True
            self.tasks.create_task(self._look())
        return False

    async def _look(self) -> None:
        while self._epoch != self._names.epoch or self._unsure:
            await self._look_all_up(self._names.epoch)
        self._looking = False
        self._settled()

    async def _look_all_up(self, epoch: int) -> None:
        waiting = {each.model: each for each in self._scheduler.waiting()}
        unsure = set[str]()
        try:
            async with asyncio.timeout(_LIMIT):
                for model in sorted(waiting.keys() & self._unsure if self._epoch == epoch else waiting):
                    if not await self._look_up(model, waiting[model]):
                        unsure.add(model)
        except (TimeoutError, Unreachable):  # its engine is away, so nobody goes anywhere yet
            return await self._clock.sleep(_AGAIN)
        fresh, self._epoch, self._unsure = self._epoch != epoch, epoch, unsure
        if unsure:
            if fresh:
                self._settled()
            await self._clock.sleep(_AGAIN)

    async def _look_up(self, model: str, ticket: Ticket) -> bool:
        """False: its engine is away, while others are there. Raises Unreachable when all are away."""
        try:
            self._means(model, await self._names.look_up(model))
        except Unreachable:
            if not self._scheduler.open or ticket.runner.engine not in self._scheduler.closed:
                raise
            return False
        return True
