"""What a client may do wrong on purpose, on raw sockets: it gets one answer or none, and hurts nobody else."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from controller.proxy import wire
from tests.integration.plane import CHAT, exchange, fake_ollama, gateway, head_of

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
        try:
            while piece := await reader.read(65536):
                told += piece
        except ConnectionResetError:
            pass
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
            try:
                await reader.read()
            except ConnectionResetError:
                pass
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
