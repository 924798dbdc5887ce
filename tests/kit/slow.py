"""Clients that take their time on purpose: `python -m tests.kit.slow head|body|read PORT COUNT`.

Says `connected` once all are; each that is cut off comes back at once. For loopback only, until it is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

PAUSE = 0.5  # seconds between two bytes: often enough not to be taken for gone
HEAD = b"POST /api/chat HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

Slow = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


async def _head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A header now and then, and never the last."""
    writer.write(b"GET /healthz HTTP/1.1\r\n")
    while True:
        writer.write(b"x-more: 1\r\n")
        await writer.drain()
        await asyncio.sleep(PAUSE)


async def _body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A byte of the body now and then."""
    writer.write(HEAD)
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(PAUSE)


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Asks a lot at once, and takes a byte of the answers now and then."""
    writer.write(GET * 200)
    while True:
        if not await reader.read(1):
            return
        await asyncio.sleep(PAUSE)


KINDS: Mapping[str, Slow] = {"head": _head, "body": _body, "read": _read}


async def _for_ever(kind: Slow, port: int, connected: asyncio.Semaphore) -> None:
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
            connected.release()
            try:
                await kind(reader, writer)
            finally:
                writer.transport.abort()


async def main(kind: Slow, port: int, count: int) -> None:
    connected = asyncio.Semaphore(0)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(count):
            tasks.create_task(_for_ever(kind, port, connected))
        for _ in range(count):
            await connected.acquire()
        print("connected", flush=True)


if __name__ == "__main__":
    name, port, count = sys.argv[1:]
    asyncio.run(main(KINDS[name], int(port), int(count)))
