"""A data plane on a real socket, in front of whatever a test puts behind it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from controller.answering.rhythm import Rhythm
from controller.answering.shared import Shared
from controller.auth.keyring import Keyring
from controller.auth.visitor import DIRECT, Arrival
from controller.clock import SystemClock
from controller.config.entry import Access, Allowed
from controller.config.listening import LimitSettings
from controller.config.schema import Config, Server
from controller.engines.ollama.inside import KnownInside
from controller.proxy.app import DataPlane
from controller.proxy.cleartext import HttpsDoor
from controller.proxy.exchange import App, Exchange, Receive, Scope, Send
from controller.proxy.tally import AccessRecord, Tally
from controller.proxy.wire import Wire
from controller.readiness import Address, Readiness
from controller.usage import Use
from tests.fakes.turns import Known, Line, Memory
from tests.kit import web
from tests.kit.engines import an_ollama
from tests.kit.ports import free_port

FAKE = Path(__file__).parent.parent / "fakes" / "ollama.py"
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]}
MANAGER = Access(allow=(Allowed(label="this computer", addresses=("127.0.0.1", "::1"), manage=True),))


def config(*, access: Access | None = None, limits: LimitSettings | None = None, hold: float = 20.0) -> Config:
    """A configuration for tests: requests wait `hold` seconds."""
    return Config(server=Server(hold=hold, limits=limits or LimitSettings()), access=access or Access())


@dataclass
class Plane:
    """A running data plane, and what it has said."""

    plane: DataPlane
    shared: Shared
    readiness: Readiness
    inside: KnownInside
    port: int
    settings: list[Config]
    line: Line
    names: Known
    memory: Memory
    records: list[AccessRecord] = field(default_factory=list)
    uses: list[Use] = field(default_factory=list)
    noted: list[AccessRecord] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def requests(self) -> list[Exchange]:
        """Those that came by HTTP and are open now."""
        return [each for each in self.shared.open if isinstance(each, Exchange)]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def configure(self, new: Config) -> None:
        """As a reload does."""
        self.settings[0] = new

    def note(self, record: AccessRecord) -> None:
        self.records.append(record)
        self.news.set()

    async def record(self, number: int = 1) -> AccessRecord:
        """The access record of the request that ended as the `number`-th."""
        while len(self.records) < number:
            self.news.clear()
            async with asyncio.timeout(20):
                await self.news.wait()
        return self.records[number - 1]

    @contextlib.asynccontextmanager
    async def client(self, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
        async with web.async_client(base_url=self.url, timeout=60, **options) as client:
            yield client


async def pages(scope: Scope, receive: Receive, send: Send) -> None:
    """Stands in for the pages: says which path it was asked for, or why the gate turned it away."""
    if refused := scope.get("seadragon.refused"):
        status, why = refused
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/html")]})
        return await send({"type": "http.response.body", "body": b"<p>" + why.encode()})
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
    await send({"type": "http.response.body", "body": b"<p>" + scope["raw_path"]})


async def api(scope: Scope, receive: Receive, send: Send) -> None:
    """Stands in for the management API: says who asks, for what."""
    message = await receive() if scope["method"] == "POST" else {}
    told = {"who": scope["seadragon.who"].label, "path": scope["path"], "body": message.get("body", b"").decode()}
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})


@contextlib.asynccontextmanager
async def gateway(
    upstream: Address | None,
    *,
    using: Config | None = None,
    arrival: Arrival = DIRECT,
    rhythm: Rhythm | None = None,
    slots: int = 1000,
    keyring: Keyring | None = None,
    https_doors: Callable[[], Sequence[HttpsDoor]] = tuple,
    known: asyncio.Event | None = None,
    pages: App = pages,
    api: App = api,
) -> AsyncIterator[Plane]:
    """A data plane that listens on a port of its own; `upstream` None: Ollama is not there yet.

    Its line lets `slots` through at a time. What it has not been given back at the end is a mistake.
    """
    readiness, inside = Readiness("Ollama"), KnownInside()
    if upstream is not None:
        readiness.set("ready", "It answers.", upstream)
    settings = [using or config()]
    line, names, memory = Line(readiness, lambda: settings[0].server.hold, slots), Known(), Memory()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        made: Plane
        tally = Tally()
        engine = an_ollama(readiness=readiness, known=inside)
        uses: list[Use] = []
        shared = Shared([engine], line, names, SystemClock(), tally.runs, rhythm=rhythm, used=uses.append)
        plane = DataPlane(
            shared,
            settings=lambda: settings[0],
            pages=pages,
            api=api,
            in_memory=memory,
            tally=tally,
            access_log=lambda record: made.note(record),
            noted=lambda record: made.noted.append(record),
            keyring=keyring,
            https_doors=https_doors,
            known=known,
        )
        made = Plane(
            plane, shared, readiness, inside, listening.getsockname()[1], settings, line, names, memory, uses=uses
        )
        options = uvicorn.Config(
            plane.listener(arrival),
            http=Wire,
            lifespan="off",
            log_level="error",
            access_log=False,
            proxy_headers=False,
        )
        server = uvicorn.Server(options)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield made
        finally:
            server.should_exit = True
            await shared.open.cut()
            await shared.close()
            async with asyncio.timeout(20):
                await serving
        assert line.tickets == [], "Every ticket is given back."


@dataclass
class Fake:
    """The fake ollama as a process."""

    folder: Path
    port: int
    process: asyncio.subprocess.Process | None = None
    generation: int = 0

    @property
    def address(self) -> Address:
        return Address("127.0.0.1", self.port, self.generation)

    def knobs(self, **knobs: Any) -> None:
        file = self.folder / "knobs.json"
        file.with_suffix(".new").write_text(json.dumps(knobs))
        file.with_suffix(".new").replace(file)

    async def start(self) -> None:
        environment = {**os.environ, "OLLAMA_HOST": f"127.0.0.1:{self.port}"}
        environment["FAKE_OLLAMA_KNOBS"] = str(self.folder / "knobs.json")
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-IS",
            str(FAKE),
            "serve",
            env=environment,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        assert self.process.stderr is not None
        async with asyncio.timeout(20):
            assert b"Listening" in await self.process.stderr.readline()
        self.generation += 1

    async def kill(self) -> None:
        """As a crash: the server and its runners, at once."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.communicate()

    async def seen(self) -> list[dict[str, Any]]:
        async with web.async_client() as client:
            answer = await client.get(f"http://127.0.0.1:{self.port}/fake/seen")
        seen: list[dict[str, Any]] = answer.json()["seen"]
        return seen


@contextlib.asynccontextmanager
async def fake_ollama(folder: Path, **knobs: Any) -> AsyncIterator[Fake]:
    """A running fake ollama with `knobs` set."""
    fake = Fake(folder, free_port())
    fake.knobs(**knobs)
    await fake.start()
    try:
        yield fake
    finally:
        await fake.kill()


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def upstream(serve: Serve) -> AsyncIterator[Address]:
    """A small server of a test's own, one call of `serve` for each connection."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await serve(reader, writer)
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=2**20)
    try:
        yield Address("127.0.0.1", server.sockets[0].getsockname()[1], 1)
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def head_of(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
    """The first line and the headers of a request."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:] if line)
    return lines[0], {name.lower(): value for name, value in headers.items()}


async def request_of(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    """The first line and the body of a request."""
    line, headers = await head_of(reader)
    return line, await reader.readexactly(int(headers.get("content-length", "0")))


async def exchange(port: int, request: bytes, *, until_closed: bool = False) -> bytes:
    """What the server sends on `request`, raw: its head, or all until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        async with asyncio.timeout(20):
            return await reader.read() if until_closed else await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.close()
