"""Request bodies that are read before anything is decided: up to a limit, and out of their compression."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from typing import Protocol

import brotli
import zstandard

from controller.proxy.exchange import Exchange
from controller.proxy.room import SMALL, Room
from controller.refusal import Reason, Refused

_ZSTD_WINDOW = 2**27  # bytes; a frame that tells its length has a window of that length
_ZSTD_BITE = 256  # bytes, of which four may unfold to 128 KiB
_GZIP_BITE = 4096  # bytes; zlib makes a thousand of one
_CROWDED = Refused(
    503, Reason.FULL, "Too many large requests are under way. Please try again in a moment.", retry_after=5
)
_MOST_FRAMES = 4096  # nobody honest sends more


async def read(exchange: Exchange, limit: int, room: Room, hold: float, unfolds: int = 0) -> bytes | Refused:
    """The whole body, or 413 when it is longer than `limit` bytes, or 503 when there is no `room` for it.

    One of a declared length waits `hold` seconds for room before a byte of it is read. What it takes stands in
    `exchange.room` and is given back by whoever ends the exchange. `unfolds`: what it may become out of its
    compression; room for that is taken along with it, so that nobody who has some waits for more. Raises ClientGone.
    """
    declared = exchange.found.get(b"content-length")
    if declared is None and (refused := coded(exchange)) is not None:
        return refused
    if declared is not None:
        length = int(declared)
        if length > limit:
            return too_long(limit)
        if length > SMALL and not await _reserved(exchange, room, length + unfolds, hold):
            return _CROWDED
    body, more = await exchange.piece()
    if more:
        pieces = [body]
        while more:
            piece, more = await exchange.piece()
            pieces.append(piece)
            if exchange.bytes_in > limit:
                return too_long(limit)
            if declared is None and not _grown(exchange, room, unfolds):
                return _CROWDED
        body = b"".join(pieces)
    return body if len(body) <= limit else too_long(limit)


async def _reserved(exchange: Exchange, room: Room, count: int, hold: float) -> bool:
    if not await room.wait(exchange.caller, count, hold):
        return False
    exchange.room = count
    return True


def _grown(exchange: Exchange, room: Room, unfolds: int) -> bool:
    """Whether there is room for what came so far of a body whose length nobody knows."""
    more = exchange.bytes_in + unfolds - exchange.room
    if exchange.bytes_in > SMALL and more > SMALL:
        if not room.take(exchange.caller, more):
            return False
        exchange.room += more
    return True


def leave(exchange: Exchange, room: Room, rest: int = 0) -> None:
    """Give back what the body of `exchange` has of the room, but for `rest` bytes."""
    if exchange.room > rest:
        room.give(exchange.caller, exchange.room - rest)
        exchange.room = rest


def coded(exchange: Exchange) -> Refused | None:
    """501 for a body whose transfer coding is more than chunks: they are taken apart, and nothing else is."""
    if exchange.found.get(b"transfer-encoding", b"chunked").lower() == b"chunked":
        return None
    return Refused(501, Reason.ENCODING, "Of Transfer-Encodings only `chunked` is known here. Use Content-Encoding.")


def too_long(limit: int) -> Refused:
    """413: the limit is a line of server.yaml."""
    text = f"The request is longer than {_size(limit)}, the most this server takes (server.yaml, limits)."
    return Refused(413, Reason.TOO_LONG, text)


def packing(encoding: bytes) -> bytes | Refused:
    """How a body of this Content-Encoding is packed, b"" when it is not; 415 for what we do not know."""
    name = encoding.strip().lower()
    if name == b"identity":
        return b""
    if name and name not in _DECODERS:
        known = ", ".join(sorted(key.decode() for key in _DECODERS if not key.startswith(b"x-")))
        text = f"This Content-Encoding is not known here. Known are {known}; or send the body as it is."
        return Refused(415, Reason.ENCODING, text)
    return name


async def unfolded(
    exchange: Exchange, body: bytes, packed: bytes, limit: int, room: Room, hold: float
) -> bytes | Refused:
    """What was read, out of how it is packed, as `decoded` says; 503 when there is no room for what it becomes."""
    if not exchange.room:
        plain = await decoded(body, packed, min(SMALL, limit))
        if limit <= SMALL or not isinstance(plain, Refused) or plain.status != 413:
            return plain
        if not await _reserved(exchange, room, limit, hold):
            return _CROWDED
    plain = await decoded(body, packed, limit)
    if not isinstance(plain, Refused):
        leave(exchange, room, len(plain) if len(plain) > SMALL else 0)
    return plain


async def decoded(body: bytes, packed: bytes, limit: int) -> bytes | Refused:
    """`body` out of how it is packed (`packing`): 400 for a broken one, 413 beyond `limit` bytes.

    Works in a thread: a few kilobytes may unfold to all of `limit`.
    """
    try:
        plain = await asyncio.to_thread(_DECODERS[packed], body, limit)
    except (zlib.error, zstandard.ZstdError, brotli.error, EOFError):
        return Refused(400, Reason.ENCODING, "The compressed body is broken or cut short. Send it again.")
    return too_long(limit) if len(plain) > limit else plain


def _gunzip(body: bytes, limit: int) -> bytes:
    return _unframed(lambda: zlib.decompressobj(16 + zlib.MAX_WBITS), _GZIP_BITE, body, limit)


def _deflated(body: bytes, limit: int) -> bytes:
    """RFC 9110 means zlib's format; some send the bare stream."""
    try:
        return _inflate(body, limit, zlib.MAX_WBITS)
    except zlib.error:
        return _inflate(body, limit, -zlib.MAX_WBITS)


def _inflate(body: bytes, limit: int, format_bits: int) -> bytes:
    stream = zlib.decompressobj(format_bits)
    plain = stream.decompress(body, limit + 1)
    if not stream.eof and len(plain) <= limit:
        raise EOFError
    return plain


def _unbrotli(body: bytes, limit: int) -> bytes:
    stream = brotli.Decompressor()
    piece: bytes = stream.process(body, output_buffer_limit=65536)
    plain = bytearray(piece)
    while piece and len(plain) <= limit and not stream.is_finished():
        piece = stream.process(b"", output_buffer_limit=65536)
        plain += piece
    if not stream.is_finished() and len(plain) <= limit:
        raise EOFError
    return bytes(plain)


def _unzstd(body: bytes, limit: int) -> bytes:
    return _unframed(
        lambda: zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj(), _ZSTD_BITE, body, limit
    )


class _Frame(Protocol):
    """What gzip calls a member and zstd a frame, while it unfolds."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: memoryview, /) -> bytes: ...


def _unframed(begin: Callable[[], _Frame], bite: int, body: bytes, limit: int) -> bytes:
    """One frame or several, in bites so small that none unfolds to much more than `limit`."""
    pieces: list[bytes] = []
    size, frames = 0, 1
    frame = begin()
    rest = memoryview(body)
    while len(rest) and size <= limit and frames <= _MOST_FRAMES:
        if frame.eof:
            frame, frames = begin(), frames + 1
        pieces.append(frame.decompress(rest[:bite]))
        size += len(pieces[-1])
        rest = rest[min(bite, len(rest)) - len(frame.unused_data) :]
    if not (frame.eof and frames <= _MOST_FRAMES) and size <= limit:
        raise EOFError
    return b"".join(pieces)


_DECODERS: dict[bytes, Callable[[bytes, int], bytes]] = {
    b"gzip": _gunzip,
    b"x-gzip": _gunzip,
    b"deflate": _deflated,
    b"br": _unbrotli,
    b"zstd": _unzstd,
}


def _size(count: int) -> str:
    return f"{count / 2**20:g} MiB" if count >= 2**20 else f"{count / 1024:g} KiB"
