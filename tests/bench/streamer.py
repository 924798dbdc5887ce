"""An upstream that speaks at 30 tokens a second: `python -m tests.bench.streamer PORT`.

Each answer keeps to its own timetable, counted from its first token, so that a late token does not make the next one
late. The loop waits with `select`, whose timeout knows microseconds; `epoll`'s and libuv's know milliseconds only, and
that alone would blur the gaps we are after.
"""

from __future__ import annotations

import asyncio
import gc
import json
import selectors
import sys
from typing import cast

import httptools

from tests.bench.pretence import ANSWERS

TOKENS_PER_SECOND = 30
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """`data` as one chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


TOKEN = chunk(
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"bench",'
    b'"system_fingerprint":"fp_ollama","choices":[{"index":0,"delta":{"role":"assistant","content":" sea"},'
    b'"finish_reason":null}]}\n\n'
)
END = chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


class Stream(asyncio.Protocol):
    """One connection: a chat is answered with `max_tokens` paced events, all else the way an Ollama would."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._next: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, error: Exception | None) -> None:
        if self._next is not None:
            self._next.cancel()

    def on_message_begin(self) -> None:
        self._url = self._body = b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        answer = ANSWERS.get(self._url.decode("latin-1"), "").encode()
        if not answer:
            self._transport.write(HEAD)
            self._say(self._loop.time(), int(json.loads(self._body)["max_tokens"]))
        else:
            self._transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
                % (len(answer), answer)
            )

    def _say(self, due: float, left: int) -> None:
        if left == 0:
            self._transport.write(END)
            return
        self._transport.write(TOKEN)
        due += 1 / TOKENS_PER_SECOND
        self._next = self._loop.call_at(due, self._say, due, left - 1)


async def serve(port: int) -> None:
    """Listen on 127.0.0.1 until ended by a signal."""
    server = await asyncio.get_running_loop().create_server(Stream, "127.0.0.1", port, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    gc.disable()  # a collection would be a gap of its own
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        runner.run(serve(int(sys.argv[1])))
