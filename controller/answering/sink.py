"""What whoever asked is shown while they wait: the seam between a run and an HTTP client, a chat or a job.

All of it is called by the run's own task, between two pieces of its answer, so nothing ever lands inside one.
"""

from __future__ import annotations

from math import inf
from typing import Protocol


class Wait(Protocol):
    """How far a run is. Worked out when it is asked for."""

    @property
    def position(self) -> int | None:
        """Its place in the line: 1 is next. None: it does not wait there."""
        ...

    @property
    def estimate(self) -> float | None:
        """Seconds until its turn; None when anything needed is unknown, or it does not wait for one."""
        ...

    @property
    def loading(self) -> bool:
        """Whether its model is being loaded."""
        ...

    @property
    def answering(self) -> bool:
        """Whether its answer has begun: the head is here, or bytes are."""
        ...

    def waited(self) -> float:
        """Seconds since it was asked."""
        ...


class Sink(Protocol):
    """Who is told that a run waits, and how often."""

    @property
    def grace(self) -> float:
        """Seconds without anything before they are told for the first time."""
        ...

    @property
    def every(self) -> float:
        """Seconds of silence, at most, from then on."""
        ...

    @property
    def begun(self) -> bool:
        """Whether they have been told or given anything."""
        ...

    @property
    def sent(self) -> int:
        """Grows with whatever they are given: silence counts from its last change."""
        ...

    async def waits(self, wait: Wait) -> None:
        """The run goes on, and there is nothing else to give."""
        ...


class Unwatched:
    """Nobody looks: a job, or a chat whose reader has left."""

    grace = every = inf
    begun = False
    sent = 0

    async def waits(self, wait: Wait) -> None:
        """Never called: its grace has no end."""
