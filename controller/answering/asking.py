"""Putting a request to upstream: wait until it can take it, send it, and once more when it died before its first byte.

Two attempts in all, never more, and only for requests that do no harm when they are sent twice. Not being able to
connect is no attempt: nothing was sent, so the request goes on waiting. A run waits in the line instead: `run.py` sends
it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from controller.answering.call import Call
from controller.answering.counts import RunCounts
from controller.answering.heads import request_head
from controller.answering.question import Outgoing
from controller.answering.refusals import ended
from controller.answering.upstream import Answer, Connection, Pool
from controller.answering.usage import AnswerUsage
from controller.clock import Clock
from controller.engines.engine import Engine
from controller.engines.runner import Runner
from controller.readiness import Address
from controller.refusal import Reason, Refused
from controller.scheduling.ticket import End, Problem, Ticket

ATTEMPTS = 2
KNOCK = 0.05  # seconds between two tries to connect
PAUSES: dict[Problem, float] = {"died": 0.0, "idle": 0.0, "busy": 1.0, "lost": 0.25}
"""Seconds before the second attempt. A runner that died is replaced at once, a server that is busy is asked later. A
killed process loses its connections before its listening socket (Linux closes the newest file first): who comes back at
once is let in, only to be lost a second time.
"""
_VERDICT = 64 * 1024  # bytes of an error that are looked at


class Asking:
    """The way from a request to upstream's head."""

    def __init__(self, engine: Engine, pool: Pool, clock: Clock, counts: RunCounts) -> None:
        self.engine = engine
        self._readiness = engine.readiness
        self.pool = pool
        self._clock = clock
        self._counts = counts
        self._address: Address | None = None
        self._host = b""

    async def ask(self, call: Call, outgoing: Outgoing, body: bytes, hold: float, unread: int = 0) -> Answer | Refused:
        """Upstream's answer as soon as its head is here. Waits at most `hold` seconds each time it has to wait.
        `unread`: bytes that may lie unread of an answer that is not paced.
        """
        replayable = outgoing.replayable
        while True:
            connection = self.pooled() if replayable else None
            if connection is None:
                connected = await self._connect(hold)
                if isinstance(connected, Refused):
                    return connected
                connection = connected
            answer = self.send(call, outgoing, body, connection, unread)
            await answer.head()
            failed = await problem(answer, self.engine)
            if failed is None:
                return answer
            if not replayable or call.attempts >= ATTEMPTS:
                return answer if answer.status else self.lost(call.attempts)
            call.answer = None
            answer.close()
            self._counts.replays += 1
            await self._clock.sleep(PAUSES[failed])

    def send(
        self,
        call: Call,
        outgoing: Outgoing,
        body: bytes,
        connection: Connection,
        unread: int,
        usage: AnswerUsage | None = None,
    ) -> Answer:
        """One attempt. `usage` sees what comes."""
        method = outgoing.method
        length = b"content-length: %d\r\n" % len(body) if body or method == "POST" else b""
        answer = call.answer = Answer(paced=outgoing.paced, limit=unread, overflow=call.overflow, usage=usage)
        call.attempts += 1
        connection.ask(self._head(outgoing, connection.address, length), body, answer, method=method)
        return answer

    async def send_on(
        self,
        call: Call,
        outgoing: Outgoing,
        length: bytes,
        hold: float,
        upload: Callable[[Connection, Answer, bytes], Awaitable[bool]],
    ) -> Answer | Refused:
        """As `ask`, for a body that passes while it comes: upstream must be there before its first byte is read.

        `length`: a whole header line that says how long it is. `upload` writes it, after the head it is given, and says
        whether upstream answered.
        """
        connection = await self._connect(hold)
        if isinstance(connection, Refused):
            return connection
        call.attempts += 1
        answer = call.answer = Answer(paced=True, limit=0, overflow=call.overflow)
        return (
            answer
            if await upload(connection, answer, self._head(outgoing, connection.address, length))
            else self.lost(1)
        )

    async def wait(self, hold: float, left: float | None = None) -> Refused | None:
        """Wait at most `hold` seconds until the engine is there, or what is `left` of them; why not, if it is not."""
        if self.ready:
            return None
        self._counts.held += 1
        try:
            verdict = await self._readiness.wait(hold if left is None else left)
        finally:
            self._counts.held -= 1
        if verdict == "ready":
            return None
        return self.down() if verdict == "down" else self.held_out(hold)

    @property
    def ready(self) -> bool:
        """Whether a request would be sent at once."""
        return self._readiness.verdict == "ready"

    def down(self) -> Refused:
        """The engine is not worth waiting for."""
        return Refused(503, Reason.DOWN, self._readiness.down_words, retry_after=30)

    def held_out(self, hold: float) -> Refused:
        """The engine did not come within `hold` seconds."""
        return Refused(503, Reason.HELD_OUT, self._readiness.held_out_words(hold), retry_after=5)

    def ended(self, ticket: Ticket, hold: float) -> Refused:
        """Its ticket ended without an answer, after at most `hold` seconds of an upstream that was away."""
        if ticket.ended is End.DOWN and not ticket.words:
            return self.down()
        if ticket.ended is End.HELD_OUT and not ticket.words:
            return self.held_out(hold)
        return ended(ticket, ready=self.ready)

    def lost(self, attempts: int) -> Refused:
        """The engine went away each time; it is not asked a third time."""
        times = "twice" if attempts > 1 else "before it answered"
        title = self._readiness.title
        text = f"{title} went away {times} while working on this request, so it is not sent again by itself."
        return Refused(502, Reason.DIED, text)

    # --- connecting ---

    def pooled(self, runner: Runner | None = None) -> Connection | None:
        """An idle connection, when the engine is there and has left one open. `runner`: to who answers for that one."""
        address = self._where(runner)
        return None if address is None else self.pool.take(address)

    def _where(self, runner: Runner | None) -> Address | None:
        if self._readiness.verdict != "ready":
            return None
        return self._readiness.address if runner is None else self.engine.address(runner)

    async def knock(self, runner: Runner | None = None) -> Connection | None:
        """A new connection, None when the engine takes none now."""
        address = self._where(runner)
        if address is None:
            return None
        try:
            return await self.pool.connect(address)
        except OSError:  # TimeoutError is one
            return None

    async def _connect(self, hold: float) -> Connection | Refused:
        """A new connection, as soon as the engine takes one. The supervisor may not have noticed yet that it died."""
        connection = await self.knock()
        return connection if connection is not None else await self._held(hold)

    async def _held(self, hold: float) -> Connection | Refused:
        deadline = self._clock.now() + hold
        self._counts.held += 1
        try:
            while (left := deadline - self._clock.now()) > 0:
                if await self._readiness.wait(left) == "down":
                    return self.down()
                connection = await self.knock()
                if connection is not None:
                    return connection
                await self._clock.sleep(KNOCK)
        finally:
            self._counts.held -= 1
        return self.held_out(hold)

    def _head(self, outgoing: Outgoing, address: Address, length: bytes) -> bytes:
        if address is not self._address:
            name = f"[{address.host}]" if ":" in address.host else address.host
            self._address, self._host = address, f"{name}:{address.port}".encode()
        return request_head(
            outgoing.method.encode(),
            outgoing.target.encode(),
            outgoing.query,
            self._host,
            outgoing.headers,
            outgoing.id,
            length,
        )


async def problem(answer: Answer, engine: Engine) -> Problem | None:
    """What went wrong before an answer's first byte: None when it is the engine's answer, be it an error of its own."""
    if not answer.status:
        return "lost"
    if answer.status < 500:
        return None
    body = await answer.whole(_VERDICT)
    if body is None:
        return "lost"
    return engine.failure(answer.status, body)
