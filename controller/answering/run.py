"""One question and its answer, from its ticket to its last byte, whoever asks.

What waits here is told so by its sink, and what joins the line leaves it exactly once, whatever happens in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AbstractContextManager, suppress
from typing import Any, TypeVar

from controller.answering import refusals
from controller.answering.asking import ATTEMPTS, KNOCK, PAUSES, problem
from controller.answering.call import Call
from controller.answering.poison import KNOWN, guilty, mark_of
from controller.answering.question import Keep, Question
from controller.answering.seat import Seat
from controller.answering.shared import Shared
from controller.answering.sink import Sink
from controller.answering.upstream import Answer, Connection
from controller.refusal import Refused
from controller.scheduling.ticket import End, Problem, State, Turned, Wish

T = TypeVar("T")


class Run:
    """One of them, on behalf of a call. `head` brings the answer, or why there is none; iteration brings its bytes, and
    asks by itself where nobody has. `close` has to follow, whatever happens.
    """

    __slots__ = (
        "_answer",
        "_call",
        "_forwarding",
        "_level",
        "_question",
        "_shared",
        "_sink",
        "_streams",
        "refused",
        "seat",
    )

    def __init__(self, shared: Shared, call: Call, question: Question, sink: Sink) -> None:
        self._shared, self._call, self._question, self._sink = shared, call, question, sink
        self._forwarding: AbstractContextManager[bool] | None = None
        self._answer: Answer | None = None  # once its head is here
        self._level = 0  # crashes in a row that this very question has caused
        self._streams = False
        self.seat: Seat | None = None
        self.refused: Refused | None = None  # why there is no answer, or not all of it

    async def head(self) -> Answer | Refused:
        """Wait for a turn and ask; the answer as soon as its head is here, or why there is none."""
        if self.refused is None:
            found = self._enter() if self._question.runner is not None else await self._forward()
            if found is None:
                found = await self._answered()
                if found is None:  # its model has been deleted meanwhile
                    self._leave()
                    found = await self._forward()
            if isinstance(found, Answer):
                self._has(found)
                return found
            self.refused = found
        return self.refused

    async def more(self) -> None:
        """Return when something of the answer has come since, or its sink had to be told that nothing does."""
        answer, seat = self._answer, self.seat
        assert answer is not None, "There is an answer to wait for."
        await answer.more()
        if seat is not None and seat.due:
            await seat.tell()

    def watch(self, sink: Sink) -> None:
        """Whoever looked has left, or somebody looks again: from now on `sink` is told."""
        self._sink = sink
        if self.seat is not None:
            self.seat.sink = sink

    def close(self) -> None:
        """It is over, or nobody wants it any more: what it holds is free again. Once is enough."""
        if self._streams:
            self._streams = False
            self._shared.counts.streams -= 1
        if self._forwarding is not None:
            self._forwarding.__exit__(None, None, None)
            self._forwarding = None
        self._leave()

    def __aiter__(self) -> Run:
        return self

    async def __anext__(self) -> bytes:
        """The next bytes, as they came from upstream. Ends without an exception; `refused` says what is missing."""
        answer = self._answer or await self.head()
        if not isinstance(answer, Answer):
            raise StopAsyncIteration
        while not answer.unread:
            if answer.complete:
                if answer.broken:
                    self.refused = refusals.BROKEN
                raise StopAsyncIteration
            await self.more()
        data = answer.take()
        if self.seat is not None:
            self.seat.given += len(data)
        return data

    # --- into the line, and out of it ---

    def _enter(self) -> Refused | None:
        """Take a ticket; why not."""
        shared, question, call = self._shared, self._question, self._call
        runner, who = question.runner, question.who
        assert runner is not None
        engine = shared.asks(runner).engine
        if question.dialect not in engine.dialects:
            return refusals.not_spoken(question.model, engine.readiness.title, question.dialect)
        if shared.poison.any():
            question.mark = question.mark or mark_of(question.body)
            self._level = shared.poison.level(question.mark, shared.clock.now())
            if guilty(self._level, runner.slots):
                return refusals.POISONED
        bounds = question.bounds
        times = bounds.times.of(who.lane, question.model)
        ticket = shared.turns.enter(
            Wish(
                who.identity,
                who.lane,
                question.model,
                runner,
                len(question.body),
                question.width,
                times.wait,
                bounds.caps(who),
                who.label,
            )
        )
        if isinstance(ticket, Turned):
            return refusals.turned_away(ticket)
        seat = Seat(shared.turns, shared.clock, shared.rhythm, ticket, times, self._sink, question.ending, call.started)
        self.seat = call.seat = seat
        shared.moved()
        if question.keep is not None:
            (shared.turns.stay_after if question.keep is Keep.STAY else shared.turns.unload_after)(ticket)
        return None

    def _has(self, answer: Answer) -> None:
        """The answer has come: nobody needs the body again, and it may take minutes."""
        self._answer, self._question.body = answer, b""
        if self.seat is not None and not self.seat.left:
            self.seat.finish_with(answer)
            self._streams = True
            self._shared.counts.streams += 1

    def _leave(self) -> None:
        if self.seat is not None:
            self.seat.leave()
            self._shared.moved()

    async def _forward(self) -> Answer | Refused:
        """Nobody knows such a model: for upstream to say, in its own words, without a place in the line."""
        shared, question = self._shared, self._question
        self._forwarding = shared.forwards.place(question.who.identity)
        if not self._forwarding.__enter__():
            return refusals.TOO_MANY_FORWARDED
        bounds = question.bounds
        return await shared.asking.ask(self._call, question, question.body, bounds.hold, bounds.unread)

    # --- asking ---

    async def _answered(self) -> Answer | Refused | None:
        """Wait for a turn, ask, and once more in the next turn if that came to nothing. None: forward it."""
        shared, question, call, seat = self._shared, self._question, self._call, self.seat
        assert seat is not None
        ticket, model = seat.ticket, seat.ticket.model
        while True:
            at_once = shared.asks(ticket.runner).pooled(ticket.runner) if ticket.state is State.GRANTED else None
            connection = at_once or await self._connected(seat)
            if not isinstance(connection, Connection):
                return connection
            if ticket.model != model:
                model = ticket.model
                refused = await self._switched(model, connection)
                if refused is not None:
                    return refused
            answer = seat.answer = shared.asks(ticket.runner).send(
                call, question, question.body, connection, question.bounds.unread, seat.usage
            )
            failed = await self._first_byte(seat, answer)
            if failed is None:
                if shared.poison.any():
                    shared.poison.answered(question.mark or mark_of(question.body))
                return answer
            if failed == "died":
                self._crashed()
            if not question.replayable or call.attempts >= ATTEMPTS or self._level >= KNOWN:
                shared.turns.failed(ticket, failed)
                return answer if answer.status else shared.asks(ticket.runner).lost(call.attempts)
            call.answer = seat.answer = None
            answer.close()
            seat.usage.forget()
            shared.counts.replays += 1
            shared.turns.back(ticket, failed)
            await shared.clock.sleep(PAUSES[failed])

    def _crashed(self) -> None:
        question = self._question
        self._level += 1
        question.mark = question.mark or mark_of(question.body)
        self._shared.poison.crashed(question.mark, self._level, self._shared.clock.now())

    async def _switched(self, model: str, connection: Connection) -> Refused | None:
        """The operator has given another model to who waited for this one: the body asks for it too. Where that does
        not come about, `connection` is closed: nobody else knows of it.
        """
        question = self._question
        renamed: tuple[bytes, bytes] | Refused = refusals.SWITCHED_UNSEEN
        try:
            if question.who.sees(model):
                renamed = await question.rename(question.body, model)
        finally:
            if isinstance(renamed, Refused):
                connection.abort()
        if isinstance(renamed, Refused):
            return renamed
        question.model, (question.body, question.mark) = model, renamed
        return None

    async def _connected(self, seat: Seat) -> Connection | Refused | None:
        """A connection to go with a grant. Without one it goes back into the line: nothing was sent."""
        shared, hold = self._shared, self._question.bounds.hold
        refused_since: float | None = None
        try:
            while True:
                if seat.ticket.state is not State.GRANTED:
                    await self._turn(seat, held=refused_since is not None)
                runner = seat.ticket.runner  # it may be another by now
                asking = shared.asks(runner)
                if seat.ticket.state is State.ENDED:
                    return None if seat.ticket.ended is End.UNKNOWN else asking.ended(seat.ticket, hold)
                connection = asking.pooled(runner) or await asking.knock(runner)
                if connection is not None:
                    return connection
                if refused_since is None:
                    refused_since = shared.clock.now()
                    shared.counts.held += 1
                elif shared.clock.now() - refused_since > hold:
                    return asking.held_out(hold)
                shared.turns.back(seat.ticket, "lost")
                await shared.clock.sleep(KNOCK)
        finally:
            if refused_since is not None:
                shared.counts.held -= 1

    async def _turn(self, seat: Seat, *, held: bool) -> None:
        """Wait until the ticket is granted or has ended. `held`: it counts already as one that waits for upstream."""
        shared = self._shared
        away = not held and not shared.asks(seat.ticket.runner).ready
        shared.counts.held += away
        try:
            while seat.ticket.state is State.WAITING:
                await shared.turns.turn(seat.ticket)
                if seat.due:
                    await seat.tell()
        finally:
            shared.counts.held -= away

    # --- the answer's beginning ---

    async def _first_byte(self, seat: Seat, answer: Answer) -> Problem | None:
        """Wait for upstream's first byte; what went wrong, if it did."""
        shared = self._shared
        if shared.turns.unproven(seat.ticket) and await self._doubted(seat, answer):
            return "idle"
        while not answer.status and not answer.complete:
            await answer.more()
            if seat.due:
                await seat.tell()
        return None if 0 < answer.status < 500 else await problem(answer, shared.asks(seat.ticket.runner).engine)

    async def _doubted(self, seat: Seat, answer: Answer) -> bool:
        """Wait for the head of an answer from a slot that may be lost; True when it was, and its runner is ended."""
        shared = self._shared
        while not answer.status and not answer.complete:
            try:
                async with asyncio.timeout(shared.rhythm.unproven):
                    await answer.more()
            except TimeoutError:
                if await self._visibly(seat, shared.turns.suspect(seat.ticket)):
                    shared.counts.suspected += 1
                    answer.drop()
                    return True
            if seat.due:
                await seat.tell()
        return False

    async def _visibly(self, seat: Seat, work: Coroutine[Any, Any, T]) -> T:
        """Do something that may take a while, and tell the sink meanwhile that something happens."""
        task = asyncio.ensure_future(work)
        try:
            while True:
                done, _ = await asyncio.wait((task,), timeout=self._shared.rhythm.sweep)
                if done:
                    return task.result()
                if seat.due:
                    await seat.tell()
        finally:
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
