"""What a request may cost, and whom: those who ask for too much, or take their time over it, are in nobody's way."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from controller.answering.rhythm import Rhythm
from controller.auth.keyring import Keyring
from controller.auth.visitor import TUNNELLED
from controller.config.listening import LimitSettings
from controller.proxy import exchange as exchanges
from controller.proxy.exchange import Receive, Scope, Send
from tests.fakes.rows import Rows, key
from tests.integration.plane import CHAT, Plane, config, fake_ollama, gateway, head_of, request_of, upstream
from tests.kit.until import until

LARGE = json.dumps({**CHAT, "note": "x" * 100_000}).encode()
POST = b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@contextlib.asynccontextmanager
async def stalled(plane: Plane, count: int, head: bytes) -> AsyncIterator[list[asyncio.StreamReader]]:
    """`count` clients who send `head`, and then nothing more."""
    opened = [await asyncio.open_connection("127.0.0.1", plane.port) for _ in range(count)]
    for _, writer in opened:
        writer.write(head)
    try:
        yield [reader for reader, _ in opened]
    finally:
        for _, writer in opened:
            writer.close()


# --- room for bodies --------------------------------------------------------------------------------------------------


async def test_bodies_that_one_caller_sends_slowly_are_in_nobody_elses_way(tmp_path: Path) -> None:
    (slow, slows), (other, others) = key("slow"), key("other")
    keyring = Keyring(Rows(slows, others))
    head = POST + b"X-API-Key: %b\r\nContent-Length: %d\r\n\r\n{" % (slow.encode(), 32 * 2**20)
    async with (
        fake_ollama(tmp_path) as fake,
        gateway(fake.address, keyring=keyring) as plane,
        stalled(plane, 20, head),
        plane.client() as client,
    ):
        room = plane.plane._treatments._room
        await until(lambda: len(plane.plane.open) == 20)
        assert room.taken == room.size // 4
        answer = await client.post("/api/chat", content=LARGE, headers={"X-API-Key": other})
        assert answer.status_code == 200


async def test_a_body_that_trickles_is_given_up_and_gives_its_room_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchanges, "SENDING", 1.0)
    async with gateway(None, rhythm=Rhythm(sweep=0.1)) as plane:
        room = plane.plane._treatments._room
        reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
        writer.write(POST + b"Content-Length: %d\r\n\r\n" % (32 * 2**20))

        async def trickle() -> None:
            while True:  # fast enough for a small body
                writer.write(b" " * 1024)
                await asyncio.sleep(0.1)

        trickling = asyncio.create_task(trickle())
        await until(lambda: room.taken > 0)
        async with asyncio.timeout(20):
            assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
        trickling.cancel()
        await until(lambda: room.taken == 0)
        writer.close()


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_takes_as_much_room_as_it_unfolds_to(chunked: bool) -> None:
    answering, asked = asyncio.Event(), asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await request_of(reader)
            asked.set()
            await answering.wait()
            writer.write(OK)

    packed = gzip.compress(LARGE)
    assert len(packed) < 2000

    async def pieces() -> AsyncIterator[bytes]:
        yield packed[:100]
        yield packed[100:]

    coded = {"Content-Encoding": "gzip"}
    async with upstream(slow) as address, gateway(address, using=config(hold=0.5)) as plane, plane.client() as client:
        room = plane.plane._treatments._room
        first = asyncio.create_task(client.post("/api/chat", content=pieces() if chunked else packed, headers=coded))
        await asked.wait()
        assert room.taken == len(LARGE)
        room.size = 300_000
        again = await client.post("/api/chat", content=packed, headers=coded)
        assert (again.status_code, again.headers["retry-after"]) == (503, "5")
        small = gzip.compress(json.dumps(CHAT).encode())
        second = asyncio.create_task(client.post("/api/chat", content=small, headers=coded))
        await until(lambda: len(plane.line.tickets) == 2)
        assert room.taken == len(LARGE)
        answering.set()
        assert [(await each).status_code for each in (first, second)] == [200, 200]
        await until(lambda: room.taken == 0)


async def test_a_body_that_unfolds_to_too_much_or_to_nothing_leaves_no_room_taken(tmp_path: Path) -> None:
    async with fake_ollama(tmp_path) as fake, gateway(fake.address) as plane, plane.client() as client:
        for body, status in ((gzip.compress(b" " * 30_000_000), 413), (gzip.compress(LARGE)[:-9], 400), (b"x", 400)):
            answer = await client.post("/api/chat", content=body, headers={"Content-Encoding": "gzip"})
            assert answer.status_code == status
        await until(lambda: len(plane.plane.open) == 0)
        assert plane.plane._treatments._room.taken == 0


# --- what a request makes of itself -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/embeddings", "/api/embed"])
async def test_inputs_are_counted_before_anybody_else_sees_them(tmp_path: Path, path: str) -> None:
    def body(count: int) -> bytes:
        return b'{"model":"tiny","input":[' + b",".join([b'""'] * count) + b"]}"

    using = config(limits=LimitSettings(inputs=100))
    async with fake_ollama(tmp_path, echo=True) as fake, gateway(fake.address) as plane, plane.client() as client:
        assert (await client.post(path, content=body(2048))).status_code == 200
        for count, words in ((2049, "more than 2048 inputs"), (6_000_000, "more than 524288 commas")):
            answer = await client.post(path, content=body(count))
            assert answer.status_code == 400
            assert words in answer.text
        plane.configure(using)
        assert (await client.post(path, content=body(100))).status_code == 200
        assert (await client.post(path, content=body(101))).status_code == 400
        assert (await client.post(path, json={"model": "tiny", "input": "," * 5000})).status_code == 200
        assert len(await fake.seen()) == 3
        assert len(plane.line.wishes) == 3


# --- places -----------------------------------------------------------------------------------------------------------

FORM = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n"


async def test_models_that_nobody_knows_are_asked_for_so_often_at_a_time_and_no_more(tmp_path: Path) -> None:
    (many, manys), (other, others) = key("many"), key("other")
    keyring = Keyring(Rows(manys, others))
    body = {**CHAT, "model": "nope", "stream": False}
    arrived: list[str] = []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.append((await head_of(reader))[0])
        await reader.read()  # until it is hung up

    async with upstream(silent) as address, gateway(address, keyring=keyring) as plane:
        plane.names.unknown.add("nope")
        async with plane.client() as client:

            async def ask(whose: str) -> httpx.Response:
                return await client.post("/api/chat", json=body, headers={"X-API-Key": whose})

            first = [asyncio.create_task(ask(many)) for _ in range(8)]
            await until(lambda: len(arrived) == 8)
            refused = await ask(many)
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
            assert "8 requests open" in refused.json()["error"]
            second = asyncio.create_task(ask(other))
            await until(lambda: len(arrived) == 9)
            for each in (*first, second):
                each.cancel()
            await asyncio.gather(*first, second, return_exceptions=True)
            await until(lambda: not len(plane.plane.open))


def login(visitor: str) -> bytes:
    head = b"POST /login HTTP/1.1\r\nHost: localhost\r\nCF-Connecting-IP: %b\r\n" % visitor.encode()
    return head + FORM + b"\r\nname="


class Pages:
    """Remembers what it was handed."""

    def __init__(self) -> None:
        self.forms: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        assert not message["more_body"], "A page gets all that was sent to it at once."
        self.forms.append(message["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"page"})


async def test_forms_that_stall_are_given_up_and_no_page_is_made_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchanges, "SENDING", 1.0)
    shown = Pages()
    async with (
        gateway(None, pages=shown, arrival=TUNNELLED, rhythm=Rhythm(sweep=0.1)) as plane,
        stalled(plane, 4, login("203.0.113.9")) as readers,
    ):
        for reader in readers:
            assert (await head_of(reader))[0] == "HTTP/1.1 408 Request Timeout"
        assert shown.forms == []
        assert {record.reason for record in plane.records} == {"body_stalled"}


async def test_a_form_is_handed_over_whole_and_one_that_is_too_long_not_at_all() -> None:
    shown = Pages()

    async def pieces(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"x" * 1024

    async with gateway(None, pages=shown) as plane, plane.client() as client:
        assert (await client.post("/login", content=pieces(16))).content == b"page"
        assert shown.forms == [b"x" * 16 * 1024]
        assert (await client.post("/login", content=pieces(17))).status_code == 413
        assert (await client.post("/login", content=b"x" * 16385)).status_code == 413
        assert (await client.get("/login")).status_code == 200
        assert shown.forms[1:] == [b""]


async def test_who_hangs_up_in_the_middle_of_a_form_is_gone_and_nothing_more() -> None:
    shown = Pages()
    async with gateway(None, pages=shown) as plane:
        async with stalled(plane, 1, login("203.0.113.9")):
            await until(lambda: len(plane.plane.open) == 1)
        assert (await plane.record()).reason == "client_gone"
        assert shown.forms == []


async def test_a_visitor_of_the_tunnel_has_a_share_of_its_open_requests(tmp_path: Path) -> None:
    text, row = key("tool")
    keyring = Keyring(Rows(row))
    using = config(limits=LimitSettings(per_address=4))
    async with (
        fake_ollama(tmp_path) as fake,
        gateway(fake.address, using=using, keyring=keyring, arrival=TUNNELLED, pages=Pages()) as plane,
        stalled(plane, 4, login("2001:db8::1")),
        plane.client(headers={"X-API-Key": text, "Host": "localhost"}) as client,
    ):
        await until(lambda: len(plane.plane.open) == 4)
        for path in ("/login", "/api/chat"):
            refused = await client.post(path, json=CHAT, headers={"CF-Connecting-IP": "2001:db8::ffff"})
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")
            assert refused.headers["connection"] == "close"
            assert "has 4 requests" in refused.text
        other = await client.post("/api/chat", json=CHAT, headers={"CF-Connecting-IP": "2001:db8:0:1::1"})
        assert other.status_code == 200


async def test_pages_leave_half_of_the_places_to_the_api_whoever_asks_for_them(tmp_path: Path) -> None:
    text, row = key("tool")
    using = config(limits=LimitSettings(connections=8))
    async with contextlib.AsyncExitStack() as stack:
        fake = await stack.enter_async_context(fake_ollama(tmp_path))
        keyring = Keyring(Rows(row))
        plane = await stack.enter_async_context(
            gateway(fake.address, using=using, keyring=keyring, arrival=TUNNELLED, pages=Pages())
        )
        for number in range(4):
            await stack.enter_async_context(stalled(plane, 1, login(f"203.0.113.{number}")))
        await until(lambda: len(plane.plane.open) == 4)
        client = await stack.enter_async_context(
            plane.client(headers={"CF-Connecting-IP": "203.0.113.9", "Host": "localhost"})
        )
        refused = await client.get("/login", headers={"Accept": "text/html"})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert (await client.post("/api/chat", json=CHAT, headers={"X-API-Key": text})).status_code == 200
    async with gateway(None, using=using, arrival=TUNNELLED, pages=Pages()) as plane:
        async with plane.client(headers={"CF-Connecting-IP": "203.0.113.9", "Host": "localhost"}) as client:
            for _ in range(9):
                assert (await client.get("/login")).status_code == 200, "a page that has been shown takes no place"
