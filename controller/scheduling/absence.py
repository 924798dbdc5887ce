"""While an engine is away: none of its requests is let through, who has waited for it too long is told so, and what is
to be looked at again later rings the alarm. What other engines answer goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from controller.clock import Clock
from controller.readiness import Readiness
from controller.scheduling.alarm import Alarm
from controller.scheduling.away import Away
from controller.scheduling.scheduler import Scheduler
from controller.scheduling.ticket import End, Ticket


class Absence:
    """Opens and closes the scheduler. `ends` is told who waits in vain, why, and the words for a person."""

    def __init__(
        self,
        scheduler: Scheduler,
        engines: Mapping[str, Readiness],
        alarm: Alarm,
        clock: Clock,
        hold: Callable[[], float],
        may_grant: Callable[[], bool],
        ends: Callable[[Ticket, End, str], None],
    ) -> None:
        """`hold`: seconds that a request waits for its engine. `may_grant`: whether memory lets anything be begun."""
        self._scheduler = scheduler
        self._engines = engines
        self._alarm = alarm
        self._clock = clock
        self._hold = hold
        self._may_grant = may_grant
        self._ends = ends
        self._away = {name: Away(clock.now()) for name in engines}

    def changed(self) -> None:
        """Readiness of some engine says something else."""
        for name, readiness in self._engines.items():
            self._away[name].see(readiness.verdict, self._clock.now(), draining=readiness.draining)
            if readiness.verdict == "down":
                for ticket in self._waiting(name):
                    self._ends(ticket, End.DOWN, readiness.down_words)
        self.look()

    def look(self) -> None:
        """Which are there, and who has waited for one too long."""
        now, hold = self._clock.now(), self._hold()
        self.open()
        for name, away in self._away.items():
            for ticket in away.held_out(self._waiting(name), hold, now):
                self._ends(ticket, End.HELD_OUT, self._engines[name].held_out_words(hold))
            wake = away.wake(self._waiting(name), hold)
            if wake is not None:
                self._alarm.wake_at(wake)

    def open(self) -> None:
        """Let the scheduler grant, or not, as things are now."""
        now = self._clock.now()
        closed = {name for name, away in self._away.items() if not away.here(now)}
        self._scheduler.closed = closed
        self._scheduler.open = len(closed) < len(self._away) and self._may_grant()

    def meet(self, ticket: Ticket) -> None:
        """A ticket that waits from now on, while its engine may be away."""
        readiness = self._engines[ticket.runner.engine]
        if readiness.verdict == "down":
            self._ends(ticket, End.DOWN, readiness.down_words)
        elif readiness.verdict == "coming":
            self._alarm.wake_at(self._clock.now() + self._hold())

    def rest(self, engine: str, seconds: float) -> None:
        """Grant nothing of an engine's for so long, although it is there."""
        if seconds > 0:
            until = self._clock.now() + seconds
            self._away[engine].rest(until)
            self.open()
            self._alarm.wake_at(until)

    def _waiting(self, engine: str) -> list[Ticket]:
        return [each for each in self._scheduler.waiting() if each.runner.engine == engine]
