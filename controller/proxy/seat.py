"""A request's place in the line and at the model: its ticket, its limits, and what its client sees meanwhile.

The sweep looks at every seat twice a second, for all of them with one timer, and only marks what is due; the request's
own task writes it, so that a filler never lands inside a record.
"""

from __future__ import annotations

from controller.answering.turns import Turns
from controller.answering.upstream import Answer
from controller.answering.usage import Usage
from controller.config.waiting import Waits
from controller.dialect import Ending
from controller.proxy.exchange import Exchange
from controller.proxy.fillers import Manner, Rhythm, granted_words, headers, waiting_words
from controller.proxy.framing import Framing
from controller.proxy.refusals import out_of_time
from controller.proxy.tally import AccessRecord
from controller.refusal import Reason, Refused
from controller.scheduling.ticket import State, Ticket
from controller.scheduling.tokens import Tokens
from controller.usage import DONE, Use


class Seat:
    """One request's, from the moment it has a ticket."""

    __slots__ = (
        "_grace",
        "_moved",
        "_rhythm",
        "_sent",
        "_spoke",
        "_still",
        "_worked",
        "_times",
        "_turns",
        "began",
        "due",
        "ending",
        "exchange",
        "left",
        "manner",
        "ticket",
        "tokens",
        "usage",
    )

    def __init__(
        self,
        exchange: Exchange,
        turns: Turns,
        ticket: Ticket,
        times: Waits,
        rhythm: Rhythm,
        manner: Manner | None,
        ending: Ending | None,
        grace: float | None = None,
    ) -> None:
        """`grace`: seconds without a byte before the first filler; None: as the rhythm says."""
        self.exchange, self.ticket = exchange, ticket
        self._turns, self._times, self._rhythm = turns, times, rhythm
        self.manner = manner
        self._grace = rhythm.grace if grace is None else grace
        self.ending = None if manner is Manner.DOCUMENT else ending  # of a stream
        self.usage = Usage()
        self.tokens: Tokens | None = None  # that its answer took, whole or not; once it has left
        self.began: float | None = None  # when its answer's first byte came
        self.due = False  # a filler
        self.left = False
        self._sent = 0  # bytes that the client had been sent at the last look
        self._spoke = 0.0  # when it was sent any, at the earliest
        self._moved = 0  # bytes that had come from upstream
        self._worked = 0.0  # when its runner had been seen at work on it
        self._still = 0.0  # seconds since any of both was new

    # --- the sweep's side ---

    def look(self, now: float, elapsed: float) -> Refused | None:
        """`elapsed` seconds after the last look: why it has to end, if it has to. Marks a filler that is due."""
        if self.left:
            return None
        late = self._late(now, elapsed)
        if late is None and self._filler_due(now, elapsed):
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
        """Codex counts events, not bytes: it has left long before a filler could tell it anything."""
        waited = now - self.exchange.started
        return self.ending is Ending.RESPONSE and not self.usage.moved and waited >= self._rhythm.silent

    def _filler_due(self, now: float, elapsed: float) -> bool:
        exchange = self.exchange
        if not exchange.status:
            return now - exchange.started >= self._grace
        if exchange.bytes_out != self._sent:
            self._sent, self._spoke = exchange.bytes_out, now - elapsed
        return now + 2 * elapsed - self._spoke > self._rhythm.every  # the next look may be too late

    def _nudge(self) -> None:
        if self.ticket.state is State.WAITING:
            self._turns.nudge(self.ticket)
        if self.exchange.answer is not None:
            self.exchange.answer.nudge()

    # --- the request's own side ---

    async def fill(self, now: float) -> None:
        """Send what is due, where nothing else is in the way; the first time this begins the answer."""
        self.due = False
        exchange, manner = self.exchange, self.manner
        if manner is None:
            return
        if not exchange.status:
            if self.ending is not None:
                exchange.framing = Framing(self.ending)
            await exchange.start(200, headers(manner, self._queue(now)), now)
        elif exchange.framing.over if exchange.framing is not None else manner is not Manner.DOCUMENT or self._begun:
            return
        await exchange.body(manner.filler, more=True)

    @property
    def _begun(self) -> bool:
        """Whether a document is on its way, or one of upstream's own length: nothing may come between its bytes."""
        answer = self.exchange.answer
        return self.usage.moved > 0 or (answer is not None and answer.status > 0)

    def _queue(self, now: float) -> bytes:
        waits = self.ticket.state is State.WAITING
        position = self._turns.position(self.ticket) if waits else None
        estimate = self._turns.estimate(self.ticket) if waits else None
        return waiting_words(position, estimate, now - self.exchange.started)

    def tell_wait(self) -> None:
        """Its answer comes: say how long it had to wait for its turn, if that was long and can still be said."""
        ticket = self.ticket
        if ticket.granted is None or ticket.why is None or self.exchange.status:
            return
        waited = ticket.granted - ticket.arrived
        if waited >= self._rhythm.told:
            self.exchange.extra.append((b"x-seadragon-queue", granted_words(waited, ticket.why)))

    def finish_with(self, answer: Answer, now: float) -> None:
        """`answer` is the one: its slot is free as soon as upstream has said all, however slowly the client reads."""
        self.began = now
        if answer.complete:
            self.leave()
        else:
            answer.ended = self.leave

    def leave(self) -> None:
        """Give the ticket back, once, whatever happened. Upstream is closed first: its slot must be free by then."""
        if self.left:
            return
        self.left = True
        answer = self.exchange.answer
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

    # --- afterwards ---

    def use(self, record: AccessRecord) -> Use:
        """What is kept of it, once it is over and has been told to the access log."""
        exchange, ticket, tokens, who = self.exchange, self.ticket, self.tokens, self.exchange.who
        granted = ticket.granted
        return Use(
            record.at,
            record.id,
            who.kind if who is not None else "",
            record.who,
            who.identity if who is not None else "",
            who.id if who is not None and who.kind == "key" else "",
            who.id if who is not None and who.kind == "person" else "",
            record.model,
            exchange.dialect._value_,
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
