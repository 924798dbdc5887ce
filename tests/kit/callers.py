"""Callers, each from an address of its own: what a house full of people and programs sends, and what each is told.

The allow-list maps addresses to callers and lanes, so a test needs no header to be somebody: it binds 127.0.0.2, .3, …
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.kit import web
from tests.kit.house import House

LIMIT = 240.0  # seconds a caller waits at most: longer than anything may take on a busy machine


def address(number: int) -> str:
    """The address of caller `number`, counted from 0."""
    return f"127.0.{(number + 2) // 250}.{(number + 2) % 250}"


def allow(lanes: Sequence[float], **more: object) -> dict[str, object]:
    """access.yaml for one caller in each of `lanes`, beside this computer, which may manage."""
    here = {
        "label": "this computer",
        "addresses": ["127.0.0.1", "::1"],
        "manage": True,
        "running": 100,
        "waiting": 1000,
    }
    others = [
        {"label": f"caller {number}", "addresses": [address(number)], "lane": lane, **more}
        for number, lane in enumerate(lanes)
    ]
    return {"allow": [here, *others]}


@dataclass
class Told:
    """What one request came to."""

    status: int = 0
    records: list[dict[str, Any]] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=dict)
    began: float = 0.0  # monotonic seconds: sent
    first: float | None = None  # … its first record came
    ended: float = 0.0
    broken: str = ""  # how the connection ended, if not well

    @property
    def text(self) -> str:
        """What the model said."""
        return "".join(str(each.get("response", "")) for each in self.records)

    @property
    def whole(self) -> bool:
        """Whether it got its whole answer."""
        return self.status == 200 and not self.broken and bool(self.records) and self.records[-1].get("done") is True

    @property
    def error(self) -> str:
        """The reason it was told, if it was told no."""
        return str(self.records[-1].get("error", "")) if self.records else ""

    @property
    def waited(self) -> float:
        """Seconds until the first record."""
        return (self.first if self.first is not None else self.ended) - self.began


@dataclass(frozen=True)
class Caller:
    """Somebody at one address."""

    number: int
    client: httpx.AsyncClient

    async def ask(self, model: str, tokens: int = 20, **more: Any) -> Told:
        """One generation, streamed, to its end."""
        told = Told(began=time.monotonic())
        try:
            async for record in self.stream(model, told, tokens, **more):
                told.records.append(record)
        except httpx.HTTPError as problem:
            told.broken = repr(problem)
        told.ended = time.monotonic()
        return told

    async def leave(self, model: str, *, after: int, tokens: int = 2000) -> Told:
        """Hang up after so many records; 0: some moments after sending, most likely while it waits."""
        told = Told(began=time.monotonic())
        try:
            async with asyncio.timeout(0.02 if after == 0 else LIMIT):
                async for record in self.stream(model, told, tokens):
                    told.records.append(record)
                    if len(told.records) >= after > 0:
                        break
        except TimeoutError:
            told.broken = "hung up"
        except httpx.HTTPError as problem:
            told.broken = repr(problem)
        told.ended = time.monotonic()
        return told

    async def stream(self, model: str, told: Told, tokens: int, **more: Any) -> AsyncIterator[dict[str, Any]]:
        """The records of one generation; `told` gets status and headers as soon as they are here."""
        body = {"model": model, "prompt": "hi", "options": {"num_predict": tokens}, **more}
        async with self.client.stream("POST", "/api/generate", json=body) as answer:
            told.status, told.headers = answer.status_code, dict(answer.headers)
            async for line in answer.aiter_lines():
                told.first = told.first or time.monotonic()
                yield json.loads(line)


@asynccontextmanager
async def callers(house: House, count: int) -> AsyncIterator[list[Caller]]:
    """`count` callers, each with connections of its own from its own address."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    clients = [
        web.async_client(
            base_url=house.url,
            timeout=LIMIT,
            transport=httpx.AsyncHTTPTransport(verify=False, local_address=address(number), limits=limits),
        )
        for number in range(count)
    ]
    try:
        yield [Caller(number, client) for number, client in enumerate(clients)]
    finally:
        for client in clients:
            await client.aclose()
