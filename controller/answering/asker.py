"""Who asks in this process, without HTTP: a chat's run, a batch job.

    async with Asker(shared, who, "run-17") as asker:
        async for piece in asker.ask(question, sink):
            ...
    asker.refused, asker.use

Like `asyncio.timeout`, the block is left when it is ended from outside, and goes on behind itself: `refused` says why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple

from controller.answering import refusals
from controller.answering.call import Call
from controller.answering.question import Question
from controller.answering.run import Run
from controller.answering.shared import Shared
from controller.answering.sink import Sink, Unwatched
from controller.auth.access import Principal
from controller.refusal import Reason, Refused
from controller.usage import Use


def _let_in() -> Refused | None:
    return None


class AskedRecord(NamedTuple):
    """A `seat.Record`."""

    at: float
    id: str
    model: str
    route: str
    status: int
    reason: str
    total: float
    bytes_in: int
    bytes_out: int


class Asker(Call):
    """One question of one principal, for as long as the block lasts."""

    __slots__ = ("_cancelling", "_question", "_run", "_shared", "_size", "_still", "refused", "request", "use")

    def __init__(
        self, shared: Shared, who: Principal, request: str, *, still: Callable[[], Refused | None] = _let_in
    ) -> None:
        """`request`: the id it is known by in the usage. `still`: why `who` may not go on, asked twice a second."""
        super().__init__(shared.clock.now(), who)
        self._shared, self._still = shared, still
        self._run: Run | None = None
        self._question: Question | None = None
        self._size = 0
        self._cancelling = self.task.cancelling()
        self.request = request
        self.refused: Refused | None = None  # why there was no answer, or not all of it; after the block
        self.use: Use | None = None  # what it took, where it stood in the line; after the block

    async def __aenter__(self) -> Asker:
        self._shared.open.enter(self)
        return self

    def ask(self, question: Question, sink: Sink | None = None) -> Run:
        """The answer, to iterate over. Once for each block."""
        assert self._run is None, "One question for each asker."
        self._question, self._size = question, len(question.body)
        run = self._run = Run(self._shared, self, question, sink or Unwatched())
        if self._shared.open.draining:
            run.refused = refusals.LEAVING
        return run

    def right_ended(self, now: float) -> Refused | None:
        """Whether `who` may not go on."""
        return self._still()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        stopped, cancelled = bool(self.stopped), kind is not None and issubclass(kind, asyncio.CancelledError)
        status = 0 if self.answer is None else self.answer.status
        self._shared.open.leave(self)
        if self._run is not None:
            self._run.close()
            self.refused = self._run.refused
        if stopped:
            self.refused = self.told or refusals.UNREAD
            await self._ended(cancelled=cancelled)
        self._keep_use(status, failed=kind is not None and not stopped)
        self.close()
        if stopped and self.task.cancelling() > self._cancelling:
            raise asyncio.CancelledError  # somebody has cancelled the task itself, too
        return stopped and cancelled

    async def _ended(self, *, cancelled: bool) -> None:
        """What was cancelled by `stop` is the block alone."""
        if not cancelled:  # it was told so in its very last step: let that come to pass here
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                pass
        self.task.uncancel()

    def _keep_use(self, status: int, *, failed: bool) -> None:
        seat, question, clock = self.seat, self._question, self._shared.clock
        if seat is None or question is None or self.who is None:
            return
        reason = self.refused.reason if self.refused is not None else Reason.FAILED if failed else Reason.NONE
        record = AskedRecord(
            clock.wall(),
            self.request,
            question.model,
            question.route,
            status,
            reason.value,
            clock.now() - self.started,
            self._size,
            seat.given,
        )
        self.use = seat.use(self.who, question.dialect.value, record)
        self._shared.used(self.use)
