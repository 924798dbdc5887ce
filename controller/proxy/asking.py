"""Putting a request to Ollama: wait until it can take it, send it, and once more when it died before its first byte.

Two attempts in all, never more, and only for requests that do no harm when they are sent twice. Not being able to
connect is no attempt: nothing was sent, so the request goes on waiting. An inference request waits in the line instead:
`inference.py` sends it.
"""

from __future__ import annotations

from controller.answering.heads import request_head
from controller.answering.turns import Problem
from controller.answering.upstream import Answer, Connection, Pool
from controller.answering.usage import Usage
from controller.clock import Clock
from controller.engines.ollama.failures import runner_died, words_of
from controller.engines.ollama.inside import Inside
from controller.proxy.exchange import Exchange
from controller.proxy.relay import upload
from controller.proxy.routes import Kind, Match
from controller.proxy.tally import Tally
from controller.readiness import Address, Readiness
from controller.refusal import Reason, Refused

ATTEMPTS = 2
KNOCK = 0.05  # seconds between two tries to connect
PAUSES: dict[Problem, float] = {"died": 0.0, "idle": 0.0, "busy": 1.0, "lost": 0.25}
"""Seconds before the second attempt. A runner that died is replaced at once, a server that is busy is asked later. A
killed process loses its connections before its listening socket (Linux closes the newest file first): who comes back at
once is let in, only to be lost a second time.
"""
UNAVAILABLE = 503
BUSY = "server busy, please try again"  # server/sched.go: its own queue is full
_VERDICT = 64 * 1024  # bytes of an error that are looked at


class Asking:
    """The way from a request to upstream's head."""

    def __init__(self, readiness: Readiness, pool: Pool, clock: Clock, tally: Tally) -> None:
        self._readiness = readiness
        self._pool = pool
        self._clock = clock
        self._tally = tally
        self._address: Address | None = None
        self._host = b""

    async def ask(self, exchange: Exchange, match: Match, body: bytes, hold: float, unread: int) -> Answer | Refused:
        """Upstream's answer as soon as its head is here. Waits at most `hold` seconds each time it has to wait."""
        replayable = match.route.replayable
        while True:
            connection = self.pooled() if replayable else None
            if connection is None:
                connected = await self._connect(hold)
                if isinstance(connected, Refused):
                    return connected
                connection = connected
            answer = self.send(exchange, match, body, connection, unread)
            await answer.head()
            failed = await problem(answer, self.inside)
            if failed is None:
                return answer
            if not replayable or exchange.attempts >= ATTEMPTS:
                return answer if answer.status else lost(exchange.attempts)
            exchange.answer = None
            answer.close()
            self._tally.replays += 1
            await self._clock.sleep(PAUSES[failed])

    def send(
        self,
        exchange: Exchange,
        match: Match,
        body: bytes,
        connection: Connection,
        unread: int,
        usage: Usage | None = None,
    ) -> Answer:
        """One attempt. `usage` sees what comes."""
        method = "GET" if exchange.method == "HEAD" and match.route.listed else exchange.method
        length = b"content-length: %d\r\n" % len(body) if body or method == "POST" else b""
        paced = match.route.kind is not Kind.INFERENCE
        answer = exchange.answer = Answer(paced=paced, limit=unread, overflow=exchange.overflow, usage=usage)
        exchange.attempts += 1
        connection.ask(self._head(exchange, method, match.target, length), body, answer, method=method)
        return answer

    async def send_on(self, exchange: Exchange, match: Match, hold: float) -> Answer | Refused:
        """As `ask`, for a body that passes while it comes: Ollama must be there before its first byte is read."""
        connection = await self._connect(hold)
        if isinstance(connection, Refused):
            return connection
        exchange.attempts += 1
        answer = exchange.answer = Answer(paced=True, limit=0, overflow=exchange.overflow)
        declared = exchange.found.get(b"content-length")
        length = b"transfer-encoding: chunked\r\n" if declared is None else b"content-length: %b\r\n" % declared
        head = self._head(exchange, exchange.method, match.target, length)
        return answer if await upload(exchange, connection, answer, head) else lost(1)

    async def wait(self, hold: float) -> Refused | None:
        """Wait at most `hold` seconds until Ollama is there; why not, if it is not."""
        if self.ready:
            return None
        self._tally.held += 1
        try:
            verdict = await self._readiness.wait(hold)
        finally:
            self._tally.held -= 1
        if verdict == "ready":
            return None
        return self.down() if verdict == "down" else self.held_out(hold)

    @property
    def inside(self) -> Inside:
        """What is known of the Ollama that is asked."""
        return self._readiness.inside

    @property
    def ready(self) -> bool:
        """Whether a request would be sent at once."""
        return self._readiness.verdict == "ready"

    def down(self) -> Refused:
        """Ollama is not worth waiting for."""
        return Refused(503, Reason.DOWN, f"Ollama is not running. {self._readiness.reason}", retry_after=30)

    def held_out(self, hold: float) -> Refused:
        """Ollama did not come within `hold` seconds."""
        reason = self._readiness.reason
        text = f"Ollama did not come back within {hold:g} seconds. {reason} Please try again in a moment."
        return Refused(503, Reason.HELD_OUT, text, retry_after=5)

    # --- connecting ---

    def pooled(self) -> Connection | None:
        """An idle connection, when Ollama is there and has left one open."""
        address = self._readiness.address
        if self._readiness.verdict != "ready" or address is None:
            return None
        return self._pool.take(address)

    async def knock(self) -> Connection | None:
        """A new connection, None when Ollama takes none now."""
        address = self._readiness.address
        if self._readiness.verdict != "ready" or address is None:
            return None
        try:
            return await self._pool.connect(address)
        except OSError:  # TimeoutError is one
            return None

    async def _connect(self, hold: float) -> Connection | Refused:
        """A new connection, as soon as Ollama takes one. The supervisor may not have noticed yet that it died."""
        connection = await self.knock()
        return connection if connection is not None else await self._held(hold)

    async def _held(self, hold: float) -> Connection | Refused:
        deadline = self._clock.now() + hold
        self._tally.held += 1
        try:
            while (left := deadline - self._clock.now()) > 0:
                if await self._readiness.wait(left) == "down":
                    return self.down()
                connection = await self.knock()
                if connection is not None:
                    return connection
                await self._clock.sleep(KNOCK)
        finally:
            self._tally.held -= 1
        return self.held_out(hold)

    def _head(self, exchange: Exchange, method: str, target: str, length: bytes) -> bytes:
        address = self._readiness.address
        if address is not self._address and address is not None:
            name = f"[{address.host}]" if ":" in address.host else address.host
            self._address, self._host = address, f"{name}:{address.port}".encode()
        return request_head(
            method.encode(), target.encode(), exchange.query, self._host, exchange.found, exchange.id, length
        )


async def problem(answer: Answer, inside: Inside) -> Problem | None:
    """What went wrong before an answer's first byte: None when it is Ollama's answer, be it an error of its own."""
    if not answer.status:
        return "lost"
    if answer.status < 500:
        return None
    body = await answer.whole(_VERDICT)
    if body is None:
        return "lost"
    words = words_of(body)
    if answer.status == UNAVAILABLE:
        return "busy" if BUSY in words else None
    return "died" if answer.status == 500 and runner_died(words, inside) else None


def lost(attempts: int) -> Refused:
    """Ollama went away each time; it is not asked a third time."""
    times = "twice" if attempts > 1 else "before it answered"
    text = f"Ollama went away {times} while working on this request, so it is not sent again by itself."
    return Refused(502, Reason.DIED, text)
