"""Our own client of engines: HTTP/1.1 over pooled connections, parsed by httptools, straight on asyncio's protocols.

An `Answer` is one response while it arrives, and outlives its `Connection`, which goes back to the `Pool` when the last
byte is in, however slow the client is. Nothing here decides anything: who asks, asks again or gives up does.
"""

from __future__ import annotations

import asyncio
import select
from collections import deque
from collections.abc import Callable
from typing import cast

import httptools

from controller.answering.heads import ANSWERED
from controller.answering.usage import AnswerUsage
from controller.dialect import Headers
from controller.readiness import Address

_PACE = 256 * 1024  # unread bytes at which upstream is paused, where it may be
_BITE = 256 * 1024  # bytes that are handed on at once, at most
_IDLE = 64  # connections kept
_LONGEST_HEAD = 256 * 1024  # bytes, with all that may come before it
CONNECT_LIMIT = 5.0  # seconds; on loopback an answer comes at once or never


class Answer:
    """One response as it arrives.

    `paced`: upstream is held back when nobody reads (its own slots freeze then, so never for inference). Otherwise all
    is taken at once, and `overflow` is called when more than `limit` bytes lie unread.
    """

    __slots__ = (
        "_chunks",
        "_limit",
        "_overflow",
        "_paced",
        "_waiter",
        "broken",
        "complete",
        "connection",
        "ended",
        "headers",
        "length",
        "status",
        "unread",
        "until_close",
        "usage",
    )

    def __init__(
        self, *, paced: bool, limit: int, overflow: Callable[[], None], usage: AnswerUsage | None = None
    ) -> None:
        self.status = 0  # 0 until the head has come
        self.headers: Headers = []
        self.length: int | None = None  # what Content-Length says
        self.until_close = True  # neither a length nor chunks: the end of the connection is the end
        self.complete = False  # nothing more will come
        self.broken = False  # … and something is missing
        self.unread = 0
        self.connection: Connection | None = None
        self.usage = usage  # sees every piece as it comes, however late the client reads it
        self.ended: Callable[[], None] | None = None  # called once, as soon as it is complete
        self._chunks: deque[bytes] = deque()
        self._paced = paced
        self._limit = limit
        self._overflow = overflow
        self._waiter: asyncio.Future[None] | None = None

    async def more(self) -> None:
        """Return when something has come since: the head, bytes, the end."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    async def head(self) -> bool:
        """Wait for the head; False when the connection ended before it."""
        while not self.status and not self.complete:
            await self.more()
        return self.status != 0

    def take(self) -> bytes:
        """The next bytes, b"" when none are here now."""
        chunks = self._chunks
        if not chunks:
            return b""
        if len(chunks) == 1 or self.unread > _BITE:
            data = chunks.popleft()
        else:
            data = b"".join(chunks)
            chunks.clear()
        self.unread -= len(data)
        if self.connection is not None and self._paced and self.unread <= _PACE:
            self.connection.resume()
        return data

    async def whole(self, limit: int) -> bytes | None:
        """The whole body, or None when it is longer than `limit` bytes or breaks off; then nothing has been taken."""
        while not self.complete and self.unread <= limit:
            await self.more()
        if self.broken or self.unread > limit:
            return None
        return b"".join(self._chunks)

    def close(self) -> None:
        """No more is wanted: the connection is closed unless all has come already."""
        if self.connection is not None:
            self.connection.abort()

    def drop(self) -> None:
        """What has come is of no use: forget it, and close."""
        self._chunks.clear()
        self.unread = 0
        self.close()
        self.end(broken=True)

    # --- the connection's side ---

    def arrived(self, data: bytes) -> None:
        self._chunks.append(data)
        self.unread += len(data)
        if self.usage is not None:
            self.usage.feed(data)

    def nudge(self) -> None:
        """Let `more` return, though nothing has come."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def wake(self) -> None:
        self.nudge()
        if self.unread > _PACE:
            if self._paced and self.connection is not None:
                self.connection.pause()
            elif not self._paced and self.unread > self._limit:
                self._overflow()

    def end(self, *, broken: bool) -> None:
        self.complete, self.broken, self.connection = True, broken, None
        ended, self.ended = self.ended, None
        if ended is not None:
            ended()


class Connection(asyncio.Protocol):
    """One connection to an engine: one request at a time, then back to the pool."""

    __slots__ = (
        "_answer",
        "_drained",
        "_heading",
        "_headless",
        "_parser",
        "_paused",
        "_poll",
        "_pool",
        "address",
        "lost",
        "sent",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, pool: Pool, address: Address) -> None:
        self._pool = pool
        self.address = address
        self.lost = False
        self.sent = True  # the whole request has been written
        self._answer: Answer | None = None
        self._heading = 0  # bytes that came before the head was whole
        self._headless = False
        self._paused = False
        self._drained: asyncio.Future[None] | None = None
        self._parser = httptools.HttpResponseParser(self)

    def ask(self, head: bytes, body: bytes, answer: Answer, *, method: str) -> None:
        """Send a request whose body is in memory; `answer` is filled from now on."""
        self.begin(answer, method=method)
        if len(body) > _PACE:
            self.transport.writelines([head, body])
        else:
            self.transport.write(head + body)

    def begin(self, answer: Answer, *, method: str) -> None:
        """`answer` is filled from now on; the caller writes the request itself."""
        self._answer, self._heading = answer, 0
        answer.connection = self
        self._headless = method == "HEAD"

    async def write(self, data: bytes) -> None:
        """Send a piece of a body, waiting while upstream takes no more."""
        if not self.lost:
            self.transport.write(data)
        if self._drained is not None:
            await self._drained

    def quiet(self) -> bool:
        """Whether upstream has said nothing on an idle connection. A goodbye may be waiting unread: look."""
        return not self.lost and not self._poll.poll(0)

    def pause(self) -> None:
        if not self._paused and not self.lost:
            self._paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        if self._paused and not self.lost:
            self._paused = False
            self.transport.resume_reading()

    def abort(self) -> None:
        """Close at once; an answer that is not whole is broken."""
        if not self.lost:
            self.lost = True
            self.transport.abort()
        self._end(broken=True)

    # --- asyncio's side ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are not of that class
        self._poll = select.poll()
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self._pool.opened(self)

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None:  # nobody asked: what follows could be taken for the answer to the next question
            return self.abort()
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.abort()
        if not answer.status:
            self._heading += len(data)
            if self._heading > _LONGEST_HEAD:
                self.abort()
        answer.wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._pool.closed(self)
        self.resume_writing()
        answer = self._answer
        self._end(broken=exc is not None or answer is None or not answer.status or not answer.until_close)
        if answer is not None:
            answer.wake()

    def pause_writing(self) -> None:
        self._drained = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    # --- httptools' side ---

    def on_message_begin(self) -> None:
        if self._answer is None:  # more than was asked for: it could be taken for the answer to the next question
            self.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        answer = self._answer
        if answer is None or answer.status:
            return
        name = name.lower()
        if name in ANSWERED:
            answer.headers.append((name, value))
            if name == b"content-length":
                answer.length, answer.until_close = int(value), False
        elif name == b"transfer-encoding":
            answer.until_close = False

    def on_headers_complete(self) -> None:
        answer = self._answer
        if answer is None:
            return
        status = self._parser.get_status_code()
        if status < 200:
            answer.headers.clear()
            answer.length, answer.until_close = None, True
            return
        answer.status = status
        if self._headless:
            self._parser = httptools.HttpResponseParser(self)  # the old one waits for a body that never comes
            self._finish(keep=True)

    def on_body(self, data: bytes) -> None:
        if self._answer is not None:
            self._answer.arrived(data)

    def on_message_complete(self) -> None:
        if self._answer is not None and self._answer.status:
            self._finish(keep=self._parser.should_keep_alive())

    def _finish(self, *, keep: bool) -> None:
        self._end(broken=False)
        if keep and self.sent and not self.lost:
            self.resume()
            self._pool.give_back(self)
        else:
            self.transport.abort()

    def _end(self, *, broken: bool) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.end(broken=broken)


class Pool:
    """Open connections to one engine. Those to an earlier start of it are never used again."""

    def __init__(self) -> None:
        self._idle: deque[Connection] = deque(maxlen=_IDLE)
        self._open: set[Connection] = set()
        self._all_closed = asyncio.Event()

    def take(self, address: Address) -> Connection | None:
        """An idle connection that upstream has not closed, or None."""
        others: list[Connection] = []
        found = None
        while self._idle and found is None:
            connection = self._idle.pop()
            if connection.address is address or connection.address == address:
                found = connection if connection.quiet() else None
            elif connection.address.generation == address.generation:
                others.append(connection)
                continue
            if found is None:
                connection.abort()
        self._idle.extend(reversed(others))
        return found

    async def connect(self, address: Address) -> Connection:
        """A new connection. Raises OSError (TimeoutError after `CONNECT_LIMIT` too) when there is none to be had."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_LIMIT):
            _, connection = await loop.create_connection(lambda: Connection(self, address), address.host, address.port)
        return connection

    def give_back(self, connection: Connection) -> None:
        if len(self._idle) == _IDLE:
            self._idle.popleft().abort()
        self._idle.append(connection)

    def opened(self, connection: Connection) -> None:
        self._open.add(connection)

    def closed(self, connection: Connection) -> None:
        self._open.discard(connection)
        if not self._open:
            self._all_closed.set()

    async def close(self) -> None:
        """Close every connection, and return when they are closed."""
        self._all_closed.clear()
        for connection in list(self._open):
            connection.abort()
        if self._open:
            await self._all_closed.wait()
