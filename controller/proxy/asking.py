"""Putting a request to Ollama: wait until it can take it, send it, and once more when it died before its first byte.

Two attempts in all, never more, and only for requests that do no harm when they are sent twice. Not being able to
connect is no attempt: nothing was sent, so the request goes on waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from controller.clock import Clock
from controller.ollama import RUNNER_DIED
from controller.proxy.dialects import Reason, Refused
from controller.proxy.exchange import Exchange
from controller.proxy.headers import request_head
from controller.proxy.relay import upload
from controller.proxy.routes import Kind, Match
from controller.proxy.tally import Tally
from controller.proxy.unproven import Unproven
from controller.proxy.upstream import Answer, Connection, Pool
from controller.readiness import Address, Readiness

ATTEMPTS = 2
_KNOCK = 0.05  # seconds between two tries to connect
_BUSY = 1.0  # seconds before a busy server is asked again
_SETTLE = 0.25
"""Seconds after a lost connection. A killed process loses its connections before its listening socket (Linux closes the
newest file first): who comes back at once is let in, only to be lost a second time.
"""
_VERDICT = 64 * 1024  # bytes of an error that are looked at

Suspect = Callable[[str], Awaitable[bool]]
"""Asked about a model that brings no byte: ends its runner if that is idle, and says whether it did."""


async def no_suspicion(model: str) -> bool:
    """For an Ollama that is not ours: its runners are not ours to end."""
    return False


class Asking:
    """The way from a granted request to upstream's head."""

    def __init__(
        self,
        readiness: Readiness,
        pool: Pool,
        clock: Clock,
        tally: Tally,
        *,
        suspect: Suspect,
        unproven_after: float,
    ) -> None:
        self._readiness = readiness
        self._pool = pool
        self._clock = clock
        self._tally = tally
        self._suspect = suspect
        self._unproven_after = unproven_after
        self.unproven = Unproven()
        self._address: Address | None = None
        self._host = b""

    async def ask(self, exchange: Exchange, match: Match, body: bytes, hold: float, unread: int) -> Answer | Refused:
        """Upstream's answer as soon as its head is here. Waits at most `hold` seconds each time it has to wait."""
        replayable = match.route.replayable
        while True:
            connection = await self._connection(hold, fresh=not replayable)
            if isinstance(connection, Refused):
                return connection
            answer = self._send(exchange, match, body, connection, unread)
            doubted = match.route.kind is Kind.INFERENCE and self.unproven.doubts(exchange.model)
            came = await (self._doubted(exchange, answer) if doubted else answer.head())
            if came and not (answer.status >= 500 and await _died(answer)):
                return answer
            if not replayable or exchange.attempts >= ATTEMPTS:
                return answer if came else _lost(exchange.attempts)
            exchange.answer = None
            answer.close()
            self._tally.replays += 1
            await self._clock.sleep(_pause(answer.status))

    def _send(self, exchange: Exchange, match: Match, body: bytes, connection: Connection, unread: int) -> Answer:
        """One attempt."""
        method = "GET" if exchange.method == "HEAD" and match.route.listed else exchange.method
        length = b"content-length: %d\r\n" % len(body) if body or method == "POST" else b""
        paced = match.route.kind is not Kind.INFERENCE
        answer = exchange.answer = Answer(paced=paced, limit=unread, overflow=exchange.overflow)
        exchange.attempts += 1
        connection.ask(self._head(exchange, method, match.target, length), body, answer, method=method)
        return answer

    async def send_on(self, exchange: Exchange, match: Match, hold: float) -> Answer | Refused:
        """As `ask`, for a body that passes while it comes: Ollama must be there before its first byte is read."""
        connection = await self._connection(hold, fresh=True)
        if isinstance(connection, Refused):
            return connection
        exchange.attempts += 1
        answer = exchange.answer = Answer(paced=True, limit=0, overflow=exchange.overflow)
        declared = exchange.found.get(b"content-length")
        length = b"transfer-encoding: chunked\r\n" if declared is None else b"content-length: %b\r\n" % declared
        head = self._head(exchange, exchange.method, match.target, length)
        return answer if await upload(exchange, connection, answer, head) else _lost(1)

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
        reason = self._readiness.reason
        return _down(reason) if verdict == "down" else _held_out(hold, reason)

    @property
    def ready(self) -> bool:
        """Whether a request would be sent at once."""
        return self._readiness.verdict == "ready"

    # --- connecting ---

    async def _connection(self, hold: float, *, fresh: bool) -> Connection | Refused:
        address = self._readiness.address
        if self._readiness.verdict == "ready" and address is not None and not fresh:
            connection = self._pool.take(address)
            if connection is not None:
                return connection
        return await self._connect(hold)

    async def _connect(self, hold: float) -> Connection | Refused:
        """A new connection, as soon as Ollama takes one. The supervisor may not have noticed yet that it died."""
        connection = await self._knock()
        return connection if connection is not None else await self._held(hold)

    async def _held(self, hold: float) -> Connection | Refused:
        deadline = self._clock.now() + hold
        self._tally.held += 1
        try:
            while (left := deadline - self._clock.now()) > 0:
                if await self._readiness.wait(left) == "down":
                    return _down(self._readiness.reason)
                connection = await self._knock()
                if connection is not None:
                    return connection
                await self._clock.sleep(_KNOCK)
        finally:
            self._tally.held -= 1
        return _held_out(hold, self._readiness.reason)

    async def _knock(self) -> Connection | None:
        address = self._readiness.address
        if self._readiness.verdict != "ready" or address is None:
            return None
        try:
            return await self._pool.connect(address)
        except OSError:  # TimeoutError is one
            return None

    def _head(self, exchange: Exchange, method: str, target: str, length: bytes) -> bytes:
        address = self._readiness.address
        if address is not self._address and address is not None:
            name = f"[{address.host}]" if ":" in address.host else address.host
            self._address, self._host = address, f"{name}:{address.port}".encode()
        return request_head(
            method.encode(), target.encode(), exchange.query, self._host, exchange.found, exchange.id, length
        )

    async def _doubted(self, exchange: Exchange, answer: Answer) -> bool:
        """Wait for the head of an answer from a slot that may be lost."""
        while not answer.status and not answer.complete:
            try:
                async with asyncio.timeout(self._unproven_after):
                    await answer.more()
            except TimeoutError:
                if await self._suspect(exchange.model):
                    self._tally.suspected += 1
                    self.unproven.prove(exchange.model)
                    answer.drop()
        if answer.status:
            self.unproven.prove(exchange.model)
        return answer.status != 0


def _pause(status: int) -> float:
    """Seconds before the second attempt. A runner that died is replaced at once; 0 is a lost connection."""
    return {500: 0.0, 0: _SETTLE}.get(status, _BUSY)


async def _died(answer: Answer) -> bool:
    body = await answer.whole(_VERDICT)
    return body is None or any(answer.status == status and words in body for status, words in RUNNER_DIED)


def _down(reason: str) -> Refused:
    return Refused(503, Reason.DOWN, f"Ollama is not running. {reason}", retry_after=30)


def _held_out(hold: float, reason: str) -> Refused:
    text = f"Ollama did not come back within {hold:g} seconds. {reason} Please try again in a moment."
    return Refused(503, Reason.HELD_OUT, text, retry_after=5)


def _lost(attempts: int) -> Refused:
    times = "twice" if attempts > 1 else "before it answered"
    text = f"Ollama went away {times} while working on this request, so it is not sent again by itself."
    return Refused(502, Reason.DIED, text)
