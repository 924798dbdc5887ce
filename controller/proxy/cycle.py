"""One request and its answer on the wire: what ASGI's `receive` and `send` are made of.

In place of uvicorn's own cycle. That one writes an answer's head and its body apart; for a small answer the second
write costs as much as all of our own work (measured: 9 of 72 µs). Here the head waits for the first piece of the body,
or for the end of this turn of the loop. And whatever a request needs only sometimes (an event to wait with, a second
piece of its body) is made only then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final

from uvicorn._types import ASGI3Application, ASGIReceiveEvent, ASGISendEvent, HTTPScope
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

_BODYLESS: Final = (204, 304)
_FAILED: Final = b"Something went wrong. It is noted in the log: seadragon logs"
_FAILED_HEADERS: Final = (
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"content-length", b"%d" % len(_FAILED)),
    (b"connection", b"close"),
)

Faulty = Callable[[str, BaseException | None], None]
"""Told of an application that raised, or that answered what is no answer."""


class Cycle:
    """Owned by the task that serves it; its connection tells it what has come. A second `receive` after the whole body
    waits for the client's hang-up, or for the end of our own answer.
    """

    # As most requests leave them; an attribute of the object only where one differs.
    disconnected = False  # the connection is gone
    response_started = False
    response_complete = False
    more_body = True
    _size = 0  # bytes of the body that nobody has asked for yet
    _news = False  # something has come since the last `receive`
    _waiting: asyncio.Event | None = None
    _head = b""  # of the answer, not sent yet
    _chunked = False
    _until_close = False  # HTTP/1.0 knows no chunks: the end of the connection is the end of the answer
    _left = 0  # bytes that the answer's Content-Length still promises

    def __init__(
        self,
        scope: HTTPScope,
        transport: asyncio.Transport,
        flow: FlowControl,
        headers: Iterable[tuple[bytes, bytes]],
        *,
        expects: bool,
        keep_alive: bool,
        ended: Callable[[], None],
    ) -> None:
        """`headers` stand on every answer. `expects`: the client waits for a 100 before it sends its body. `ended` is
        called when the answer is out.
        """
        self.scope, self.transport, self.flow = scope, transport, flow
        self.keep_alive = keep_alive
        self._headers, self._expects, self._ended = headers, expects, ended
        self._pieces: list[bytes] = []

    # --- the connection's side ---

    def arrived(self, data: bytes) -> None:
        """A piece of the body. Reading pauses while more lies here than anybody asks for."""
        self._pieces.append(data)
        self._size += len(data)
        if self._size > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        self.wake()

    def wake(self) -> None:
        """There is something new to `receive`."""
        self._news = True
        if self._waiting is not None:
            self._waiting.set()

    async def run(self, application: ASGI3Application, faulty: Faulty) -> None:
        """Serve it. Never raises: what an application does wrong costs its own client alone."""
        problem: BaseException | None = None
        try:
            await application(self.scope, self.receive, self.send)
        except BaseException as error:  # as uvicorn: a task that ends with an error is heard by nobody
            problem = error
        if problem is not None or not (self.response_complete or self.disconnected):
            faulty("failed" if problem else "answered only in part", problem)
            await self._fail()
        self._ended = _nothing  # it knows us: else all would wait for the garbage collector

    async def _fail(self) -> None:
        if self.response_started:
            return self.transport.close()
        await self.send({"type": "http.response.start", "status": 500, "headers": _FAILED_HEADERS})
        await self.send({"type": "http.response.body", "body": _FAILED, "more_body": False})

    # --- the application's side ---

    async def receive(self) -> ASGIReceiveEvent:
        """ASGI's `receive`."""
        if self._expects and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._expects = False
        if not self.disconnected and not self.response_complete:
            self.flow.resume_reading()
            if not self._news:
                self._waiting = self._waiting or asyncio.Event()
                self._waiting.clear()
                await self._waiting.wait()
            self._news = False
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        data, self._pieces, self._size = b"".join(self._pieces), [], 0
        return {"type": "http.request", "body": data, "more_body": self.more_body}

    async def send(self, message: ASGISendEvent) -> None:
        """ASGI's `send`. Raises RuntimeError for an answer that contradicts its own headers."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.body":
            self._write(message.get("body", b""), more=message.get("more_body", False))
        elif message["type"] == "http.response.start":
            if self.response_started:
                raise RuntimeError("The answer has begun already.")
            self.response_started, self._expects = True, False
            self._head = self._begin(message["status"], message.get("headers", ()))
            if not self._left:  # a stream: its first piece may be long in coming
                asyncio.get_running_loop().call_soon(self._flush)

    def _begin(self, status: int, headers: Any) -> bytes:
        lines = [STATUS_LINE[status], *[b"%b: %b\r\n" % pair for pair in self._headers]]
        sized = closes = False
        for pair in headers:
            lines.append(b"%b: %b\r\n" % pair)
            if pair[0] == b"content-length":
                sized, self._left = True, int(pair[1])
            elif pair[0] == b"connection" and pair[1].lower() == b"close":
                self.keep_alive, closes = False, True
        if not self.keep_alive and not closes:
            lines.append(b"connection: close\r\n")
        if not sized and self.scope["method"] != "HEAD" and status not in _BODYLESS:
            self._until_close = self.scope["http_version"] == "1.0"
            self._chunked = not self._until_close
            if self._chunked:
                lines.append(b"transfer-encoding: chunked\r\n")
        lines.append(b"\r\n")
        head = b"".join(lines)
        if not head.count(b"\n") == head.count(b"\r") == len(lines):
            raise RuntimeError("A header holds a line break.")
        return head

    def _write(self, data: bytes, *, more: bool) -> None:
        if not self.response_started or self.response_complete:
            raise RuntimeError("A piece of an answer that has not begun, or has ended.")
        if self.scope["method"] == "HEAD":
            data, self._left = b"", 0
        elif self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            if not more:
                data += b"0\r\n\r\n"
        elif not self._until_close:
            self._left -= len(data)
        if self._left < 0 or (self._left and not more):
            raise RuntimeError("The answer is not as long as its Content-Length.")
        self.transport.write(self._head + data if self._head else data)
        self._head = b""
        if not more:
            self.response_complete = True
            self.wake()
            if not self.keep_alive:
                self.transport.close()
            self._ended()

    def _flush(self) -> None:
        if self._head and not self.disconnected:
            self.transport.write(self._head)
        self._head = b""


def _nothing() -> None:
    """Nobody is told any more."""
