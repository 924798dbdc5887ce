"""The line as whoever runs this server sees it, and orders it."""

from __future__ import annotations

from collections.abc import Callable

from controller.clock import Clock
from controller.scheduling.dispatcher import Dispatcher
from controller.scheduling.effects import Residency
from controller.scheduling.scheduler import Scheduler
from controller.scheduling.ticket import End, State, Ticket
from controller.scheduling.view import queue_document


class Oversight:
    """`on_cut` is told of each ticket whose answer is to end while it is being written, and why."""

    def __init__(self, line: Dispatcher, scheduler: Scheduler, residency: Residency, clock: Clock) -> None:
        self.on_cut: list[Callable[[Ticket, End], None]] = []
        self._line = line
        self._scheduler = scheduler
        self._residency = residency
        self._clock = clock

    def queue(self) -> dict[str, object]:
        """The line as it is shown."""
        scheduler, line = self._scheduler, self._line
        guess = lambda ticket: (line.position(ticket), line.estimate(ticket))  # noqa: E731
        return queue_document(scheduler.waiting(), scheduler.running(), self._paused(), guess, self._clock.now())

    def pause(self, lane: float | None = None, model_key: str | None = None) -> None:
        """Grant nothing to a lane, or a runner; both None: to nobody."""
        self._scheduler.pause(lane, model_key)
        self._line.decide()

    def resume(self, lane: float | None = None, model_key: str | None = None) -> None:
        """The end of that pause."""
        self._scheduler.resume(lane, model_key)
        self._line.decide()

    def cut(self, key: str) -> None:
        """End every answer that this runner is writing."""
        for ticket in [each for each in self._scheduler.running() if each.runner.key == key]:
            self._cut(ticket, End.SWITCHED)

    def cancel(self, number: int, sees: Callable[[str], bool]) -> bool:
        """End one request, waiting or running. Whether there was one of this number, for a model that `sees` knows."""
        tickets = (*self._scheduler.running(), *self._scheduler.waiting())
        ticket = next((each for each in tickets if each.number == number), None)
        if ticket is None or not sees(ticket.model):
            return False
        if ticket.state is State.GRANTED:
            self._cut(ticket, End.CANCELLED)
        else:
            self._line.refuse(ticket, End.CANCELLED, "")
            self._line.decide()
        return True

    def _cut(self, ticket: Ticket, as_: End) -> None:
        for told in self.on_cut:
            told(ticket, as_)

    def _paused(self) -> list[str]:
        """What is paused, as people call it."""
        paused = self._scheduler.paused
        names = {each.runner.key: each.model for each in self._scheduler.waiting()}
        names |= {key: row.runner.name for key, row in self._residency.table.items()}
        return [
            *(["everything"] if paused.everything else []),
            *(f"lane {lane:g}" for lane in sorted(paused.lanes)),
            *sorted(names.get(key, key) for key in paused.runners),
        ]
