"""Something that somebody asked for and has not had yet: a request that came by HTTP, a chat's run, a job."""

from __future__ import annotations

import asyncio
from typing import Any

from controller.answering.seat import Seat
from controller.answering.upstream import Answer
from controller.auth.access import Principal
from controller.refusal import Reason, Refused


class Call:
    """Owned by the task that serves it; `open_runs.py` looks after it meanwhile. Whoever asks in a way of their own
    says in a class of their own how it is known that they have left, or lost their right.
    """

    __slots__ = ("answer", "attempts", "seat", "started", "stopped", "task", "told", "who")

    def __init__(self, started: float, who: Principal | None = None) -> None:
        task = asyncio.current_task()
        assert task is not None, "A call is served by a task."
        self.task: asyncio.Task[Any] = task
        self.started = started  # monotonic seconds
        self.who = who
        self.attempts = 0  # how often it was sent upstream
        self.answer: Answer | None = None
        self.seat: Seat | None = None  # of one that has a ticket
        self.stopped = Reason.NONE
        self.told: Refused | None = None  # … and what whoever asked is told

    @property
    def under_way(self) -> bool:
        """Whether upstream works on it now."""
        return self.answer is not None and not self.answer.complete

    @property
    def busy(self) -> bool:
        """Whether an answer of upstream's is waited for, or being given."""
        return self.seat is not None or self.answer is not None

    def stop(self, reason: Reason, told: Refused | None = None) -> None:
        """Give it up, from outside its task. The first reason stands. `told`: what whoever asked is told."""
        if not self.stopped:
            self.stopped, self.told = reason, told
            self.task.cancel()

    def overflow(self) -> None:
        """Too much of the answer lies unread: let whoever asked go, so that upstream's slot is free."""
        self.stop(Reason.UNREAD)

    def close(self) -> None:
        """It is over. What it knows knows it too: together they would be left to the garbage collector."""
        self.seat = None
        if self.answer is not None:
            self.answer.close()
            self.answer = None

    # --- what is asked twice a second ---

    def right_ended(self, now: float) -> Refused | None:
        """Whether the right it was let in by is gone: what is said to that."""
        return None

    def given_up(self, elapsed: float) -> Reason:
        """Whether whoever asked has stopped taking part, in the last `elapsed` seconds or before."""
        return Reason.NONE

    def look_out(self) -> None:
        """See whether they have left, and where that is possible notice it at once from now on."""
