"""What a client may do wrong on purpose, on raw sockets: it gets one answer or none, and hurts nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controller.answering.upstream import Connection
from controller.proxy import exchange as exchanges
from controller.proxy import wire
from controller.readiness import Address
from tests.integration.plane import CHAT, MANAGER, config, exchange, fake_ollama, gateway, head_of, request_of, upstream
from tests.kit.until import until

BODY = json.dumps({**CHAT, "stream": False}).encode()
HOST = b"Host: localhost\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
POST = b"POST /api/chat HTTP/1.1\r\n" + HOST


@pytest.mark.parametrize(
    "request_",
    [
        POST + LENGTH + CHUNKED + b"\r\n0\r\n\r\n",
        POST + CHUNKED + LENGTH + b"\r\n0\r\n\r\n",
        POST + LENGTH + LENGTH + b"\r\n" + BODY,
        POST + b"Content-Length: 3, 3\r\n\r\n" + BODY,
        POST + b"Content-Length: +5\r\n\r\n" + BODY,
        POST + b"Content-Length : 5\r\n\r\n" + BODY,
        POST + b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNKS,
        POST + b"Transfer-Encoding: chunked, identity\r\n\r\n" + CHUNKS,
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKS,
        POST + CHUNKED + b"\r\nfffffffffffffffff\r\n",
        POST + CHUNKED + b"\r\n-1\r\nabc",
        b"POST /api/chat HTTP/1.1\nHost: localhost\n\n",
        POST + b"X-A: a\r\n b\r\n\r\n",
        POST + b"X-A: a\rb\r\n\r\n",
        POST + b"X-A: a\0b\r\n\r\n",
        b"CONNECT localhost:11434 HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET api/tags HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET http://localhost HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /api/\xc3\xa9 HTTP/1.1\r\n" + HOST + b"\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
async def test_what_two_servers_could_read_in_two_ways_is_refused(tmp_path: Path, request_: bytes) -> None:
    async with fake_ollama(tmp_path) as fake, gateway(fake.address) as plane:
        head, _, body = (await exchange(plane.port, request_ + b"", until_closed=False)).partition(b"\r\n\r\n")
        assert head.split()[1] in (b"400", b"501")
        assert b"application/json" in head
        assert await fake.seen() == []


@pytest.mark.parametrize("offer", [b"h2c", b"websocket"])
async def test_a_body_arrives_though_its_request_offered_another_protocol(tmp_path: Path, offer: bytes) -> None:
    request = (
        POST + LENGTH + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: %b\r\nHTTP2-Settings: AAM\r\n\r\n" % offer
    )
    async with fake_ollama(tmp_path) as fake, gateway(fake.address) as plane:
        reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
        for number in range(3):  # the connection goes on in HTTP/1.1, and may be offered it again
            cut = number * 40  # the head may come in pieces, too
            writer.write((request + BODY)[:cut])
            await writer.drain()
            writer.write((request + BODY)[cut:])
            line, headers = await head_of(reader)
            assert line == "HTTP/1.1 200 OK"
            assert json.loads(await reader.readexactly(int(headers["content-length"])))["done"]
        writer.close()
        assert [each["size"] for each in await fake.seen()] == [len(BODY)] * 3


async def test_trailers_are_no_headers(tmp_path: Path) -> None:
    trailers = b"Origin: https://evil.example\r\nX-Forwarded-For: 1.2.3.4\r\nContent-Encoding: gzip\r\n\r\n"
    async with fake_ollama(tmp_path) as fake, gateway(fake.address) as plane:
        request = POST + CHUNKED + b"\r\n" + CHUNKS[:-2] + trailers
        assert (await exchange(plane.port, request)).startswith(b"HTTP/1.1 200 ")


async def test_an_old_client_reads_to_the_end_of_its_connection(tmp_path: Path) -> None:
    body = json.dumps(CHAT).encode()
    request = b"POST /api/chat HTTP/1.0\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(body) + body
    async with fake_ollama(tmp_path) as fake, gateway(fake.address) as plane:
        head, _, answer = (await exchange(plane.port, request, until_closed=True)).partition(b"\r\n\r\n")
        assert b"transfer-encoding" not in head
        assert b"connection: close" in head
        assert json.loads(answer.splitlines()[-1])["done"] is True


async def test_no_refusal_ever_stands_in_the_middle_of_an_answer(tmp_path: Path) -> None:
    body = json.dumps(CHAT).encode()
    async with fake_ollama(tmp_path, tokens=1000, pause=0.01) as fake, gateway(fake.address) as plane:
        reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
        writer.write(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        await head_of(reader)
        writer.write(b"this is no request\r\n\r\n")
        told = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := await reader.read(65536):
                told += piece
        writer.close()
        assert b"HTTP/1.1 400" not in told
        assert (await plane.record()).reason == "client_gone"


@pytest.mark.parametrize(
    "opening",
    [
        b"",
        b"GET /api/tags HTT",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /api/tags HTT",
        b"POST /api/nope HTTP/1.1\r\n" + HOST + b"Content-Length: 1000000\r\n\r\n",
    ],
)
async def test_a_connection_that_says_nothing_whole_is_closed(monkeypatch: pytest.MonkeyPatch, opening: bytes) -> None:
    monkeypatch.setattr(wire, "HEAD_LIMIT", 0.3)
    async with gateway(None) as plane:
        reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
        writer.write(opening)

        async def dribble() -> None:
            while True:
                writer.write(b"x")
                await asyncio.sleep(0.05)

        dribbling = asyncio.create_task(dribble())
        async with asyncio.timeout(20):
            with contextlib.suppress(ConnectionResetError):
                await reader.read()
        dribbling.cancel()
        writer.close()


async def test_a_connection_may_rest_between_two_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "HEAD_LIMIT", 0.1)
    async with gateway(None) as plane:
        reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
        for _ in range(2):
            writer.write(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
            await head_of(reader)
            assert await reader.readexactly(2) == b"ok"
            await asyncio.sleep(0.3)  # this rest is the point
        writer.close()


@pytest.mark.parametrize("sent", [b"", b'{"model":'])
@pytest.mark.parametrize("path", [b"/api/chat", b"/api/blobs/sha256:" + b"a" * 64])
async def test_a_body_that_does_not_come_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: bytes, sent: bytes
) -> None:
    monkeypatch.setattr(exchanges, "SENDING", 1.0)
    async with fake_ollama(tmp_path) as fake, gateway(fake.address, using=config(access=MANAGER)) as plane:
        request = b"POST %b HTTP/1.1\r\n" % path + HOST + b"Content-Length: 100000\r\n\r\n" + sent
        assert (await exchange(plane.port, request, until_closed=True)).startswith(b"HTTP/1.1 408 ")
        assert (await plane.record()).reason == "body_stalled"


async def test_a_body_may_come_slowly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchanges, "SENDING", 1.0)
    async with fake_ollama(tmp_path) as fake, gateway(fake.address) as plane:
        reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
        body = BODY + b" " * 30_000
        writer.write(POST + b"Content-Length: %d\r\n\r\n" % len(body))
        for start in range(0, len(body), 3000):
            writer.write(body[start : start + 3000])
            await asyncio.sleep(0.2)  # slowness is the point
        assert (await head_of(reader))[0] == "HTTP/1.1 200 OK"
        writer.close()


async def test_an_answer_that_nobody_takes_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchanges, "TAKING", 1.0)

    async def long(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12000000\r\n\r\n")
        writer.write(b" " * 12_000_000)
        await writer.drain()

    async with upstream(long) as address, gateway(address) as plane:
        with socket.create_connection(("127.0.0.1", plane.port)) as client:
            client.sendall(POST + LENGTH + b"\r\n" + BODY)
            assert (await plane.record()).reason == "client_too_slow"


# --- what upstream may do wrong ---------------------------------------------------------------------------------------

VERSION = b"GET /api/version HTTP/1.1\r\n" + HOST + b"\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"


@pytest.mark.parametrize(
    "more",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nev",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"H",
        b"garbage",
    ],
)
async def test_what_comes_after_an_answer_is_never_part_of_the_next(more: bytes) -> None:
    connections = 0

    async def talkative(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            await request_of(reader)
            writer.write(OK % (4, b"good") + more)

    async with upstream(talkative) as address, gateway(address) as plane, plane.client() as client:
        for number in range(3):
            answer = await client.post("/api/show", json={"model": f"m{number}"})
            assert (answer.status_code, answer.content) == (200, b"good")
        assert connections == 3


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\ngoods",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 500_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 100_000,
        b"HTTP/1.1 102 Processing\r\n\r\n" * 100_000,
        b"no HTTP at all\r\n\r\n",
    ],
)
async def test_an_answer_that_is_none_is_asked_for_twice_and_then_told(head: bytes) -> None:
    asked = 0

    async def odd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await request_of(reader)
        asked += 1
        writer.write(head)
        await reader.read()

    async with upstream(odd) as address, gateway(address) as plane, plane.client() as client:
        assert (await client.post("/api/chat", json=CHAT)).status_code == 502
        assert asked == 2
        assert (await plane.record()).attempts == 2


async def test_words_before_the_answer_and_after_it_stay_here() -> None:
    async def chatty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(b"HTTP/1.1 103 Early Hints\r\nContent-Length: 99\r\nCache-Control: early\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Retry-After\r\n\r\n")
        writer.write(b"4\r\ngood\r\n0\r\nRetry-After: 7\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\ngood")

    async with upstream(chatty) as address, gateway(address) as plane, plane.client() as client:
        answer = await client.post("/api/show", json={"model": "m"})
        assert answer.content == b"good"
        assert not {"retry-after", "cache-control", "trailer", "content-length"} & set(answer.headers)
        assert (await client.get("/api/tags")).content == b"good"


async def test_being_ready_does_not_flicker_while_a_connection_is_made(tmp_path: Path) -> None:
    async with fake_ollama(tmp_path) as fake, gateway(fake.address) as plane:
        seen: set[int] = set()
        pool, connect = plane.shared.asking.pool, plane.shared.asking.pool.connect

        async def watched(address: Address) -> Connection:
            seen.add(plane.plane.tally.runs.held)
            return await connect(address)

        pool.connect = watched  # type: ignore[method-assign]  # nothing else shows that moment
        async with plane.client() as client:
            assert (await client.post("/api/chat", json=CHAT)).status_code == 200
        assert seen == {0}


# --- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunked", [False, True])
async def test_large_bodies_share_a_room_and_small_ones_need_none(chunked: bool) -> None:
    answering = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            _, body = await request_of(reader)
            if b"wait" in body:
                await answering.wait()
            writer.write(OK % (2, b"{}"))

    large = json.dumps({**CHAT, "note": "wait" * 50_000}).encode()

    async def pieces() -> AsyncIterator[bytes]:
        yield large[:100_000]
        yield large[100_000:]

    using = config(hold=0.5)
    async with upstream(slow) as address, gateway(address, using=using) as plane, plane.client() as client:
        room = plane.plane._treatments._room
        room.size = 300_000
        first = asyncio.create_task(client.post("/api/chat", content=large))
        await until(lambda: room.taken > 0)
        second = await client.post("/api/chat", content=pieces() if chunked else large)
        assert (second.status_code, second.headers["retry-after"]) == (503, "5")
        assert (await client.post("/api/chat", content=BODY)).status_code == 200
        answering.set()
        assert (await first).status_code == 200
        assert (await client.post("/api/chat", content=pieces() if chunked else large)).status_code == 200
        await until(lambda: room.taken == 0)
