"""The wire under a listener: uvicorn's HTTP/1.1 protocol, with our own `Cycle`.

It also bounds a request's headers, says in the caller's dialect when a listener is full, or one address has more
connections than its share, and waits for the next request with one timer for each connection, not one for each request.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import lru_cache
from typing import Final, NamedTuple, cast
from urllib.parse import unquote

import httptools
import uvicorn
from uvicorn._types import ASGI3Application, ASGIVersions, HTTPScope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from controller.proxy.crowd import Crowd
from controller.proxy.cycle import Cycle
from controller.proxy.dialects import error_body, refusal_headers
from controller.proxy.exchange import Receive, Scope, Send
from controller.proxy.patience import TAKING
from controller.proxy.routes import dialect_of
from controller.refusal import Reason, Refused

_ASGI: Final[ASGIVersions] = {"version": "3.0", "spec_version": "2.3"}
_REMEMBERED = 256  # bytes of the longest target that is remembered
_MOST_UNHEARD = 32 * 1024  # bytes of a head or trailer that is not whole yet
HEAD_LIMIT = 10.0  # seconds for a head to be whole, and for the rest of a body that is not wanted any more
READING_A_NO = 1.0  # seconds that one who is turned away gets to read why, and any other when half the places are taken
_OFFER = (b"connection", b"http2-settings")  # what makes an offer to speak something else out of the header `upgrade`
_FULL = Refused(
    503, Reason.FULL, "This server has too many connections open. Please try again in a moment.", retry_after=2
)


class Target(NamedTuple):
    """What a request is about."""

    path: str
    raw_path: bytes
    query: bytes


@lru_cache(1024)
def _target(url: bytes) -> Target:
    """Most requests of a house are to the same few. Raises httptools.HttpParserInvalidURLError."""
    parsed = httptools.parse_url(url)
    return Target(unquote(parsed.path.decode("ascii")), parsed.path, parsed.query or b"")


class Settings(uvicorn.Config):
    """uvicorn's own, and who is connected."""

    crowd: Crowd | None = None


async def full(scope: Scope, receive: Receive, send: Send) -> None:
    """The answer of a listener that has `limits.connections` open."""
    body = error_body(dialect_of(scope["path"], anthropic=False), _FULL.status, _FULL.text, "")
    headers = [*refusal_headers(_FULL, len(body)), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": _FULL.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


class Wire(HttpToolsProtocol):
    """uvicorn's protocol with our `Cycle`. Give it to `uvicorn.Config(http=Wire)`."""

    cycle: Cycle  # type: ignore[assignment]  # has what the rest of uvicorn's protocol asks of one; the last that came
    _served: Cycle | None = None  # the one whose turn it is: those after it wait in the pipeline
    pipeline: deque[tuple[Cycle, ASGI3Application]]  # type: ignore[assignment]
    url = b""
    _unheard = 0  # bytes that came in since the last whole head or piece of a body
    _heading = True  # a head is due, or on its way
    _deadline: asyncio.TimerHandle | None = None
    _idle: asyncio.TimerHandle | None = None  # looks whether the connection is used; moved on only when it is due
    _idle_since = 0.0  # of the loop's time
    _crowd: Crowd | None = None
    _peer: str | None = None  # the address that this connection counts for
    _turned_away = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        if isinstance(self.config, Settings) and self.config.crowd is not None:
            self._crowd, peer = self.config.crowd, transport.get_extra_info("peername")
            if not self._crowd.enter(peer[0]):
                return self._turn_away(transport)
            self._peer = peer[0]
        super().connection_made(transport)
        self._hurry()

    def connection_lost(self, exc: Exception | None) -> None:
        self._calm()
        if self._idle is not None:
            self._idle.cancel()
        if self._crowd is not None and self._peer is not None:
            self._crowd.leave(self._peer)
        if self._turned_away:
            return
        self.connections.discard(self)
        if self._served is not None:
            self._served.disconnected = not self._served.response_complete
            self._served.wake()
        self.flow.resume_writing()
        self.transport.close()
        self.parser = None  # type: ignore[assignment]  # it knows us

    def data_received(self, data: bytes) -> None:
        """Neither uvicorn nor its parser minds a head, a header or a trailer that never ends: both keep it all."""
        if self._turned_away:
            return  # what it asks is not even looked at
        self._unheard += len(data)
        try:
            while data:
                data = self._read(data)
        except httptools.HttpParserError:
            return self.send_400_response("This is not a request that this server understands (HTTP/1.1).")
        if self._unheard > _MOST_UNHEARD and not self.transport.is_closing():
            self.send_400_response("The headers are too long.")
        elif self._heading and self._deadline is None:
            self._hurry()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request. While an answer is on its way there is no room for a second one."""
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            return self.transport.abort()
        self.transport.write(self._unasked(Refused(400, Reason.BAD, msg)))
        self.transport.close()

    def _unasked(self, refused: Refused) -> bytes:
        """A whole answer to what never became a request."""
        body = error_body(dialect_of(self.url.decode("latin-1"), anthropic=False), refused.status, refused.text, "")
        headers = [*refusal_headers(refused, len(body)), (b"connection", b"close")]
        return STATUS_LINE[refused.status] + b"".join(b"%b: %b\r\n" % pair for pair in headers) + b"\r\n" + body

    def _turn_away(self, transport: asyncio.Transport) -> None:
        """One too many from its address: told at once, and counted nowhere. It has a moment to read that: a connection
        that is closed while its request is still coming takes the answer with it.
        """
        assert self._crowd is not None
        self._turned_away, self.transport = True, transport
        text = (
            f"Your address has {self._crowd.limit} connections to this server open already, as many as it may. "
            "Close some, or ask whoever runs it to raise `limits: per_address` in server.yaml."
        )
        transport.write(self._unasked(Refused(429, Reason.FULL, text, retry_after=2)))
        if transport.can_write_eof():
            transport.write_eof()
        self._hurry(READING_A_NO)

    # --- what the parser found ---

    def on_message_begin(self) -> None:
        self._heading = True
        self.url, self.headers, self.expect_100_continue = b"", [], False

    def on_headers_complete(self) -> None:
        parser = self.parser
        if parser.should_upgrade():
            if parser.get_method() == b"CONNECT":
                raise ValueError("This server is no proxy.")
            return  # `_read` hears of it next
        self._unheard, self._heading = 0, False
        if self._deadline is not None:
            self._calm()
        version = parser.get_http_version()
        self.scope = self._asked(parser.get_method().decode("ascii"), version)
        before: Cycle | None = self.cycle
        cycle = self.cycle = Cycle(
            self.scope,
            self.transport,
            self.flow,
            self.server_state.default_headers,
            expects=self.expect_100_continue,
            keep_alive=version != "1.0" and parser.should_keep_alive(),
            ended=self.on_response_complete,
        )
        self.headers = []  # what follows are trailers: no part of what is judged
        app = self.app if self._has_room() else cast(ASGI3Application, full)
        if before is None or before.response_complete:
            self._serve(cycle, app)
        else:
            self.flow.pause_reading()  # until its turn comes
            self.pipeline.append((cycle, app))

    def _asked(self, method: str, version: str) -> HTTPScope:
        """The head that was just read, as ASGI has it. Nothing of ours asks for `root_path` or `state`."""
        url = self.url
        target = _target(url) if len(url) <= _REMEMBERED else _target.__wrapped__(url)
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme or "http",
            "method": method,
            "root_path": "",
            "path": target.path,
            "raw_path": target.raw_path,
            "query_string": target.query,
            "headers": self.headers,
        }

    def _has_room(self) -> bool:
        limit = self.limit_concurrency
        return limit is None or (len(self.connections) < limit and len(self.tasks) < limit)

    @property
    def _short_of_places(self) -> bool:
        limit = self.limit_concurrency
        return limit is not None and 2 * len(self.connections) > limit

    def on_body(self, body: bytes) -> None:
        self._unheard = 0
        if not self.parser.should_upgrade() and not self.cycle.response_complete:
            self.cycle.arrived(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        if self._deadline is not None:
            self._calm()
        if not self.cycle.response_complete:
            self.cycle.more_body = False
            self.cycle.wake()
        else:  # nobody wanted the rest of that body
            self._await_next()

    def _serve(self, cycle: Cycle, app: ASGI3Application) -> None:
        self._served = cycle
        task = self.loop.create_task(cycle.run(app, self._faulty))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _faulty(self, what: str, problem: BaseException | None) -> None:
        self.logger.error("A request %s.", what, exc_info=problem)

    def on_response_complete(self) -> None:
        if self.transport.is_closing():
            if self.transport.get_write_buffer_size():
                self._hurry(TAKING)  # closing waits for a client that reads
            return
        self.flow.resume_reading()
        if self.pipeline:
            return self._serve(*self.pipeline.popleft())
        self._await_next()
        if self.cycle.more_body:  # that is not wanted any more
            self._hurry(READING_A_NO if self._short_of_places else None)

    def _read(self, data: bytes) -> bytes:
        """Feed the parser; what is still to be fed."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            return self._declined() + data[offer.args[0] :]
        return b""

    def _declined(self) -> bytes:
        """The head that was just read, without its offer to speak another protocol, for a new parser: the old one takes
        every offer for accepted, and what follows for that protocol. Not to answer an offer is to decline it (RFC 9110,
        7.8). Java's client makes one with its first request, and sends the body along.
        """
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        lines += [b"%b: %b" % pair for pair in self.headers if pair[0] not in _OFFER]
        if any(name == b"connection" and b"close" in value.lower() for name, value in self.headers):
            lines.append(b"connection: close")
        self.parser = httptools.HttpRequestParser(self)
        return b"\r\n".join(lines) + b"\r\n\r\n"

    # --- how long we wait ---

    def _await_next(self) -> None:
        """The next request may take `timeout_keep_alive` seconds to begin."""
        self._idle_since = self.loop.time()
        if self._idle is None:
            self._idle = self.loop.call_later(self.timeout_keep_alive, self._look_idle)

    def _look_idle(self) -> None:
        """Close a connection on which nothing was asked for `timeout_keep_alive` seconds."""
        self._idle = None
        if self._deadline is not None or not self.cycle.response_complete:
            return  # it is used; the end of that answer, or of the body behind it, sets the next look
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._idle = self.loop.call_later(left, self._look_idle)
        else:
            self._give_up()

    def _hurry(self, seconds: float | None = None) -> None:
        self._calm()
        self._deadline = self.loop.call_later(HEAD_LIMIT if seconds is None else seconds, self._give_up)

    def _calm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()
