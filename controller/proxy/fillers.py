"""What a client is sent while nothing else can be: bytes that every reader passes over, so that no proxy, tunnel or
client on the way takes the silence for the end.

Which bytes is a matter of the dialect, and was tried on real clients: a space without a newline for NDJSON and for one
document (a blank line breaks the readers of ollama-python and of the `ollama` command), a comment with one newline for
server-sent events (with two, older SDKs see an empty event), Anthropic's own `ping`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from controller.dialect import Dialect, Ending, Headers
from controller.proxy.routes import Body, Route

_JSON = b"application/json; charset=utf-8"
_NDJSON = b"application/x-ndjson"
_EVENTS = b"text/event-stream"


@dataclass(frozen=True, slots=True)
class Rhythm:
    """When. All in seconds; tests take smaller ones."""

    sweep: float = 0.5  # between two looks at what is open: one timer for all requests, instead of one for each
    grace: float = 10.0  # of a stream without a byte, so that quick failures keep their true status
    every: float = 15.0  # of silence, at most, from then on
    silent: float = 240.0  # that a streamed /v1/responses may wait: Codex gives up on 300 s without a real event
    unproven: float = 2.0  # that a slot may bring nothing before it is suspected
    swap: float = 10.0  # that a question about the memory waits for the end of a swap, and for its answer
    told: float = 1.0  # of waiting from which an answer says how long it was


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


def manner_of(route: Route, stream: bool | None) -> Manner | None:
    """How a request of `route` is answered. `stream`: as it asked, None for the route's own default.

    None: nothing may be sent before the answer.
    """
    if route.body is not Body.JSON:  # a transcription may be a plain text or subtitles, where a space is content
        return None
    streams = stream if stream is not None else route.dialect is Dialect.NATIVE
    if route.ending is None or not streams:
        return Manner.DOCUMENT
    if route.ending is Ending.DONE:
        return Manner.LINES
    return Manner.PINGS if route.ending is Ending.MESSAGE_STOP else Manner.EVENTS


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
