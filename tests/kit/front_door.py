"""The pages with people in them, served on a real socket over a real database: what tests of signing in stand at."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from controller.auth import signing
from controller.auth.access import Principal
from controller.auth.cookies import together
from controller.auth.hashing import Hashing
from controller.auth.holders import Holders
from controller.auth.people import SignedIn
from controller.auth.signin import SignIn
from controller.clock import Clock, SystemClock
from controller.config.entry import Access
from controller.config.listening import Listener
from controller.config.schema import Config, Server
from controller.pages.late import LatePages
from controller.pages.view import Traffic
from controller.storage.database import Database
from controller.storage.file import NAME
from tests.fakes.desk import FakeDesk
from tests.kit import web
from tests.kit.holding import an_office

CHEAP = 4  # bcrypt's cost in tests that are not about it
PASSWORD = "whales sing at night"


@dataclass
class FrontDoor:
    """What stands behind the door, and what the data plane would say of a request."""

    url: str
    desk: FakeDesk
    holders: Holders
    signin: SignIn
    who: Principal | None = None
    scope: dict[str, Any] = field(default_factory=dict)
    noted: list[tuple[str, str, str]] = field(default_factory=list)

    async def person(self, name: str, role: Any = "member") -> str:
        """Make somebody with the usual password; their id."""
        row = await self.holders.users.create(name, role, by="tests", password=await self.signin.hashing.hash(PASSWORD))
        return row.id

    def browser(self, **headers: str) -> httpx.AsyncClient:
        """A client with cookies of its own."""
        return web.async_client(base_url=self.url, timeout=60, headers=headers)


@asynccontextmanager
async def front_door(folder: Path, *, clock: Clock | None = None, cost: int = CHEAP) -> AsyncIterator[FrontDoor]:
    """Open it, for as long as the block lasts."""
    desk, clock = FakeDesk(folder), clock or SystemClock()
    holders = Holders(clock, desk.journal)
    running = asyncio.ensure_future(holders.ledger.run(Database(folder / "data" / NAME, clock, desk.journal)))
    hashing = Hashing(clock, cost=cost, floor=0.0)
    await holders.ledger.known.wait()
    assert holders.ledger.why == ""
    desk.office = an_office(holders, desk.audit, clock, lambda: desk.config)
    door = FrontDoor("", desk, holders, SignIn(holders, hashing, signing.load(folder / "data"), clock, _note))
    door.signin.note = lambda what, *, actor, target, outcome, peer: door.noted.append((what, actor, outcome))
    people = SignedIn(holders, door.signin.session_of)
    pages = LatePages(desk, traffic=lambda: Traffic(0, 0), metrics=lambda: lambda: (b"", ""), signin=door.signin)

    async def let_in(scope: Any, receive: Any, send: Any) -> None:
        cookie = together(value for name, value in scope["headers"] if name == b"cookie")
        who = people.look(cookie, Access(), clock.wall()) or door.who
        await pages({**scope, "seadragon.who": who, **door.scope}, receive, send)

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        door.url = f"http://{address}"
        desk.config = Config(server=Server(listeners=(Listener(address=address),)))  # where links are to lead
        server = uvicorn.Server(uvicorn.Config(let_in, log_config=None, lifespan="off", ws="none"))
        serving = asyncio.ensure_future(server.serve([listening]))
        try:
            yield door
        finally:
            desk.phase = "stopping"  # ends the live streams, as leaving does
            server.should_exit = True
            await serving
            running.cancel()
            await asyncio.wait([running])
            hashing.close()


def _note(what: str, *, actor: str, target: str, outcome: str, peer: str) -> None:
    """Until the door stands."""
