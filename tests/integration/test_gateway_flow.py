"""How requests and answers flow through the data plane: waiting, dying, leaving, reading slowly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest

from controller.answering.rhythm import Rhythm
from controller.config.listening import LimitSettings
from controller.engines.ollama.inside import OWN_RUNNER
from controller.proxy.own import PLAUSIBLE_VERSION
from controller.readiness import Address
from tests.integration.plane import (
    CHAT,
    MANAGER,
    Plane,
    config,
    exchange,
    fake_ollama,
    gateway,
    head_of,
    request_of,
    upstream,
)
from tests.kit.until import until

DIGEST = "sha256:" + "0" * 64
NOBODY = Address("127.0.0.1", 1, 1)  # nothing listens there
Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
SMALL = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"done":true}'
MESSAGES: dict[str, tuple[str, dict[str, Any]]] = {
    "/api/chat": ("application/x-ndjson", {**CHAT}),
    "/v1/chat/completions": ("text/event-stream", {**CHAT, "stream": True}),
    "/v1/messages": ("text/event-stream", {**CHAT, "stream": True, "max_tokens": 9}),
    "/v1/responses": ("text/event-stream", {"model": "tiny", "input": "hi", "stream": True}),
}


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def raw_chat(**more: Any) -> bytes:
    body = json.dumps({**CHAT, **more}).encode()
    return b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def upload_head(length: int, more: str = "") -> bytes:
    return f"POST /api/blobs/{DIGEST} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n{more}\r\n".encode()


def answering(
    *, before: Callable[[int], bytes | None]
) -> tuple[list[str], Callable[[Reader, Writer], Awaitable[None]]]:
    """A server that sends `before(n)` on its n-th request (None: closes), and the first lines it has seen."""
    seen: list[str] = []

    async def serve(reader: Reader, writer: Writer) -> None:
        while True:
            line, _ = await request_of(reader)
            seen.append(line)
            told = before(len(seen))
            if told is None:
                return
            writer.write(told)
            await writer.drain()

    return seen, serve


# --- verbatim ---------------------------------------------------------------------------------------------------------


async def test_an_answer_passes_byte_for_byte_and_piece_by_piece() -> None:
    lines = [
        b'{"response":"\\u003c \xc2\x85 \xe2\x80\xa8","done":false}\n',
        b'{"x":1.0e5,  "done":true,"context":[1]}\n',
    ]
    go_on = asyncio.Event()

    async def serve(reader: Reader, writer: Writer) -> None:
        await request_of(reader)
        writer.write(HEAD + chunk(lines[0]))
        await go_on.wait()
        writer.write(chunk(lines[1]) + b"0\r\n\r\n")
        await writer.drain()

    async with upstream(serve) as address, gateway(address) as plane, plane.client() as client:
        async with client.stream("POST", "/api/chat", json=CHAT) as answer:
            pieces = answer.aiter_raw()
            assert await anext(pieces) == lines[0]  # while upstream is still talking
            go_on.set()
            assert b"".join([piece async for piece in pieces]) == lines[1]
        record = await plane.record()
        assert (record.status, record.reason, record.bytes_out) == (200, "", len(lines[0] + lines[1]))


async def test_a_connection_is_used_again(tmp_path: Path) -> None:
    connections = 0

    async def serve(reader: Reader, writer: Writer) -> None:
        nonlocal connections
        connections += 1
        while True:
            await request_of(reader)
            writer.write(SMALL)
            await writer.drain()

    async with upstream(serve) as address, gateway(address) as plane, plane.client() as client:
        for _ in range(5):
            assert (await client.post("/api/chat", json=CHAT)).content == b'{"done":true}'
    assert connections == 1


async def test_a_connection_that_upstream_closed_while_idle_is_no_attempt() -> None:
    async def serve(reader: Reader, writer: Writer) -> None:
        await request_of(reader)
        writer.write(SMALL)
        await writer.drain()  # and closes, without having said that it would

    async with upstream(serve) as address, gateway(address) as plane, plane.client() as client:
        for number in range(1, 6):
            assert (await client.post("/api/chat", json=CHAT)).status_code == 200
            assert (await plane.record(number)).attempts == 1


async def test_an_answer_without_length_or_chunks_ends_with_its_connection() -> None:
    seen, serve = answering(
        before=lambda number: b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhello" if number == 1 else None
    )

    async def serve_once(reader: Reader, writer: Writer) -> None:
        await request_of(reader)
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhello")
        await writer.drain()

    async with upstream(serve_once) as address, gateway(address) as plane, plane.client() as client:
        assert (await client.get("/api/tags")).text == "hello"


async def test_provisional_answers_are_not_the_answer() -> None:
    _, serve = answering(before=lambda number: b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + SMALL)
    async with upstream(serve) as address, gateway(address) as plane, plane.client() as client:
        assert (await client.post("/api/chat", json=CHAT)).content == b'{"done":true}'


# --- waiting for Ollama -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/tags", "/v1/models", "/api/show"])
async def test_it_waits_no_longer_than_hold(path: str) -> None:
    async with gateway(None, using=config(hold=0.2)) as plane, plane.client() as client:
        method = "POST" if path == "/api/show" else "GET"
        answer = await client.request(method, path, json=CHAT)
        assert answer.status_code == 503
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert "Ollama has not been started yet." in answer.text
        assert (await plane.record()).reason == "held_too_long"


async def test_a_client_that_leaves_while_held_is_noticed() -> None:
    async with gateway(None, using=config(hold=600)) as plane:
        _, writer = await asyncio.open_connection("127.0.0.1", plane.port)
        writer.write(raw_chat())
        await until(lambda: plane.plane.tally.runs.held == 1)
        writer.close()
        record = await plane.record()
        assert (record.status, record.reason) == (499, "client_gone")
        assert plane.readiness.waiting == 0


async def test_what_must_not_be_sent_twice_is_held_before_its_body_is_read(tmp_path: Path) -> None:
    """A client that asks before it sends is told to go on only when Ollama is there."""
    using = config(access=MANAGER)
    async with fake_ollama(tmp_path, echo=True) as fake, gateway(None, using=using) as plane:
        reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
        writer.write(upload_head(4, "Expect: 100-continue\r\n"))
        await until(lambda: plane.plane.tally.runs.held == 1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await reader.read(1)
        plane.readiness.set("ready", "It answers.", fake.address)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"blob")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.close()


async def test_an_uploader_that_leaves_while_held_is_noticed() -> None:
    async with gateway(None, using=config(access=MANAGER, hold=600)) as plane:
        _, writer = await asyncio.open_connection("127.0.0.1", plane.port)
        writer.write(upload_head(300_000) + b"x" * 200_000)
        await until(lambda: plane.plane.tally.runs.held == 1)
        writer.close()
        assert (await plane.record()).reason == "client_gone"


async def test_a_body_that_came_while_it_was_held_is_not_lost(tmp_path: Path) -> None:
    blob = bytes(range(256)) * 4000
    async with fake_ollama(tmp_path, echo=True) as fake, gateway(None, using=config(access=MANAGER)) as plane:
        async with plane.client() as client:
            asking = asyncio.create_task(client.post(f"/api/blobs/{DIGEST}", content=blob))
            await until(lambda: any(each.early for each in plane.requests))
            plane.readiness.set("ready", "It answers.", fake.address)
            assert (await asking).json()["size"] == len(blob)


# --- what is never sent twice ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/api/embed", {"input": "a"}),
        ("/api/embeddings", {"prompt": "a"}),
        ("/v1/embeddings", {"input": ["a", "b"]}),
    ],
)
async def test_a_model_made_for_chats_is_not_loaded_to_say_that_it_gives_no_embeddings(
    tmp_path: Path, path: str, asked: dict[str, Any]
) -> None:
    async with fake_ollama(tmp_path) as fake, gateway(fake.address) as plane, plane.client() as client:
        plane.names.can["m"] = frozenset({"completion"})
        answer = await client.post(path, json={"model": "m", **asked})
        error = answer.json()["error"]
        words = error["message"] if path.startswith("/v1") else error
        assert answer.status_code == 400
        assert words.startswith("m is made for chats and gives no embeddings. No model")
        assert "ollama pull nomic-embed-text" in words
        plane.names.can["finder:latest"] = frozenset({"embedding"})
        assert "Ask finder:latest for them." in (await client.post(path, json={"model": "m", **asked})).text
        assert await fake.seen() == []  # nobody was asked
        plane.inside.learn(OWN_RUNNER)  # whose chat models give some
        await client.post(path, json={"model": "m", **asked})
        assert [each["path"] for each in await fake.seen()] == [path]


async def test_a_management_request_is_never_sent_again() -> None:
    seen, serve = answering(before=lambda number: None)
    async with (
        upstream(serve) as address,
        gateway(address, using=config(access=MANAGER)) as plane,
        plane.client() as client,
    ):
        for method, path in (
            ("POST", "/api/pull"),
            ("DELETE", "/api/delete"),
            ("POST", "/api/create"),
            ("POST", "/api/copy"),
        ):
            assert (await client.request(method, path, json={"model": "m"})).status_code == 502
    assert len(seen) == 4


# --- dying after it ---------------------------------------------------------------------------------------------------

_FIRST = {
    "/api/chat": b'{"message":{"content":"a"},"done":false}\n',
    "/v1/chat/completions": b'data: {"choices":[]}\n\n',
    "/v1/messages": b'event: message_start\ndata: {"type":"message_start"}\n\n',
    "/v1/responses": b'event: response.created\ndata: {"type":"response.created","sequence_number":0}\n\n',
}
_TOLD = {
    "/api/chat": b'{"error":"Ollama stopped',
    "/v1/chat/completions": b'data: {"error":{"message":"Ollama stopped',
    "/v1/messages": b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"Ollama stopped',
    "/v1/responses": b'event: error\ndata: {"type":"error","code":"server_error","message":"Ollama stopped',
}


@pytest.mark.parametrize("path", list(MESSAGES))
@pytest.mark.parametrize("death", [b"", b"0\r\n\r\n", b'7\r\n{"torn"\r\n', b"zz\r\n"])
async def test_a_stream_that_breaks_ends_with_the_dialects_error(path: str, death: bytes) -> None:
    kind, body = MESSAGES[path]
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    seen, serve = answering(before=lambda number: head + chunk(_FIRST[path]) + death)

    async def serve_and_close(reader: Reader, writer: Writer) -> None:
        await request_of(reader)
        seen.append(path)
        writer.write(head + chunk(_FIRST[path]) + death)
        await writer.drain()

    async with upstream(serve_and_close) as address, gateway(address) as plane, plane.client() as client:
        answer = await client.post(path, json=body)
        assert answer.status_code == 200
        assert answer.content.startswith(_FIRST[path] + _TOLD[path])
        assert b"[DONE]" not in answer.content
        assert b"torn" not in answer.content
        assert (await plane.record()).reason == "answer_broken"
    assert len(seen) == 1


async def test_a_document_that_breaks_is_never_taken_for_a_whole_one() -> None:
    async def serve(reader: Reader, writer: Writer) -> None:
        await request_of(reader)
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"half":')
        await writer.drain()

    async with upstream(serve) as address, gateway(address) as plane, plane.client() as client:
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await client.post("/api/chat", json={**CHAT, "stream": False})
        assert (await plane.record()).reason == "answer_broken"


async def test_an_unlengthed_document_that_breaks_is_reset_too() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def serve(reader: Reader, writer: Writer) -> None:
        await request_of(reader)
        writer.write(head + chunk(b'{"half":'))
        await writer.drain()

    async with upstream(serve) as address, gateway(address) as plane, plane.client() as client:
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await client.post("/api/chat", json={**CHAT, "stream": False})


# --- clients ----------------------------------------------------------------------------------------------------------


async def left_in_mid_stream(plane: Plane) -> None:
    """Ask, read something, hang up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
    writer.write(raw_chat())
    await reader.readuntil(b'"done": false')
    writer.close()


async def test_a_client_that_leaves_frees_its_slot_at_once() -> None:
    closed = asyncio.Event()

    async def serve(reader: Reader, writer: Writer) -> None:
        await request_of(reader)
        writer.write(HEAD + chunk(b'{"message":{}, "done": false}\n'))
        assert await reader.read() == b""
        closed.set()

    async with upstream(serve) as address, gateway(address) as plane:
        await left_in_mid_stream(plane)
        began = asyncio.get_running_loop().time()
        async with asyncio.timeout(20):
            await closed.wait()
        assert asyncio.get_running_loop().time() - began < 5
        assert (await plane.record()).reason == "client_gone"


async def test_a_client_that_leaves_before_the_first_byte_does_too() -> None:
    asked, closed = asyncio.Event(), asyncio.Event()

    async def serve(reader: Reader, writer: Writer) -> None:
        await request_of(reader)
        asked.set()
        assert await reader.read() == b""
        closed.set()

    async with upstream(serve) as address, gateway(address) as plane:
        _, writer = await asyncio.open_connection("127.0.0.1", plane.port)
        writer.write(raw_chat(stream=False))
        await asked.wait()
        writer.close()
        async with asyncio.timeout(20):
            await closed.wait()
        record = await plane.record()
        assert (record.status, record.reason) == (499, "client_gone")


async def flood(reader: Reader, writer: Writer) -> None:
    """64 MB as fast as they are taken, as inference never is; then silence."""
    await request_of(reader)
    writer.write(HEAD)
    line = b'{"response":"' + b"x" * 8000 + b'","done":false}\n'
    for _ in range(8000):
        writer.write(chunk(line))
        await writer.drain()
    assert await reader.read() == b""


async def test_a_client_that_does_not_read_is_let_go_and_ollama_is_not_slowed() -> None:
    using = config(limits=LimitSettings(unread=2**20))
    async with upstream(flood) as address, gateway(address, using=using) as plane:
        reader, writer = await asyncio.open_connection("127.0.0.1", plane.port, limit=1000)
        writer.write(raw_chat())
        record = await plane.record()
        assert record.reason == "client_too_slow"
        assert record.bytes_out < 8 * 2**20
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(64 * 2**20)
        writer.close()


async def test_a_listing_waits_for_a_client_that_reads_slowly() -> None:
    """Nobody's slot hangs on it, so upstream is held back and nothing piles up here."""
    sent = 0

    async def serve(reader: Reader, writer: Writer) -> None:
        nonlocal sent
        await request_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (64 * 2**20))
        for _ in range(1024):
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    using = config(limits=LimitSettings(unread=65536))
    async with upstream(serve) as address, gateway(address, using=using) as plane:
        reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
        writer.write(b"GET /api/tags HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        before = -1
        while sent != before:  # until it stands still
            before = sent
            await asyncio.sleep(0.2)
        assert sent < 40 * 2**20
        assert len(await reader.readexactly(64 * 2**20)) == 64 * 2**20
        writer.close()


# --- draining ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", list(MESSAGES))
async def test_draining_finishes_what_is_under_way_and_refuses_the_rest(tmp_path: Path, path: str) -> None:
    async with (
        fake_ollama(tmp_path, pause=0.05, tokens=20) as fake,
        gateway(fake.address) as plane,
        plane.client() as client,
    ):
        async with client.stream("POST", "/api/chat", json=CHAT) as answer:
            lines = answer.aiter_lines()
            await anext(lines)
            draining = asyncio.create_task(plane.plane.open.drained(20))
            await until(lambda: plane.plane.open.draining)
            refused = await client.post(path, json=MESSAGES[path][1])
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
            assert (await client.get("/readyz")).status_code == 503
            assert (await client.get("/healthz")).status_code == 200
            assert json.loads([line async for line in lines][-1])["done"]
        assert await draining


# --- lists ------------------------------------------------------------------------------------------------------------


async def test_lists_are_kept_and_dropped_when_something_changes() -> None:
    seen, serve = answering(before=lambda number: SMALL)
    async with (
        upstream(serve) as address,
        gateway(address, using=config(access=MANAGER)) as plane,
        plane.client() as client,
    ):
        for _ in range(3):
            assert (await client.get("/api/tags")).content == b'{"done":true}'
            assert (await client.get("/v1/models")).status_code == 200
            assert (await client.post("/api/show", json={"model": "a"})).status_code == 200
            assert (await client.post("/api/show", json={"model": "b"})).status_code == 200
        head = await client.head("/api/tags")
        assert (head.content, head.headers["content-length"]) == (b"", "13")
        assert [line.split()[1] for line in seen] == ["/api/tags", "/v1/models", "/api/show", "/api/show"]
        await client.request("DELETE", "/api/delete", json={"model": "a"})
        await client.get("/api/tags")
        assert [line.split()[1] for line in seen[4:]] == ["/api/delete", "/api/tags"]


async def test_what_is_loaded_is_asked_again_after_every_answer() -> None:
    seen, serve = answering(before=lambda number: SMALL)
    async with upstream(serve) as address, gateway(address) as plane, plane.client() as client:
        await client.get("/api/ps")
        await client.get("/api/ps")
        assert len(seen) == 1
        await client.post("/api/chat", json=CHAT)
        await client.get("/api/ps")
        assert len(seen) == 3


async def test_lists_are_served_stale_while_ollama_is_away() -> None:
    seen, serve = answering(before=lambda number: SMALL)
    async with gateway(None, using=config(hold=0.2)) as plane, plane.client() as client:
        assert (await client.get("/api/version")).json() == {"version": PLAUSIBLE_VERSION}
        assert (await client.get("/api/tags")).status_code == 503
        async with upstream(serve) as address:
            plane.readiness.set("ready", "It answers.", address)
            assert (await client.get("/api/tags")).status_code == 200
        plane.plane.models_changed()
        assert (await client.get("/api/tags")).content == b'{"done":true}'  # it refuses connections, nobody has noticed
        plane.readiness.set("coming", "It restarts.")
        assert (await client.get("/api/tags")).content == b'{"done":true}'
        plane.readiness.set("down", "It is broken.")
        assert (await client.get("/api/tags")).content == b'{"done":true}'
        assert (await client.get("/api/ps")).status_code == 503


async def test_tokens_are_counted_here() -> None:
    async with gateway(None) as plane, plane.client() as client:
        body = {"model": "claude", "messages": [{"role": "user", "content": "x" * 400}]}
        answer = await client.post("/v1/messages/count_tokens", json=body)
        assert answer.json() == {"input_tokens": 101}


# --- odd requests -----------------------------------------------------------------------------------------------------


async def test_a_delete_may_carry_a_body(tmp_path: Path) -> None:
    async with fake_ollama(tmp_path, echo=True) as fake, gateway(fake.address, using=config(access=MANAGER)) as plane:
        async with plane.client() as client:
            seen = (await client.request("DELETE", "/api/delete", json={"model": "m"})).json()
            assert (seen["method"], seen["size"]) == ("DELETE", len(json.dumps({"model": "m"}, separators=(",", ":"))))


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions", "/v1/messages"])
async def test_a_body_beyond_the_limit_is_refused_in_the_dialect(tmp_path: Path, path: str) -> None:
    using = config(limits=LimitSettings(body=2000, decoded=1024))
    async with fake_ollama(tmp_path) as fake, gateway(fake.address, using=using) as plane, plane.client() as client:

        async def unlengthed() -> Any:
            for _ in range(10):
                yield b"x" * 1000

        for content in (b"x" * 2001, unlengthed()):
            answer = await client.post(path, content=content)
            assert answer.status_code == 413
            assert "server.yaml" in answer.text
        assert (await client.post(path, json=CHAT)).status_code in (200, 404)


async def test_a_compressed_body_goes_on_plain(tmp_path: Path) -> None:
    import gzip

    import zstandard

    plain = json.dumps({**CHAT, "pad": "x" * 5000}).encode()
    async with fake_ollama(tmp_path, echo=True) as fake, gateway(fake.address) as plane, plane.client() as client:
        for encoding, body in (("gzip", gzip.compress(plain)), ("zstd", zstandard.compress(plain))):
            seen = (await client.post("/v1/responses", content=body, headers={"Content-Encoding": encoding})).json()
            assert seen["size"] == len(plain)
            assert "content-encoding" not in {name.lower() for name, _ in seen["headers"]}
        broken = await client.post("/v1/responses", content=b"\x00", headers={"Content-Encoding": "gzip"})
        assert broken.status_code == 400
        unknown = await client.post("/v1/responses", content=b"\x00", headers={"Content-Encoding": "lzma"})
        assert unknown.status_code == 415


async def test_an_empty_body_is_ollamas_to_refuse(tmp_path: Path) -> None:
    async with fake_ollama(tmp_path, echo=True) as fake, gateway(fake.address) as plane:
        told = await exchange(
            plane.port, b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", until_closed=True
        )
        assert told.startswith(b"HTTP/1.1 200")
        assert (await fake.seen())[0]["size"] == 0


@pytest.mark.parametrize(
    "smuggled",
    [
        b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5, 5\r\n\r\nhello",
        b"GET /api/tags HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n",
    ],
)
async def test_a_request_that_can_be_read_two_ways_is_refused(tmp_path: Path, smuggled: bytes) -> None:
    async with fake_ollama(tmp_path) as fake, gateway(fake.address) as plane:
        assert (await exchange(plane.port, smuggled)).startswith(b"HTTP/1.1 400")
        assert await fake.seen() == []


async def test_requests_in_a_row_on_one_connection_are_answered_in_order(tmp_path: Path) -> None:
    async with fake_ollama(tmp_path) as fake, gateway(fake.address) as plane:
        reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
        writer.write(raw_chat(stream=False) * 3)
        for _ in range(3):
            line, headers = await head_of(reader)
            assert line.startswith("HTTP/1.1 200")
            assert json.loads(await reader.readexactly(int(headers["content-length"])))["done"]
        writer.close()


async def test_a_mistake_of_ours_is_told_in_the_dialect_and_logged(capsys: pytest.CaptureFixture[str]) -> None:
    async def suspect(model: str) -> bool:
        raise ZeroDivisionError

    async def silent(reader: Reader, writer: Writer) -> None:
        await request_of(reader)
        assert await reader.read() == b""

    async with upstream(silent) as address, gateway(address, rhythm=Rhythm(unproven=0.05)) as plane:
        plane.line.suspect_with, plane.line.all_doubted = suspect, True
        async with plane.client() as client:
            answer = await client.post("/v1/messages", json=CHAT)
        assert answer.status_code == 500
        assert answer.json()["error"]["type"] == "api_error"
        assert (await plane.record()).reason == "seadragon_failed"
        assert "ZeroDivisionError" in capsys.readouterr().err
