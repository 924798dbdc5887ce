"""While Ollama is away: nobody is let through, who has waited for it too long is told so, and what is to be looked at
again later rings the alarm.
"""

from __future__ import annotations

from collections.abc import Callable

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
        readiness: Readiness,
        alarm: Alarm,
        clock: Clock,
        hold: Callable[[], float],
        may_grant: Callable[[], bool],
        ends: Callable[[Ticket, End, str], None],
    ) -> None:
        """`hold`: seconds that a request waits for Ollama. `may_grant`: whether memory lets anything be begun."""
        self._scheduler = scheduler
        self._readiness = readiness
        self._alarm = alarm
        self._clock = clock
        self._hold = hold
        self._may_grant = may_grant
        self._ends = ends
        self._away = Away(clock.now())

    def changed(self) -> None:
        """Readiness says something else."""
        self._away.see(self._readiness.verdict, self._clock.now(), draining=self._readiness.draining)
        if self._readiness.verdict == "down":
            for ticket in list(self._scheduler.waiting()):
                self._ends(ticket, End.DOWN, self._down())
        self.look()

    def look(self) -> None:
        """Whether it is there, and who has waited for it too long."""
        now, hold = self._clock.now(), self._hold()
        self.open()
        for ticket in self._away.held_out(self._scheduler.waiting(), hold, now):
            self._ends(ticket, End.HELD_OUT, self._held_out(hold))
        wake = self._away.wake(self._scheduler.waiting(), hold)
        if wake is not None:
            self._alarm.wake_at(wake)

    def open(self) -> None:
        """Let the scheduler grant, or not, as things are now."""
        self._scheduler.open = self._away.here(self._clock.now()) and self._may_grant()

    def meet(self, ticket: Ticket) -> None:
        """A ticket that waits from now on, while it may be away."""
        if self._readiness.verdict == "down":
            self._ends(ticket, End.DOWN, self._down())
        elif self._readiness.verdict == "coming":
            self._alarm.wake_at(self._clock.now() + self._hold())

    def rest(self, seconds: float) -> None:
        """Grant nothing for so long, although it is there."""
        if seconds > 0:
            until = self._clock.now() + seconds
            self._away.rest(until)
            self.open()
            self._alarm.wake_at(until)

    def _down(self) -> str:
        return f"Ollama is not running. {self._readiness.reason}"

    def _held_out(self, hold: float) -> str:
        reason = self._readiness.reason
        return f"Ollama did not come back within {hold:g} seconds. {reason} Please try again in a moment."
