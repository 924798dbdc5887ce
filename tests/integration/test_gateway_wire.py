"""What a client may send before it is listened to: not much."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.plane import gateway

HEAD = b"POST /api/chat HTTP/1.1\r\nhost: 127.0.0.1\r\n"


async def poured(port: int, beginning: bytes, piece: bytes) -> tuple[int, bytes]:
    """`beginning`, then `piece` again and again until the server has had enough: how many bytes, and its last words."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sent = 0
    try:
        writer.write(beginning)
        async with asyncio.timeout(30):
            while not reader.at_eof() and sent < 64 * 2**20:
                writer.write(piece)
                await writer.drain()
                sent += len(piece)
                await asyncio.sleep(0)  # lets the end of the connection be noticed
            return sent, await reader.read()
    except ConnectionError:
        return sent, b""
    finally:
        writer.transport.abort()


@pytest.mark.parametrize(
    ("beginning", "piece"),
    [
        (b"GET /api/", b"a" * 4096),
        (HEAD, b"x-more: 1\r\n" * 400),
        (HEAD + b"x-long: ", b"a" * 4096),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx-trailer: ", b"a" * 4096),
    ],
    ids=["path", "headers", "header", "trailer"],
)
async def test_what_never_ends_is_cut_off_early(beginning: bytes, piece: bytes) -> None:
    async with gateway(None) as plane:
        sent, said = await poured(plane.port, beginning, piece)
    assert sent < 32 * 2**20, "most of it lies in the sockets' buffers"
    assert said == b"" or said.startswith(b"HTTP/1.1 400 ")


async def test_a_long_head_that_ends_is_heard() -> None:
    async with gateway(None) as plane, plane.client() as client:
        answer = await client.get("/healthz", headers={f"x-{number}": "a" * 1000 for number in range(24)})
    assert answer.status_code == 200
