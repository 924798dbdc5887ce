"""What is in memory, as clients ask for it. Ollama may die of the question while a model comes or goes, so it is not
asked then.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from controller.answering.rhythm import Rhythm
from tests.integration.plane import Plane, gateway, request_of, upstream
from tests.kit.until import until

LOADED = b'{"models":[{"name":"red:latest"}]}'


class Ollama:
    """Answers every question with what it has loaded, once it may."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.may = asyncio.Event()
        self.may.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            line, _ = await request_of(reader)
            self.asked.append(line.split()[1])
            await self.may.wait()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(LOADED), LOADED))
            await writer.drain()


@asynccontextmanager
async def ollama(*, swap: float = 10.0) -> AsyncIterator[tuple[Ollama, Plane, httpx.AsyncClient]]:
    it = Ollama()
    async with (
        upstream(it.serve) as address,
        gateway(address, rhythm=Rhythm(swap=swap)) as plane,
        plane.client() as client,
    ):
        yield it, plane, client


async def test_during_a_swap_the_last_list_of_what_is_in_memory_is_told_however_old() -> None:
    async with ollama() as (it, plane, client):
        assert (await client.get("/api/ps")).content == LOADED
        plane.memory.moving = True
        plane.plane.models_moved()
        plane.plane.models_changed()
        async with plane.memory.lock:
            assert (await client.get("/api/ps")).content == LOADED
            assert (await client.get("/api/tags")).status_code == 200  # which is no danger
        assert it.asked == ["/api/ps", "/api/tags"]
        plane.memory.moving = False
        await client.get("/api/ps")
        assert it.asked == ["/api/ps", "/api/tags", "/api/ps"]


async def test_during_the_first_load_nothing_is_in_memory_and_ollama_is_not_asked() -> None:
    async with ollama() as (it, plane, client):
        plane.memory.moving = plane.memory.empty = True
        answer = await client.get("/api/ps")
        assert answer.json() == {"models": []}
        assert answer.headers["content-type"].startswith("application/json")
        assert it.asked == []


async def test_who_asks_first_in_the_middle_of_a_swap_is_answered_when_it_is_over() -> None:
    async with ollama() as (it, plane, client):
        plane.memory.moving = True
        async with plane.memory.lock:
            asking = asyncio.create_task(client.get("/api/ps"))
            await until(lambda: bool(len(plane.plane.open)))
            assert (await client.get("/api/tags")).status_code == 200  # a whole round trip later
            assert it.asked == ["/api/tags"]
            assert not asking.done()
        assert (await asking).content == LOADED


async def test_a_swap_that_takes_long_is_told_of_and_when_to_come_back() -> None:
    async with ollama(swap=0.2) as (it, plane, client):
        plane.memory.moving = True
        async with plane.memory.lock:
            answer = await client.get("/api/ps")
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert "being loaded" in answer.json()["error"]
        assert it.asked == []


async def test_no_swap_begins_while_ollama_reads_what_it_has_loaded() -> None:
    async with ollama() as (it, plane, client):
        it.may.clear()
        asking = asyncio.create_task(client.get("/api/ps"))
        await until(lambda: it.asked == ["/api/ps"])
        assert plane.memory.lock.locked()
        it.may.set()
        assert (await asking).content == LOADED
        assert not plane.memory.lock.locked()


async def test_a_mute_ollama_keeps_no_swap_waiting_for_long() -> None:
    async with ollama(swap=0.2) as (it, plane, client):
        it.may.clear()
        assert (await client.get("/api/ps")).status_code == 503
        assert it.asked == ["/api/ps"]
        assert not plane.memory.lock.locked()
        it.may.set()
        assert (await client.get("/api/ps")).content == LOADED  # the connection that hung is not used again
