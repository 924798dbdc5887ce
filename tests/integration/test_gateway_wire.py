"""The wire under a listener: how answers leave it, and what it refuses."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

from controller.proxy.wire import Wire
from tests.integration.plane import exchange, head_of

Headers = list[tuple[bytes, bytes]]


@contextlib.asynccontextmanager
async def serving(app: Any, **options: Any) -> AsyncIterator[int]:
    """`app` on a wire of its own; the port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(
            uvicorn.Config(app, http=Wire, lifespan="off", log_level="critical", access_log=False, **options)
        )
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            await task


def saying(headers: Headers, *pieces: bytes, status: int = 200) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return app


GET = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


async def test_a_head_does_not_wait_for_a_body_that_is_slow_to_come() -> None:
    go_on = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await go_on.wait()
        await send({"type": "http.response.body", "body": b"late", "more_body": False})

    async with serving(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        line, headers = await head_of(reader)
        assert (line, headers["transfer-encoding"]) == ("HTTP/1.1 200 OK", "chunked")
        go_on.set()
        assert await reader.read() == b"4\r\nlate\r\n0\r\n\r\n"
        writer.close()


@pytest.mark.parametrize("pieces", [(), (b"",), (b"hello",), (b"hel", b"", b"lo")])
async def test_pieces_arrive_as_they_were_sent(pieces: tuple[bytes, ...]) -> None:
    async with serving(saying([], *pieces)) as port:
        _, _, body = (await exchange(port, GET, until_closed=True)).partition(b"\r\n\r\n")
        assert body == b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece) + b"0\r\n\r\n"


async def test_a_body_of_known_length_has_no_chunks() -> None:
    async with serving(saying([(b"content-length", b"5")], b"hel", b"lo")) as port:
        head, _, body = (await exchange(port, GET, until_closed=True)).partition(b"\r\n\r\n")
        assert body == b"hello"
        assert b"transfer-encoding" not in head


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_a_body_has_none(status: int) -> None:
    async with serving(saying([], status=status)) as port:
        head, _, body = (await exchange(port, GET, until_closed=True)).partition(b"\r\n\r\n")
        assert body == b""
        assert b"transfer-encoding" not in head


async def test_the_answer_to_head_is_a_head() -> None:
    request = GET.replace(b"GET", b"HEAD")
    async with serving(saying([(b"content-length", b"5")], b"hello")) as port:
        head, _, body = (await exchange(port, request, until_closed=True)).partition(b"\r\n\r\n")
        assert b"content-length: 5" in head
        assert body == b""


@pytest.mark.parametrize("length", [b"4", b"6"])
async def test_an_answer_that_is_not_as_long_as_it_says_is_never_taken_for_whole(length: bytes) -> None:
    async with serving(saying([(b"content-length", length)], b"hello")) as port:
        told = await exchange(port, GET, until_closed=True)
        assert len(told.partition(b"\r\n\r\n")[2]) != int(length)


@pytest.mark.parametrize("value", [b"a\r\nx-evil: 1", b"a\nx-evil: 1", b"a\rx"])
async def test_a_header_cannot_smuggle_another_one(value: bytes) -> None:
    async with serving(saying([(b"x-a", value)], b"hello")) as port:
        assert b"x-evil" not in await exchange(port, GET, until_closed=True)


async def test_headers_without_end_are_refused() -> None:
    async with serving(saying([], b"hello")) as port:
        endless = b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: %b\r\n" % (n, b"y" * 1000) for n in range(40))
        assert (await exchange(port, endless)).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(("path", "shape"), [(b"/api/chat", b'{"error":"'), (b"/v1/messages", b'{"type":"error"')])
async def test_a_full_listener_says_so_in_the_dialect(path: bytes, shape: bytes) -> None:
    async with serving(saying([], b"hello"), limit_concurrency=1) as port:
        told = await exchange(
            port, b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n" % path, until_closed=True
        )
        assert told.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 2\r\n" in told
        assert told.partition(b"\r\n\r\n")[2].startswith(shape)


async def test_a_connection_serves_again_and_again() -> None:
    async with serving(saying([(b"content-length", b"2")], b"ok")) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await head_of(reader)
            assert await reader.readexactly(2) == b"ok"
        writer.close()
