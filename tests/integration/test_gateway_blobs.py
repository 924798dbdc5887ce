"""Bodies of any length pass in constant memory, at upstream's pace."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import struct

import psutil
import pytest

from tests.integration.plane import MANAGER, Plane, config, gateway, head_of, upstream
from tests.kit.until import until

GIB = 2**30
DIGEST = "sha256:" + "0" * 64
CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"


def send_zeros(port: int, count: int, *, chunked: bool) -> bytes:
    """Upload `count` zeros from a thread of its own; the status line of the answer."""
    piece = bytes(2**20)
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {count}"
    head = f"POST /api/blobs/{DIGEST} HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n".encode()
    frame = (b"%x\r\n" % len(piece), b"\r\n") if chunked else (b"", b"")
    with socket.create_connection(("127.0.0.1", port), timeout=120) as client:
        client.sendall(head)
        for _ in range(count // len(piece)):
            client.sendall(frame[0] + piece + frame[1])
        if chunked:
            client.sendall(b"0\r\n\r\n")
        return client.recv(4096).partition(b"\r\n")[0]


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_blob_of_many_gigabytes_needs_no_more_memory_than_a_small_one(chunked: bool) -> None:
    received = 0

    async def discard(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        _, headers = await head_of(reader)
        assert ("content-length" in headers) is not chunked
        while received < GIB:
            received += len(await reader.read(2**20))
        writer.write(CREATED)
        await writer.drain()

    process = psutil.Process()
    async with upstream(discard) as address, gateway(address, using=config(access=MANAGER)) as plane:
        before = process.memory_info().rss
        sending = asyncio.create_task(asyncio.to_thread(send_zeros, plane.port, GIB, chunked=chunked))
        most = before
        while not sending.done():
            most = max(most, process.memory_info().rss)
            await asyncio.wait([sending], timeout=0.05)
        assert await sending == b"HTTP/1.1 201 Created"
        assert most - before < 64 * 2**20
        assert (await plane.record()).bytes_in == GIB


async def test_what_arrives_upstream_is_what_was_sent() -> None:
    blob = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(100_000))
    arrived = bytearray()

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        while len(arrived) < len(blob):
            arrived.extend(await reader.read(2**20))
        writer.write(CREATED)
        await writer.drain()

    async with (
        upstream(keep) as address,
        gateway(address, using=config(access=MANAGER)) as plane,
        plane.client() as client,
    ):
        assert (await client.post(f"/api/blobs/{DIGEST}", content=blob)).status_code == 201
    assert arrived == blob


async def uploading(plane: Plane) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client in the middle of an upload."""
    reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
    writer.write(f"POST /api/blobs/{DIGEST} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {GIB}\r\n\r\n".encode())
    writer.write(bytes(100_000))
    return reader, writer


async def pushed(writer: asyncio.StreamWriter) -> int:
    """Bytes that go in until nothing moves for a second."""
    for count in range(1024):
        writer.write(bytes(2**20))
        try:
            async with asyncio.timeout(1):
                await writer.drain()
        except TimeoutError:
            return count * 2**20
    return GIB


async def test_a_slow_upstream_slows_the_client_and_fills_no_memory() -> None:
    async def idle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        await asyncio.Event().wait()

    async with upstream(idle) as address, gateway(address, using=config(access=MANAGER)) as plane:
        _, writer = await uploading(plane)
        sent = await pushed(writer)
        assert sent < 64 * 2**20
        hard = struct.pack("ii", 1, 0)  # nobody reads now, so a soft goodbye would wait behind what is under way
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, hard)
        writer.transport.abort()
        assert (await plane.record()).reason == "client_gone"


async def test_an_upload_whose_client_leaves_is_given_up_upstream() -> None:
    begun, closed = asyncio.Event(), asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        begun.set()
        while await reader.read(2**20):
            pass
        closed.set()

    async with upstream(wait) as address, gateway(address, using=config(access=MANAGER)) as plane:
        _, writer = await uploading(plane)
        await begun.wait()
        writer.close()
        async with asyncio.timeout(20):
            await closed.wait()
        assert (await plane.record()).reason == "client_gone"


async def test_an_answer_before_the_end_of_the_upload_is_passed_on() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 16\r\n\r\n" + b'{"error":"digest"}'[:16])
        await writer.drain()
        while await reader.read(2**20):
            pass

    async with upstream(refuse) as address, gateway(address, using=config(access=MANAGER)) as plane:
        reader, writer = await uploading(plane)
        for _ in range(20):
            writer.write(bytes(100_000))
        assert (await reader.readline()).startswith(b"HTTP/1.1 400")
        writer.transport.abort()


async def test_an_upstream_that_dies_during_an_upload_is_told() -> None:
    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        await reader.read(1000)
        writer.transport.abort()

    async with upstream(die) as address, gateway(address, using=config(access=MANAGER)) as plane:
        reader, writer = await uploading(plane)
        for _ in range(20):
            writer.write(bytes(100_000))
        assert (await reader.readline()).startswith(b"HTTP/1.1 502")
        writer.transport.abort()
        record = await plane.record()
        assert (record.reason, record.attempts) == ("ollama_died", 1)


async def test_connections_are_not_left_behind() -> None:
    process = psutil.Process()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        await reader.read(1000)
        writer.transport.abort()

    async with upstream(serve) as address, gateway(address, using=config(access=MANAGER)) as plane:
        await asyncio.to_thread(lambda: None)
        before = process.num_fds()
        for number in range(1, 21):
            reader, writer = await uploading(plane)
            await reader.readline()
            writer.transport.abort()
            await plane.record(number)
        await until(lambda: process.num_fds() <= before + 2)
