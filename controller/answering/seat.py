"""A run's place in the line and at its model: its ticket, its limits of time, and when whoever asked is due to be told
that it goes on.

The sweep looks at every seat twice a second, for all of them with one timer, and only marks what is due; the run's own
task tells it, so that nothing lands inside a record.
"""

from __future__ import annotations

from typing import Protocol

from controller.answering.refusals import out_of_time
from controller.answering.rhythm import Rhythm
from controller.answering.sink import Sink
from controller.answering.turns import Turns
from controller.answering.upstream import Answer
from controller.answering.usage import AnswerUsage
from controller.auth.access import Principal
from controller.clock import Clock
from controller.config.waiting import Waits
from controller.dialect import StreamEnding
from controller.refusal import Reason, Refused
from controller.scheduling.ticket import State, Ticket
from controller.scheduling.tokens import Tokens
from controller.usage import DONE, Use


class Record(Protocol):
    """What whoever asked can say of a call that is over."""

    @property
    def at(self) -> float: ...  # seconds since the epoch, when it ended
    @property
    def id(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def route(self) -> str: ...
    @property
    def status(self) -> int: ...
    @property
    def reason(self) -> str: ...  # a `refusal.Reason`; "" when all went well
    @property
    def total(self) -> float: ...  # seconds
    @property
    def bytes_in(self) -> int: ...
    @property
    def bytes_out(self) -> int: ...


class Seat:
    """One run's, from the moment it has a ticket. It is a `sink.Wait`."""

    __slots__ = (
        "_clock",
        "_moved",
        "_rhythm",
        "_sent",
        "_spoke",
        "_still",
        "_times",
        "_turns",
        "_worked",
        "answer",
        "began",
        "due",
        "ending",
        "given",
        "left",
        "sink",
        "started",
        "ticket",
        "tokens",
        "usage",
    )

    def __init__(
        self,
        turns: Turns,
        clock: Clock,
        rhythm: Rhythm,
        ticket: Ticket,
        times: Waits,
        sink: Sink,
        ending: StreamEnding | None,
        started: float,
    ) -> None:
        """`ending`: of a stream; None for a document. `started`: when it was asked, in monotonic seconds."""
        self._turns, self._clock, self._rhythm, self._times = turns, clock, rhythm, times
        self.ticket = ticket
        self.sink = sink
        self.ending = ending
        self.started = started
        self.usage = AnswerUsage()
        self.answer: Answer | None = None  # of the attempt that is under way, or was the last
        self.tokens: Tokens | None = None  # that its answer took, whole or not; once it has left
        self.began: float | None = None  # when its answer's first byte came
        self.due = False  # whoever asked is to be told that it waits
        self.given = 0  # bytes that were taken by iteration
        self.left = False
        self._sent = 0  # what had been given to whoever asked at the last look
        self._spoke = 0.0  # when they were given any, at the earliest
        self._moved = 0  # bytes that had come from upstream
        self._worked = 0.0  # when its runner had been seen at work on it
        self._still = 0.0  # seconds since any of both was new

    # --- the sweep's side ---

    def look(self, now: float, elapsed: float) -> Refused | None:
        """`elapsed` seconds after the last look: why it has to end, if it has to. Marks that its sink is due."""
        if self.left:
            return None
        late = self._late(now, elapsed)
        if late is None and self._sink_due(now, elapsed):
            self.due, self._spoke = True, now
            self._nudge()
        return late

    def _late(self, now: float, elapsed: float) -> Refused | None:
        ticket, times, moved = self.ticket, self._times, self.usage.moved
        if self._silent(now):
            return out_of_time(Reason.SILENT, self._rhythm.silent)
        if ticket.state is not State.GRANTED or ticket.granted is None:
            return self._load_late(now)
        ticket.moved = moved
        if self._overlong(now, ticket.granted):
            return out_of_time(Reason.ANSWER, times.answer)
        marks = moved, max(ticket.granted, ticket.worked)
        self._still = self._still + elapsed if marks == (self._moved, self._worked) else 0.0
        self._moved, self._worked = marks
        limit, reason = (times.gap, Reason.GAP) if moved else (times.first_byte, Reason.FIRST_BYTE)
        return out_of_time(reason, limit) if self._still > limit else None

    def _overlong(self, now: float, granted: float) -> bool:
        """Whether somebody else has waited for it as long as they have to: with nobody waiting it may go on."""
        if now - granted <= self._times.answer:
            return False
        awaited = self._turns.awaited_since(self.ticket)
        return awaited is not None and now - max(awaited, granted) > self._times.answer

    def _load_late(self, now: float) -> Refused | None:
        limit = self._times.load
        began = self._turns.loading_since(self.ticket) if limit is not None else None
        return out_of_time(Reason.LOAD, limit) if limit and began is not None and now - began > limit else None

    def _silent(self, now: float) -> bool:
        """Codex counts events, not bytes: it has left long before anything that is no event could tell it to stay."""
        waited = now - self.started
        return self.ending is StreamEnding.RESPONSE and not self.usage.moved and waited >= self._rhythm.silent

    def _sink_due(self, now: float, elapsed: float) -> bool:
        sink = self.sink
        sent = sink.sent + self.given
        if not (sink.begun or sent):
            return now - self.started >= sink.grace
        if sent != self._sent:
            self._sent, self._spoke = sent, now - elapsed
        return now + 2 * elapsed - self._spoke > sink.every  # the next look may be too late

    def _nudge(self) -> None:
        if self.ticket.state is State.WAITING:
            self._turns.nudge(self.ticket)
        if self.answer is not None:
            self.answer.nudge()

    # --- the run's own side ---

    async def tell(self) -> None:
        """Let its sink tell whoever asked that it goes on."""
        self.due = False
        await self.sink.waits(self)

    def finish_with(self, answer: Answer) -> None:
        """`answer` is the one: its slot is free as soon as upstream has said all, however slowly it is read."""
        self.began = self._clock.now()
        if answer.complete:
            self.leave()
        else:
            answer.ended = self.leave

    def leave(self) -> None:
        """Give the ticket back, once, whatever happened. Upstream is closed first: its slot must be free by then."""
        if self.left:
            return
        self.left = True
        answer = self.answer
        cut = answer is not None and not answer.complete
        if answer is not None:
            if cut:
                answer.close()
            elif answer.broken and answer.status:
                self._turns.failed(self.ticket, "lost")
        self.ticket.moved = self.usage.moved
        good = answer is not None and answer.status == 200
        self.tokens = self.usage.tokens(self.ending) if good else None
        whole = answer is not None and not cut and not answer.broken
        began = self.began if self.ending is not None else None
        self._turns.end(self.ticket, left=cut, tokens=self.tokens if whole else None, began=began)

    # --- how far it is ---

    @property
    def position(self) -> int | None:
        """1 is next; None when it does not wait for a turn."""
        return self._turns.position(self.ticket) if self.ticket.state is State.WAITING else None

    @property
    def estimate(self) -> float | None:
        """Seconds until its turn; None when nobody can tell, or it does not wait for one."""
        return self._turns.estimate(self.ticket) if self.ticket.state is State.WAITING else None

    @property
    def loading(self) -> bool:
        """Whether its model is being loaded."""
        return self.ticket.state is State.WAITING and self._turns.loading_since(self.ticket) is not None

    @property
    def answering(self) -> bool:
        """Whether its answer has begun."""
        return self.usage.moved > 0 or (self.answer is not None and self.answer.status > 0)

    def waited(self) -> float:
        """Seconds since it was asked."""
        return self._clock.now() - self.started

    def waited_long(self) -> tuple[float, str] | None:
        """How many seconds it had to wait for its turn, and why that came; None where that goes without saying."""
        ticket = self.ticket
        if ticket.granted is None or ticket.why is None:
            return None
        waited = ticket.granted - ticket.arrived
        return (waited, ticket.why) if waited >= self._rhythm.told else None

    # --- afterwards ---

    def use(self, who: Principal, dialect: str, record: Record) -> Use:
        """What is kept of it, once it is over."""
        ticket, tokens = self.ticket, self.tokens
        granted = ticket.granted
        return Use(
            record.at,
            record.id,
            who.kind,
            who.label,
            who.identity,
            who.id if who.kind == "key" else "",
            who.id if who.kind == "person" else "",
            record.model,
            dialect,
            record.route,
            ticket.lane,
            None if granted is None else granted - ticket.arrived,
            None if granted is None else ticket.loading,
            None if granted is None or self.began is None else self.began - granted,
            record.total,
            0 if tokens is None else tokens.prompt or 0,
            0 if tokens is None else tokens.answer or 0,
            tokens is not None and tokens.estimated,
            record.bytes_in,
            record.bytes_out,
            record.reason or (DONE if record.status < 400 else f"status_{record.status}"),
        )
