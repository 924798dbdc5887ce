"""What is sent, and what is measured: `wrk` for small requests, a reader of our own for streams."""

from __future__ import annotations

import asyncio
import gc
import http.client
import json
import subprocess
import time
from pathlib import Path
from typing import cast

import uvloop

from tests.bench.arithmetic import percentile
from tests.bench.streamer import TOKENS_PER_SECOND

Figures = dict[str, float]

PATH = "/v1/chat/completions"
SPREAD = 1.0  # seconds over which the streams of one measurement start
_SCRIPT = Path(__file__).with_name("small.lua")
_EVENT_END = b"\n\n"
_BODY_END = b"0\r\n\r\n"


class BenchFailed(Exception):
    """A measurement that would mean nothing: something did not start, or answers went wrong."""


def request(tokens: int) -> bytes:
    """The body of a small chat request."""
    return json.dumps(
        {
            "model": "bench",
            "messages": [{"role": "user", "content": "Why is the sky blue?"}],
            "max_tokens": tokens,
            "stream": True,
        }
    ).encode()


def answers(port: int, limit: float = 5.0) -> bool:
    """Whether the upstream behind `port` answers a chat request with 200 within `limit` seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=limit)
    try:
        connection.request("POST", PATH, request(tokens=1), {"content-type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        return answer.status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def small(port: int, connections: int, seconds: float) -> Figures:
    """Small requests, each connection sending its next as soon as it is answered: `p50` in µs, `rate` in requests/s.

    Raises BenchFailed when any request was not answered with 200.
    """
    url = f"http://127.0.0.1:{port}{PATH}"
    whole = max(1, round(seconds))  # wrk knows no halves
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{whole}s", "-s", str(_SCRIPT), url]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=whole + 30)
    if done.returncode != 0:
        raise BenchFailed(f"wrk left with {done.returncode}: {done.stdout}{done.stderr}")
    told = json.loads(done.stdout.splitlines()[-1])
    if told["errors"] or not told["requests"]:
        raise BenchFailed(f"{told['errors']} of {told['requests']} small requests went wrong.")
    return {"p50": told["p50"], "rate": told["requests"] / told["seconds"]}


class Reader(asyncio.Protocol):
    """One stream: when it was opened, and when each of its events arrived."""

    def __init__(self) -> None:
        self.opened = time.perf_counter()
        self.arrivals: list[float] = []
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not subclasses

    def ask(self, tokens: int) -> None:
        """Send the request."""
        body = request(tokens)
        self._transport.write(
            b"POST %b HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (PATH.encode(), self._transport.get_extra_info("peername")[1], len(body), body)
        )

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        seen = self._tail + data
        self.arrivals.extend([now] * (seen.count(_EVENT_END) - self._tail.count(_EVENT_END)))
        self._tail = seen[1 - len(_BODY_END) :]
        if seen.endswith(_BODY_END):  # not before: leaving earlier would count as a hang-up
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


async def _read(port: int, tokens: int, delay: float) -> Reader:
    await asyncio.sleep(delay)
    _, reader = await asyncio.get_running_loop().create_connection(Reader, "127.0.0.1", port)
    reader.ask(tokens)
    async with asyncio.timeout(tokens / TOKENS_PER_SECOND + 20):
        await reader.ended
    return reader


async def _read_all(port: int, count: int, tokens: int) -> list[Reader]:
    return await asyncio.gather(*(_read(port, tokens, SPREAD * number / count) for number in range(count)))


def streams(port: int, count: int, seconds: float) -> Figures:
    """`count` streams of `seconds` each: `first.*` from opening the connection, `gap.*` between events, in ms.

    Raises BenchFailed when a stream did not bring every token.
    """
    tokens = max(2, round(seconds * TOKENS_PER_SECOND))
    gc.collect()
    gc.disable()  # a collection would look like a gap
    try:
        readers = uvloop.run(_read_all(port, count, tokens))
    finally:
        gc.enable()
    if any(len(reader.arrivals) != tokens + 1 for reader in readers):  # the tokens, and [DONE]
        raise BenchFailed(f"Some of {count} streams did not bring all their {tokens} tokens.")
    firsts = [1000 * (reader.arrivals[0] - reader.opened) for reader in readers]
    gaps = [
        1000 * (later - earlier)
        for reader in readers
        for earlier, later in zip(reader.arrivals, reader.arrivals[1:], strict=False)
    ]
    return {
        "first.p50": percentile(firsts, 0.5),
        "first.p99": percentile(firsts, 0.99),
        "gap.p50": percentile(gaps, 0.5),
        "gap.p99": percentile(gaps, 0.99),
        "gap.p99.9": percentile(gaps, 0.999),
        "chunks": float(count * tokens),
    }
