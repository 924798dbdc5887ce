"""What a client is sent while nothing else can be: bytes that every reader passes over, so that no proxy, tunnel or
client on the way takes the silence for the end.

Which bytes is a matter of the dialect, and was tried on real clients: a space without a newline for NDJSON and for one
document (a blank line breaks the readers of ollama-python and of the `ollama` command), a comment with one newline for
server-sent events (with two, older SDKs see an empty event), Anthropic's own `ping`.
"""

from __future__ import annotations

from enum import Enum

from controller.answering.sink import Wait
from controller.dialect import Dialect, Headers, StreamEnding
from controller.proxy.exchange import Exchange
from controller.proxy.framing import Framing
from controller.proxy.routes import Body, Route

_JSON = b"application/json; charset=utf-8"
_NDJSON = b"application/x-ndjson"
_EVENTS = b"text/event-stream"


class Manner(Enum):
    """How the answer of a request would come: its content type, and what fills."""

    LINES = _NDJSON, b" "
    EVENTS = _EVENTS, b": waiting\n"
    PINGS = _EVENTS, b'event: ping\ndata: {"type":"ping"}\n\n'
    DOCUMENT = _JSON, b" "

    @property
    def kind(self) -> bytes:
        """The content type."""
        return self.value[0]

    @property
    def filler(self) -> bytes:
        """What is sent."""
        return self.value[1]


def ending_of(route: Route, stream: bool | None) -> StreamEnding | None:
    """How the answer to a request of `route` ends that comes as a stream; None: it is a document. `stream`: as it
    asked, None for the route's own default.
    """
    streams = stream if stream is not None else route.dialect is Dialect.NATIVE
    return route.ending if streams else None


def manner_of(route: Route, ending: StreamEnding | None) -> Manner | None:
    """How a request of `route` is answered whose answer ends so (`ending_of`). None: nothing may be sent before it."""
    if route.body is not Body.JSON:  # a transcription may be a plain text or subtitles, where a space is content
        return None
    if ending is None:
        return Manner.DOCUMENT
    if ending is StreamEnding.DONE:
        return Manner.LINES
    return Manner.PINGS if ending is StreamEnding.MESSAGE_STOP else Manner.EVENTS


def headers(manner: Manner, queue: bytes) -> Headers:
    """Of an answer that begins before there is one. `queue`: what it waits for."""
    return [
        (b"content-type", manner.kind),
        (b"cache-control", b"no-cache, no-transform"),
        (b"x-accel-buffering", b"no"),
        (b"x-seadragon-queue", queue),
    ]


def waiting_words(position: int | None, estimate: float | None, waited: float) -> bytes:
    """X-Seadragon-Queue of an answer that begins before its turn; silent about what nobody knows."""
    told = [] if position is None else [f"position={position}"]
    if estimate is not None:
        told.append(f"estimate={estimate:.0f}s")
    return ", ".join([*told, f"waited={waited:.0f}s"]).encode("ascii")


def granted_words(waited: float, why: str) -> bytes:
    """X-Seadragon-Queue of an answer that had to wait for its turn."""
    return f"waited={waited:.0f}s, granted={why}".encode("ascii")


class Fillers:
    """What one client is sent while its run waits: a `sink.Sink`."""

    __slots__ = ("_ending", "_exchange", "_manner", "every", "grace")

    def __init__(
        self, exchange: Exchange, manner: Manner | None, ending: StreamEnding | None, grace: float, every: float
    ) -> None:
        """`ending`: of a stream; None for a document. `grace`, `every`: as in `sink.Sink`, in seconds."""
        self._exchange, self._manner, self._ending = exchange, manner, ending
        self.grace, self.every = grace, every

    @property
    def begun(self) -> bool:
        """Whether the answer has begun."""
        return self._exchange.status != 0

    @property
    def sent(self) -> int:
        """Bytes of it that the client has been sent."""
        return self._exchange.bytes_out

    async def waits(self, wait: Wait) -> None:
        """Send what is due, where nothing else is in the way; the first time this begins the answer."""
        exchange, manner = self._exchange, self._manner
        if manner is None:
            return
        if not exchange.status:
            if self._ending is not None:
                exchange.framing = Framing(self._ending)
            waited = wait.waited()
            queue = waiting_words(wait.position, wait.estimate, waited)
            await exchange.start(200, headers(manner, queue), exchange.started + waited)
        elif exchange.framing.over if exchange.framing is not None else manner is not Manner.DOCUMENT or wait.answering:
            return  # nothing may come between the bytes of a document, or after a last record
        await exchange.body(manner.filler, more=True)
