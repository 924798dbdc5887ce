"""The wire under a listener: uvicorn's HTTP/1.1 protocol, with answers that leave in one write.

uvicorn writes an answer's head and its body apart; for a small answer the second write costs as much as all of our own
work (measured: 9 of 72 µs). Here the head waits for the first piece of the body, or for the end of this turn of the
loop. It also bounds a request's headers, and says in the caller's dialect when a listener is full.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn._types import ASGI3Application, ASGISendEvent
from uvicorn.protocols.http.flow_control import service_unavailable
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from controller.proxy.dialects import Reason, Refused, error_body, refusal_headers
from controller.proxy.exchange import Receive, Scope, Send
from controller.proxy.routes import dialect_of

_MOST_HEADERS = 32 * 1024  # bytes of one request's headers
_BODYLESS = (204, 304)
_FULL = Refused(
    503, Reason.FULL, "This server has too many connections open. Please try again in a moment.", retry_after=2
)


class Cycle(RequestResponseCycle):
    """One request and its answer."""

    _head = b""

    async def send(self, message: ASGISendEvent) -> None:
        """ASGI's `send`. Raises RuntimeError for an answer that contradicts its own headers."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.start":
            if self.response_started:
                raise RuntimeError("The answer has begun already.")
            self.response_started, self.waiting_for_100_continue = True, False
            self._head = self._begin(message["status"], message.get("headers", ()))
            if not self.expected_content_length:  # a stream: its first piece may be long in coming
                asyncio.get_running_loop().call_soon(self._flush)
        elif message["type"] == "http.response.body":
            self._write(message.get("body", b""), more=message.get("more_body", False))

    def _begin(self, status: int, headers: Any) -> bytes:
        closing = not self.keep_alive
        lines = [b"%b: %b\r\n" % pair for pair in self.default_headers]
        for name, value in headers:
            lines.append(b"%b: %b\r\n" % (name, value))
            if name == b"content-length":
                self.chunked_encoding, self.expected_content_length = False, int(value)
            elif name == b"connection" and value.lower() == b"close":
                self.keep_alive, closing = False, False  # it is said already
        if closing:
            lines.append(b"connection: close\r\n")
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and status not in _BODYLESS:
            self.chunked_encoding = True
            lines.append(b"transfer-encoding: chunked\r\n")
        head = STATUS_LINE[status] + b"".join(lines) + b"\r\n"
        if not head.count(b"\n") == head.count(b"\r") == len(lines) + 2:
            raise RuntimeError("A header holds a line break.")
        return head

    def _write(self, data: bytes, *, more: bool) -> None:
        if not self.response_started or self.response_complete:
            raise RuntimeError("A piece of an answer that has not begun, or has ended.")
        head, self._head = self._head, b""
        if self.scope["method"] == "HEAD":
            data, self.expected_content_length = b"", 0
        elif self.chunked_encoding:
            data = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            if not more:
                data += b"0\r\n\r\n"
        else:
            self.expected_content_length -= len(data)
        if self.expected_content_length < 0 or (self.expected_content_length and not more):
            raise RuntimeError("The answer is not as long as its Content-Length.")
        self.transport.write(head + data)
        if not more:
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()

    def _flush(self) -> None:
        if self._head and not self.disconnected:
            self.transport.write(self._head)
        self._head = b""


async def full(scope: Scope, receive: Receive, send: Send) -> None:
    """The answer of a listener that has `limits.connections` open."""
    body = error_body(dialect_of(scope["path"], anthropic=False), _FULL.status, _FULL.text, "")
    headers = [*refusal_headers(_FULL, len(body)), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": _FULL.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


class Wire(HttpToolsProtocol):
    """uvicorn's protocol with our `Cycle`. Give it to `uvicorn.Config(http=Wire)`."""

    _header_bytes = 0

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        cycle.__class__ = Cycle  # uvicorn has no other way to say which class its cycles are of
        super()._start_asgi_task(cycle, cast(ASGI3Application, full) if app is service_unavailable else app)

    def on_message_begin(self) -> None:
        self._header_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._weigh(len(url))
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._weigh(len(name) + len(value))
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def _weigh(self, count: int) -> None:
        """uvicorn would collect headers without end. Raising here is how a parser callback ends a connection: 400."""
        self._header_bytes += count
        if self._header_bytes > _MOST_HEADERS:
            raise ValueError("The headers are too long.")
