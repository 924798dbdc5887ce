"""Copying an answer to its client: verbatim, as it comes, and never a silent cut."""

from __future__ import annotations

import asyncio

import msgspec

from controller.answering.refusals import BROKEN
from controller.answering.run import Run
from controller.answering.upstream import Answer, Connection
from controller.dialect import StreamEnding
from controller.proxy.dialects import error_body
from controller.proxy.exchange import Exchange
from controller.proxy.framing import Framing
from controller.proxy.own import JSON, headers
from controller.proxy.refusals import upstreams_words
from controller.refusal import Reason

_LONGEST_ERROR = 64 * 1024  # bytes
_STREAMS = (b"application/x-ndjson", b"text/event-stream")

FAILED = "Something went wrong inside Seadragon, and its log says what. Please ask again."


class _Error(msgspec.Struct):
    """An error document."""

    error: object = None


_ERROR = msgspec.json.Decoder(_Error)


async def relay(
    exchange: Exchange,
    answer: Answer,
    ending: StreamEnding | None,
    now: float,
    *,
    run: Run | None = None,
    kept: list[bytes] | None = None,
) -> None:
    """Send `answer` on, up to its end: that of `run`, if it has one. `kept` collects the bytes."""
    more = answer.more if run is None else run.more
    if answer.status >= 400 and not exchange.status and exchange.who is not None and exchange.who.guest:
        return await _veiled_error(exchange, answer, now)
    if not exchange.status:
        exchange.framing = _framing(answer, ending)
        await exchange.start(answer.status, answer.headers, now)
    elif answer.status >= 400:  # its client has been told 200 and to wait
        return await _late_error(exchange, answer)
    framing = exchange.framing
    while True:
        data = answer.take()
        if data and kept is not None:
            kept.append(data)
        if data and framing is not None:
            data = framing.feed(data)
            if framing.overlong:
                answer.drop()
        if answer.complete and not answer.unread:
            break
        if data:
            await exchange.body(data, more=True)
        elif not answer.unread:
            await more()
    await finish(exchange, data, BROKEN.text, broken=answer.broken)


async def _late_error(exchange: Exchange, answer: Answer) -> None:
    """Upstream's own words, in the record that its client understands in mid-stream; a document can only be reset."""
    words = error_words(await answer.whole(_LONGEST_ERROR) or b"")
    if words and exchange.who is not None and exchange.who.guest:
        words = upstreams_words(answer.status, words)
    await break_off(exchange, words or BROKEN.text, answer.status)
    exchange.reason = Reason.LATE


async def _veiled_error(exchange: Exchange, answer: Answer, now: float) -> None:
    """Upstream's own words as far as a guest may hear them, in the caller's dialect."""
    words = upstreams_words(answer.status, error_words(await answer.whole(_LONGEST_ERROR) or b""))
    answer.drop()
    data = error_body(exchange.dialect, answer.status, words, exchange.id.decode("ascii"))
    await exchange.reply(answer.status, headers(JSON, data), data, now)


def error_words(body: bytes) -> str:
    """What an error document says, in any of the dialects; "" when it says nothing."""
    try:
        error = _ERROR.decode(body).error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""
    words = error.get("message") if isinstance(error, dict) else error
    return words if isinstance(words, str) else ""


async def finish(exchange: Exchange, data: bytes, words: str, *, broken: bool, status: int = 500) -> None:
    """The last bytes, `data`; when something is missing after them, the client is told, or its connection reset."""
    if exchange.framing is not None:
        rest = exchange.framing.close(words, whole=not broken, status=status)
        if exchange.framing.cut:
            exchange.reason = Reason.BROKEN
        await exchange.body(data + rest, more=False)
    elif broken:
        exchange.reason = Reason.BROKEN
        exchange.broken = status, words
        await exchange.reset()
    else:
        await exchange.body(data, more=False)


async def break_off(exchange: Exchange, words: str, status: int = 500) -> None:
    """End an answer that has begun, from our side, within a second."""
    try:
        async with asyncio.timeout(1.0):
            await finish(exchange, exchange.unsent, words, broken=True, status=status)
    except TimeoutError:
        await exchange.reset()


async def upload(exchange: Exchange, connection: Connection, answer: Answer, head: bytes) -> bool:
    """Send a body on while it comes, at upstream's pace; return whether upstream answered, be it before the body's end.

    Raises ClientGone.
    """
    connection.sent = False
    connection.begin(answer, method=exchange.method)
    feeding = asyncio.ensure_future(_feed(exchange, connection, head))
    answered = asyncio.ensure_future(answer.head())
    try:
        await asyncio.wait((feeding, answered), return_when=asyncio.FIRST_COMPLETED)
        if feeding.done():
            feeding.result()
        return await answered
    finally:
        feeding.cancel()
        answered.cancel()
        await asyncio.gather(feeding, answered, return_exceptions=True)


async def _feed(exchange: Exchange, connection: Connection, head: bytes) -> None:
    framed = b"content-length" not in exchange.found
    await connection.write(head)
    more = True
    while more:
        data, more = await exchange.piece()
        await connection.write(_chunk(data, last=not more) if framed else data)
    connection.sent = True


def _chunk(data: bytes, *, last: bool) -> bytes:
    piece = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
    return piece + b"0\r\n\r\n" if last else piece


def _framing(answer: Answer, ending: StreamEnding | None) -> Framing | None:
    """Only a stream has records; one of a known length cannot be added to."""
    if ending is None or answer.status != 200 or answer.length is not None:
        return None
    kind = next((value for name, value in answer.headers if name == b"content-type"), b"")
    return Framing(ending) if kind.startswith(_STREAMS) else None
